"""Sorted rows: what a ledger lists, in order of serials, however many they are.

Laws: each serial comes once, with the strictest that was said of it (`plan.presigning.strictest`);
no more than `RUN` rows are in memory at a time, the rest lies in files without a name beside the
shelf, which are gone with the process however it ends; rows can be gone through again; those in
memory are sorted when they are come to, so that the first of them do not wait for the last.
"""

from __future__ import annotations

import gc
import heapq
import marshal
import struct
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import IO

from holdfast.errors import StoreError
from holdfast.plan.presigning import Row, strictest

RUN = 1 << 20  # rows sorted in memory: about 150 MB
SELDOM = 100_000  # new objects
CHUNK = 4096  # rows written and read at a time
_SERIAL, _SAID = itemgetter(0), itemgetter(1)
_LENGTH = struct.Struct("<Q")  # of each chunk, in octets, before it


class SortedRows:
    """The rows of `parts`, sorted. `place`: where there is room for those that do not fit."""

    def __init__(self, parts: Iterable[Sequence[Row]], place: Path, *, run: int = RUN) -> None:
        self._place = place
        self._runs: list[IO[bytes]] = []
        self._rest = _InMemory()
        self._count = 0
        for part in parts:
            self._rest.add(part)
            self._count += len(part)
            if self._rest.count >= run:
                self._spill()

    def __len__(self) -> int:
        """How many rows there were, those of one serial too."""
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return self._merged(self._rest)

    def drained(self) -> Iterator[Row]:
        """The same for the last time: what was come past is given back to memory then and there,
        which takes its time for millions."""
        rest, self._rest = self._rest, _InMemory()
        return self._merged(rest.drained())

    def _merged(self, rest: Iterable[Row]) -> Iterator[Row]:
        if not self._runs:
            return iter(rest)
        return strictest(heapq.merge(*map(_read, self._runs), rest))

    def close(self) -> None:
        for run in self._runs:
            run.close()
        self._rest, self._runs, self._count = _InMemory(), [], 0

    def _spill(self) -> None:
        rows, self._rest = self._rest.drained(), _InMemory()
        try:
            run = tempfile.TemporaryFile(dir=self._place)  # noqa: SIM115
            self._runs.append(run)
            while several := list(islice(rows, CHUNK)):
                chunk = marshal.dumps(several)
                run.write(_LENGTH.pack(len(chunk)))
                run.write(chunk)
            run.flush()
        except OSError as error:
            self.close()
            raise StoreError(
                f"{self._place}: no room to sort the ledger: {error.strerror or error}",
                hint=f"make room there; {RUN} certificates need about 50 MB",
            ) from error


@contextmanager
def seldom_collected() -> Iterator[None]:
    """For while there are rows: garbage is looked for among the newest objects alone, and once in
    `SELDOM` of them. Looking as often as usual, through all rows, takes as long as listing them."""
    before = gc.get_threshold()
    gc.set_threshold(SELDOM, 1000, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _InMemory:
    """Rows in memory, apart by the first octet of their serials; each part is sorted when it is
    come to. Random serials, as CAs must give (BR 7.1), fill the parts alike."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[list[Row]] = [[] for _ in range(256)]

    def add(self, rows: Sequence[Row]) -> None:
        parts = self._parts
        for row in rows:
            parts[row[0][0]].append(row)
        self.count += len(rows)

    def __iter__(self) -> Iterator[Row]:
        return chain.from_iterable(map(_sorted, self._parts))

    def drained(self) -> Iterator[Row]:
        parts = deque(self._parts)
        self._parts = []
        return chain.from_iterable(_sorted(parts.popleft()) for _ in range(len(parts)))


def _sorted(rows: list[Row]) -> list[Row]:
    """`rows` themselves, sorted, each serial once."""
    if len(dict(rows)) < len(rows):
        rows.sort(key=_SAID)
        rows[:] = dict(rows).items()  # the last that is said
    rows.sort(key=_SERIAL)
    return rows


def _read(run: IO[bytes]) -> Iterator[Row]:
    """The rows of one run. One iteration at a time: it stands at a place in the file."""
    run.seek(0)
    while length := run.read(_LENGTH.size):  # `marshal.load` reads octet by octet
        yield from marshal.loads(run.read(*_LENGTH.unpack(length)))  # noqa: S302 - our own
