"""The table of findings: every code of the contract, at its severity, with words that fill (V7)."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest

from holdfast.ocsp.findings import (
    ERROR_RESPONSE_ADVICE,
    FATAL,
    FAULT,
    NOTE,
    RULES,
    WARNING,
    Finding,
    Severity,
    finding,
    rule_of,
    worst,
)
from holdfast.ocsp.response import ResponseStatus

# The contract's list and its severities, written out here a second time on purpose: a code is
# scripted against, so a change must be made twice.
CONTRACT = {
    FATAL: """
        staple-malformed staple-bad-signature staple-signer-unauthorised staple-wrong-certificate
        must-staple-without-staple chain-untrusted certificate-expired certificate-not-yet-valid
        certificate-name-mismatch unreachable tls-handshake-failed""",
    FAULT: """
        staple-error-response staple-weak-signature staple-signer-expired staple-expired
        staple-not-yet-valid staple-revoked staple-unknown staple-conflicting-singles
        staple-critical-extension staple-nonce-mismatch staple-produced-outside-certificate
        staple-too-old must-staple-without-responder responder-invalid-response
        responder-disagrees certificate-revoked-by-crl crl-bad-signature crl-disagrees-with-ocsp
        chain-incomplete starttls-refused""",
    WARNING: """
        staple-missing staple-intermittent staple-differs staple-near-expiry staple-no-next-update
        staple-window-too-long staple-outlives-signer staple-too-large responder-unreachable
        responder-slow responder-http-error responder-error-response responder-url-not-http
        crl-unreachable crl-expired chain-out-of-order chain-weak-key chain-weak-signature
        tls-version-old address-family-differs""",
    NOTE: """
        staple-produced-before-this-update staple-certid-sha256 staple-absent-intermediate
        must-staple-critical no-responder-url chain-superfluous""",
}
# What a responder tells of its own sources (R35); no verdict about a response has these.
OF_A_RESPONDER = {"ledger-laxer": FAULT, "presigned-laxer": FAULT}
EXPECTED = {code: severity for severity, codes in CONTRACT.items() for code in codes.split()}
EXPECTED |= OF_A_RESPONDER


@pytest.mark.parametrize("code", EXPECTED)
def test_every_code_of_the_contract_has_its_severity(code: str) -> None:
    assert rule_of(code).severity is EXPECTED[code]


def test_what_was_added_since_is_told_as_a_note_or_warning() -> None:
    """More codes may be added; none of them may refuse what the contract accepts."""
    added = {code: rule.severity for code, rule in RULES.items() if code not in EXPECTED}
    assert {"staple-signer-without-nocheck", "staple-nonce-absent"} <= added.keys()
    assert all(severity < FAULT for severity in added.values()), added


@pytest.mark.parametrize("code", RULES)
def test_codes_are_kebab_case_and_rows_are_whole(code: str) -> None:
    rule = RULES[code]
    assert code == code.lower()
    assert set(code) <= set(string.ascii_lowercase + string.digits + "-")
    assert rule.message
    assert rule.hint
    assert rule.spec
    assert not rule.message.endswith(".")


def holes(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("code", RULES)
def test_messages_and_hints_fill_with_their_facts(code: str) -> None:
    rule = RULES[code]
    names = (holes(rule.message) | holes(rule.hint)) - {"it"}
    told = finding(code, **{name: f"<{name}>" for name in names if name != "code"})
    text = told.message + told.hint
    assert all(f"<{name}>" in text for name in names - {"code"})
    assert "{" not in text


@pytest.mark.parametrize("code", [code for code in RULES if code.startswith("staple-")])
def test_response_twins_speak_of_the_response(code: str) -> None:
    """`verify` tells a staple's rule as its response twin: the same row, another subject."""
    twin = "response-" + code.removeprefix("staple-")
    assert rule_of(twin) is rule_of(code)
    told = finding(code)
    turned = told.prefixed("response")
    assert turned.code == twin
    assert turned.prefixed("staple") == told
    if "{it}" in RULES[code].message:
        assert "the response" in turned.message.lower()
        assert "the staple" in told.message.lower()


def test_other_codes_have_no_twin() -> None:
    told = finding("unreachable", address="[::1]:443", problem="refused")
    assert told.prefixed("response") is told
    with pytest.raises(KeyError):
        rule_of("response-unreachable")
    with pytest.raises(KeyError):
        finding("no-such-code")


def test_a_missing_fact_shows_as_its_name() -> None:
    """A hole must not hide the finding."""
    assert finding("staple-weak-signature").message == "the staple is signed with (algorithm)"


def test_instants_are_shown_in_utc() -> None:
    there = datetime.fromisoformat("2026-06-01T14:00:00+02:00")
    assert "2026-06-01T12:00:00Z" in finding("staple-revoked", at=there, reason="?").message


def test_a_brace_in_a_fact_is_no_template() -> None:
    """Facts come from hostile certificates: they are never formatted again."""
    told = finding("response-weak-signature", algorithm="{it.__class__} {0} %s")
    assert told.message == "the response is signed with {it.__class__} {0} %s"


def test_severities_are_ordered_and_named() -> None:
    assert NOTE < WARNING < FAULT < FATAL
    assert [severity.text for severity in Severity] == ["note", "warning", "fault", "fatal"]


def test_worst_is_the_first_of_the_gravest() -> None:
    note, first = finding("staple-nonce-absent"), finding("staple-expired")
    second = finding("staple-unknown")
    assert worst([note, first, second]) is first
    assert worst([]) is None


def test_json_has_what_the_contract_names() -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    told = finding("response-revoked", at=at, reason="keyCompromise").as_json()
    assert {"code", "severity", "message", "hint", "spec"} <= told.keys()
    assert told["code"] == "response-revoked"
    assert told["severity"] == "fault"
    assert told["message"] == (
        "the certificate was revoked at 2026-06-01T00:00:00Z (keyCompromise)"
    )
    assert told["facts"] == {"at": "2026-06-01T00:00:00Z", "reason": "keyCompromise"}


def test_a_severity_can_be_softened_by_a_profile() -> None:
    assert finding("response-no-next-update", severity=NOTE).severity is NOTE
    assert finding("response-no-next-update").severity is WARNING
    assert isinstance(finding("unreachable"), Finding)


def test_v6_every_error_response_has_its_advice() -> None:
    assert ERROR_RESPONSE_ADVICE.keys() == {status.name for status in ResponseStatus if status}
