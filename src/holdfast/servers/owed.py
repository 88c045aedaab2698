"""Withdrawals that a server may not have been told of: the file is gone, the command to come.

    STATE/owed/<digest>.json   one server and one certificate, until the server has been told

Laws: one is noted before the file goes and forgotten only when the server has been told, so that
whoever comes next, in whatever process, tells it (K27); that it cannot be noted on a full disk
hinders no withdrawal.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded, write_atomic
from holdfast.ocsp.certid import CertID

FOLDER = "owed"
MAX_NOTE = 64 * 1024  # bytes

_log = logging.getLogger("holdfast.servers")


@dataclass(frozen=True, slots=True)
class Debt:
    """A certificate, and what it was called then."""

    certid: CertID
    name: str


class Owed:
    """Those of `server`; with `folder` they outlive the process."""

    def __init__(self, server: str, *, folder: Path | None = None) -> None:
        self._server, self._folder = server, folder
        self._here: set[str] = set()

    def __contains__(self, certid: CertID) -> bool:
        path = self._path(certid)
        return certid.key in self._here or (path is not None and path.exists())

    def add(self, certid: CertID, name: str) -> None:
        """Note it. What cannot be written is told, and known to this process."""
        self._here.add(certid.key)
        path = self._path(certid)
        if path is None:
            return
        note = {
            "server": self._server,
            "name": name,
            "hash_algorithm": certid.hash_algorithm,
            "issuer_name_hash": certid.issuer_name_hash.hex(),
            "issuer_key_hash": certid.issuer_key_hash.hex(),
            "serial": f"{certid.serial:x}",
        }
        try:
            with contextlib.suppress(FileExistsError):
                path.parent.mkdir(mode=0o700, parents=True)
            write_atomic(path, json.dumps(note, indent=1).encode() + b"\n")
        except (OSError, OperatorError) as error:
            _log.error("withdrawal not noted server=%s: %s", self._server, error)

    def discard(self, certid: CertID) -> None:
        """The server has been told."""
        self._here.discard(certid.key)
        path = self._path(certid)
        if path is not None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:  # then it is told once more
                _log.error("withdrawal still noted server=%s: %s", self._server, error)

    def noted(self) -> Iterator[Debt]:
        """Those that lie in the folder."""
        folder = self._folder
        for path in sorted(folder.glob("*.json")) if folder and folder.is_dir() else []:
            try:
                note = json.loads(read_bounded(path, MAX_NOTE))
                certid = CertID(
                    str(note["hash_algorithm"]),
                    bytes.fromhex(note["issuer_name_hash"]),
                    bytes.fromhex(note["issuer_key_hash"]),
                    int(note["serial"], 16),
                )
                server, name = str(note["server"]), str(note["name"])
            except (OperatorError, ValueError, KeyError, TypeError) as error:
                _log.warning("note ignored file=%s problem=%s", path, error)
                continue
            if server == self._server:
                yield Debt(certid, name)

    def _path(self, certid: CertID) -> Path | None:
        if self._folder is None:
            return None
        digest = blake2b(f"{certid.key} {self._server}".encode(), digest_size=20).hexdigest()
        return self._folder / f"{digest}.json"
