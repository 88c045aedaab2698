"""Sorted rows: what a ledger lists, in order of serials, however many they are.

Laws: no more than `RUN` rows are in memory at a time, the rest lies in files without a name beside
the shelf, which are gone with the process however it ends; rows can be gone through again.
"""

from __future__ import annotations

import gc
import heapq
import marshal
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO

from holdfast.errors import StoreError
from holdfast.plan.presigning import Row

RUN = 1 << 20  # rows sorted in memory: about 150 MB
SELDOM = 100_000  # new objects
CHUNK = 4096  # rows written and read at a time
_SERIAL, _SAID = itemgetter(0), itemgetter(1)
_LENGTH = struct.Struct("<Q")  # of each chunk, in octets, before it


class SortedRows:
    """The rows of `rows`, sorted. `place`: where there is room for those that do not fit."""

    def __init__(self, rows: Iterable[Row], place: Path, *, run: int = RUN) -> None:
        self._place = place
        self._runs: list[IO[bytes]] = []
        self._rest: list[Row] = []
        self._count = 0
        with _seldom_collected():
            gathered: list[Row] = []
            for row in rows:
                gathered.append(row)
                if len(gathered) == run:
                    self._spill(gathered)
                    gathered = []
            _sort(gathered)
        self._rest = gathered
        self._count += len(gathered)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        if not self._runs:
            return iter(self._rest)
        return heapq.merge(*map(_read, self._runs), self._rest)

    def close(self) -> None:
        for run in self._runs:
            run.close()
        self._rest, self._runs, self._count = [], [], 0

    def _spill(self, rows: list[Row]) -> None:
        _sort(rows)
        self._count += len(rows)
        try:
            run = tempfile.TemporaryFile(dir=self._place)  # noqa: SIM115
            self._runs.append(run)
            for start in range(0, len(rows), CHUNK):
                chunk = marshal.dumps(rows[start : start + CHUNK])
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
def _seldom_collected() -> Iterator[None]:
    """Garbage is looked for among the newest objects alone, and once in `SELDOM` of them: looking
    as often as usual, through all rows there are, takes as long as the listing."""
    before = gc.get_threshold()
    gc.set_threshold(SELDOM, 1000, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _sort(rows: list[Row]) -> None:
    """As `rows.sort()` does it, in two thirds of the time: most rows say the same."""
    rows.sort(key=_SAID)
    rows.sort(key=_SERIAL)


def _read(run: IO[bytes]) -> Iterator[Row]:
    """The rows of one run. One iteration at a time: it stands at a place in the file."""
    run.seek(0)
    while length := run.read(_LENGTH.size):  # `marshal.load` reads octet by octet
        yield from marshal.loads(run.read(*_LENGTH.unpack(length)))  # noqa: S302 - our own
