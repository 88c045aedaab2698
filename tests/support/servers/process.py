"""A TLS server of other people's making, on a port, out of a folder, stopped by its PID."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from support.servers.shift import Shift


class Process:
    """`words` is started in the foreground; its output goes to `folder`/said. `ready`: what it says
    there when it serves; it may listen before."""

    ready = ""
    ends_by = signal.SIGTERM

    def __init__(self, folder: Path, words: Sequence[object], port: int, *, shift: Shift) -> None:
        self.folder, self.port = folder, port
        self._words = [str(word) for word in words]
        self._shift = shift
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it serves."""
        before = len(self.said) if (self.folder / "said").exists() else 0
        with (self.folder / "said").open("ab") as out:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self._shift.environment, **self.environment},
                start_new_session=True,
            )
        for _ in range(1000):
            if self._process.poll() is not None:
                raise AssertionError(f"{self._words[0]} did not start: {self.said}")
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                if self.ready in self.said[before:]:
                    return
            time.sleep(0.01)
        raise AssertionError(f"{self._words[0]} does not accept: {self.said}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.ends_by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=3)
        with contextlib.suppress(ProcessLookupError):  # its own session: workers too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
        for _ in range(500):  # a worker may outlive its master for a moment
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return
            time.sleep(0.01)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
