"""libfaketime without its wrapper: a fixed instant for a program that others wrote.

Each process under it makes a semaphore and a shared memory named by its PID, and one that is killed
leaves them behind; a later process of that PID then refuses to start. `sweep` takes away what
belongs to no living process.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from datetime import UTC, datetime
from pathlib import Path

_LEFT = re.compile(r"(?:sem\.faketime_sem|faketime_shm)_(\d+)")


def library(name: str = "libfaketime.so.1") -> str:
    (found,) = glob.glob(f"/usr/lib/*/faketime/{name}")
    return found


def environment(at: datetime) -> dict[str, str]:
    """This process's environment, with the clock standing at `at`."""
    sweep()
    stopped = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return {**os.environ, "TZ": "UTC", "LD_PRELOAD": library(), "FAKETIME": stopped}


def sweep() -> None:
    for path in Path("/dev/shm").glob("*faketime_s*"):
        found = _LEFT.fullmatch(path.name)
        if found is not None and not Path(f"/proc/{found.group(1)}").exists():
            with contextlib.suppress(OSError):
                path.unlink()
