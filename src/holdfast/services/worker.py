"""One worker process: its own graph, built after the fork, on sockets that it was given.

Laws: it takes clients only when all that it serves is built; told to end, by SIGTERM or by its
master's end, it takes no more and lets those it has be answered; what it cannot do it tells its
master in one line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.http_server import Server
from holdfast.net.sockets import Bound, Place
from holdfast.services.responder_tally import Tallies, Tally

GRACE = 30.0  # seconds for answers under way when a worker ends
GAUGE_EVERY = 1.0  # seconds
READY = b"ready\n"

_log = logging.getLogger("holdfast.workers")


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker is told of itself: the `number` it is `of` how many, its own row of what is
    counted and everyone's."""

    number: int
    of: int
    tally: Tally
    tallies: Tallies


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a worker has built. `servers`: by the purpose of the places they answer at. `beside`:
    what runs along; one that raises ends the worker, one that returns does not. `close`: at the
    end."""

    servers: Mapping[str, Server]
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    close: Callable[[], Awaitable[None]] | None = None


Build = Callable[[Worker], Awaitable[Served]]
"""Makes what one worker serves, in its process and its event loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to run: read from the settings, and again at each reload. `grace`: seconds for
    answers under way when workers end."""

    build: Build
    listen: tuple[Place, ...]
    workers: int = 1
    grace: float = GRACE


def run_worker(
    plan: Plan,
    worker: Worker,
    bound: Sequence[Bound],
    *,
    status: int,
    master: int,
    unblock: set[signal.Signals | int],
) -> NoReturn:
    """Be the worker until told to end. `status`: a file descriptor that is told `READY`, or why
    not; `master`: one that ends when the master does; `unblock`: the signals that may be blocked
    from here on, no others."""
    code = 1
    try:
        _own_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, unblock)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(_work(plan, worker, bound, status, master))
    except HoldfastError as error:
        os.write(status, json.dumps([error.message, error.hint]).encode()[:4000] + b"\n")
        code = 2
    except BaseException:
        _log.exception("worker=%d a bug", worker.number)
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what the master will do at its own end is not this process's to do


def why_not(said: bytes) -> OperatorError | None:
    """The error in what a worker wrote instead of `READY`."""
    try:
        message, hint = json.loads(said)
    except ValueError:
        return None
    return OperatorError(str(message), hint=hint)


def _own_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):  # the terminal tells the whole group; the master
        signal.signal(number, signal.SIG_IGN)  # decides


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _work(
    plan: Plan, worker: Worker, bound: Sequence[Bound], status: int, master: int
) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(master, ended.set)
    served = await plan.build(worker)
    for one in bound:
        server = served.servers.get(one.place.purpose)
        if server is None:
            raise OperatorError(f"nothing is served at {one.name} ({one.place.purpose!r})")
        for listener in one.share(worker.number, worker.of):
            await server.take(listener)
    beside = [loop.create_task(_beside(run, worker)) for run in served.beside]
    gauge = loop.create_task(_gauge(served, worker))
    os.write(status, READY)
    waiting = loop.create_task(ended.wait())
    failed = [loop.create_task(_first_failure(beside))] if beside else []
    await asyncio.wait([waiting, *failed], return_when=asyncio.FIRST_COMPLETED)
    loop.remove_reader(master)
    code = 0 if ended.is_set() else 1
    await asyncio.gather(*(server.close(grace=plan.grace) for server in served.servers.values()))
    for task in (*beside, *failed, gauge, waiting):
        task.cancel()
    await asyncio.gather(*beside, *failed, gauge, waiting, return_exceptions=True)
    if served.close is not None:
        await served.close()
    return code


async def _beside(run: Callable[[], Coroutine[Any, Any, None]], worker: Worker) -> None:
    try:
        await run()
    except Exception:
        _log.exception("worker=%d what runs beside the answers failed", worker.number)
        raise


async def _first_failure(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Return when one has failed; never when all return."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    if not any(task.exception() for task in done if not task.cancelled()):
        await asyncio.get_running_loop().create_future()


async def _gauge(served: Served, worker: Worker) -> None:
    servers = set(served.servers.values())
    while True:
        worker.tally.set("connections", sum(len(server.connections) for server in servers))
        await asyncio.sleep(GAUGE_EVERY)
