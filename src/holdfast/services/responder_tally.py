"""What a responder counts, in memory that all its workers share.

Laws: counting never blocks and costs an addition; each row has one writer, so that nothing is lost
without a lock; a row keeps its numbers when its worker ends, so that sums never go back. R36.
"""

from __future__ import annotations

import mmap
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from holdfast.ocsp.statuses import ResponseStatus

ANSWERED = (
    "good",
    "revoked",
    "unknown",
    *(s.name for s in ResponseStatus if s is not ResponseStatus.successful),
)
"""Answers by what they say: SingleResponses by certificate_status, errors by response_status."""

COUNTERS = (
    *ANSWERED,
    "get",  # OCSP requests by GET or HEAD
    "post",
    "live",  # of them those that did not come from a shelf: answered or refused now
    "not_modified",  # 304 (R23)
    "refused",  # HTTP requests that are not OCSP's: 404, 405
    "bugs",  # exceptions of ours, answered internalError
)
GAUGES = ("connections", "disagreements")

ROWS = 128  # workers that are alive at once; those that drain after reloads included


Row: TypeAlias = "array[int] | memoryview[int]"


class Tally:
    """One worker's row. `row[tally.at["good"]] += 1` is what counting costs."""

    def __init__(self, names: Sequence[str] = (*COUNTERS, *GAUGES), row: Row | None = None) -> None:
        self.names = tuple(names)
        self.at = {name: index for index, name in enumerate(self.names)}
        self.row: Row = array("Q", bytes(8 * len(names))) if row is None else row

    def count(self, name: str, by: int = 1) -> None:
        self.row[self.at[name]] += by

    def set(self, name: str, value: int) -> None:
        """Of a gauge."""
        self.row[self.at[name]] = value

    def read(self) -> Counter[str]:
        """Every number that is not 0."""
        return Counter({name: self.row[at] for name, at in self.at.items() if self.row[at]})


class Tallies:
    """The rows of all workers: made before the fork, read by whichever worker is asked.

    `extra`: names of counters beside `COUNTERS`.
    """

    def __init__(self, *, extra: Sequence[str] = (), rows: int = ROWS) -> None:
        self.names = (*COUNTERS, *extra, *GAUGES)
        self.rows = rows
        size = 8 * len(self.names)
        self._memory = mmap.mmap(-1, size * rows)  # anonymous and shared over a fork
        self._all = memoryview(self._memory).cast("Q")

    def tally(self, row: int) -> Tally:
        """The row of one worker. Its gauges begin at 0, its counters where they were."""
        width = len(self.names)
        found = Tally(self.names, self._all[row * width : (row + 1) * width])
        for gauge in GAUGES:
            found.set(gauge, 0)
        return found

    def total(self) -> Counter[str]:
        """The sum over all workers there are and were; names that are 0 are there too."""
        width = len(self.names)
        return Counter(
            {name: sum(self._all[at::width].tolist()) for at, name in enumerate(self.names)}
        )
