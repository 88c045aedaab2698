"""What the responder decides to say: section R, without any network."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.ocsp import der
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.extension import EXTENDED_REVOKE, NONCE, Extension, find
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD, ResponseStatus, RevocationReason, Revoked
from holdfast.ocsp.verify import examine
from holdfast.plan.answering import Answer, NeverIssued, Rules, answer, read_request
from support.pki import AT, BEGIN, a_root, a_signer

CA = a_root()
DELEGATE = a_signer(CA)
SIGNER = Signer(DELEGATE.certificate, DELEGATE.key, CA.certificate)
DIRECT = Signer(CA.certificate, CA.key, CA.certificate)
REVOKED = Revoked(AT - timedelta(days=3), RevocationReason.KEY_COMPROMISE)


def certid(serial: int, hash_algorithm: str = "sha1") -> CertID:
    return CertID.of(serial, CA.certificate, hash_algorithm)


def answered(*serials: int, signer: Signer = SIGNER, rules: Rules | None = None) -> Answer:
    """An answer where 1 is good, 2 revoked and everything else never issued."""
    request = Request.build(*(certid(serial) for serial in serials))
    known = {certid(1): GOOD, certid(2): REVOKED}
    told = {certid(serial): known.get(certid(serial)) for serial in serials}
    return answer(request, known=told, signer=signer, rules=rules or Rules(), at=AT)


def test_one_single_for_each_certid_in_order_and_echoed() -> None:
    """R2, also where hash parameters are absent and hashes are mixed."""
    asked = (
        replace_parameters(certid(2), null=False),
        certid(1, "sha256"),
        replace_parameters(certid(1), null=True),
    )
    request = Request(tuple(SingleRequest(one) for one in asked))
    known = {asked[0]: REVOKED, asked[1]: GOOD, asked[2]: GOOD}
    given_back = answer(request, known=known, signer=SIGNER, rules=Rules(), at=AT)
    basic = Response.parse(given_back.der).basic
    assert basic is not None
    assert [single.certid.encode() for single in basic.singles] == [one.encode() for one in asked]
    assert [single.certificate_status for single in basic.singles] == [REVOKED, GOOD, GOOD]


def replace_parameters(one: CertID, *, null: bool) -> CertID:
    return one._replace(null_parameters=null)


@pytest.mark.parametrize("signer", [SIGNER, DIRECT])
def test_what_is_answered_verifies(signer: Signer) -> None:
    """R9, R20: by a delegate and by the CA itself."""
    for serial, good in ((1, True), (2, False)):
        response = Response.parse(answered(serial, signer=signer).der)
        verdict = examine(response, Subject(serial, CA.certificate), at=AT)
        assert verdict.valid
        assert verdict.good is good


def test_certs_is_absent_when_the_ca_signs_itself() -> None:
    """R3."""
    direct = Response.parse(answered(1, signer=DIRECT).der).basic
    delegated = Response.parse(answered(1).der).basic
    assert direct is not None
    assert delegated is not None
    assert direct.certificates == ()
    assert delegated.certificates == (DELEGATE.certificate.der,)


@pytest.mark.parametrize(
    ("never_issued", "expected"),
    [("unauthorized", None), ("unknown", "unknown"), ("revoked", "revoked")],
)
def test_a_serial_never_issued_is_never_good(never_issued: str, expected: str | None) -> None:
    """R11."""
    given_back = answered(99, rules=Rules(never_issued=NeverIssued(never_issued)))
    response = Response.parse(given_back.der)
    if expected is None:
        assert response.response_status is ResponseStatus.unauthorized
        assert "never issued" in given_back.why
        return
    assert response.basic is not None
    told = response.basic.singles[0].certificate_status
    assert told.text == expected
    if isinstance(told, Revoked):
        assert (told.at.year, told.reason) == (1970, RevocationReason.CERTIFICATE_HOLD)
        assert find(response.basic.extensions, EXTENDED_REVOKE) is not None


def test_another_issuers_certid_is_unauthorized() -> None:
    other = CertID.of(1, a_root("Another").certificate)
    given_back = answer(
        Request.build(certid(1), other),
        known={certid(1): GOOD},
        signer=SIGNER,
        rules=Rules(),
        at=AT,
    )
    assert given_back.response_status is ResponseStatus.unauthorized


def test_an_answer_ends_before_its_signer_does() -> None:
    """R15, R30."""
    short = a_signer(CA, lifetime=AT - BEGIN + timedelta(hours=2))
    signer = Signer(short.certificate, short.key, CA.certificate)
    given_back = answered(1, signer=signer, rules=Rules(validity=timedelta(days=7)))
    assert given_back.next_update == short.certificate.not_after
    assert given_back.next_update is not None
    assert given_back.next_update < AT + timedelta(days=7)


@pytest.mark.parametrize("twin", ["expired", "foreign", "no-eku"])
def test_a_signer_that_clients_would_refuse_signs_nothing(twin: str) -> None:
    """V2, R15: tryLater and the reason, instead of an answer that every client refuses."""
    chosen = {
        "expired": a_signer(CA, lifetime=timedelta(days=1)),
        "foreign": a_signer(a_root("Another")),
        "no-eku": a_signer(CA, eku=()),
    }[twin]
    given_back = answered(1, signer=Signer(chosen.certificate, chosen.key, CA.certificate))
    assert given_back.response_status is ResponseStatus.tryLater
    assert given_back.why


@pytest.mark.parametrize("length", [1, 15, 16, 32, 33, 128])
def test_nonces_of_1_to_128_octets_are_echoed(length: int) -> None:
    """R17, R18, R19."""
    nonce = bytes(range(length))
    request = read_request(Request.build(certid(1), nonce=nonce).encode())
    assert isinstance(request, Request)
    given_back = answer(request, known={certid(1): GOOD}, signer=SIGNER, rules=Rules(), at=AT)
    assert given_back.nonced
    basic = Response.parse(given_back.der).basic
    assert basic is not None
    assert find(basic.extensions, NONCE) == find(request.extensions, NONCE)


@pytest.mark.parametrize("length", [0, 129, 500])
def test_other_nonces_are_malformed(length: int) -> None:
    """R16."""
    request = Request.build(
        certid(1), extensions=(Extension(NONCE, False, der.octet_string(b"x" * length)),)
    )
    refused = read_request(request.encode())
    assert isinstance(refused, Answer)
    assert refused.response_status is ResponseStatus.malformedRequest


def test_unknown_extensions_are_ignored_unless_critical() -> None:
    """R6."""
    for critical in (False, True):
        request = Request.build(
            certid(1), extensions=(Extension("1.2.3.4", critical, b"\x05\x00"),)
        )
        read = read_request(request.encode())
        assert isinstance(read, Answer) is critical


def test_times_are_whole_seconds_and_backdated_as_told() -> None:
    """R20."""
    rules = Rules(validity=timedelta(hours=1), backdate=timedelta(minutes=5))
    at = AT.replace(microsecond=999_999)
    request = Request.build(certid(1))
    given_back = answer(request, known={certid(1): GOOD}, signer=SIGNER, rules=rules, at=at)
    assert given_back.this_update == AT - timedelta(minutes=5)
    assert given_back.next_update == AT + timedelta(hours=1)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_malformed(data: bytes) -> None:
    """R5."""
    read = read_request(data)
    if isinstance(read, Answer):
        assert read.response_status is ResponseStatus.malformedRequest
        assert Response.parse(read.der).basic is None
