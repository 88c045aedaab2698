"""Lanes: so many actions of a kind at a time, the most urgent first, whatever else is queued.

Laws: a lane is one responder's, one server's or the store's, so that what hangs in one delays no
other; withdrawals have lanes of their own, before nobody; a hundred thousand actions that wait are
a heap of small values, not as many tasks (K26).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import NamedTuple, assert_never
from urllib.parse import urlsplit

from holdfast.ocsp import freshness
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.entry import STORE, Deliver, Entry, Fetch, Need, Withdraw

SAVE_AT_ONCE = 16  # in the store
ASK_AT_ONCE = 64  # of one responder; its source may allow less
GIVE_AT_ONCE = 4096  # to one server: those that are reloaded gather them

Work = Fetch | Deliver | Withdraw


class Lane(NamedTuple):
    """`kind`: "fetch", "deliver" or "withdraw"; `place`: the responder or the holder."""

    kind: str
    place: str


class Lanes:
    """Starts actions by `start`, at most `limit(lane)` of a lane at a time; `done` says that one
    of a lane has ended."""

    def __init__(self, start: Callable[[Lane, Work], None], limit: Callable[[Lane], int]) -> None:
        self._start = start
        self._limit = limit
        self._waiting: dict[Lane, list[tuple[float, int, Work]]] = {}
        self._under_way: dict[Lane, int] = {}
        self._count = count()

    def put(self, lane: Lane, action: Work, urgency: float) -> None:
        """Start `action` now or in its turn: the lowest `urgency` first, of equals the oldest."""
        heapq.heappush(self._waiting.setdefault(lane, []), (urgency, next(self._count), action))
        self._fill(lane)

    def done(self, lane: Lane) -> None:
        left = self._under_way.get(lane, 0) - 1
        if left > 0:
            self._under_way[lane] = left
        else:
            self._under_way.pop(lane, None)
        self._fill(lane)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    def _fill(self, lane: Lane) -> None:
        queue = self._waiting.get(lane)
        while queue and self._under_way.get(lane, 0) < self._limit(lane):
            _, _, action = heapq.heappop(queue)
            self._under_way[lane] = self._under_way.get(lane, 0) + 1
            self._start(lane, action)
        if not queue:
            self._waiting.pop(lane, None)


def lane_of(action: Work, entry: Entry) -> Lane:
    match action:
        case Fetch():
            return Lane("fetch", " ".join(_host(url) for url in entry.subject.responder_urls))
        case Deliver(_, holder, _):
            return Lane("deliver", holder)
        case Withdraw(_, holder, _):
            return Lane("withdraw", holder)
        case _:
            assert_never(action)


def limit(lane: Lane) -> int:
    if lane.kind == "fetch":
        return ASK_AT_ONCE
    return SAVE_AT_ONCE if lane.place == STORE else GIVE_AT_ONCE


def urgency(action: Work, entry: Entry) -> float:
    """Lower is sooner: what an operator demanded, what has no staple (must-staple first), then by
    the end of the staple that is held."""
    if isinstance(action, Fetch) and entry.demanded:
        return -2.0
    if entry.staple is None or isinstance(entry.staple.certificate_status, Revoked):
        return -1.0 if entry.need is Need.MUST else 0.0
    return freshness.withdraw_at(entry.staple).timestamp()


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return url
