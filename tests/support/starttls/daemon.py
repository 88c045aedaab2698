"""A daemon of a Debian package on free loopback ports, in a folder of its own, ended by its PID.

Nothing of the package's own service is used: not its configuration, its folders or its unit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

START = 30.0  # seconds; a loaded machine starts slowly
TRIES = 3  # another program may take a free port before the daemon does


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a server that offers TLS is given. `staple`: for those that read one from a file."""

    chain: Path
    key: Path
    staple: Path


class Daemon:
    """`words` is run in the foreground, all in `folder`; `ports` by scheme."""

    def __init__(self, folder: Path, words: Sequence[object], ports: Mapping[str, int]) -> None:
        self.folder, self.ports = folder, dict(ports)
        self._words = [str(word) for word in words]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "said").open("ab") as out:
            self._child = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Wait until it accepts at every port; False when it ended instead."""
        assert self._child is not None
        deadline = time.monotonic() + START
        for port in self.ports.values():
            while not _accepts(port):
                if self._child.poll() is not None:
                    return False
                assert time.monotonic() < deadline, f"{self._words[0]} accepts not: {self.said}"
                time.sleep(0.01)
        return self._child.poll() is None

    @property
    def said(self) -> str:
        logs = [*sorted(self.folder.glob("*log")), self.folder / "said"]
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in logs if log.exists())

    def ask_to_end(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def stop(self) -> None:
        """Dovecot would take a second to end: its children are ended with it."""
        self.ask_to_end()
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.3)
        with contextlib.suppress(ProcessLookupError):  # its own session: its children too
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=10)


Make = Callable[[Path, Files | None], Daemon]
"""Writes the configuration into an empty folder; no files: a server that offers no TLS."""


@contextmanager
def daemons(makes: Mapping[str, tuple[Make, Files | None]]) -> Iterator[dict[str, Daemon]]:
    """All of `makes` at once, in a folder that the users to whom they change may enter."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-starttls-"))
    folder.chmod(0o755)
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        running = {}
        for name, (make, files) in makes.items():
            running[name] = _begun(folder / f"{name}-1", make, files, ends)
        for name, (make, files) in makes.items():
            for attempt in range(2, TRIES + 2):
                if running[name].ready():
                    break
                assert attempt <= TRIES, f"{name} did not start: {running[name].said}"
                running[name] = _begun(folder / f"{name}-{attempt}", make, files, ends)
        yield running
        for daemon in running.values():
            daemon.ask_to_end()


def _begun(folder: Path, make: Make, files: Files | None, ends: ExitStack) -> Daemon:
    folder.mkdir()
    daemon = make(folder, files)
    ends.callback(daemon.stop)
    daemon.start()
    return daemon


def program(name: str, *folders: str) -> str:
    """Where a program is; servers are not in everybody's PATH."""
    found = shutil.which(name, path=":".join([*folders, os.defpath, "/usr/sbin", "/sbin"]))
    assert found is not None, f"{name} is missing: tools/apt-packages installs it"
    return found


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
