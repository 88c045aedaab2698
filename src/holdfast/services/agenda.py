"""When to look at what next: keys by instant, so that a hundred thousand entries cost nothing while
nothing is due (K26).
"""

from __future__ import annotations

import heapq
from datetime import datetime

REPLACED_AT_ONCE = 256
"""Instants put off or dropped that one look passes over: of a hundred thousand certificates nearly
all may have one in the same hour (K26)."""


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
        each has none until it is put again. With a limit fewer may come than are due."""
        found: list[str] = []
        replaced = 0
        while self._heap and self._heap[0][0] <= at and len(found) != limit:
            instant, key = heapq.heappop(self._heap)
            if self._instants.get(key) == instant:
                del self._instants[key]
                found.append(key)
            elif limit is not None and (replaced := replaced + 1) >= REPLACED_AT_ONCE:
                break
        return found

    @property
    def next(self) -> datetime | None:
        """When to look at the latest; now and then before anything is due."""
        for _ in range(REPLACED_AT_ONCE):
            if not self._heap:
                return None
            instant, key = self._heap[0]
            if self._instants.get(key) == instant:
                return instant
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
