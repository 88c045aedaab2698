"""One line, perfdata that the guidelines' grammar reads, and states that mean what they say."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from holdfast.formats.nagios import State, line, state, unknown
from holdfast.ocsp.findings import FATAL, FAULT, WARNING
from holdfast.plan.report import Report
from support import reports
from support.reports import (
    a_good,
    a_hostile,
    a_missing,
    a_must_staple,
    a_not_applicable,
    a_revoked,
    an_expired,
    an_unreachable,
)

# Monitoring Plugins Development Guidelines 2.6: 'label'=value[UOM];[warn];[crit];[min];[max]
_NUMBER = r"-?[0-9.]+"
_RANGE = rf"@?(?:(?:~|{_NUMBER})?:)?(?:{_NUMBER})?"
PERFDATA = re.compile(
    rf"[^\s='|]+={_NUMBER}(?:s|%|B|c)?(?:;{_RANGE}(?:;{_RANGE}(?:;(?:{_NUMBER})?(?:;{_NUMBER})?)?)?)?"
)


def parsed(text: str) -> tuple[str, list[str]]:
    """What a monitor makes of a plugin's output."""
    assert text.isprintable()
    said, mark, perfdata = text.partition(" | ")
    assert mark
    assert "|" not in said + perfdata
    return said, perfdata.split(" ")


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (a_good(), State.OK),
        (a_not_applicable(), State.OK),
        (a_missing(), State.WARNING),
        (a_revoked(), State.CRITICAL),
        (an_expired(), State.CRITICAL),
        (a_must_staple(), State.CRITICAL),
        (an_unreachable(), State.CRITICAL),
    ],
    ids=lambda value: value.target if isinstance(value, Report) else value.name,
)
def test_the_states(report: Report, expected: State) -> None:
    assert state(report, FAULT) is expected
    said, _ = parsed(line([report], FAULT))
    assert said.startswith(f"STAPLING {expected.name}: {report.target}: ")


def test_fail_on_moves_what_is_critical() -> None:
    assert state(a_missing(), WARNING) is State.CRITICAL
    assert state(a_revoked(), FATAL) is State.WARNING
    assert state(a_good(), WARNING) is State.OK


@pytest.mark.parametrize("make", reports.ALL, ids=lambda make: make.__name__)
def test_one_line_whose_perfdata_the_grammar_reads(make: object) -> None:
    assert callable(make)
    _, perfdata = parsed(line([make()], FAULT))
    assert perfdata
    assert [one for one in perfdata if not PERFDATA.fullmatch(one)] == []


def test_the_perfdata_of_one_and_of_several() -> None:
    _, one = parsed(line([a_good()], FAULT))
    window = 4 * 86400
    assert f"staple_left={window - 3600}s;{window // 5}:;1:;0;{window}" in one
    assert "handshake=0.003250s;;;0" in one
    said, several = parsed(line([a_good(), a_missing(), a_revoked(), an_expired()], FAULT))
    assert said.startswith("STAPLING CRITICAL: 2 of 4 targets: revoked.example.com, expired.")
    assert several[:3] == ["ok=1;;;0;4", "warning=1;;;0;4", "critical=2;;;0;4"]
    one_report = a_revoked()
    all_revoked = [replace(one_report, target=f"host{n:03}.example.com") for n in range(300)]
    assert len(line(all_revoked, FAULT)) < 1024


def test_a_hostile_server_writes_no_perfdata_and_no_macro() -> None:
    said, perfdata = parsed(line([a_hostile()], FAULT))
    assert not re.search(r"[`$<>|~]", said)
    assert all(PERFDATA.fullmatch(one) for one in perfdata)
    assert re.search(r"[`$<>|]", a_hostile().target)  # the red twin: it tries to


def test_unknown_is_one_line_too() -> None:
    text = unknown("a\nb | c=1", "do\x1b this")
    assert text == "STAPLING UNKNOWN: a\\nb _ c=1 (do\\x1b this)"
