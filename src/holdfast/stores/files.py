"""Staples in a folder: one file per CertID, which other programs may read.

    STATE/staples/<key>.der   the response, as a handshake carries it
    STATE/staples/<key>.txt   whose it is and how long it holds, for people

Laws: a file is replaced whole or not at all (K3); what was written by others, or half, is a claim
that does not parse: told, left in place, never believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import Malformed, OperatorError, StoreError
from holdfast.net.files import read_bounded, sync_directory, trouble, write_atomic
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import MAX_RESPONSE, Response
from holdfast.ocsp.staple import Staple

FOLDER = "staples"
LEFT_BEHIND = 10.0  # seconds; writing one takes milliseconds
READABLE = 0o644  # a staple is public: every handshake shows it

_log = logging.getLogger("holdfast.stores")


class FileStore:
    """Implements `Store` in `folder`, which is made when first needed."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._swept = False

    def path(self, certid: CertID) -> Path:
        """Where the staple for `certid` lies, if there is one."""
        return self.folder / f"{certid.key}.der"

    async def save(self, staple: Staple, /) -> None:
        await asyncio.to_thread(self.write, staple)

    async def load(self, certid: CertID, /) -> Response | None:
        return await asyncio.to_thread(self.read, certid)

    async def drop(self, certid: CertID, /) -> None:
        await asyncio.to_thread(self.remove, certid)

    def read(self, certid: CertID) -> Response | None:
        """What `load` gives, for those without an event loop."""
        path = self.path(certid)
        try:
            data = read_bounded(path, MAX_RESPONSE)
        except OperatorError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            if error.__cause__ is None:  # too large to be one of ours
                _log.warning("staple ignored file=%s problem=%s", path, error.message)
                return None
            raise StoreError(error.message, hint=error.hint) from error
        try:
            return Response.parse(data)
        except Malformed as error:
            _log.warning("staple ignored file=%s problem=%s", path, error.message)
            return None

    def read_some(self, certids: Sequence[CertID]) -> list[Response | StoreError | None]:
        """`read` for each; where that fails, why."""
        found: list[Response | StoreError | None] = []
        for certid in certids:
            try:
                found.append(self.read(certid))
            except StoreError as error:
                found.append(error)
        return found

    def write(self, staple: Staple) -> None:
        """What `save` does, for those without an event loop."""
        path = self.path(staple.certid)
        try:
            self._make_folder()
            write_atomic(path, staple.der, READABLE)
        except OperatorError as error:
            raise StoreError(error.message, hint=error.hint) from error
        with contextlib.suppress(OperatorError):  # for people only
            write_atomic(path.with_suffix(".txt"), _label(staple), READABLE, fsync=False)

    def remove(self, certid: CertID) -> None:
        """What `drop` does, for those without an event loop."""
        path = self.path(certid)
        with contextlib.suppress(OSError):
            path.with_suffix(".txt").unlink()
        try:
            path.unlink(missing_ok=True)
            if self.folder.is_dir():
                sync_directory(self.folder)
        except NotADirectoryError:
            return
        except OSError as error:
            told = trouble("cannot remove", path, error)
            raise StoreError(told.message, hint=told.hint) from error

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise trouble("cannot make", self.folder, error) from error
        if not self._swept:
            self._swept = True
            self._sweep()

    def _sweep(self) -> None:
        """Remove what writers that were killed left half written; a young one may be at it yet."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob(".*.tmp"):
                if time.time() - path.stat().st_mtime > LEFT_BEHIND:
                    path.unlink()


def _label(staple: Staple) -> bytes:
    ends = staple.next_update
    return (
        f"name: {staple.subject.name}\n"
        f"serial: {staple.subject.serial:x}\n"
        f"issuer: {staple.subject.issuer.subject}\n"
        f"certificate_status: {staple.certificate_status.text}\n"
        f"this_update: {staple.this_update:%Y-%m-%dT%H:%M:%SZ}\n"
        f"next_update: {'none' if ends is None else f'{ends:%Y-%m-%dT%H:%M:%SZ}'}\n"
    ).encode()
