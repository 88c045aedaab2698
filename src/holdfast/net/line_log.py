"""Where lines are kept that must not get lost: a file that only grows, or systemd's journal.

Laws: a line is whole or not there; all of a call are written before it returns, to a file by one
write at its end, so that several processes may share it; a file that was moved away by a rotation
is begun anew within a second, without a signal; what cannot be written is a `StoreError`, and the
next line begins on a line of its own. systemd's native protocol:
systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Protocol

from holdfast.errors import StoreError

LOOK_EVERY = 1.0  # seconds between two looks whether the file was moved away
JOURNAL = "/run/systemd/journal/socket"
MODE = 0o640


class Lines(Protocol):
    """Keeps lines; raises `StoreError` when it could not keep all of a call."""

    lost: int
    """Lines of the last call that raised."""

    def write(self, *lines: bytes) -> None: ...


class LineFile:
    """Lines at the end of the file at `path`."""

    def __init__(self, path: str, *, mode: int = MODE) -> None:
        self.path = path
        self._mode = mode
        self._file: int | None = None
        self._is: tuple[int, int] | None = None
        self._looked = float("-inf")
        self._torn = False
        self.lost = 0

    def write(self, *lines: bytes) -> None:
        """Append `lines`, each with a line end."""
        data = b"\n".join((b"", *lines, b"") if self._torn else (*lines, b""))
        self.lost = len(lines)
        try:
            written = os.write(self._descriptor(), data)
        except OSError as error:
            raise self._trouble(error) from error
        self.lost = data.count(b"\n", written)
        if self.lost:
            self._torn = data[written - 1 : written] != b"\n"
            raise self._trouble(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def open(self) -> None:
        """Open it now, so that what is wrong with it is told at once."""
        try:
            self._descriptor()
        except OSError as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _descriptor(self) -> int:
        now = time.monotonic()
        if self._file is not None and now - self._looked < LOOK_EVERY:
            return self._file
        self._looked = now
        if self._file is not None and not self._moved():
            return self._file
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        self._file = os.open(self.path, flags, self._mode)
        there = os.fstat(self._file)
        self._is = there.st_dev, there.st_ino
        return self._file

    def _moved(self) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return True
        return self._is != (there.st_dev, there.st_ino)

    def _trouble(self, error: OSError) -> StoreError:
        hints = {
            errno.ENOSPC: "make room on that file system",
            errno.ENOENT: "make its folder, and give it to the user who answers",
            errno.EACCES: "give the user who answers write access to it",
        }
        reason = (error.strerror or str(error)).lower()
        hint = hints.get(error.errno or 0, "see that it is a file that can be written")
        return StoreError(f"{self.path}: cannot write: {reason}", hint=hint)


class Journal:
    """Lines to systemd's journal, each the MESSAGE of an entry of `identifier`."""

    def __init__(self, identifier: str, *, address: str = JOURNAL) -> None:
        self._head = (
            f"PRIORITY=6\nSYSLOG_IDENTIFIER={identifier}\nHOLDFAST_AUDIT=1\nMESSAGE="
        ).encode()
        self._address = address
        self._socket: socket.socket | None = None
        self.lost = 0

    def open(self) -> None:
        """See that there is a journal."""
        try:
            self._connected()
        except OSError as error:
            raise self._trouble(error) from error

    def write(self, *lines: bytes) -> None:
        """An entry each. A journal that was started anew is found again."""
        self.lost = len(lines)
        for line in lines:
            data = self._head + line.replace(b"\n", b" ") + b"\n"
            try:
                try:
                    self._connected().send(data)
                except (ConnectionError, FileNotFoundError):
                    self.close()
                    self._connected().send(data)
            except OSError as error:
                self.close()
                raise self._trouble(error) from error
            self.lost -= 1

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            out.setblocking(False)
            try:
                out.connect(self._address)
            except OSError:
                out.close()
                raise
            self._socket = out
        return self._socket

    def _trouble(self, error: OSError) -> StoreError:
        reason = (error.strerror or str(error)).lower()
        return StoreError(
            f"{self._address}: the journal takes nothing: {reason}",
            hint="see that systemd-journald runs, or name a file instead",
        )
