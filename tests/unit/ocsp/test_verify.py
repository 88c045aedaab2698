"""The judge beyond the vectors: what becomes a staple, what is told, what never falls.

V1 to V7. Most cases are data (tests/vectors); here is what values show better than bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.errors import Rejected
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.findings import FATAL, Profile
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import (
    GOOD,
    UNKNOWN,
    CertificateStatus,
    Response,
    ResponseStatus,
    RevocationReason,
    Revoked,
    SingleResponse,
    error_response,
)
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.verify import examine, examine_bytes, verify
from support.pki import AT, a_root, a_server, a_signer

CA = a_root()
SERVER = a_server(CA)
SUBJECT = Subject.of(SERVER.certificate, CA.certificate)
SIGNER = Signer(CA.certificate, CA.key, CA.certificate)
WEEK = timedelta(days=7)


def told(
    certificate_status: CertificateStatus = GOOD,
    *,
    this: datetime = AT,
    until: datetime | None = AT + WEEK,
    signer: Signer = SIGNER,
    extensions: tuple[Extension, ...] = (),
) -> Response:
    single = SingleResponse(SUBJECT.certid, certificate_status, this, until, extensions)
    return Response.parse(signer.respond([single], produced_at=min(this, AT)))


def judged(response: Response, *, at: datetime = AT, policy: Policy | None = None) -> Verdict:
    return examine(response, SUBJECT, at=at, policy=policy or Policy())


# -- what becomes a staple --------------------------------------------------------------------


@pytest.mark.parametrize("certificate_status", [GOOD, UNKNOWN, Revoked(AT)], ids=str)
def test_k11_a_verified_revocation_is_a_staple_too(certificate_status: CertificateStatus) -> None:
    """K11, K12: whether it is sent is another's decision."""
    response = told(certificate_status)
    staple = verify(response, SUBJECT, at=AT)
    assert staple.certificate_status == certificate_status
    assert staple.der == response.der
    assert staple.certid == SUBJECT.certid
    assert (staple.this_update, staple.next_update) == (AT, AT + WEEK)
    assert staple.produced_at == AT
    assert staple.signer == CA.certificate
    assert staple.verified_at == AT
    verdict = judged(response)
    assert verdict.valid
    assert verdict.good == (certificate_status == GOOD)


def test_a_staple_is_kept_under_the_sha1_certid_whatever_it_uses() -> None:
    """K13."""
    single = SingleResponse(SUBJECT.certid_by("sha256"), GOOD, AT, AT + WEEK)
    response = Response.parse(SIGNER.respond([single], produced_at=AT))
    assert verify(response, SUBJECT, at=AT).certid.hash_algorithm == "sha1"


def test_what_is_rejected_carries_its_verdict_and_says_the_worst() -> None:
    with pytest.raises(Rejected) as caught:
        verify(told(until=AT), SUBJECT, at=AT + WEEK)
    assert caught.value.verdict.codes == {"response-expired"}
    assert caught.value.message.startswith("the response ended at 2026-06-01T12:00:00Z, 7 d ago")
    assert caught.value.hint


def test_v6_an_error_response_is_its_own_result() -> None:
    for code in ResponseStatus:
        if not code:
            continue
        verdict = judged(Response.parse(error_response(code)))
        assert verdict.codes == {"response-error-response"}
        assert not verdict.valid
        assert verdict.certificate_status is None
        assert code.name in verdict.findings[0].message
        with pytest.raises(Rejected):
            verify(Response.parse(error_response(code)), SUBJECT, at=AT)


def test_v6_bytes_that_do_not_parse_are_a_finding() -> None:
    verdict = examine_bytes(b"<html>", SUBJECT, at=AT)
    assert verdict.response is None
    assert verdict.codes == {"response-malformed"}
    assert verdict.worst is not None
    assert verdict.worst.severity is FATAL
    assert "at byte 0" in verdict.worst.message
    assert (verdict.valid, verdict.good, verdict.certificate_status) == (False, False, None)


# -- the words --------------------------------------------------------------------------------


def test_findings_say_what_a_person_needs() -> None:
    """Messages name instants, spans and who; each fact is there once for a script."""
    verdict = judged(
        told(Revoked(AT, RevocationReason.SUPERSEDED), until=AT + 30 * WEEK), at=AT + 31 * WEEK
    )
    texts = {found.code: found.message for found in verdict.findings}
    assert texts == {
        "response-revoked": "the certificate was revoked at 2026-06-01T12:00:00Z (superseded)",
        "response-expired": "the response ended at 2026-12-28T12:00:00Z, 7 d ago",
        "response-window-too-long": (
            "the window of the response is 210 d; a revocation may stay unseen for as long"
        ),
    }


def test_the_wrong_certificates_are_named() -> None:
    singles = [
        SingleResponse(CertID.of(serial, CA.certificate), GOOD, AT, AT + WEEK)
        for serial in (0xA, 0xB, 0xC, 0xD, 0xE)
    ]
    verdict = judged(Response.parse(SIGNER.respond(singles, produced_at=AT)))
    (found,) = verdict.findings
    assert found.code == "response-wrong-certificate"
    assert "serial a, b, c and 2 more" in found.message
    assert f"{SERVER.certificate.serial:x}" in found.message
    assert "CN=Test Root" in found.message


@pytest.mark.parametrize(
    ("wishes", "match"),
    [
        ({"eku": ()}, "lacks the extended key usage OCSPSigning"),
        ({"ca": True}, "it is itself a CA"),
    ],
)
def test_v2_an_unauthorised_delegate_is_told_why(wishes: dict[str, object], match: str) -> None:
    who = a_signer(CA, f"Signer {match}"[:60], **wishes)
    signer = Signer(who.certificate, who.key, CA.certificate)
    (found,) = judged(told(signer=signer)).findings
    assert found.code == "response-signer-unauthorised"
    assert match in found.message
    assert who.certificate.subject in found.message


def test_v2_nobody_at_hand_is_told_too() -> None:
    stranger = a_root("Stranger")
    signer = Signer(stranger.certificate, stranger.key, CA.certificate, send_certificate=False)
    (found,) = judged(told(signer=signer)).findings
    assert "sends no certificate of its own" in found.message
    assert signer.certificate.key_sha1.hex() in found.message


# -- instants that arithmetic cannot reach ----------------------------------------------------

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("at", [FIRST, AT, LAST])
@pytest.mark.parametrize("this", [FIRST, AT, LAST])
@pytest.mark.parametrize("until", [FIRST, AT, LAST, None])
def test_v3_the_ends_of_time_do_not_fell_it(
    profile: Profile, at: datetime, this: datetime, until: datetime | None
) -> None:
    """V3, V7: any instants that can be written give a verdict; only a present window is valid."""
    single = SingleResponse(SUBJECT.certid, GOOD, this, until)
    policy = Policy(profile=profile, max_age=timedelta(days=36500))
    subject = Subject(SUBJECT.serial, CA.certificate)
    for produced_at in (FIRST, LAST):
        response = Response.parse(SIGNER.respond([single], produced_at=produced_at))
        verdict = examine(response, subject, at=at, policy=policy)
        if this > at or (until is not None and until < at):
            assert not verdict.valid
        assert all(found.message for found in verdict.findings)


def test_v3_a_leaf_that_never_ends() -> None:
    """RFC 5280 4.1.2.5: 99991231235959Z means no well-defined end."""
    server = a_server(CA, "endless.example", not_after=LAST)
    subject = Subject.of(server.certificate, CA.certificate)
    single = SingleResponse(subject.certid, GOOD, AT, AT + WEEK)
    response = Response.parse(SIGNER.respond([single], produced_at=AT))
    assert examine(response, subject, at=AT).good


# -- nothing but what is asked ----------------------------------------------------------------


def test_the_same_question_has_the_same_answer() -> None:
    """Caches never carry one policy's answer to another."""
    weak = told()
    for _ in range(2):
        assert judged(weak).good
        assert not judged(weak, at=AT + WEEK + timedelta(minutes=5)).good
        assert judged(weak, policy=Policy(skew=timedelta(days=1)), at=AT + WEEK).good
        assert not judged(weak, policy=Policy(max_age=timedelta(0)), at=AT + timedelta(1)).good


def test_another_issuer_of_the_same_serial_is_another_subject() -> None:
    """V1: the subject's issuer decides, not the response's."""
    other = a_root("Other Root")
    verdict = examine(told(), Subject(SUBJECT.serial, other.certificate), at=AT)
    assert verdict.codes == {"response-wrong-certificate", "response-signer-unauthorised"}


def test_an_aware_instant_of_another_zone_is_the_same_instant() -> None:
    there = AT.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+09:00").tzinfo)
    response = told()
    assert judged(response, at=there) == judged(response, at=AT)
