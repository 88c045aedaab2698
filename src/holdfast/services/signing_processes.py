"""Signing processes: batches of rows in, records on the shelf, on every core, in order.

Laws: each process builds its own signer, and opens the shelf, after the fork (neither a token's
session nor a map survives one); batches are written in the order they came in, by the process that
signed them, so that records cross no pipe; what is under way is bounded; a process that ends, or is
silent for `PATIENCE`, is told and not waited for; when this process ends in any way, the others
read the end of their pipe and end too.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple, Protocol

from holdfast.errors import HoldfastError, Unavailable
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.single_extensions import archive_cutoff_extension
from holdfast.ocsp.template import Template
from holdfast.plan.presigning import Row, window
from holdfast.plan.record import HEADER, SIZE, mask
from holdfast.plan.rules import Rules
from holdfast.seams import Clock

PATIENCE = 300.0  # seconds without a word from anybody; a slow token signs 20 a second
FIRST, LEAST, MOST = 100, 20, 10_000  # rows of a batch: the first, and bounds of the later ones
SECONDS = 0.25  # of signing that a batch should take
SMALLEST = 8  # the last batches are a part in so many of one: each commit takes its time

Choose = Callable[[datetime], Signer]
Build = Callable[[], Choose]
Answer = tuple[bytes, bytes]
"""A serial and the record that is held of it."""


class Written(Protocol):
    """A shelf that is written to."""

    @property
    def current(self) -> bool: ...
    def write(self, answers: Sequence[Answer], gone: Sequence[bytes] = ()) -> None: ...
    def close(self) -> None: ...


class Batch(NamedTuple):
    """`rows` to sign by what the ledger said `at`, and what is `gone` beside them. `followed`: a
    change of the ledger since it was read, which counts before what was read."""

    rows: Sequence[Row]
    at: datetime
    gone: Sequence[bytes] = ()
    followed: bool = False


class _State(Enum):
    IDLE = 0
    SIGNS = 1
    SIGNED = 2
    WRITES = 3
    WRITTEN = 4


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    state: _State = _State.IDLE
    count: int = 0

    @property
    def busy(self) -> bool:
        return self.state in (_State.SIGNS, _State.WRITES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How the processes sign, by what `build` gives each, and where they write."""

    build: Build
    opened: Callable[[], Written]
    rules: Rules
    hash_algorithms: tuple[str, ...]
    clock: Clock


class SigningProcesses:
    """`count` processes that sign by `orders`."""

    def __init__(self, orders: Orders, *, count: int) -> None:
        self.batch = FIRST
        self._workers: list[_Worker] = []
        context = multiprocessing.get_context("fork")  # before any thread or map is there
        for _ in range(count):
            ours, theirs = context.Pipe()
            others = [*(worker.pipe for worker in self._workers), ours]
            process = context.Process(target=_work, args=(theirs, others, orders), daemon=True)
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
        source = iter(batches)
        waiting: deque[tuple[Batch, _Worker | None]] = deque()
        more = True
        try:
            while True:
                for worker in self._workers:
                    if worker.state is not _State.IDLE or not more:
                        continue
                    batch = next(source, None)
                    if batch is None:
                        more = False
                        break
                    if batch.rows or batch.gone:
                        self._say(worker, (int(batch.at.timestamp()), batch.rows), _State.SIGNS)
                        waiting.append((batch, worker))
                    else:
                        waiting.append((batch, None))
                        break
                if not waiting:
                    return
                batch, first = waiting[0]
                if first is not None and first.state is _State.SIGNED:
                    left = skip(batch)
                    gone = [serial for serial in batch.gone if serial not in left]
                    self._say(first, (gone, left), _State.WRITES)
                if first is not None and first.state is not _State.WRITTEN:
                    self._take()
                    continue
                waiting.popleft()
                if first is not None:
                    first.state = _State.IDLE
                yield (0 if first is None else first.count), batch
        finally:
            while any(worker.busy for worker in self._workers):
                with suppress(HoldfastError):  # the first that was raised is told
                    self._take()
            for worker in self._workers:
                worker.state = _State.IDLE

    def close(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join(5)

    def _say(self, worker: _Worker, order: object, state: _State) -> None:
        try:
            worker.pipe.send(order)
        except OSError:
            raise self._ended(worker) from None
        worker.state = state

    def _take(self) -> None:
        """Wait for a word of a process that is busy."""
        busy = {worker.pipe: worker for worker in self._workers if worker.busy}
        ready = wait(list(busy), PATIENCE)
        if not ready:
            for worker in busy.values():
                worker.process.kill()
                worker.state = _State.IDLE
            raise Unavailable(
                f"no signature was made in {PATIENCE:.0f} s",
                hint="see whether the token or the machine answers; what was committed is kept",
            )
        for pipe in ready:
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            signs, worker.state = worker.state is _State.SIGNS, _State.IDLE
            try:
                said = pipe.recv()
            except (EOFError, OSError):
                raise self._ended(worker) from None
            if isinstance(said, HoldfastError):
                raise said
            worker.state = _State.SIGNED if signs else _State.WRITTEN
            worker.count, seconds = said
            if signs and seconds > 0 and worker.count:
                rate = worker.count / seconds
                self.batch = max(LEAST, min(MOST, int(rate * SECONDS), 8 * self.batch))

    def _ended(self, worker: _Worker) -> Unavailable:
        worker.state = _State.IDLE
        worker.process.join(5)
        code = worker.process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        return Unavailable(
            f"a signing process ended {how}",
            hint="what was committed is kept: run it again; signal 9 is often want of memory",
        )


def _work(pipe: Connection, others: list[Connection], orders: Orders) -> None:
    """What a process does until its pipe ends."""
    for other in others:
        other.close()  # else nobody would ever read the end of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gives the batches
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.disable()  # nothing here makes cycles, and looking for them copies what the fork shares
    one = _Signing(orders)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            order = pipe.recv()
            began = time.monotonic()
            said: object
            try:
                count = one.sign(*order) if isinstance(order[0], int) else one.write(*order)
                said = count, time.monotonic() - began
            except HoldfastError as error:
                said = error
            pipe.send(said)


class _Signing:
    """What one process has."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._choose: Choose | None = None
        self._template: Template | None = None
        self._shelf: Written | None = None
        self._made: list[Answer] = []

    def sign(self, at: int, rows: Sequence[Row]) -> int:
        self._made = []
        if not rows:
            return 0
        self._choose = self._choose or self._orders.build()
        now = self._orders.clock.now()
        signer = self._choose(now)
        template = self._template
        if template is None or template.signer is not signer:
            template = self._template = Template(signer, self._orders.hash_algorithms)
        listed = datetime.fromtimestamp(at, UTC)
        self._made = signed(template, rows, rules=self._orders.rules, at=listed, produced_at=now)
        return len(rows)

    def write(self, gone: Sequence[bytes], skip: frozenset[bytes]) -> int:
        answers, self._made = self._made, []
        if skip:
            answers = [one for one in answers if one[0] not in skip]
        if self._shelf is not None and not self._shelf.current:
            self._shelf.close()
            self._shelf = None
        self._shelf = self._shelf or self._orders.opened()
        self._shelf.write(answers, gone)
        return len(answers)


def signed(
    template: Template, rows: Sequence[Row], *, rules: Rules, at: datetime, produced_at: datetime
) -> list[Answer]:
    """The records of `rows`, by what the ledger said `at`."""
    this_update, next_update = window(template.signer, rules, at)
    cutoff = rules.cutoff(produced_at.replace(microsecond=0))
    extensions: tuple[Extension, ...] = ()
    if cutoff is not None:
        extensions = (archive_cutoff_extension(cutoff),)
    moment = template.moment(
        produced_at=produced_at,
        this_update=this_update,
        next_update=next_update,
        single_extensions=extensions,
    )
    begins, ends = int(this_update.timestamp()), int(next_update.timestamp())
    hashes = mask(template.hash_algorithms)

    def head(status_at: int, length: int) -> bytes:
        return HEADER.pack(begins, ends, SIZE + status_at, length, hashes)

    return moment.records(rows, head)
