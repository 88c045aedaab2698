"""Signing processes: batches of rows in, records on the shelf, on every core, in order.

Laws: batches are written in the order they came in, by the process that signed them, so that
records cross no pipe, while it signs the next; what is under way is bounded; nothing long is sent
to a process that signs, which might not read it; a process that ends, or is silent for `PATIENCE`,
is told and not waited for; when this process ends in any way, the others read the end of their pipe
and end too.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import chain
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from holdfast.errors import HoldfastError, Unavailable
from holdfast.plan.rows import Rows
from holdfast.services.signing_worker import (
    Committed,
    Forget,
    Forgotten,
    Order,
    Orders,
    Said,
    Sign,
    Signed,
    Write,
    work,
)

PATIENCE = 300.0  # seconds without a word from anybody; a slow token signs 20 a second
FIRST, LEAST, MOST = 100, 20, 10_000  # rows of a batch: the first, and bounds of the later ones
SECONDS = 0.25  # of signing that a batch should take
SMALLEST = 8  # the last batches are a part in so many of one: each commit takes its time
SHORT = 1000  # serials that a pipe takes though nobody reads it
UNDER_WAY = 3  # batches a process: signed, or being signed, and not yet written


class Batch(NamedTuple):
    """`rows` to sign by what the ledger said `at`, and what is `gone` beside them. `followed`: a
    change of the ledger since it was read, which counts before what was read."""

    rows: Rows
    at: datetime
    gone: Sequence[bytes] = ()
    followed: bool = False

    @property
    def all_followed(self) -> bool:
        """Whether with this one, which is empty, all that changed until `at` is committed."""
        return self.followed and not self.rows and not self.gone


class _State(Enum):
    SIGNS = 1
    SIGNED = 2
    WRITES = 3
    WRITTEN = 4


@dataclass(slots=True)
class _UnderWay:
    """A batch, and how far it is with `worker`; None: there is nothing to be done."""

    batch: Batch
    worker: _Worker | None
    state: _State
    count: int = 0


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    signs: _UnderWay | None = None
    writes: _UnderWay | None = None

    @property
    def busy(self) -> bool:
        return self.signs is not None or self.writes is not None


class SigningProcesses:
    """`count` processes that sign by `orders`."""

    def __init__(self, orders: Orders, *, count: int) -> None:
        self.batch = FIRST
        self._workers: list[_Worker] = []
        self._way: deque[_UnderWay] = deque()
        context = multiprocessing.get_context("fork")  # before any thread or map is there
        for _ in range(count):
            ours, theirs = context.Pipe()
            others = [*(worker.pipe for worker in self._workers), ours]
            process = context.Process(target=work, args=(theirs, others, orders), daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def share(self, left: int) -> int:
        """How many of the rows that are `left` make the next batch: less and less towards the end,
        so that no process has long to sign when the others have nothing left."""
        batch = self.batch
        return min(batch, max(LEAST, batch // SMALLEST, left // (2 * len(self._workers))))

    @property
    def broken(self) -> bool:
        """Whether a process has ended, and with it the signing."""
        return not all(worker.process.is_alive() for worker in self._workers)

    def sign(
        self,
        batches: Iterable[Batch],
        skip: Callable[[Batch], frozenset[bytes]] = lambda _batch: frozenset(),
    ) -> Generator[tuple[int, Batch]]:
        """How many records of each batch that has rows were written, in order, each once it is
        committed together with what is gone. `skip`: serials of a batch that are to be left as
        they are, asked just before it is written. To be gone through to its end, or closed; raises
        what signing and writing raised."""
        source, more, way = iter(batches), True, self._way
        try:
            while True:
                more = more and self._give(source)
                if not way:
                    return
                first = way[0]
                if first.state is _State.SIGNED:
                    self._have_written(first, skip(first.batch))
                if first.state is not _State.WRITTEN:
                    self._take()
                    continue
                way.popleft()
                yield first.count, first.batch
        finally:
            self._forget()

    def close(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join(5)

    def _give(self, source: Iterator[Batch]) -> bool:
        """A batch for each process that does nothing; False when there are no more."""
        for worker in self._workers:
            if worker.busy or len(self._way) >= UNDER_WAY * len(self._workers):
                continue
            batch = next(source, None)
            if batch is None:
                return False
            if not batch.rows and not batch.gone:
                self._way.append(_UnderWay(batch, None, _State.WRITTEN))
                break
            worker.signs = _UnderWay(batch, worker, _State.SIGNS)
            self._way.append(worker.signs)
            self._say(worker, Sign(int(batch.at.timestamp()), batch.rows, batch.gone))
        return True

    def _have_written(self, first: _UnderWay, left: frozenset[bytes]) -> None:
        """Not yet, where that would be long to tell and the process has its next batch to sign."""
        worker, batch = first.worker, first.batch
        assert worker is not None
        if left:
            left = left.intersection(chain(batch.rows.serials, batch.gone))
            if len(left) > SHORT and worker.signs is not None:
                return
        first.state, worker.writes = _State.WRITES, first
        self._say(worker, Write(left))

    def _say(self, worker: _Worker, order: Order) -> None:
        try:
            worker.pipe.send(order)
        except OSError:
            raise self._ended(worker) from None

    def _take(self) -> None:
        """Wait for a word of a process that is busy."""
        for worker, said in self._words():
            if isinstance(said, HoldfastError):
                raise said
            if isinstance(said, Signed):
                assert worker.signs is not None
                worker.signs.state, worker.signs = _State.SIGNED, None
                if said.seconds > 0 and said.signed:
                    rate = said.signed / said.seconds
                    self.batch = max(LEAST, min(MOST, int(rate * SECONDS), 8 * self.batch))
            elif isinstance(said, Committed):
                assert worker.writes is not None
                worker.writes.state, worker.writes.count = _State.WRITTEN, said.written
                worker.writes = None

    def _words(self) -> Iterator[tuple[_Worker, Said]]:
        """What those that are busy say next, at least one of them."""
        busy = {worker.pipe: worker for worker in self._workers if worker.busy}
        ready = wait(list(busy), PATIENCE)
        if not ready:
            for worker in busy.values():
                worker.process.kill()
                worker.signs = worker.writes = None
            raise Unavailable(
                f"no signature was made in {PATIENCE:.0f} s",
                hint="see whether the token or the machine answers; what was committed is kept",
            )
        for pipe in ready:
            assert isinstance(pipe, Connection)
            try:
                yield busy[pipe], pipe.recv()
            except (EOFError, OSError):
                raise self._ended(busy[pipe]) from None

    def _forget(self) -> None:
        """Wait until no process has anything of these batches."""
        owing: dict[object, _Worker] = {}
        for one in self._way:
            if one.worker is not None:
                owing[one.worker.pipe] = one.worker
        self._way.clear()
        for worker in list(owing.values()):
            worker.signs = worker.writes = None
            try:
                worker.pipe.send(Forget())
            except OSError:  # it has ended: the next order tells it
                del owing[worker.pipe]
        while owing:
            ready = wait([worker.pipe for worker in owing.values()], PATIENCE)
            if not ready:
                for worker in owing.values():
                    worker.process.kill()
                return
            for pipe in ready:
                try:
                    said = owing[pipe].pipe.recv()
                except (EOFError, OSError):
                    said = Forgotten()
                if isinstance(said, Forgotten):
                    del owing[pipe]

    def _ended(self, worker: _Worker) -> Unavailable:
        worker.signs = worker.writes = None
        worker.process.join(5)
        code = worker.process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        return Unavailable(
            f"a signing process ended {how}",
            hint="what was committed is kept: run it again; signal 9 is often want of memory",
        )
