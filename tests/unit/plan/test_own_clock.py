"""K23: whose clock is wrong, by what responders say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from holdfast.plan.own_clock import clock_off, clock_text, sighted
from support.pki import AT

MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE


@pytest.mark.parametrize(
    ("minutes", "off"),
    [
        ([], None),
        ([5], None),
        ([6], 6),
        ([-6], -6),
        ([0, 600], None),
        ([600, 0, 601], 600),
        ([0, 1, -600], None),
        ([-600, -601, -602, 0], -600),
        ([600, -600], 600),
    ],
)
def test_most_witnesses_decide(minutes: list[int], off: int | None) -> None:
    witnesses = {f"r{n}": m * MINUTE for n, m in enumerate(minutes)}
    found = clock_off(witnesses)
    assert (found is None) == (off is None)
    if found is not None and off is not None:
        assert abs(found) == abs(off) * MINUTE


@pytest.mark.parametrize(
    ("age", "ahead"),
    [(None, 0), ("3600", 60), (" 60 ", 1), ("x", 0), ("-5", 0), ("99999999999999", 1440)],
)
def test_an_answer_from_a_cache_is_as_old_as_it_says(age: str | None, ahead: int) -> None:
    assert sighted(AT, age, AT) == ahead * MINUTE


def test_in_words() -> None:
    assert clock_text(7 * MINUTE) == "this machine's clock is 7 minutes behind"
    assert clock_text(-48 * HOUR) == "this machine's clock is 48 hours ahead"
