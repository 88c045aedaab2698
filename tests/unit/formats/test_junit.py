"""JUnit XML: what Jenkins and GitLab count, and that nobody's text breaks the XML."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from holdfast.formats.junit import document
from holdfast.ocsp.findings import FATAL, FAULT
from support import reports
from support.reports import (
    a_good,
    a_hostile,
    a_missing,
    a_not_applicable,
    a_revoked,
    an_unreachable,
)


def tree(*given: object, fail_on: object = FAULT) -> ElementTree.Element:
    return ElementTree.fromstring(document(list(given), fail_on))  # type: ignore[arg-type]


def outcomes(suite: ElementTree.Element) -> dict[str, str]:
    """area -> failure, error, skipped or passed."""
    found = {}
    for case in suite.iter("testcase"):
        kinds = [one.tag for one in case if one.tag in ("failure", "error", "skipped")]
        found[case.attrib["name"].rpartition(": ")[2]] = kinds[0] if kinds else "passed"
    return found


def test_the_outcome_of_each_area() -> None:
    good, revoked, bare, gone = tree(a_good(), a_revoked(), a_not_applicable(), an_unreachable())
    assert set(outcomes(good).values()) == {"passed"}
    assert outcomes(revoked)["staple"] == "failure"
    assert outcomes(bare)["staple"] == "skipped"
    assert outcomes(gone)["reach"] == "error"
    assert outcomes(gone)["staple"] == "skipped"
    failure = revoked.find(".//failure")
    assert failure is not None
    assert failure.attrib["type"] == "staple-revoked"
    assert "hint: " in (failure.text or "")


def test_the_limit_is_fail_on() -> None:
    assert outcomes(tree(a_revoked())[0])["staple"] == "failure"
    assert outcomes(tree(a_revoked(), fail_on=FATAL)[0])["staple"] == "passed"
    kept = tree(a_missing())[0].find(".//testcase/system-out")
    assert kept is not None
    assert "staple-missing" in (kept.text or "")


def test_the_counts_are_those_of_the_elements() -> None:
    root = tree(*(make() for make in reports.ALL))
    for element in (root, *root):
        for tag, name in (
            ("testcase", "tests"),
            ("failure", "failures"),
            ("error", "errors"),
            ("skipped", "skipped"),
        ):
            assert int(element.attrib[name]) == len(list(element.iter(tag))), (element, name)


def test_a_hostile_server_makes_no_elements() -> None:
    """Every element is one of ours, and the attack is there as text."""
    root = tree(a_hostile())
    tags = {element.tag for element in root.iter()}
    assert tags <= {"testsuites", "testsuite", "testcase", "failure", "system-out"}
    assert "<script>alert(1)</script>" in "".join(root.itertext())
    # the red twin: the same, not escaped, is no XML at all
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(f"<a>{a_hostile().target}</a>")


def test_no_reports_are_an_empty_file_that_parses() -> None:
    assert tree().attrib["tests"] == "0"
