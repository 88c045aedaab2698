"""net/clock, and the fake that stands for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta

from holdfast.net.clock import SystemClock
from support.clock import FakeClock


def test_system_clock_is_aware_and_monotonic() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


def test_system_clock_sleeps_until_the_instant() -> None:
    clock = SystemClock()
    instant = clock.now() + timedelta(milliseconds=20)
    asyncio.run(clock.sleep_until(instant))
    assert clock.now() >= instant
    asyncio.run(clock.sleep_until(instant))  # in the past: at once


def test_fake_clock_wakes_on_advance_and_on_jump() -> None:
    """K23: a sleeper notices that the clock was set."""

    async def main() -> None:
        clock = FakeClock()
        for move in (clock.advance, clock.jump):
            task = asyncio.create_task(clock.sleep_until(clock.now() + timedelta(hours=1)))
            await clock.until_asleep()
            move(timedelta(minutes=59))
            await clock.settle()
            assert not task.done()
            move(timedelta(minutes=1))
            await task
        assert clock.monotonic() == 3600
        assert clock.sleepers == 0

    asyncio.run(main())
