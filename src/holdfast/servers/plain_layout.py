"""Staples of a server whose configuration names one file for each, for good."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.ocsp.certid import CertID
from holdfast.servers.files import FilesServer
from holdfast.servers.reloads import Change


class PlainLayout:
    """Implements `Layout` by `files` alone. `needed`: the server does not start without them."""

    def __init__(self, files: FilesServer, *, needed: bool = False) -> None:
        self.files = files
        self.needed = needed

    def paths(self, certid: CertID) -> tuple[Path, ...]:
        return (self.files.path(certid),)

    def place(self, change: Change) -> bool:
        if change.staple is None:
            return self.files.remove(change.certid) is not None
        self.files.write(change.staple)
        return True

    def clear(self, certid: CertID) -> None:
        Path(os.path.realpath(self.files.path(certid))).unlink(missing_ok=True)
        self.files.remove(certid)  # a blank one, where the server needs the file

    def settled(self, change: Change) -> None:
        pass
