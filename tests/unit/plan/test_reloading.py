"""When a server is reloaded: K28, and what cannot wait (K4, K11)."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from holdfast.ocsp.freshness import end_of, withdraw_at
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.reloading import (
    REVOKED_WITHIN,
    USUAL_PACE,
    Pace,
    Waiting,
    lately,
    reload_at,
    waiting_for,
)
from support.pki import AT
from support.staples import WEEK, a_desk

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
X = a_desk("x.test")
OLD, NEW = X.staple(AT), X.staple(AT + MINUTE)
USUAL = Waiting(since=AT)


def test_nothing_waits() -> None:
    assert reload_at([], [], AT) is None


def test_the_first_change_waits_a_moment_for_others() -> None:
    assert reload_at([USUAL], [], AT) == AT + USUAL_PACE.gather


def test_a_usual_change_waits_for_its_slot() -> None:
    last = AT - MINUTE
    assert reload_at([USUAL], [last], AT) == last + USUAL_PACE.interval
    assert reload_at([USUAL], [AT - 6 * MINUTE], AT) == AT + USUAL_PACE.gather


def test_k4_a_usual_change_is_made_before_what_it_replaces_ends() -> None:
    by = AT + 2 * MINUTE
    waiting = Waiting(since=AT, by=by)
    assert reload_at([waiting], [AT - SECOND], AT) == by - USUAL_PACE.lead
    late = Waiting(since=AT, by=AT + SECOND)
    assert reload_at([late], [AT - SECOND], AT) == AT + USUAL_PACE.gather


def test_urgent_ones_wait_longer_the_more_reloads_there_were() -> None:
    """Never past the interval, nor past what they must not outlast."""
    urgent = Waiting(since=AT, urgent=True)
    waits = []
    recent: list[datetime] = []
    for _ in range(12):
        due = reload_at([urgent], recent, AT)
        assert due is not None
        waits.append((due - AT) / SECOND)
        recent.append(AT - SECOND)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    revoked = Waiting(since=AT, urgent=True, by=AT + REVOKED_WITHIN)
    assert reload_at([revoked], recent, AT) == AT + REVOKED_WITHIN - USUAL_PACE.lead


def test_the_hastiest_decides_for_all() -> None:
    urgent = Waiting(since=AT, urgent=True)
    assert reload_at([USUAL, urgent], [AT - SECOND], AT) == AT + 2 * SECOND


def test_k23_a_clock_set_back_makes_nothing_wait_longer() -> None:
    """What was noted in the future counts as now, or not at all."""
    later = Waiting(since=AT + timedelta(days=1))
    assert reload_at([later], [AT + timedelta(hours=20)], AT) == AT + USUAL_PACE.gather
    assert lately([AT + SECOND, AT, AT - 10 * MINUTE], AT) == [AT]


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(milliseconds=300)])
def test_a_short_interval_bounds_the_gathering_too(interval: timedelta) -> None:
    pace = Pace(interval=interval)
    assert reload_at([USUAL], [], AT, pace) == AT + interval


def test_what_is_urgent() -> None:
    revoked = X.staple(AT, status=Revoked(AT))
    assert waiting_for(None, OLD, AT) == Waiting(since=AT, urgent=True, by=end_of(OLD))
    assert waiting_for(None, None, AT) == Waiting(since=AT, urgent=True, by=AT)
    assert waiting_for(revoked, OLD, AT).urgent
    assert waiting_for(revoked, OLD, AT).by == AT + REVOKED_WITHIN
    assert waiting_for(NEW, None, AT) == Waiting(since=AT, urgent=True)
    assert waiting_for(OLD, OLD, AT) == Waiting(since=AT, urgent=True), "it was not shown"
    assert waiting_for(NEW, OLD, AT) == Waiting(since=AT, by=withdraw_at(OLD))


def test_k4_a_withdrawal_is_made_before_the_end_whatever_the_window() -> None:
    """Planned at `withdraw_at`, with many reloads just before, in force before the end."""
    for window in (MINUTE, 10 * MINUTE, timedelta(hours=1), WEEK):
        staple = X.staple(AT, window)
        at = withdraw_at(staple)
        due = reload_at([waiting_for(None, staple, at)], [at - SECOND] * 20, at)
        assert due is not None
        assert due < end_of(staple)


def test_k28_a_thousand_certificates_over_a_day() -> None:
    """Each delivered first, then refreshed once, at any time: how many reloads that is."""
    rolled = random.Random(1)
    day = timedelta(days=1)
    first = [AT + rolled.random() * 10 * MINUTE for _ in range(1000)]
    refreshed = [AT + timedelta(hours=1) + rolled.random() * (day / 2) for _ in range(1000)]
    asked = sorted([(at, True) for at in first] + [(at, False) for at in refreshed])
    reloads: list[datetime] = []
    waiting: list[Waiting] = []
    due: datetime | None = None
    for at, urgent in asked:
        if due is not None and due <= at:
            reloads.append(due)
            waiting = []
        waiting.append(Waiting(since=at, urgent=urgent))
        due = reload_at(waiting, reloads, at)
    usual = [instant for instant in reloads if instant > AT + timedelta(hours=1)]
    assert len(reloads) - len(usual) <= 20
    assert len(usual) <= 12 * 60 / 5 + 1
    assert min(b - a for a, b in pairwise(usual)) >= USUAL_PACE.interval
