"""Answers' laws, over chance: every request, whatever its extensions and damage, gets an answer
that a strict judge takes, or an error without bytes; never a word that the ledger did not say.

R1 to R8, R11, R12, R14, R16 to R20.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import pytest
from asn1crypto import ocsp as asn1
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.certid import HASH_OIDS, CertID, Subject
from holdfast.ocsp.extension import (
    ACCEPTABLE_RESPONSES,
    ARCHIVE_CUTOFF,
    CRL_REFERENCE,
    INVALIDITY_DATE,
    NONCE,
    PREFERRED_SIGNATURE_ALGORITHMS,
    Extension,
    find,
)
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.request_extensions import (
    acceptable_extension,
    acceptable_responses,
    preferred_algorithms,
    preferred_extension,
)
from holdfast.ocsp.response import BASIC, Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.single_extensions import (
    archive_cutoff,
    archive_cutoff_extension,
    crl_extension,
    crl_reference,
    invalidity_date,
    invalidity_date_extension,
)
from holdfast.ocsp.statuses import GOOD, CertificateStatus, Good, RevocationReason, Revoked
from holdfast.ocsp.statuses import ResponseStatus as Said
from holdfast.ocsp.verify import examine
from holdfast.plan.answering import (
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
from holdfast.plan.choosing import choose
from support.messages import (
    a_certid,
    a_crl_id,
    a_nonce,
    a_preference,
    a_request,
    a_time,
    damaged,
    signed_request,
    some_extensions,
    some_wishes,
)
from support.pki import AT, a_root, a_server, a_signer

CA = a_root()
CLIENTS = (a_server(CA, "client.test"), a_server(a_root("Another"), "stranger.test"))
SIGNERS = tuple(
    Signer(made.certificate, made.key, CA.certificate)
    for made in (a_signer(CA, kind, key_type=kind) for kind in ("ecdsa-p256", "ed25519"))
)
LEDGER: dict[int, CertificateStatus] = {
    1: GOOD,
    2: Revoked(AT - timedelta(days=3), RevocationReason.KEY_COMPROMISE),
    3: Revoked(AT - timedelta(days=1)),
}
MORE = settings(max_examples=200, deadline=None)
chance = st.randoms(use_true_random=False)


def some_rules(rng: Random) -> Rules:
    lost = Revoked(AT - timedelta(days=2), RevocationReason.CA_COMPROMISE)
    return Rules(
        never_issued=rng.choice(list(NeverIssued)),
        other_issuers=rng.choice(list(OtherIssuers)),
        signed_requests=rng.choice(list(SignedRequests)),
        requestors=(CA.certificate,),
        nonces=rng.choice(list(Nonces)),
        archive_cutoff=rng.choice((None, timedelta(days=3650), a_time(rng))),
        tell=frozenset(one for one in Told if rng.random() < 0.5),
        ca_revoked=rng.choice((None, None, lost)),
    )


def asked_of_us(rng: Random) -> Request:
    """Our CA's certificates for the most part, with every extension there is."""

    def one() -> CertID:
        if rng.random() < 0.1:
            return a_certid(rng)
        return CertID.of(rng.randrange(1, 6), CA.certificate, rng.choice(list(HASH_OIDS)))

    singles = tuple(SingleRequest(one()) for _ in range(rng.choice((1, 1, 2, 5))))
    known = [a_nonce(rng), *some_wishes(rng)]
    extensions = rng.choice(((), some_extensions(rng, *known), tuple(known)))
    request = Request(singles, extensions)
    return signed_request(request, rng.choice(CLIENTS)) if rng.random() < 0.4 else request


def given_for(data: bytes, rules: Rules, rng: Random) -> tuple[Request | None, Answer]:
    request = read_request(data)
    if isinstance(request, Answer):
        return None, request
    certids = [one.certid for one in request.singles]
    ours = [one for one in certids if one.names(one.serial, CA.certificate)]
    details = {one: Detail(a_time(rng), a_crl_id(rng)) for one in ours if rng.random() < 0.5}
    known = {one: LEDGER.get(one.serial) for one in ours}
    signer = choose(SIGNERS, request, at=AT)
    return request, answer(request, known=known, signer=signer, rules=rules, at=AT, details=details)


def check(request: Request | None, rules: Rules, given_back: Answer) -> None:
    """What holds of every answer."""
    response = Response.parse(given_back.der)
    assert response.response_status is given_back.response_status
    native = asn1.OCSPResponse.load(given_back.der, strict=True)
    assert int(native["response_status"]) == given_back.response_status
    if response.basic is None:
        assert given_back.why
        assert len(given_back.der) == 5
        assert native["response_bytes"].native is None
        return
    basic = response.basic
    assert request is not None
    assert [one.certid.encode() for one in basic.singles] == [
        one.certid.encode() for one in request.singles
    ]
    nonce, sent = find(basic.extensions, NONCE), find(request.extensions, NONCE)
    assert (nonce is None) is (sent is None or rules.nonces is Nonces.IGNORED)
    assert nonce is None or (sent is not None and nonce.value == sent.value)
    assert given_back.nonced is (nonce is not None)
    assert not any(extension.critical for extension in basic.extensions)
    if rules.signed_requests is SignedRequests.REQUIRED:
        assert request.signature is not None
    if request.signature is not None and rules.signed_requests is not SignedRequests.IGNORED:
        assert given_back.requestor == CLIENTS[0].certificate.subject
    for single in basic.singles:
        ours = single.certid.names(single.certid.serial, CA.certificate)
        word = LEDGER.get(single.certid.serial) if ours else None
        if isinstance(single.certificate_status, Good):
            assert word == GOOD
            assert rules.ca_revoked is None
        assert (single.next_update or AT) > single.this_update
        told = {extension.oid for extension in single.extensions}
        assert not any(extension.critical for extension in single.extensions)
        assert (ARCHIVE_CUTOFF in told) is (word is not None and rules.archive_cutoff is not None)
        if {CRL_REFERENCE, INVALIDITY_DATE} & told:
            assert isinstance(single.certificate_status, Revoked)
            assert word is not None
        if ours:
            subject = Subject(single.certid.serial, CA.certificate)
            assert examine(response, subject, at=AT).valid


@MORE
@given(chance)
def test_every_request_gets_an_answer_that_a_strict_judge_takes(rng: Random) -> None:
    """R1 to R8, R11, R12, R14, R16 to R20."""
    rules, asked = some_rules(rng), asked_of_us(rng)
    request, given_back = given_for(asked.encode(), rules, rng)
    check(request, rules, given_back)


@pytest.mark.parametrize("batch", range(4))
def test_two_thousand_answers_and_their_damaged_twins(batch: int) -> None:
    """R5, R7, R16: what is left of a request after damage is judged as if it had been sent so."""
    rng = Random(f"answers {batch}")
    said = set()
    for _ in range(500):
        rules, asked = some_rules(rng), asked_of_us(rng)
        data = asked.encode()
        for sent in (data, damaged(rng, data)):
            request, given_back = given_for(sent, rules, rng)
            check(request, rules, given_back)
            said.add(given_back.response_status)
        strange = a_request(rng).encode()
        check(*_judged(strange, rules, rng))
    assert said == {Said.successful, Said.malformedRequest, Said.unauthorized, Said.sigRequired}


def _judged(data: bytes, rules: Rules, rng: Random) -> tuple[Request | None, Rules, Answer]:
    request, given_back = given_for(data, rules, rng)
    return request, rules, given_back


# -- the readers of extensions ----------------------------------------------------------------

Reader = Callable[[tuple[Extension, ...]], object]
READERS: dict[str, Reader] = {
    ACCEPTABLE_RESPONSES: acceptable_responses,
    PREFERRED_SIGNATURE_ALGORITHMS: preferred_algorithms,
    ARCHIVE_CUTOFF: archive_cutoff,
    INVALIDITY_DATE: invalidity_date,
    CRL_REFERENCE: crl_reference,
}


def read_or_malformed(oid: str, value: bytes) -> object:
    try:
        return READERS[oid]((Extension(oid, False, value),))
    except Malformed as error:
        assert error.message  # noqa: PT017
        return None


@MORE
@given(chance)
def test_extensions_are_read_as_they_were_written(rng: Random) -> None:
    """R8, R12, R13."""
    crl, at = a_crl_id(rng), a_time(rng)
    assert crl_reference((crl_extension(crl),)) == crl
    assert archive_cutoff((archive_cutoff_extension(at),)) == at
    assert invalidity_date((invalidity_date_extension(at),)) == at
    listed = tuple(a_preference(rng) for _ in range(rng.randrange(20)))
    assert preferred_algorithms((preferred_extension(*listed),)) == listed
    types = tuple(rng.choice((BASIC, "1.2.3", "2.999.1")) for _ in range(rng.randrange(5)))
    assert acceptable_responses((acceptable_extension(*types),)) == types


@MORE
@given(st.sampled_from(sorted(READERS)), st.binary(max_size=60))
def test_any_bytes_give_a_value_or_malformed(oid: str, value: bytes) -> None:
    read_or_malformed(oid, value)


def written(rng: Random) -> list[Extension]:
    return [
        crl_extension(a_crl_id(rng)),
        archive_cutoff_extension(a_time(rng)),
        invalidity_date_extension(a_time(rng)),
        *some_wishes(rng),
    ]


def _again(oid: str, value: object) -> bytes:
    match oid:
        case "1.3.6.1.5.5.7.48.1.3":
            return crl_extension(value).value  # type: ignore[arg-type]
        case "1.3.6.1.5.5.7.48.1.4":
            return acceptable_extension(*value).value  # type: ignore[misc]
        case "1.3.6.1.5.5.7.48.1.8":
            return preferred_extension(*value).value  # type: ignore[misc]
        case _:
            assert isinstance(value, datetime)
            return der.encode_time(value)


def test_every_flipped_bit_of_an_extension_is_malformed_or_another_value() -> None:
    """Mutation: what still reads is written back as it stood, so no two encodings mean the same."""
    rng = Random("flips")
    tried = malformed = 0
    for _ in range(40):
        for extension in written(rng):
            for place in range(len(extension.value)):
                value = bytearray(extension.value)
                value[place] ^= 1 << rng.randrange(8)
                read = read_or_malformed(extension.oid, bytes(value))
                tried += 1
                if read is None:
                    malformed += 1
                else:
                    assert _again(extension.oid, read) == bytes(value)
    assert tried > 5000
    assert malformed > tried // 5
