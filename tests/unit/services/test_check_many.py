"""Many targets: the order, the bound on how many, and a deadline that a target cannot outlive."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import datetime

import pytest

from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.services.check_many import Bounds, Look, check_many
from holdfast.services.checker import Grown
from support.pki import AT
from support.reports import a_good, a_not_applicable, a_revoked, an_unreachable


def targets(count: int) -> list[Target]:
    return [Target.parse(f"host{number}.example.com") for number in range(count)]


def many(
    look: Look,
    count: int,
    *,
    at_once: int = 64,
    deadline: float = 5.0,
    bugs: list[Exception] | None = None,
) -> list[Report]:
    done: list[Report] = []
    bugs = [] if bugs is None else bugs
    reports = asyncio.run(
        check_many(
            look,
            targets(count),
            bounds=Bounds(at_once=at_once, deadline=deadline),
            now=lambda: AT,
            done=done.append,
            failed=bugs.append,
        )
    )
    assert len(done) == count
    return reports


def test_in_the_order_of_the_targets_and_no_more_at_once_than_allowed() -> None:
    at_once, most = 0, 0

    async def look(target: Target, at: datetime, grown: Grown) -> Report:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001 * (len(target.host) % 3))
        at_once -= 1
        return a_good(target.text)

    reports = many(look, 30, at_once=4)
    assert [report.target for report in reports] == [t.text for t in targets(30)]
    assert most == 4


def test_five_hundred_of_which_four_hundred_are_silent_end_in_their_deadlines() -> None:
    async def look(target: Target, at: datetime, grown: Grown) -> Report:
        if not target.host.endswith(("0.example.com", "5.example.com")):
            await asyncio.Event().wait()
        return a_good(target.text)

    begun = time.monotonic()
    reports = many(look, 500, at_once=100, deadline=0.1)
    assert time.monotonic() - begun < 6.0
    verdicts = [report.verdict for report in reports]
    assert (verdicts.count("good"), verdicts.count("unreachable")) == (100, 400)
    silent = next(report for report in reports if report.verdict == "unreachable")
    assert silent.findings[0].message.endswith("nothing was heard within 0.1 s")


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (a_good(), "warning"),
        (a_not_applicable(), "warning"),
        (a_revoked(), "bad"),
        (an_unreachable(), "unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.verdict,
)
def test_what_was_seen_until_the_deadline_is_told_and_that_it_is_not_all(
    seen: Report, verdict: str
) -> None:
    async def look(target: Target, at: datetime, grown: Grown) -> Report:
        grown(lambda: replace(seen, findings=()))
        grown(lambda: seen)
        await asyncio.Event().wait()
        raise AssertionError

    (report,) = many(look, 1, deadline=0.05)
    assert report.verdict == verdict
    told = {found.code: found for found in report.findings}
    assert "0.05 s" in told["check-cut-short"].message
    assert "--deadline" in told["check-cut-short"].hint
    assert {found.code for found in seen.findings} <= told.keys()
    severities = [found.severity for found in report.findings]
    assert severities == sorted(severities, reverse=True)


def test_a_bug_in_one_check_does_not_lose_the_others() -> None:
    async def look(target: Target, at: datetime, grown: Grown) -> Report:
        if target.host == "host3.example.com":
            raise ZeroDivisionError("ours")
        return a_good(target.text)

    bugs: list[Exception] = []
    reports = many(look, 6, bugs=bugs)
    assert [type(bug) for bug in bugs] == [ZeroDivisionError]
    assert [report.verdict for report in reports].count("good") == 5
    assert "ZeroDivisionError" in reports[3].findings[0].message


def test_no_targets_are_no_reports() -> None:
    async def look(target: Target, at: datetime, grown: Grown) -> Report:
        raise AssertionError

    assert many(look, 0) == []
