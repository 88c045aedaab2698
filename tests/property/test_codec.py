"""The codec's laws: parse(build(x)) = x; oracles agree; any bytes give a value or `Malformed`.

R1 to R5, R28, V6; K25 for hostile bytes. Ten thousand messages come from fixed seeds, the same on
every machine; hypothesis looks for more of them.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from asn1crypto import ocsp as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import Malformed
from holdfast.ocsp.certid import HASH_OIDS, CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.http import decode_get_path, get_url
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import (
    GOOD,
    UNKNOWN,
    BasicResponse,
    CertificateStatus,
    ResponderID,
    ResponderKey,
    Response,
    RevocationReason,
    Revoked,
    assemble,
    encode_response_data,
    error_response,
)
from support.messages import Answer, a_request, an_error, damaged

BATCHES = range(20)  # of 500 messages: 10,000
EACH = 500
MORE = settings(max_examples=200, deadline=None)

chance = st.randoms(use_true_random=False)


# -- parse(build(x)) = x ----------------------------------------------------------------------


def check_response(answer: Answer) -> BasicResponse:
    response = Response.parse(answer.der)
    basic = response.basic
    assert basic is not None
    assert response.der == answer.der
    assert basic.responder_id == answer.responder_id
    assert basic.produced_at == answer.produced_at
    assert basic.singles == answer.singles
    parameters = [single.certid.null_parameters for single in answer.singles]
    assert [single.certid.null_parameters for single in basic.singles] == parameters
    assert basic.extensions == answer.extensions
    assert basic.signature_algorithm == answer.algorithm
    assert basic.signature == answer.signature
    assert basic.certificates == answer.certificates
    assert basic.tbs == answer.tbs
    assert basic.encode() == answer.der
    return basic


def check_request(request: Request) -> bytes:
    built = request.encode()
    parsed = Request.parse(built)
    assert parsed == request
    assert parsed.tbs == request.encode_tbs()
    parameters = [single.certid.null_parameters for single in request.singles]
    assert [single.certid.null_parameters for single in parsed.singles] == parameters
    assert parsed.encode() == built
    return built


@MORE
@given(chance)
def test_a_response_is_read_as_it_was_built(rng: Random) -> None:
    """R1, R2, R28: several singles, extensions of both kinds, every hash and signature."""
    check_response(Answer(rng))


@MORE
@given(chance)
def test_a_request_is_read_as_it_was_built(rng: Random) -> None:
    """R7, R28: several CertIDs, extensions of both kinds, a requestor, a signature."""
    check_request(a_request(rng))


# -- the oracles, field by field --------------------------------------------------------------


@pytest.mark.parametrize("batch", BATCHES)
def test_ten_thousand_messages_agree_with_both_oracles(batch: int) -> None:
    """Three of five are responses, one of a hundred an error response."""
    rng = Random(f"batch {batch}")
    for number in range(EACH):
        if number % 100 == 0:
            code, data = an_error(rng)
            assert Response.parse(data).response_status is code
            assert ocsp.load_der_ocsp_response(data).response_status.value == code
            assert int(asn1.OCSPResponse.load(data, strict=True)["response_status"]) == code
        elif number % 5 < 3:
            answer = Answer(rng)
            basic = check_response(answer)
            agrees_with_asn1crypto(basic, asn1.OCSPResponse.load(answer.der, strict=True))
            agrees_with_cryptography(basic, ocsp.load_der_ocsp_response(answer.der))
        else:
            request = a_request(rng)
            data = check_request(request)
            request_agrees_with_asn1crypto(request, asn1.OCSPRequest.load(data, strict=True))
            if len(request.singles) == 1:  # cryptography reads no others
                request_agrees_with_cryptography(request, ocsp.load_der_ocsp_request(data))


def agrees_with_asn1crypto(ours: BasicResponse, whole: asn1.OCSPResponse) -> None:
    theirs = whole["response_bytes"]["response"].parsed
    data = theirs["tbs_response_data"]
    assert data.dump() == ours.tbs
    assert data["version"].native == "v1"
    assert asn1_responder(data["responder_id"]) == responder(ours.responder_id)
    assert data["produced_at"].native == ours.produced_at
    assert len(data["responses"]) == len(ours.singles)
    for single, one in zip(ours.singles, data["responses"], strict=True):
        assert asn1_certid(one["cert_id"]) == certid(single.certid)
        assert asn1_status(one["cert_status"]) == single.certificate_status
        assert one["this_update"].native == single.this_update
        assert one["next_update"].native == single.next_update
        assert asn1_extensions(one["single_extensions"]) == single.extensions
    assert asn1_extensions(data["response_extensions"]) == ours.extensions
    assert theirs["signature_algorithm"].dump() == ours.signature_algorithm.encode()
    assert theirs["signature"].native == ours.signature
    assert tuple(one.dump() for one in theirs["certs"]) == ours.certificates


def request_agrees_with_asn1crypto(ours: Request, theirs: asn1.OCSPRequest) -> None:
    data = theirs["tbs_request"]
    assert data.dump() == ours.encode_tbs()
    name = data["requestor_name"]
    assert (name.dump() if name.native is not None else None) == wrapped_requestor(ours)
    assert len(data["request_list"]) == len(ours.singles)
    for single, one in zip(ours.singles, data["request_list"], strict=True):
        assert asn1_certid(one["req_cert"]) == certid(single.certid)
        assert asn1_extensions(one["single_request_extensions"]) == single.extensions
    assert asn1_extensions(data["request_extensions"]) == ours.extensions
    signature = theirs["optional_signature"]
    if ours.signature is None:
        assert signature.native is None
        return
    assert signature["signature_algorithm"].dump() == ours.signature.algorithm.encode()
    assert signature["signature"].native == ours.signature.signature
    assert tuple(one.dump() for one in signature["certs"]) == ours.signature.certificates


def wrapped_requestor(request: Request) -> bytes | None:
    """The [1] EXPLICIT that asn1crypto shows."""
    if request.requestor is None:
        return None
    assert len(request.requestor) < 128
    return bytes((0xA1, len(request.requestor))) + request.requestor


def certid(ours: CertID) -> tuple[object, ...]:
    oid = HASH_OIDS[ours.hash_algorithm]
    return (oid, ours.null_parameters, ours.issuer_name_hash, ours.issuer_key_hash, ours.serial)


def asn1_certid(theirs: Any) -> tuple[object, ...]:
    algorithm = theirs["hash_algorithm"]
    return (
        algorithm["algorithm"].dotted,
        algorithm["parameters"].dump() == b"\x05\x00",
        theirs["issuer_name_hash"].native,
        theirs["issuer_key_hash"].native,
        theirs["serial_number"].native,
    )


def asn1_status(theirs: Any) -> CertificateStatus:
    if theirs.name != "revoked":
        return GOOD if theirs.name == "good" else UNKNOWN
    reason = theirs.chosen["revocation_reason"]
    known = None if reason.native is None else RevocationReason.by_code(int(reason))
    return Revoked(theirs.chosen["revocation_time"].native, known)


def asn1_extensions(theirs: Any) -> tuple[Extension, ...]:
    return tuple(
        Extension(one["extn_id"].dotted, one["critical"].native, one["extn_value"].contents)
        for one in (theirs if theirs.native is not None else ())
    )


def responder(ours: ResponderID) -> bytes:
    return ours.key_hash if isinstance(ours, ResponderKey) else ours.name


def asn1_responder(theirs: Any) -> bytes:
    return theirs.chosen.native if theirs.name == "by_key" else theirs.chosen.untag().dump()


def agrees_with_cryptography(ours: BasicResponse, theirs: ocsp.OCSPResponse) -> None:
    """It shows extensions of a response with one single only, and no producedAt of others."""
    assert theirs.produced_at_utc == ours.produced_at
    assert theirs.tbs_response_bytes == ours.tbs
    assert theirs.signature == ours.signature
    assert theirs.signature_algorithm_oid.dotted_string == ours.signature_algorithm.oid
    assert [one.public_bytes(Encoding.DER) for one in theirs.certificates] == list(
        ours.certificates
    )
    if isinstance(ours.responder_id, ResponderKey):
        assert theirs.responder_key_hash == ours.responder_id.key_hash
    else:
        assert theirs.responder_name is not None
        assert theirs.responder_name.public_bytes() == ours.responder_id.name
    same_extensions(ours.extensions, theirs.extensions)
    singles = list(theirs.responses)
    assert len(singles) == len(ours.singles)
    for single, one in zip(ours.singles, singles, strict=True):
        same_single(single.certid, one)
        assert one.this_update_utc == single.this_update
        assert one.next_update_utc == single.next_update
        match single.certificate_status:
            case Revoked(at, reason):
                assert one.certificate_status is ocsp.OCSPCertStatus.REVOKED
                assert one.revocation_time_utc == at
                told = one.revocation_reason
                assert (told and told.value) == (reason and reason.text)
            case other:
                assert one.certificate_status.name.lower() == other.text
    if len(singles) == 1:
        same_extensions(ours.singles[0].extensions, theirs.single_extensions)


def request_agrees_with_cryptography(ours: Request, theirs: ocsp.OCSPRequest) -> None:
    same_extensions(ours.extensions, theirs.extensions)
    same_single(ours.singles[0].certid, theirs)


def same_single(ours: CertID, theirs: Any) -> None:
    assert theirs.hash_algorithm.name == ours.hash_algorithm
    assert theirs.issuer_name_hash == ours.issuer_name_hash
    assert theirs.issuer_key_hash == ours.issuer_key_hash
    assert theirs.serial_number == ours.serial


def same_extensions(ours: tuple[Extension, ...], theirs: x509.Extensions) -> None:
    assert [(one.oid, one.critical) for one in ours] == [
        (one.oid.dotted_string, one.critical) for one in theirs
    ]
    for mine, one in zip(ours, theirs, strict=True):
        if isinstance(one.value, x509.UnrecognizedExtension):
            assert one.value.value == mine.value
        else:
            assert one.value.public_bytes() == mine.value


# -- any bytes --------------------------------------------------------------------------------


def read_response(data: bytes) -> None:
    """A value that is written back as it came, or `Malformed` with what and where."""
    try:
        response = Response.parse(data)
    except Malformed as error:
        says_what_and_where(error, data)
        return
    assert response.der == data
    basic = response.basic
    if basic is None:
        assert error_response(response.response_status) == data
        return
    tbs = encode_response_data(
        basic.responder_id, basic.produced_at, basic.singles, basic.extensions
    )
    assert tbs == basic.tbs
    again = assemble(tbs, basic.signature_algorithm, basic.signature, basic.certificates)
    # An empty list of certificates is the one thing that we read and would not write (R3).
    assert again == data or (not basic.certificates and data.endswith(b"\xa0\x02\x30\x00"))


def read_request(data: bytes) -> None:
    try:
        request = Request.parse(data)
    except Malformed as error:
        says_what_and_where(error, data)
        return
    rebuilt = Request(request.singles, request.extensions, request.requestor, request.signature)
    signature = request.signature
    empty = signature is not None and not signature.certificates
    assert rebuilt.encode() == data or (empty and data.endswith(b"\xa0\x02\x30\x00"))


def read_path(data: bytes) -> None:
    try:
        request = decode_get_path(data)
    except Malformed as error:
        says_what_and_where(error, data)
        return
    assert isinstance(request, bytes)


def says_what_and_where(error: Malformed, data: bytes) -> None:
    assert error.what
    assert error.problem
    assert 0 <= error.offset <= len(data)
    assert str(error.offset) in error.message


@MORE
@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_malformed(data: bytes) -> None:
    """V6, R5, K25."""
    read_response(data)
    read_request(data)
    read_path(data)


@MORE
@given(st.binary(max_size=300), st.sampled_from([b"\x30", b"\x30\x82\x01\x00\x0a\x01\x00\xa0"]))
def test_bytes_that_begin_well_give_a_value_or_malformed(data: bytes, begin: bytes) -> None:
    """V6, R5, K25."""
    read_response(begin + data)
    read_request(begin + data)


@MORE
@given(chance)
def test_damaged_messages_give_a_value_or_malformed(rng: Random) -> None:
    """V6, R5, K25."""
    read_response(damaged(rng, Answer(rng).der))
    data = a_request(rng).encode()
    read_request(damaged(rng, data))
    read_path(damaged(rng, (get_url("", data) or "/").encode()))


@pytest.mark.parametrize("batch", range(4))
def test_forty_thousand_damaged_messages(batch: int) -> None:
    """V6, R5, K25: what still parses is written back as it came."""
    rng = Random(f"damage {batch}")
    for _ in range(500):
        answer, request = Answer(rng).der, a_request(rng).encode()
        for _ in range(10):
            read_response(damaged(rng, answer))
            read_request(damaged(rng, request))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 65536, 1 << 20, (1 << 20) + 1])
@pytest.mark.parametrize("octet", [0x00, 0x30, 0x80, 0xA0, 0xFF])
def test_long_runs_of_one_octet(octet: int, size: int) -> None:
    """K25: no recursion, no quadratic time."""
    data = bytes((octet,)) * size
    for parse in (Response.parse, Request.parse):
        with pytest.raises(Malformed):
            parse(data)


def test_nested_lengths_do_not_recurse() -> None:
    """K25: three hundred nested sequences."""
    data = b""
    for _ in range(300):
        data = b"\x30\x82" + len(data).to_bytes(2, "big") + data
    for parse in (Response.parse, Request.parse):
        with pytest.raises(Malformed):
            parse(data)
