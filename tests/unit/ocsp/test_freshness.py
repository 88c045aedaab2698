"""Freshness: tables of windows, the caps, the back-off (K4, K5, K6, K8, K19)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from holdfast.ocsp import freshness
from holdfast.ocsp.freshness import USUAL, Freshness
from support.pki import AT, YEAR, a_root, a_signer
from support.staples import a_desk

WINDOWS = {
    "a minute": timedelta(seconds=60),
    "five minutes": timedelta(minutes=5),
    "an hour": timedelta(hours=1),
    "twelve hours": timedelta(hours=12),
    "a week": timedelta(days=7),
    "ten days": timedelta(days=10),
}
windows = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())


@windows
def test_k4_withdrawn_shortly_before_the_end(window: timedelta) -> None:
    staple = a_desk().staple(window=window)
    assert freshness.end_of(staple) == AT + window
    margin = freshness.end_of(staple) - freshness.withdraw_at(staple)
    assert margin == min(timedelta(seconds=60), window * 0.05)


@pytest.mark.parametrize(
    ("window", "margin"),
    [(60, 3), (300, 15), (1200, 60), (864000, 60)],
    ids=["1 min", "5 min", "20 min", "10 d"],
)
def test_k4_margin_in_numbers(window: int, margin: int) -> None:
    staple = a_desk().staple(window=timedelta(seconds=window))
    assert freshness.withdraw_at(staple) == AT + timedelta(seconds=window - margin)


@windows
def test_k5_first_refresh_is_past_half_and_before_the_first_alarm(window: timedelta) -> None:
    moments = set()
    for name in ("a.test", "b.test", "c.test", "d.test"):
        staple = a_desk(name).staple(window=window)
        moment = freshness.refresh_at(staple)
        assert AT + window * 0.5 <= moment <= AT + window * 0.6
        assert moment < freshness.alarm_at(staple, 0) < freshness.withdraw_at(staple)
        moments.add(moment)
    assert len(moments) == 4, "the jitter is the CertID's own"


def test_k5_jitter_is_computed_not_rolled() -> None:
    desk = a_desk(serial=77)
    assert freshness.refresh_at(desk.staple()) == freshness.refresh_at(desk.staple())


def test_k5_the_point_is_a_setting() -> None:
    staple = a_desk().staple(window=timedelta(hours=10))
    at_once = Freshness(refresh_at=0.25, jitter=0.0)
    assert freshness.refresh_at(staple, at_once) == AT + timedelta(hours=2.5)
    late = Freshness(refresh_at=1.0, jitter=1.0)
    assert freshness.refresh_at(staple, late) == freshness.withdraw_at(staple)


def test_k5_a_server_that_stops_early_is_refreshed_for_in_time() -> None:
    """HAProxy stops 300 s before nextUpdate: of 10 minutes only the first five count."""
    early = timedelta(minutes=5)
    staple = a_desk().staple(window=timedelta(minutes=10))
    due = freshness.refresh_at(staple, early=early)
    assert AT + timedelta(minutes=2.5) <= due <= AT + timedelta(minutes=3)
    short = a_desk().staple(window=timedelta(minutes=5))
    assert freshness.refresh_at(short, early=early) == freshness.refresh_at(short), "never sent"


def test_k6_without_next_update_a_policy_lifetime() -> None:
    staple = a_desk().staple(window=None)
    assert freshness.end_of(staple) == AT + timedelta(hours=12)
    short = Freshness(default_lifetime=timedelta(hours=1))
    assert freshness.end_of(staple, short) == AT + timedelta(hours=1)


def test_k4_capped_by_the_leaf() -> None:
    ends = AT + timedelta(days=1)
    assert freshness.end_of(a_desk(not_after=ends).staple()) == ends


def test_k4_capped_by_the_signer() -> None:
    ends = AT + timedelta(days=2)
    ca = a_root()
    staple = a_desk(ca=ca, signer=a_signer(ca, not_after=ends)).staple()
    assert freshness.end_of(staple) == ends
    assert freshness.refresh_at(staple) < AT + timedelta(days=1.3), "of the capped window"


def test_k4_the_earliest_cap_wins() -> None:
    ca = a_root()
    signer = a_signer(ca, not_after=AT + timedelta(days=3))
    staple = a_desk(ca=ca, signer=signer, not_after=AT + timedelta(days=2)).staple()
    assert freshness.end_of(staple) == AT + timedelta(days=2)
    assert freshness.end_of(a_desk(ca=ca, not_after=AT + YEAR).staple()) == AT + timedelta(days=7)


def test_k8_backoff_doubles_to_its_cap_and_is_the_same_each_time() -> None:
    waits = [freshness.backoff("k", n, at=AT) for n in range(1, 20)]
    assert waits == [freshness.backoff("k", n, at=AT) for n in range(1, 20)]
    for number, wait in enumerate(waits, 1):
        doubled = min(USUAL.retry_base * 2 ** (number - 1), USUAL.retry_cap)
        assert doubled * 0.75 <= wait <= doubled * 1.25
    assert freshness.backoff("k", 10**9, at=AT) <= USUAL.retry_cap * 1.25
    assert freshness.backoff("other", 5, at=AT) != waits[4]


def test_k8_a_week_of_outage_costs_a_bounded_number_of_requests() -> None:
    at, tries = AT, 0
    while at < AT + timedelta(days=7):
        tries += 1
        at += freshness.backoff("k", tries, at=at)
    assert tries < 7 * 24 * 1.4 + 12


@windows
def test_k8_urgency_rises_near_the_end_and_stays_bounded(window: timedelta) -> None:
    staple = a_desk().staple(window=window)
    at, tries, waits = freshness.refresh_at(staple), 0, []
    while at < freshness.withdraw_at(staple):
        tries += 1
        waits.append(freshness.backoff(staple.certid.key, tries, at=at, staple=staple))
        at += waits[-1]
    last_hour_or_half = [w for w in waits[-3:] if w <= max(window / 10, timedelta(seconds=2))]
    assert last_hour_or_half, "the last tries are close together"
    assert 5 <= tries <= 200
    assert min(waits) >= timedelta(seconds=0.75)


def test_k8_retry_after_is_honoured() -> None:
    assert freshness.backoff("k", 1, at=AT, retry_after=900) == timedelta(minutes=15)
    assert freshness.backoff("k", 9, at=AT, retry_after=1) > timedelta(minutes=15)
    forever = freshness.backoff("k", 1, at=AT, retry_after=1e12)
    assert forever == USUAL.retry_after_cap


def test_k8_retry_after_never_costs_the_staple() -> None:
    staple = a_desk().staple(window=timedelta(hours=4))
    at = AT + timedelta(hours=3)
    wait = freshness.backoff("k", 1, at=at, staple=staple, retry_after=86400)
    assert wait <= (freshness.withdraw_at(staple) - at) / 2


@pytest.mark.parametrize("retry_after", [0.0, -5.0])
def test_k8_a_senseless_retry_after_is_ignored(retry_after: float) -> None:
    usual = freshness.backoff("k", 3, at=AT)
    assert freshness.backoff("k", 3, at=AT, retry_after=retry_after) == usual


@windows
def test_an_answer_that_was_no_newer_is_polled_for(window: timedelta) -> None:
    staple = a_desk().staple(window=window)
    at, polls = freshness.refresh_at(staple), 0
    while at < freshness.withdraw_at(staple):
        wait = freshness.poll_after(staple, at)
        assert wait >= timedelta(seconds=1)
        at, polls = at + wait, polls + 1
    assert polls <= 100


def test_k19_alarm_points() -> None:
    staple = a_desk().staple(window=timedelta(hours=100))
    hours = [(freshness.alarm_at(staple, rung) - AT) / timedelta(hours=1) for rung in range(3)]
    assert hours == pytest.approx([66, 80, 90])


def test_fractions_are_spread_evenly() -> None:
    values = [freshness.fraction(str(n)) for n in range(4000)]
    assert all(0 <= value < 1 for value in values)
    counts = [sum(1 for v in values if n / 10 <= v < (n + 1) / 10) for n in range(10)]
    assert min(counts) > 300


def test_a_window_that_runs_backwards_has_no_length() -> None:
    """`verify` rejects it; the arithmetic must still not run away."""
    desk = a_desk(not_after=AT + timedelta(seconds=1))
    staple = desk.staple()
    later: datetime = AT + timedelta(days=1)
    assert freshness.withdraw_at(staple) < later
    assert freshness.poll_after(staple, later) >= timedelta(seconds=1)
    assert freshness.backoff("k", 1, at=later, staple=staple) > timedelta(0)
