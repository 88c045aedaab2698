"""K23: our clock is told to be off once, and once to be right again."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from holdfast.services.own_clock import OwnClock
from support.clock import FakeClock
from support.pki import AT

HOUR = timedelta(hours=1)


def test_k23_told_once_and_again_when_it_is_right(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdfast")
    clock = FakeClock(AT - HOUR)
    alerts: list[str] = []
    own = OwnClock(clock, on_alert=alerts.append)
    own.saw("a", None)
    for _ in range(3):
        own.saw("a", AT)
        own.saw("b", AT)
    assert own.off == HOUR
    assert alerts == ["clock-off"]
    assert [r.message.split()[1] for r in caplog.records] == ["code=clock-off"]
    assert "60 minutes behind" in caplog.text
    clock.jump(HOUR)
    own.saw("a", AT)
    assert own.off is None, "what was seen by the wrong clock counts no more"
    assert "clock-right" in caplog.text


def test_one_responder_with_a_wrong_clock_is_outvoted() -> None:
    own = OwnClock(FakeClock(AT))
    own.saw("a", AT)
    own.saw("b", AT + 10 * HOUR)
    assert own.off is None
