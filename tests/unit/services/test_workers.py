"""services/workers: the order in which a master hears of things (R27). Its processes themselves are
in tests/integration/test_workers.py."""

from __future__ import annotations

import os
import selectors
import signal

from holdfast.services.responder_tally import Tallies
from holdfast.services.worker import Plan, Served, Worker
from holdfast.services.workers import Child, Generation, Workers


async def nothing(_: Worker) -> Served:
    return Served(servers={})


def test_a_worker_whose_death_is_told_twice_at_once_is_buried_once() -> None:
    """By SIGCHLD, and by the end of its pipe, which is closed when the second is looked at."""
    plan = Plan(build=nothing, listen=())
    master = Workers(lambda: plan, tallies=Tallies())
    wake, told = os.pipe()
    status, its_end = os.pipe()
    for end in (wake, status):
        os.set_blocking(end, False)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    generation, child = Generation(plan, []), Child(0, 0, pid, status)
    generation.children[pid] = child
    master._generations.append(generation)
    master._selector.register(wake, selectors.EVENT_READ, None)
    master._selector.register(status, selectors.EVENT_READ, child)
    os.write(told, bytes([signal.SIGCHLD]))
    os.close(its_end)
    master._step(wake)
    assert generation.children == {}
    assert list(generation.missing) == [0], "and it is started again"
    master._selector.close()
    for end in (wake, told):
        os.close(end)
