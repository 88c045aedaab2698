"""Windows and durations (V3, K4, K5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.ocsp.window import SKEW, Window, duration_text

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
WEEK = Window(BEGIN, BEGIN + timedelta(days=7))


def test_length_points_and_fractions() -> None:
    assert WEEK.length == timedelta(days=7)
    assert WEEK.point(0.5) == BEGIN + timedelta(days=3, hours=12)
    assert WEEK.passed(BEGIN) == 0
    assert WEEK.passed(WEEK.end) == 1
    assert WEEK.passed(BEGIN - timedelta(days=7)) == -1
    assert WEEK.passed(WEEK.point(0.8)) == pytest.approx(0.8)


def test_a_window_without_length_has_passed() -> None:
    assert Window(BEGIN, BEGIN).passed(BEGIN) == 1


def test_k4_capping_takes_the_earliest_end_and_never_one_before_the_begin() -> None:
    early = BEGIN + timedelta(days=1)
    assert WEEK.capped(WEEK.end + timedelta(days=1)) == WEEK
    assert WEEK.capped(WEEK.end, early) == Window(BEGIN, early)
    assert WEEK.capped(BEGIN - timedelta(days=1)) == Window(BEGIN, BEGIN)
    assert WEEK.capped() == WEEK


def test_v3_the_skew_is_five_minutes() -> None:
    assert timedelta(minutes=5) == SKEW


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=999), "0 s"),
        (timedelta(seconds=41), "41 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(days=6, hours=3, minutes=59), "6 d 3 h"),
        (timedelta(days=6, minutes=5), "6 d 5 min"),
        (timedelta(hours=1, seconds=1), "1 h 1 s"),
        (timedelta(days=-1), "1 d"),
        (timedelta(days=3650), "3650 d"),
    ],
)
def test_durations_are_told_in_two_units(span: timedelta, text: str) -> None:
    assert duration_text(span) == text
