"""Names whose servers are silent hold nobody else up, and no program at its end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from holdfast.net.lookups import Lookups


def test_many_that_hang_do_not_delay_one_that_answers() -> None:
    silence = threading.Event()

    async def run() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Lookups())
        hanging = [loop.run_in_executor(None, silence.wait, 30) for _ in range(100)]
        begun = time.monotonic()
        answered = await asyncio.wait_for(loop.run_in_executor(None, lambda: "here"), 5)
        took = time.monotonic() - begun
        for one in hanging:
            one.cancel()
        return answered, took

    begun = time.monotonic()
    answered, took = asyncio.run(run())
    assert (answered, took < 2.0) == ("here", True)
    assert time.monotonic() - begun < 5.0  # nobody waited for the hundred at the end
    silence.set()


def test_the_usual_executor_would_be_held_up() -> None:
    """The red twin: asyncio's own threads are few."""
    silence = threading.Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        hanging = [loop.run_in_executor(None, silence.wait, 10) for _ in range(100)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(None, lambda: "here"), 0.3)
        silence.set()
        await asyncio.gather(*hanging)

    asyncio.run(run())


def test_beyond_the_most_they_wait_and_all_are_done() -> None:
    lookups, lock = Lookups(3), threading.Lock()
    at_once = most = 0

    def one(number: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002)
        with lock:
            at_once -= 1
        return number

    futures = [lookups.submit(one, number) for number in range(40)]
    assert [future.result(timeout=10) for future in futures] == list(range(40))
    assert most <= 3


def test_an_error_is_the_callers_and_after_the_end_nothing_begins() -> None:
    lookups = Lookups()
    with pytest.raises(ZeroDivisionError):
        lookups.submit(lambda: 1 // 0).result(timeout=10)
    lookups.shutdown()
    with pytest.raises(RuntimeError):
        lookups.submit(print)


def test_the_program_ends_while_a_lookup_hangs() -> None:
    program = (
        "import asyncio, time\n"
        "from holdfast.net.lookups import Lookups\n"
        "async def run():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    loop.set_default_executor(Lookups())\n"
        "    loop.run_in_executor(None, time.sleep, 60)\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(run())\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert done.returncode == 0
    assert time.monotonic() - begun < 15
