"""Real programs for the length of a block: holdfast's own commands and others', stopped by PID."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOLDFAST = (sys.executable, "-m", "holdfast.cli.main")
START = 20.0  # seconds; a loaded machine starts Python slowly


class Running:
    """One child process; `first` is the first line it printed."""

    def __init__(self, child: subprocess.Popen[bytes], first: bytes) -> None:
        self.child = child
        self.first = first

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end; its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        try:
            return self.child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(timeout=10)
            raise


@contextmanager
def running(
    command: Sequence[object], *, cwd: Path | None = None, until: bytes = b"\n"
) -> Iterator[Running]:
    """Start `command` and wait until its stdout holds `until`; stop it at the end by SIGTERM."""
    child = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Running(child, _read_until(child, until))
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(timeout=10)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def ran(
    command: Sequence[object], *, stdin: bytes = b"", timeout: float = 30.0, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `command` to its end."""
    return subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
    )


def first_json(started: Running) -> Any:
    """The JSON document that a command printed when it was ready."""
    return json.loads(started.first)


def _read_until(child: subprocess.Popen[bytes], until: bytes) -> bytes:
    assert child.stdout is not None
    found = b""
    deadline = time.monotonic() + START
    while until not in found:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([child.stdout], [], [], max(left, 0))
        chunk = os.read(child.stdout.fileno(), 65536) if ready else b""
        if not chunk:
            child.kill()
            errors = child.stderr.read() if child.stderr is not None else b""
            raise AssertionError(f"{child.args!r} did not start: {found!r} {errors.decode()}")
        found += chunk
    return found
