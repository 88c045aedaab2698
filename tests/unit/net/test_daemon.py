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
