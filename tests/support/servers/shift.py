"""Moved time for other people's programs: libfaketime, whose offset a file holds.

The same offset moves a `ShiftedClock`, so that a keeper and the servers it feeds live in one time
that nobody sleeps through. The monotonic clock is left alone: timers go on as they are.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.faketime import library, sweep

NAP = 0.02  # seconds: how soon a sleeper notices that time was moved


class Shift:
    """An offset from the real time, in whole seconds. `environment` is for the programs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._file = folder / "faketime"
        self.offset = timedelta(0)
        self.to(timedelta(0))
        sweep()
        self.environment = {
            "LD_PRELOAD": library("libfaketimeMT.so.1"),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def to(self, offset: timedelta) -> None:
        """Move to `offset` from the real time."""
        self.offset = offset
        new = self._file.with_suffix(".new")
        new.write_text(f"{int(offset.total_seconds()):+d}\n")
        new.replace(self._file)

    def by(self, delta: timedelta) -> None:
        """Let `delta` pass."""
        self.to(self.offset + delta)

    def to_instant(self, instant: datetime) -> None:
        """Move so that it is `instant` now, to the second."""
        self.to(timedelta(seconds=round((instant - datetime.now(UTC)).total_seconds())))


class ShiftedClock:
    """Implements `Clock`: the real time and the offset of `shift`."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift

    def now(self) -> datetime:
        return datetime.now(UTC) + self._shift.offset

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, instant: datetime, /) -> None:
        while (left := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, NAP))
