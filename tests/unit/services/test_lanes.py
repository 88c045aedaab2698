"""Lanes: so many at a time, the most urgent first, no lane behind another (K8, K26)."""

from __future__ import annotations

from holdfast.plan.entry import Fetch
from holdfast.services.lanes import Lane, Lanes, Work

A, B = Lane("fetch", "a"), Lane("fetch", "b")


def lanes(limit: int) -> tuple[Lanes, list[str]]:
    started: list[str] = []

    def start(lane: Lane, action: Work) -> None:
        started.append(action.key)

    return Lanes(start, lambda lane: limit), started


def test_the_most_urgent_first_of_equals_the_oldest() -> None:
    those, started = lanes(1)
    for key, urgency in (("begun", 5.0), ("late", 9.0), ("first", 1.0), ("second", 1.0)):
        those.put(A, Fetch(key), urgency)
    assert started == ["begun"]
    assert those.waiting == 3
    for _ in range(4):
        those.done(A)
    assert started == ["begun", "first", "second", "late"]
    assert those.waiting == 0


def test_a_lane_that_hangs_delays_no_other() -> None:
    those, started = lanes(2)
    for number in range(5):
        those.put(A, Fetch(f"a{number}"), 0)
    those.put(B, Fetch("b"), 0)
    assert started == ["a0", "a1", "b"]


def test_what_is_cleared_never_starts() -> None:
    those, started = lanes(1)
    those.put(A, Fetch("a"), 0)
    those.put(A, Fetch("b"), 0)
    those.clear()
    those.done(A)
    assert started == ["a"]
