"""Error logs of servers: where they end, and what was written since.

Laws: bounded reads; a log that was rotated or cut is read from its beginning; a log that cannot be
read says nothing, for a server may write to a place that we cannot see.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_READ = 4 * 1024 * 1024  # bytes of the newest


@dataclass(frozen=True, slots=True)
class Mark:
    """Inode and size of each log."""

    ends: Mapping[Path, tuple[int, int]]


def mark(logs: Iterable[Path]) -> Mark:
    """Where `logs` end now."""
    return Mark({log: _end(log) for log in logs})


def lines_since(before: Mark, logs: Iterable[Path]) -> tuple[str, ...]:
    """The lines written since, of each log in turn."""
    found: list[str] = []
    for log in logs:
        inode, size = _end(log)
        was, start = before.ends.get(log, (0, 0))
        begin = start if was == inode and start <= size else 0
        found += _read(log, max(begin, size - MAX_READ)).splitlines()
    return tuple(found)


def _end(log: Path) -> tuple[int, int]:
    try:
        state = log.stat()
    except OSError:
        return 0, 0
    return state.st_ino, state.st_size


def _read(log: Path, start: int) -> str:
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not file.seekable():  # a FIFO, or a terminal
                return ""
            file.seek(start)
            return file.read(MAX_READ).decode("utf-8", "replace")
    except OSError:
        return ""
