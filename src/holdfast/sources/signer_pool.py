"""A bounded pool of threads for what blocks: signatures by an HSM, ledgers in a database. R34.

Laws: what cannot be done in time is refused at once, never queued for later: neither the number of
those that wait nor how long each waits can grow. A thread that hangs holds nobody but itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from holdfast.errors import Unavailable

Result = TypeVar("Result")

DEADLINE = 2.0  # seconds; a client that staples waits 3 to 15 s for its answer
WAITING = 64  # callers a thread that may wait for it at most
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class BoundedPool:
    """`threads` threads named after `what`; used by one event loop at a time.

    The threads start when they are first needed: a process that forks does so before.
    """

    def __init__(
        self, what: str, *, threads: int, deadline: float = DEADLINE, waiting: int | None = None
    ) -> None:
        self._what = what
        self._threads = max(1, threads)
        self.deadline = deadline
        self._room = WAITING * self._threads if waiting is None else waiting
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._started = 0
        self._waiters: deque[asyncio.Future[SimpleQueue[_Job | None]]] = deque()
        self._usual = 0.0  # seconds that a job took lately
        self.refused = 0
        """Calls that were turned away or ran out of time."""

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def waiting(self) -> int:
        """Callers that wait for a thread now."""
        return len(self._waiters)

    @property
    def busy(self) -> int:
        """Threads that are at work now."""
        return self._started - len(self._idle)

    async def run(self, job: Callable[[], Result]) -> Result:
        """What `job` returns or raises, run on a thread; `Unavailable` when that cannot be had
        within the deadline."""
        end = time.monotonic() + self.deadline
        thread = await self._thread(end)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        thread.put((job, done, loop))
        try:
            await asyncio.wait((done,), timeout=max(0.0, end - time.monotonic()))
            if done.done():
                return done.result()
        finally:
            done.cancel()  # nobody waits for it any more
        raise self._refusal(f"it took more than {self.deadline:g} s")

    def close(self) -> None:
        """Let the idle threads end; one at work ends after its job, one that hangs with us."""
        for thread in self._idle:
            thread.put(None)
        self._started -= len(self._idle)
        self._idle.clear()

    # -- who works next -----------------------------------------------------------------------

    async def _thread(self, end: float) -> SimpleQueue[_Job | None]:
        if self._idle:
            return self._idle.pop()
        if self._started < self._threads:
            return self._start()
        expected = self._usual * (len(self._waiters) + 1) / self._threads
        if len(self._waiters) >= self._room or expected > self.deadline:
            raise self._refusal(f"{len(self._waiters)} wait already")
        waiter: asyncio.Future[SimpleQueue[_Job | None]] = (
            asyncio.get_running_loop().create_future()
        )
        self._waiters.append(waiter)
        try:
            await asyncio.wait((waiter,), timeout=max(0.0, end - time.monotonic()))
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        if waiter.done():
            return waiter.result()
        self._leave(waiter)
        raise self._refusal(f"none was free within {self.deadline:g} s")

    def _leave(self, waiter: asyncio.Future[SimpleQueue[_Job | None]]) -> None:
        """One that waits no longer; what it was given in that moment goes to the next."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.done() and not waiter.cancelled():
            self._free(waiter.result())

    def _refusal(self, why: str) -> Unavailable:
        self.refused += 1
        return Unavailable(
            f"{self._what}: {why} ({self._threads} at work)",
            failure="busy",
            hint="give it more sessions, or sign beforehand with `holdfast presign`",
        )

    def _start(self) -> SimpleQueue[_Job | None]:
        jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._started += 1
        # Threads that hang in a vendor's library must not keep the process from ending: daemons.
        name = f"{self._what}-{self._started}"
        Thread(target=self._work, args=(jobs,), name=name, daemon=True).start()
        return jobs

    def _free(self, thread: SimpleQueue[_Job | None]) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(thread)
                return
        self._idle.append(thread)

    def _finished(
        self,
        thread: SimpleQueue[_Job | None],
        done: asyncio.Future[Any],
        result: Any,
        error: BaseException | None,
        took: float,
    ) -> None:
        self._usual += (took - self._usual) / 8
        self._free(thread)
        if done.done():  # its caller waits no longer
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def _work(self, jobs: SimpleQueue[_Job | None]) -> None:
        while (taken := jobs.get()) is not None:
            job, done, loop = taken
            result, error = None, None
            begun = time.monotonic()
            try:
                result = job()
            except Exception as caught:  # told to the one who asked
                error = caught
            took = time.monotonic() - begun
            try:
                loop.call_soon_threadsafe(self._finished, jobs, done, result, error, took)
            except RuntimeError:  # that loop has ended; the next may have this thread
                self._idle.append(jobs)
            del taken, job, done, loop, result, error
