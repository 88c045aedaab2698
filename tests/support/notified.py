"""The service manager's ear: a NOTIFY_SOCKET that hears what a process tells it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Ear:
    """Hears the messages that arrive at its socket, each a set of fields."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def listen(self, seconds: float) -> None:
        """Take in what comes within `seconds`."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                message = self._socket.recv(4096).decode()
            except TimeoutError:
                return
            fields = (line.partition("=") for line in message.splitlines())
            self.heard.append({key: value for key, _, value in fields})

    def until(self, key: str, *, within: float = 20.0) -> dict[str, str]:
        """The first message from now on with the field `key`."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            begun = len(self.heard)
            self.listen(0.05)
            for message in self.heard[begun:]:
                if key in message:
                    return message
        raise AssertionError(f"no {key} within {within} s; heard {self.heard}")

    def count(self, key: str) -> int:
        return sum(key in message for message in self.heard)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def heard(
    command: Sequence[object], ear: Ear, *, cwd: Path, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` with its NOTIFY_SOCKET at `ear`; stopped by its PID at the end."""
    with (cwd / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=cwd,
            env={**os.environ, "NOTIFY_SOCKET": str(ear.path), **environ},
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(timeout=10)
