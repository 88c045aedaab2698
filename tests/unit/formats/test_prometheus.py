"""The exposition is read by promtool, and a lost staple never looks well."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.formats.prometheus import METRICS, text
from holdfast.plan.report import Report
from support import reports
from support.reports import (
    SITE,
    a_good,
    a_hostile,
    a_missing,
    a_not_applicable,
    a_revoked,
    an_expired,
    an_unreachable,
)


def values(*given: Report, **how: bool) -> dict[tuple[str, ...], float]:
    """(name, label values...) -> value."""
    found = {}
    for family in text_string_to_metric_families(text(given, **how)):
        for sample in family.samples:
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def test_promtool_finds_nothing_to_complain_of() -> None:
    told = text([make() for make in reports.ALL])
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=told,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # the red twin: promtool does look
    broken = subprocess.run(
        ["promtool", "check", "metrics"],
        input=told + told,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert broken.returncode != 0


def test_no_series_stands_twice_and_every_name_has_its_help() -> None:
    lines = text([make() for make in reports.ALL]).splitlines()
    series = Counter(line.rpartition(" ")[0] for line in lines if not line.startswith("#"))
    assert [name for name, count in series.items() if count > 1] == []
    assert {name.partition("{")[0] for name in series} <= METRICS.keys()
    doubled = text([a_good(), a_good()]).splitlines()
    assert len(doubled) == len(set(doubled))


WHO = SITE.certificate.sha256[:16]


@pytest.mark.parametrize(
    ("report", "present", "good", "left"),
    [
        (a_good(), 1, 1, 4 * 86400 - 3600),
        (a_missing(), 0, 0, 0),
        (a_revoked(), 1, 0, 4 * 86400 - 3600),
        (an_expired(), 1, 0, 0),
    ],
    ids=lambda value: value.target if isinstance(value, Report) else str(value),
)
def test_a_staple_that_is_not_good_reads_zero(
    report: Report, present: int, good: int, left: int
) -> None:
    found = values(report, target_label=False)
    assert found["holdfast_check_staple_present", WHO] == present
    assert found["holdfast_check_staple_good", WHO] == good
    assert found["holdfast_check_staple_left_seconds", WHO] == left
    assert found["holdfast_check_reachable",] == 1


def test_where_stapling_does_not_apply_nothing_is_said_of_a_staple() -> None:
    names = {key[0] for key in values(a_not_applicable())}
    assert "holdfast_check_staple_good" not in names
    assert values(a_not_applicable(), target_label=False)["holdfast_check_right",] == 1


def test_who_is_not_reached_is_neither_reachable_nor_right() -> None:
    found = values(an_unreachable(), target_label=False)
    assert found["holdfast_check_reachable",] == found["holdfast_check_right",] == 0
    assert found["holdfast_check_verdict", "unreachable"] == 1


def test_a_hostile_label_stays_a_label() -> None:
    found = {key[1] for key in values(a_hostile()) if key[0] == "holdfast_check_reachable"}
    assert found == {"\"'><script>alert(1)</script>&\\x1b[31m\\u202e\\x00]]>|$(x)`"}
