"""Sorted rows: what a ledger lists, in order of serials, however many they are.

Laws: each serial comes once, with the strictest that was said of it (`plan.presigning.strictest`);
no more than `RUN` rows are in memory at a time, the rest lies in files without a name beside the
shelf, which are gone with the process however it ends; rows can be gone through again; those in
memory are sorted when they are come to, so that the first of them do not wait for the last.
"""

from __future__ import annotations

import gc
import heapq
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO

from holdfast.errors import StoreError
from holdfast.plan.presigning import strictest
from holdfast.plan.rows import Row, Rows

RUN = 1 << 20  # rows sorted in memory: about 60 MB, and 150 more where none is good
SELDOM = 100_000  # new objects
CHUNK = 4096  # rows written and read at a time
_LENGTH = struct.Struct("<Q")  # of each chunk, in octets, before it


class SortedRows:
    """The rows of `parts`, sorted. `place`: where there is room for those that do not fit."""

    def __init__(self, parts: Iterable[Rows], place: Path, *, run: int = RUN) -> None:
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
        if not self._runs:
            return iter(self._rest)
        return strictest(heapq.merge(*map(_read, self._runs), self._rest))

    def drained(self, share: Callable[[int], int]) -> Iterator[Rows]:
        """The same for the last time, `share(left)` at a time of the rows that are `left`: what was
        come past is given back to memory then and there, which takes its time for millions."""
        rest, self._rest = self._rest, _InMemory()
        if not self._runs:
            yield from rest.drained(share)
            return
        in_memory = chain.from_iterable(rest.drained(lambda _left: CHUNK))
        rows = strictest(heapq.merge(*map(_read, self._runs), in_memory))
        left = self._count
        while several := Rows.of(islice(rows, share(left))):
            yield several
            left -= len(several)

    def close(self) -> None:
        for run in self._runs:
            run.close()
        self._rest, self._runs, self._count = _InMemory(), [], 0

    def _spill(self) -> None:
        rest, self._rest = self._rest, _InMemory()
        try:
            run = tempfile.TemporaryFile(dir=self._place)  # noqa: SIM115
            self._runs.append(run)
            for rows in rest.drained(lambda _left: CHUNK):
                chunk = rows.packed()
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
    """Rows in memory, their serials apart by their first octet; each part is sorted when it is come
    to. Random serials, as CAs must give (BR 7.1), fill the parts alike."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[list[bytes]] = [[] for _ in range(256)]
        self._said = Rows()

    def add(self, rows: Rows) -> None:
        puts = [part.append for part in self._parts]
        for serial in rows.serials:
            puts[serial[0]](serial)
        self.count += len(rows)
        said = self._said
        for serial, certificate_status in rows.otherwise.items():
            said.otherwise[serial] = max(certificate_status, said.said(serial))

    def __iter__(self) -> Iterator[Row]:
        said = self._said.said
        return ((one, said(one)) for part in self._parts for one in _sorted(part))

    def drained(self, share: Callable[[int], int]) -> Iterator[Rows]:
        parts, left = deque(self._parts), self.count
        self._parts = []
        serials = chain.from_iterable(_sorted(parts.popleft()) for _ in range(len(parts)))
        while several := list(islice(serials, share(left))):
            yield self._said.part(several)
            left -= len(several)


def _sorted(serials: list[bytes]) -> list[bytes]:
    """`serials` themselves, sorted, each once."""
    if len(set(serials)) < len(serials):
        serials[:] = set(serials)
    serials.sort()
    return serials


def _read(run: IO[bytes]) -> Iterator[Row]:
    """The rows of one run. One iteration at a time: it stands at a place in the file."""
    run.seek(0)
    while length := run.read(_LENGTH.size):  # `marshal.load` reads octet by octet
        yield from Rows.unpacked(run.read(*_LENGTH.unpack(length)))
