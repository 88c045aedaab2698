"""A verdict's sums: valid, good, worst (V7; the contract's `valid`)."""

from __future__ import annotations

import pytest

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import RULES, Severity, finding
from holdfast.ocsp.response import GOOD, UNKNOWN, Response, Revoked, SingleResponse
from holdfast.ocsp.verdict import ABOUT_THE_CERTIFICATE, Verdict
from support.pki import AT, a_root

CA = a_root()
SUBJECT = Subject(77, CA.certificate)
SINGLE = SingleResponse(SUBJECT.certid, GOOD, AT)


def verdict(*codes: str, single: SingleResponse | None = SINGLE, signed: bool = True) -> Verdict:
    response: Response | None = None
    return Verdict(
        response,
        SUBJECT,
        AT,
        tuple(finding(code) for code in codes),
        single,
        CA.certificate if signed else None,
        "issuer" if signed else None,
    )


def test_without_findings_it_is_valid_and_good() -> None:
    assert verdict().valid
    assert verdict().good
    assert verdict().worst is None


@pytest.mark.parametrize("code", [code for code in RULES if code.startswith("staple-")])
def test_a_fault_makes_it_invalid_unless_it_is_about_the_certificate(code: str) -> None:
    """`valid`: whatever the certificate status."""
    twin = "response-" + code.removeprefix("staple-")
    harmless = RULES[code].severity < Severity.FAULT or twin in ABOUT_THE_CERTIFICATE
    assert verdict(twin).valid is harmless


def test_without_a_single_or_a_signer_it_is_never_valid() -> None:
    """Fail closed: no finding is no proof."""
    assert not verdict(single=None).valid
    assert not verdict(signed=False).valid


def test_only_good_is_good() -> None:
    for certificate_status in (UNKNOWN, Revoked(AT)):
        found = verdict(single=SINGLE._replace(certificate_status=certificate_status))
        assert found.valid
        assert not found.good
        assert found.certificate_status == certificate_status


def test_worst_and_codes() -> None:
    found = verdict("response-nonce-absent", "response-expired", "response-bad-signature")
    assert found.worst is not None
    assert found.worst.code == "response-bad-signature"
    assert found.codes == {"response-nonce-absent", "response-expired", "response-bad-signature"}
