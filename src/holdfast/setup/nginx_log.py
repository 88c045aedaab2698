"""nginx's error logs: where they end, and what was written since.

Laws: bounded reads; a log that was rotated or cut is read from its beginning; a log that cannot be
read says nothing, for nginx may write to a place that we cannot see.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.conf.nginx_reading import Reading

MAX_READ = 4 * 1024 * 1024  # bytes of the newest
_NO_FILES = ("stderr", "syslog:", "memory:")


@dataclass(frozen=True, slots=True)
class Mark:
    """Inode and size of each log. `lines` tells what came after."""

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


def log_files(reading: Reading, *, default: str, prefix: Path) -> tuple[Path, ...]:
    """The files that `error_log` names anywhere, the main one first; relative ones are relative to
    the prefix. `default`: where nginx writes when its main part names none."""
    main = [one.args[0] for one in reading.main.all("error_log") if one.args] or [default]
    more = [
        one.args[0]
        for block in reading.blocks("http", "server")
        for one in block.all("error_log")
        if one.args
    ]
    names = dict.fromkeys((*main, *more))
    return tuple(prefix / name for name in names if name and not name.startswith(_NO_FILES))


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
