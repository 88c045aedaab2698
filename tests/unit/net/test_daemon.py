"""A running daemon watched by its children: real processes, made one step after the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from holdfast.errors import DeliveryError
from holdfast.net import daemon
from holdfast.net.daemon import Master

MASTER = """
import os, signal, sys
for line in sys.stdin:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    child = os.fork()
    if not child:
        signal.pause()
    print(child, flush=True)
"""


class Begun:
    """A master that has no child yet; it makes one when it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", MASTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def child(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("one\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # its own session: the children too
            os.killpg(self.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def begun() -> Iterator[Begun]:
    made = Begun()
    yield made
    made.end()


@pytest.fixture
def master() -> Master:
    return Master("web", program=sys.executable)


def test_a_master_that_has_only_begun_is_waited_for(begun: Begun, master: Master) -> None:
    """Apache told to restart in that moment dies, since it catches no signal yet."""

    async def seen() -> tuple[frozenset[int], int]:
        waits = asyncio.create_task(master.settled(begun.pid, bool))
        await asyncio.sleep(3 * daemon.LOOK_EVERY)
        assert not waits.done()
        assert not master.serving(begun.pid, bool)
        child = begun.child()
        return await waits, child

    settled, child = asyncio.run(seen())
    assert settled == {child}


BUSY = """
import os, signal, sys
sys.stdin.readline()
signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
print(flush=True)
signal.pause()
"""


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    """One that dies of SIGUSR1 until it is told a line; then it ends with 7."""
    words = [sys.executable, "-c", BUSY]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.kill()


def test_a_signal_waits_until_it_is_caught(busy: subprocess.Popen[str], master: Master) -> None:
    """lighttpd in the middle of a restart, Apache at its start."""

    async def told() -> None:
        tells = asyncio.create_task(master.told((), busy.pid, signal.SIGUSR1, deadline=1))
        await asyncio.sleep(5 * daemon.LOOK_EVERY)
        assert not tells.done()
        assert busy.poll() is None
        assert busy.stdin is not None
        busy.stdin.write("hear\n")
        busy.stdin.flush()
        await tells

    asyncio.run(told())
    assert busy.wait(timeout=10) == 7


def test_red_one_that_never_catches_it_is_not_killed(
    busy: subprocess.Popen[str], master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "HEAR_WITHIN", 3 * daemon.LOOK_EVERY)
    with pytest.raises(DeliveryError, match="does not catch SIGUSR1, and would die of it"):
        asyncio.run(master.told((), busy.pid, signal.SIGUSR1, deadline=1))
    assert busy.poll() is None
    os.kill(busy.pid, signal.SIGUSR1)
    assert busy.wait(timeout=10) == -signal.SIGUSR1, "it would have"


def test_children_that_run_are_seen_at_once(begun: Begun, master: Master) -> None:
    children = {begun.child(), begun.child()}
    assert asyncio.run(master.settled(begun.pid, bool)) == children


def test_a_master_that_works_alone_is_not_waited_for_for_ever(
    begun: Begun, master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "START_WITHIN", 3 * daemon.LOOK_EVERY)
    assert asyncio.run(master.settled(begun.pid, bool)) == frozenset()


def test_a_master_that_has_ended_has_no_children(begun: Begun, master: Master) -> None:
    begun.end()
    assert asyncio.run(master.settled(begun.pid, bool)) == frozenset()
