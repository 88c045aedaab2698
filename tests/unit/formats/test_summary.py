"""The order of findings, and the sentence that stands first."""

from __future__ import annotations

import pytest

from holdfast.formats.controls import CONTROL, harmless
from holdfast.formats.summary import area, by_hurt, refused_by, sentence
from holdfast.ocsp.findings import RULES
from support import reports
from support.reports import a_good, a_hostile, a_must_staple, an_unreachable


def test_what_clients_refuse_stands_before_its_equals() -> None:
    """Gravest first, and among these what sends users away."""
    for make in reports.ALL:
        report = make()
        found = by_hurt(report)
        assert sorted(found, key=str) == sorted(report.findings, key=str)
        ranks = [(-one.severity, -len(refused_by(report, one))) for one in found]
        assert ranks == sorted(ranks)
    must = a_must_staple()
    assert by_hurt(must)[0].code == "must-staple-without-staple"
    assert "firefox" in refused_by(must, by_hurt(must)[0])


def test_the_sentence_is_the_worst_finding_or_how_the_staple_stands() -> None:
    assert sentence(a_good()).startswith("the staple says good, 1 % of its time has passed, 3 d 23")
    assert sentence(an_unreachable()).startswith("unreachable: ")
    assert sentence(a_must_staple()).startswith("must-staple-without-staple: ")


def test_every_code_has_an_area() -> None:
    told = {code: area(code) for code in RULES}
    assert told["crl-expired"] == told["certificate-revoked-by-crl"] == "revocation list"
    assert told["certificate-expired"] == told["chain-untrusted"] == "certificate"
    assert told["must-staple-critical"] == told["staple-missing"] == "staple"
    assert told["responder-slow"] == told["no-responder-url"] == "responder"
    assert told["starttls-refused"] == told["unreachable"] == "reach"


@pytest.mark.parametrize("text", [reports.ATTACK, "a\nb\r\x85\u2028c", "\ud800\uffff", "plain"])
def test_nothing_that_drives_a_terminal_or_ends_a_line_is_left(text: str) -> None:
    shown = harmless(text)
    assert not CONTROL.search(shown)
    assert len(shown.splitlines()) == 1
    shown.encode("utf-8")
    assert len(harmless("x" * 100, 10)) == 10


def test_the_hostile_report_is_hostile() -> None:
    """The red twin of every test that shows it: what comes in would do harm."""
    words = " ".join([a_hostile().target, *(f.message for f in a_hostile().findings)])
    assert CONTROL.search(words)
    assert "<script>" in words
    assert "\n" in words
