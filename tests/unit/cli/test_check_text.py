"""The text of a check: colour that means something, a bar, what hurts first, a hint each."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from holdfast.cli.check_text import tell
from holdfast.cli.output import STYLES, Printer
from holdfast.plan.report import ClientReport, Report
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

GREEN, YELLOW, RED = STYLES["good"], STYLES["warning"], STYLES["fault"]


def told(*given: Report, colour: bool = False) -> str:
    stream = io.StringIO()
    tell(given, to=Printer(stream, colour=colour, unicode=colour))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("report", "style"),
    [(a_good(), GREEN), (a_missing(), YELLOW), (a_revoked(), STYLES["fatal"])],
    ids=["good", "missing", "revoked"],
)
def test_the_colour_says_how_bad_it_is(report: Report, style: str) -> None:
    first = told(report, colour=True).splitlines()[0]
    assert style in first
    assert "\x1b" not in told(report)


def test_the_bar_is_green_while_it_holds_and_red_when_it_is_over() -> None:
    good, expired = (told(make(), colour=True) for make in (a_good, an_expired))
    assert f"{GREEN}[" in good
    assert f"{RED}[" in expired
    assert "expired 1d 1h ago" in expired
    # a revoked one holds for days, and that is nothing good; nor is what an expired one says
    assert f"{GREEN}[" not in told(a_revoked(), colour=True)
    assert f"{GREEN}good" not in expired
    assert f"{GREEN}good" in good


@pytest.mark.parametrize("make", reports.ALL, ids=lambda make: make.__name__)
def test_each_finding_has_its_hint_and_they_are_by_what_hurts(make: object) -> None:
    assert callable(make)
    report = make()
    lines = told(report).splitlines()
    ranks = [
        ("fatal", "fault", "warning", "note").index(found.group(1))
        for line in lines
        if (found := re.match(r"  (note|warning|fault|fatal) +[a-z-]+: ", line))
    ]
    assert len(ranks) == len(report.findings)
    assert ranks == sorted(ranks)
    assert sum("hint:" in line for line in lines) == len(report.findings)


def test_who_goes_away_is_told_at_the_finding() -> None:
    line = next(x for x in told(a_must_staple()).splitlines() if "without-staple: " in x)
    assert "(refused by firefox" in line
    alone = told(replace(a_good(), clients=(ClientReport("curl", False, "issuer-not-sent"),)))
    assert "refused by     curl (issuer-not-sent)" in alone  # where no finding tells it


def test_of_several_what_is_right_takes_a_line_and_the_rest_is_told_in_full() -> None:
    text = told(a_good(), a_revoked(), a_not_applicable(), an_unreachable(), a_missing())
    lines = text.splitlines()
    assert lines[0].startswith("good")
    assert lines[1].startswith("not-applicable")
    assert lines[2].startswith("unreachable")
    assert "revoked.example.com: bad" in lines
    assert text.count("hint:") == len(a_revoked().findings) + len(a_missing().findings)
    last = "5 targets: 1 good, 1 warning, 1 bad, 1 not-applicable, 1 unreachable"
    assert lines[-1] == last


def test_a_hostile_server_writes_no_line_and_no_colour_of_its_own() -> None:
    for text in (told(a_hostile()), told(a_hostile(), colour=True)):
        rest = re.sub(r"\x1b\[(?:0|1|2|31|32|33|36|1;31)m", "", text)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", rest)
    assert "\\x1b[31m" in told(a_hostile())
