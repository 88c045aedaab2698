"""The bounded pool: in time or refused, whatever hangs (R34)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from holdfast.errors import Unavailable
from holdfast.sources.signer_pool import BoundedPool


async def tell(pool: BoundedPool, job: Callable[[], object]) -> str:
    try:
        return str(await pool.run(job))
    except Unavailable as error:
        return error.failure


def test_what_a_job_returns_or_raises_is_handed_on() -> None:
    async def run() -> None:
        pool = BoundedPool("jobs", threads=2)
        assert await pool.run(lambda: 6 * 7) == 42
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)
        with pytest.raises(TimeoutError, match="its own"):
            await pool.run(raise_timeout)
        assert (pool.busy, pool.waiting, pool.refused) == (0, 0, 0)
        pool.close()

    asyncio.run(run())


def raise_timeout() -> None:
    raise TimeoutError("its own")


def test_jobs_run_beside_each_other_and_no_more_than_there_are_threads() -> None:
    most = now = 0
    lock = threading.Lock()

    def job() -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        with lock:
            now -= 1

    async def run() -> None:
        pool = BoundedPool("jobs", threads=3, deadline=30)
        await asyncio.gather(*(pool.run(job) for _ in range(60)))
        assert pool.busy == 0

    asyncio.run(run())
    assert most == 3


def test_r34_a_hanging_signer_refuses_at_once_and_is_back_when_it_is() -> None:
    """Two of two threads hang: nobody waits longer than the deadline, no more wait than have
    room, nothing piles up; and when the signer is back so is the service."""
    back = threading.Event()

    async def run() -> None:
        pool = BoundedPool("the signer", threads=2, deadline=0.2, waiting=5)
        begun = time.monotonic()
        told = await asyncio.gather(*(tell(pool, back.wait) for _ in range(200)))
        assert time.monotonic() - begun < 2
        assert set(told) == {"busy"}
        assert (pool.busy, pool.waiting, pool.refused) == (2, 0, 200)
        again = await asyncio.gather(*(tell(pool, back.wait) for _ in range(50)))
        assert set(again) == {"busy"}
        assert pool.waiting == 0
        back.set()
        assert await tell(pool, lambda: "signed") == "signed"

    asyncio.run(asyncio.wait_for(run(), 20))


def test_r34_what_would_take_too_long_is_refused_before_it_waits() -> None:
    async def run() -> None:
        pool = BoundedPool("the signer", threads=1, deadline=0.3, waiting=1000)
        for _ in range(20):
            await pool.run(lambda: time.sleep(0.02))
        begun = time.monotonic()
        told: list[float] = []

        async def one() -> None:
            if await tell(pool, lambda: time.sleep(0.02)) == "busy":
                told.append(time.monotonic() - begun)

        await asyncio.gather(*(one() for _ in range(300)))
        assert len(told) > 250
        assert sorted(told)[len(told) // 2] < 0.1  # most were refused at once

    asyncio.run(run())


def test_a_caller_that_leaves_takes_no_thread_with_it() -> None:
    async def run() -> None:
        pool = BoundedPool("the signer", threads=1, deadline=30)
        gate = threading.Event()
        first = asyncio.create_task(tell(pool, gate.wait))
        others = [asyncio.create_task(tell(pool, lambda: "never")) for _ in range(10)]
        await asyncio.sleep(0.01)
        assert pool.waiting == 10
        for task in (first, *others):
            task.cancel()
        await asyncio.gather(first, *others, return_exceptions=True)
        assert pool.waiting == 0
        gate.set()
        assert await tell(pool, lambda: "signed") == "signed"

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_thread_outlives_the_loop_that_it_worked_for() -> None:
    pool, gate = BoundedPool("the signer", threads=1, deadline=0.05), threading.Event()
    assert asyncio.run(tell(pool, gate.wait)) == "busy"
    gate.set()
    deadline = time.monotonic() + 10
    while pool.busy and time.monotonic() < deadline:
        time.sleep(0.001)
    assert asyncio.run(tell(pool, lambda: "signed")) == "signed"
