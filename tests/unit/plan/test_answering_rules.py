"""What the rules make of an answer: R2, R7, R8, R12, R14, R16 to R19, R28, each with its twin."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.ocsp import der
from holdfast.ocsp.certid import HASH_OIDS, CertID, Subject
from holdfast.ocsp.extension import (
    ARCHIVE_CUTOFF,
    CRL_REFERENCE,
    EXTENDED_REVOKE,
    INVALIDITY_DATE,
    KNOWN,
    NONCE,
    Extension,
    find,
)
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.request_extensions import acceptable_extension
from holdfast.ocsp.response import BASIC, BasicResponse, Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.single_extensions import (
    CrlID,
    archive_cutoff,
    crl_reference,
    invalidity_date,
)
from holdfast.ocsp.statuses import (
    GOOD,
    UNKNOWN,
    CertificateStatus,
    Good,
    ResponseStatus,
    RevocationReason,
    Revoked,
)
from holdfast.ocsp.verify import examine
from holdfast.plan.answering import (
    NEVER_ISSUED,
    Answer,
    Detail,
    NeverIssued,
    Nonces,
    OtherIssuers,
    Rules,
    SignedRequests,
    Told,
    answer,
    read_request,
)
from support.messages import signed_request
from support.pki import AT, BEGIN, a_root, a_server, a_signer

CA = a_root()
OTHER = a_root("Another")
DELEGATE = a_signer(CA)
SIGNER = Signer(DELEGATE.certificate, DELEGATE.key, CA.certificate)
REVOKED = Revoked(AT - timedelta(days=3), RevocationReason.SUPERSEDED)
HELD = Revoked(AT - timedelta(days=3), RevocationReason.CERTIFICATE_HOLD)
CLIENT = a_server(CA, "client.test")
STRANGER = a_server(OTHER, "stranger.test")


def certid(serial: int, hash_algorithm: str = "sha1") -> CertID:
    return CertID.of(serial, CA.certificate, hash_algorithm)


KNOWN_HERE: dict[int, CertificateStatus] = {1: GOOD, 2: REVOKED, 3: HELD}
FOREIGN = CertID.of(1, OTHER.certificate)


def given_for(
    request: Request, rules: Rules | None = None, *, details: dict[CertID, Detail] | None = None
) -> Answer:
    """Over the wire: 1 is good, 2 and 3 revoked, the rest never issued."""
    read = read_request(request.encode())
    if isinstance(read, Answer):
        return read
    ours = [
        one.certid for one in read.singles if one.certid.names(one.certid.serial, CA.certificate)
    ]
    return answer(
        read,
        known={one: KNOWN_HERE.get(one.serial) for one in ours},
        signer=SIGNER,
        rules=rules or Rules(),
        at=AT,
        details=details,
    )


def basic_of(given_back: Answer) -> BasicResponse:
    basic = Response.parse(given_back.der).basic
    assert basic is not None, given_back.why
    return basic


# -- R2: several CertIDs ----------------------------------------------------------------------


def test_r2_several_certids_of_every_fate() -> None:
    """Good, revoked, never issued, another CA's: in order, each with its own word."""
    asked = (FOREIGN, certid(9), certid(2), certid(1, "sha256"), certid(1), certid(1))
    rules = Rules(never_issued=NeverIssued.UNKNOWN, other_issuers=OtherIssuers.UNKNOWN)
    singles = basic_of(given_for(Request.build(*asked), rules)).singles
    assert [one.certid.encode() for one in singles] == [one.encode() for one in asked]
    assert [one.certificate_status for one in singles] == [
        UNKNOWN, UNKNOWN, REVOKED, GOOD, GOOD, GOOD,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "never_issued", "other_issuers", "refused"),
    [
        ((FOREIGN, certid(1)), "unknown", "unauthorized", True),
        ((certid(1), FOREIGN), "revoked", "unauthorized", True),
        ((certid(1), certid(9)), "unauthorized", "unknown", True),
        ((certid(9), FOREIGN), "revoked", "unknown", False),
        ((certid(1), certid(2)), "unauthorized", "unauthorized", False),
    ],
)
def test_r2_one_certid_that_cannot_be_answered_refuses_all(
    asked: tuple[CertID, ...], never_issued: str, other_issuers: str, refused: bool
) -> None:
    """RFC 6960 4.2.1: there is one response_status for the whole response."""
    rules = Rules(never_issued=NeverIssued(never_issued), other_issuers=OtherIssuers(other_issuers))
    given_back = given_for(Request.build(*asked), rules)
    expected = ResponseStatus.unauthorized if refused else ResponseStatus.successful
    assert given_back.response_status is expected


def test_r2_red_a_certid_of_another_ca_or_hash_is_never_good() -> None:
    """The same serial as a good one: by another CA, by a hash that is not known, by halves."""
    ours = certid(1)
    twins = (
        FOREIGN,
        ours._replace(hash_algorithm="1.2.840.113549.2.5"),
        ours._replace(issuer_key_hash=FOREIGN.issuer_key_hash),
        ours._replace(issuer_name_hash=FOREIGN.issuer_name_hash),
        ours._replace(hash_algorithm="sha256"),
    )
    for twin in twins:
        assert given_for(Request.build(twin)).response_status is ResponseStatus.unauthorized
        lax = Rules(other_issuers=OtherIssuers.UNKNOWN)
        assert basic_of(given_for(Request.build(twin), lax)).singles[0][1] == UNKNOWN
    assert basic_of(given_for(Request.build(ours))).singles[0][1] == GOOD


# -- R7: signed requests ----------------------------------------------------------------------

IGNORED = Rules()
VERIFIED = Rules(signed_requests=SignedRequests.VERIFIED, requestors=(CA.certificate,))
REQUIRED = Rules(signed_requests=SignedRequests.REQUIRED, requestors=(CA.certificate,))
PLAIN = Request.build(certid(1))
SIGNED = signed_request(PLAIN, CLIENT)
FORGED = signed_request(PLAIN, replace(CLIENT, key=STRANGER.key))
STRANGE = signed_request(PLAIN, STRANGER)


@pytest.mark.parametrize(
    ("rules", "request_", "expected"),
    [
        (IGNORED, PLAIN, ResponseStatus.successful),
        (IGNORED, SIGNED, ResponseStatus.successful),
        (IGNORED, FORGED, ResponseStatus.successful),
        (IGNORED, STRANGE, ResponseStatus.successful),
        (VERIFIED, PLAIN, ResponseStatus.successful),
        (VERIFIED, SIGNED, ResponseStatus.successful),
        (VERIFIED, FORGED, ResponseStatus.unauthorized),
        (VERIFIED, STRANGE, ResponseStatus.unauthorized),
        (REQUIRED, PLAIN, ResponseStatus.sigRequired),
        (REQUIRED, SIGNED, ResponseStatus.successful),
        (REQUIRED, FORGED, ResponseStatus.unauthorized),
        (REQUIRED, STRANGE, ResponseStatus.unauthorized),
    ],
)
def test_r7_signed_requests(rules: Rules, request_: Request, expected: ResponseStatus) -> None:
    given_back = given_for(request_, rules)
    assert given_back.response_status is expected
    assert bool(given_back.why) is (expected is not ResponseStatus.successful)
    assert Response.parse(given_back.der).response_status is expected
    proved = request_ is SIGNED and rules is not IGNORED
    assert given_back.requestor == (CLIENT.certificate.subject if proved else "")


def test_r7_red_a_name_without_a_signature_is_unsigned() -> None:
    named = replace(PLAIN, requestor=der.tlv(0xA4, CLIENT.certificate.subject_der))
    assert given_for(named, REQUIRED).response_status is ResponseStatus.sigRequired


def test_r7_a_refused_requestor_learns_nothing_of_the_serial() -> None:
    """Judged before the ledger's word is used: the same answer whatever is asked."""
    asked = [signed_request(Request.build(certid(n)), STRANGER) for n in (1, 2, 9)]
    assert {given_for(one, VERIFIED).der for one in asked} == {given_for(STRANGE, REQUIRED).der}


# -- R6, R8: extensions of requests -----------------------------------------------------------


def test_r8_who_takes_basic_responses_gets_one_and_who_does_not_gets_none() -> None:
    for types, expected in (
        ((BASIC,), ResponseStatus.successful),
        (("1.2.3", BASIC), ResponseStatus.successful),
        (("1.2.3",), ResponseStatus.unauthorized),
        ((), ResponseStatus.unauthorized),
    ):
        for critical in (False, True):
            wish = replace(acceptable_extension(*types), critical=critical)
            asked = Request.build(certid(1), extensions=(wish,))
            assert given_for(asked).response_status is expected


@pytest.mark.parametrize("oid", sorted(KNOWN))
def test_r6_extensions_with_nonsense_in_them(oid: str) -> None:
    """What is read must be right; what is not read is ignored, or refused when critical."""
    read_here = {"1.3.6.1.5.5.7.48.1.2", "1.3.6.1.5.5.7.48.1.4", "1.3.6.1.5.5.7.48.1.8"}
    for critical in (False, True):
        asked = Request.build(certid(1), extensions=(Extension(oid, critical, b"\x01\x02"),))
        refused = oid in read_here or critical
        expected = ResponseStatus.malformedRequest if refused else ResponseStatus.successful
        assert given_for(asked).response_status is expected
        inside = Request((SingleRequest(certid(1), (Extension(oid, critical, b"\x01\x02"),)),))
        refused = critical and oid != "1.3.6.1.5.5.7.48.1.7"
        expected = ResponseStatus.malformedRequest if refused else ResponseStatus.successful
        assert given_for(inside).response_status is expected


# -- R12: what more is told -------------------------------------------------------------------

SINCE = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
LIST = CrlID("http://ca.test/ca.crl", 41, SINCE)
DETAILS = {certid(n): Detail(SINCE, LIST) for n in (1, 2, 9)}
EVERYTHING = frozenset(Told)


def test_r12_a_revoked_certificates_list_and_invalidity_date_are_told() -> None:
    given_back = given_for(Request.build(certid(2)), Rules(tell=EVERYTHING), details=DETAILS)
    told = basic_of(given_back).singles[0].extensions
    assert crl_reference(told) == LIST
    assert invalidity_date(told) == SINCE
    assert archive_cutoff(told) is None
    assert examine(Response.parse(given_back.der), Subject(2, CA.certificate), at=AT).valid


def test_r12_only_what_the_rules_tell_and_the_ledger_knows() -> None:
    """R12: silence is the default."""
    for tell, expected in (
        (frozenset[Told](), set[str]()),
        (frozenset({Told.CRL}), {CRL_REFERENCE}),
        (frozenset({Told.INVALIDITY_DATE}), {INVALIDITY_DATE}),
        (EVERYTHING, {CRL_REFERENCE, INVALIDITY_DATE}),
    ):
        rules = Rules(tell=tell, never_issued=NeverIssued.REVOKED)
        asked = Request.build(certid(2))
        told = basic_of(given_for(asked, rules, details=DETAILS)).singles[0].extensions
        assert {one.oid for one in told} == expected
        assert basic_of(given_for(asked, rules)).singles[0].extensions == ()
        # RFC 6960 2.2: neither for what was never issued, nor for what is good
        for serial in (1, 9):
            one = given_for(Request.build(certid(serial)), rules, details=DETAILS)
            assert basic_of(one).singles[0].extensions == ()


def test_r12_the_archive_cutoff_is_the_retention_before_produced_at() -> None:
    """RFC 6960 4.4.4: of what is good and what is revoked; nothing is kept of strangers."""
    rules = Rules(archive_cutoff=timedelta(days=7 * 365), never_issued=NeverIssued.UNKNOWN)
    basic = basic_of(given_for(Request.build(certid(1), certid(2), certid(9)), rules))
    cutoffs = [archive_cutoff(one.extensions) for one in basic.singles]
    kept = basic.produced_at - timedelta(days=7 * 365)
    assert cutoffs == [kept, kept, None]
    extension = find(basic.singles[0].extensions, ARCHIVE_CUTOFF)
    assert extension is not None
    assert not extension.critical


# -- R14: the CA's key is in other hands ------------------------------------------------------

LOST = Revoked(AT - timedelta(days=2), RevocationReason.CA_COMPROMISE)


@pytest.mark.parametrize("never_issued", list(NeverIssued))
def test_r14_nothing_is_good_any_more(never_issued: NeverIssued) -> None:
    """Good, revoked, held and never issued: all revoked, since the earlier of two dates."""
    rules = Rules(ca_revoked=LOST, never_issued=never_issued)
    basic = basic_of(given_for(Request.build(*(certid(n) for n in (1, 2, 3, 9))), rules))
    assert [one.certificate_status for one in basic.singles] == [
        LOST,
        REVOKED,
        Revoked(HELD.at, RevocationReason.CA_COMPROMISE),
        NEVER_ISSUED,
    ]
    assert find(basic.extensions, EXTENDED_REVOKE) is not None
    alone = basic_of(given_for(Request.build(certid(1)), rules))
    assert find(alone.extensions, EXTENDED_REVOKE) is None


def test_r14_red_the_same_request_without_the_rule_is_good() -> None:
    asked = Request.build(certid(1))
    assert basic_of(given_for(asked)).singles[0].certificate_status == GOOD
    said = basic_of(given_for(asked, Rules(ca_revoked=LOST))).singles[0].certificate_status
    assert said == LOST


def test_r14_of_other_cas_nothing_is_said() -> None:
    given_back = given_for(Request.build(FOREIGN), Rules(ca_revoked=LOST))
    assert given_back.response_status is ResponseStatus.unauthorized


# -- R16 to R19: nonces -----------------------------------------------------------------------


@pytest.mark.parametrize("nonces", list(Nonces))
def test_r16_r17_r18_every_length_of_a_nonce(nonces: Nonces) -> None:
    """RFC 9654: 0 and more than 128 are malformed whatever the rule; the rest is echoed octet by
    octet, or answered without."""
    rules = Rules(nonces=nonces)
    for length in range(131):
        octets = bytes(n % 256 for n in range(length, 2 * length))
        value = der.octet_string(octets)
        for critical in (False, True):
            asked = Request.build(certid(1), extensions=(Extension(NONCE, critical, value),))
            given_back = given_for(asked, rules)
            if not 1 <= length <= 128:
                assert given_back.response_status is ResponseStatus.malformedRequest
                continue
            found = find(basic_of(given_back).extensions, NONCE)
            echoed = nonces is Nonces.ECHOED
            assert found == (Extension(NONCE, False, value) if echoed else None)
            assert given_back.nonced is echoed


def test_r19_answers_without_a_nonce_are_not_nonced() -> None:
    assert not given_for(PLAIN).nonced
    inside = Extension(NONCE, False, der.octet_string(b"n" * 32))
    misplaced = given_for(Request((SingleRequest(certid(1), (inside,)),)))
    assert not misplaced.nonced
    assert find(basic_of(misplaced).extensions, NONCE) is None


def test_r17_two_nonces_are_malformed() -> None:
    """RFC 5280 4.2: no extension stands twice."""
    twice = tuple(Extension(NONCE, False, der.octet_string(bytes([n]) * 32)) for n in (1, 2))
    refused = given_for(Request.build(certid(1), extensions=twice))
    assert refused.response_status is ResponseStatus.malformedRequest


# -- R28: one answer for every hash -----------------------------------------------------------


@pytest.mark.parametrize(
    "hashes", [("sha1",), ("sha1", "sha256"), ("sha256", "sha1"), tuple(HASH_OIDS)]
)
@pytest.mark.parametrize("serial", [1, 2])
def test_r28_one_answer_holds_a_single_for_every_hash(hashes: tuple[str, ...], serial: int) -> None:
    given_back = given_for(Request.build(*(certid(serial, name) for name in hashes)))
    response = Response.parse(given_back.der)
    assert response.basic is not None
    assert [one.certid for one in response.basic.singles] == [certid(serial, h) for h in hashes]
    assert {one.certificate_status for one in response.basic.singles} == {KNOWN_HERE[serial]}
    verdict = examine(response, Subject(serial, CA.certificate), at=AT)
    assert verdict.valid
    assert isinstance(verdict.certificate_status, Good) is (serial == 1)


# -- R30: ends --------------------------------------------------------------------------------


def test_r30_an_answer_ends_with_the_issuer_of_its_delegate() -> None:
    """A delegate that was given longer than its CA has: what the CA delegates ends with it."""
    ca = a_root("Short Root", lifetime=AT - BEGIN + timedelta(hours=1))
    made = a_signer(ca)
    signer = Signer(made.certificate, made.key, ca.certificate)
    one = CertID.of(1, ca.certificate)
    rules = Rules(validity=timedelta(days=7))
    last = AT
    for hours, expected in ((0, ResponseStatus.successful), (2, ResponseStatus.tryLater)):
        last = AT + timedelta(hours=hours)
        given_back = answer(
            Request.build(one), known={one: GOOD}, signer=signer, rules=rules, at=last
        )
        assert given_back.response_status is expected
        if given_back.next_update is not None:
            assert given_back.next_update == ca.certificate.not_after
    assert last > ca.certificate.not_after


def test_r30_a_renewed_ca_answers_after_the_end_of_its_old_certificate() -> None:
    """The old certificate is configured still; the same name and key sign (V2)."""
    old = a_root("Renewed Root", lifetime=AT - BEGIN - timedelta(days=1))
    new = a_root("Renewed Root")
    signer = Signer(new.certificate, new.key, old.certificate)
    one = CertID.of(1, old.certificate)
    given_back = answer(Request.build(one), known={one: GOOD}, signer=signer, rules=Rules(), at=AT)
    assert given_back.response_status is ResponseStatus.successful
    assert given_back.next_update == AT + Rules().validity


@settings(max_examples=150, deadline=None)
@given(
    left=st.integers(-3, 40_000),
    validity=st.integers(1, 90_000),
    backdate=st.integers(0, 9_000),
    micro=st.sampled_from([0, 1, 999_999]),
)
def test_r15_r20_r30_windows_are_never_empty_nor_longer_than_the_signer(
    left: int, validity: int, backdate: int, micro: int
) -> None:
    """Whatever the rules and however little of the signer's time is left, the answer is one that a
    strict judge takes now, or tryLater."""
    rules = Rules(validity=timedelta(seconds=validity), backdate=timedelta(seconds=backdate))
    at = (SIGNER.certificate.not_after - timedelta(seconds=left)).replace(microsecond=micro)
    given_back = answer(PLAIN, known={certid(1): GOOD}, signer=SIGNER, rules=rules, at=at)
    if given_back.response_status is not ResponseStatus.successful:
        assert given_back.response_status is ResponseStatus.tryLater
        assert left <= 0
        return
    assert given_back.this_update is not None
    assert given_back.next_update is not None
    assert given_back.this_update <= at
    assert given_back.this_update < given_back.next_update <= SIGNER.certificate.not_after
    assert given_back.next_update - at <= rules.validity
    assert examine(Response.parse(given_back.der), Subject(1, CA.certificate), at=at).valid
