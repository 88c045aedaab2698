"""A clock that tests move by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


class FakeClock:
    """Implements `Clock`. Time passes only in `advance`; `jump` sets the wall clock alone (K23)."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []
        self.slept: list[datetime] = []  # every instant that was waited for, in order

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep_until(self, instant: datetime, /) -> None:
        self.slept.append(instant)
        if instant <= self._now:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (instant, woken)
        self._sleepers.append(entry)
        try:
            await woken
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    @property
    def sleepers(self) -> int:
        """How many tasks are waiting."""
        return len(self._sleepers)

    @property
    def next_wake(self) -> datetime | None:
        """The earliest instant that somebody waits for."""
        return min((instant for instant, _ in self._sleepers), default=None)

    def advance(self, delta: timedelta) -> None:
        """Let `delta` pass and wake those whose instant has come."""
        self._monotonic += delta.total_seconds()
        self.jump(delta)

    def jump(self, delta: timedelta) -> None:
        """Set the wall clock by `delta`, either way; the monotonic clock does not move."""
        self._now += delta
        for instant, woken in self._sleepers:
            if instant <= self._now and not woken.done():
                woken.set_result(None)

    async def settle(self, *, turns: int = 50) -> None:
        """Let every task that can run do so."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def until_asleep(self, count: int = 1, *, turns: int = 10_000) -> None:
        """Return when at least `count` tasks wait for this clock."""
        for _ in range(turns):
            if len([w for _, w in self._sleepers if not w.done()]) >= count:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{self.sleepers} of {count} sleepers after {turns} turns")
