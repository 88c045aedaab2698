"""When to look at what next: keys by instant, so that a hundred thousand entries cost nothing while
nothing is due (K26).
"""

from __future__ import annotations

import heapq
from datetime import datetime


class Agenda:
    """The next instant of each key; setting it again replaces it."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str]] = []
        self._instants: dict[str, datetime] = {}

    def put(self, key: str, instant: datetime) -> None:
        if self._instants.get(key) != instant:
            self._instants[key] = instant
            heapq.heappush(self._heap, (instant, key))

    def drop(self, key: str) -> None:
        self._instants.pop(key, None)

    def everything_at(self, instant: datetime) -> None:
        """Bring every key forward to `instant`: the clock was set."""
        self._instants = dict.fromkeys(self._instants, instant)
        self._heap = [(instant, key) for key in self._instants]
        heapq.heapify(self._heap)

    def due(self, at: datetime, limit: int | None = None) -> list[str]:
        """Take the keys whose instant is `at` or before, the earliest first, at most `limit`;
        each has none until it is put again."""
        found: list[str] = []
        while (first := self._first()) is not None and first[0] <= at and len(found) != limit:
            heapq.heappop(self._heap)
            del self._instants[first[1]]
            found.append(first[1])
        return found

    @property
    def next(self) -> datetime | None:
        first = self._first()
        return None if first is None else first[0]

    def _first(self) -> tuple[datetime, str] | None:
        while self._heap and self._instants.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # replaced or dropped since
        return self._heap[0] if self._heap else None
