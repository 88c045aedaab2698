"""Responses as values: every field both ways; error responses; bounds (V6, R1 to R4, K25)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import (
    GOOD,
    MAX_RESPONSE,
    MAX_SINGLES,
    UNKNOWN,
    CertificateStatus,
    ResponderID,
    ResponderKey,
    ResponderName,
    Response,
    ResponseStatus,
    RevocationReason,
    Revoked,
    SingleResponse,
    assemble,
    encode_response_data,
    error_response,
)
from support.builders import signed_response, single_response
from support.pki import a_key, a_root

T0 = datetime(2026, 6, 1, tzinfo=UTC)
T1 = T0 + timedelta(days=7)
ID = CertID("sha1", b"n" * 20, b"k" * 20, 77)
KEY = ResponderKey(b"r" * 20)
ALGORITHM = AlgorithmIdentifier("1.3.101.112")
EXTENSION = Extension("1.2.3", False, b"x")


def built(
    *singles: SingleResponse,
    responder_id: ResponderID = KEY,
    extensions: tuple[Extension, ...] = (),
    certificates: tuple[bytes, ...] = (),
) -> bytes:
    tbs = encode_response_data(responder_id, T0, singles, extensions)
    return assemble(tbs, ALGORITHM, b"s" * 64, certificates)


@pytest.mark.parametrize(
    "certificate_status",
    [GOOD, UNKNOWN, Revoked(T0), *(Revoked(T0, reason) for reason in RevocationReason)],
    ids=str,
)
@pytest.mark.parametrize("next_update", [T1, None])
@pytest.mark.parametrize("extensions", [(), (EXTENSION,)])
def test_singles_both_ways(
    certificate_status: CertificateStatus,
    next_update: datetime | None,
    extensions: tuple[Extension, ...],
) -> None:
    """R10, R20: each certificate_status, with and without the optional fields."""
    single = SingleResponse(ID, certificate_status, T0, next_update, extensions)
    data = built(single)
    response = Response.parse(data)
    assert response.response_status is ResponseStatus.successful
    assert response.basic is not None
    assert response.basic.singles == (single,)
    assert response.basic.encode() == data == response.der


@pytest.mark.parametrize("responder_id", [KEY, ResponderName(a_root().certificate.subject_der)])
def test_r9_responder_ids_both_ways(responder_id: ResponderID) -> None:
    single = SingleResponse(ID, GOOD, T0)
    basic = Response.parse(built(single, responder_id=responder_id)).basic
    assert basic is not None
    assert basic.responder_id == responder_id


def test_certificates_and_extensions_keep_their_order() -> None:
    """R1, R3: certificates are not looked into: even an empty SEQUENCE is carried."""
    sent = (a_root().certificate.der, b"\x30\x00", a_root("Other").certificate.der)
    extensions = (Extension("1.2.9", True, b""), EXTENSION)
    data = built(SingleResponse(ID, GOOD, T0), extensions=extensions, certificates=sent)
    basic = Response.parse(data).basic
    assert basic is not None
    assert basic.certificates == sent
    assert basic.extensions == extensions


def test_r3_certs_is_absent_when_there_are_none() -> None:
    data = built(SingleResponse(ID, GOOD, T0))
    assert data.endswith(der.encode_bit_string(b"s" * 64))


def test_an_empty_name_is_a_name() -> None:
    """RFC 5280 4.1.2.4: a subject may be empty; a RelativeDistinguishedName may not."""
    data = built(SingleResponse(ID, GOOD, T0), responder_id=ResponderName(der.sequence()))
    assert Response.parse(data).basic is not None
    wrong = ResponderName(der.sequence(der.tlv(der.SET)))
    with pytest.raises(Malformed, match="empty RelativeDistinguishedName"):
        Response.parse(built(SingleResponse(ID, GOOD, T0), responder_id=wrong))


# -- error responses --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [code for code in ResponseStatus if code])
def test_r4_error_responses_are_five_bytes(code: ResponseStatus) -> None:
    """R4, V6: no bytes, and never an answer."""
    data = error_response(code)
    assert len(data) == 5
    assert Response.parse(data) == Response(data, code, None)


def test_r4_success_is_no_error_response() -> None:
    with pytest.raises(ValueError, match="carries an answer"):
        error_response(ResponseStatus.successful)


@pytest.mark.parametrize("code", [4, 7, 8, 127, 255])
def test_v6_other_codes_are_malformed(code: int) -> None:
    with pytest.raises(Malformed, match="is not a response status") as caught:
        Response.parse(b"\x30\x03\x0a\x01" + bytes((code,)))
    assert caught.value.what == "OCSPResponse.responseStatus"
    assert caught.value.offset == 4


def test_v6_success_without_bytes_says_so() -> None:
    with pytest.raises(Malformed, match="successful without a response"):
        Response.parse(b"\x30\x03\x0a\x01\x00")


# -- bounds -----------------------------------------------------------------------------------


def test_k25_the_size_is_bounded() -> None:
    with pytest.raises(Malformed, match=f"more than {MAX_RESPONSE}"):
        Response.parse(b"\x30" * (MAX_RESPONSE + 1))


def test_k25_the_number_of_singles_is_bounded() -> None:
    single = SingleResponse(CertID("sha1", b"", b"", 1), GOOD, T0)
    basic = Response.parse(built(*[single] * MAX_SINGLES)).basic
    assert basic is not None
    assert len(basic.singles) == MAX_SINGLES
    with pytest.raises(Malformed, match=f"more than {MAX_SINGLES}"):
        Response.parse(built(*[single] * (MAX_SINGLES + 1)))


def test_k25_the_number_of_certificates_is_bounded() -> None:
    single = SingleResponse(ID, GOOD, T0)
    assert Response.parse(built(single, certificates=(b"\x30\x00",) * 16)).basic
    with pytest.raises(Malformed, match="more than 16 certificates"):
        Response.parse(built(single, certificates=(b"\x30\x00",) * 17))


def test_malformed_names_the_noun_and_its_byte() -> None:
    """V6: the offset is where the wrong element begins in the whole message."""
    broken = single_response(ID, b"\x83\x00", this_update=der.encode_time(T0))
    tbs = der.sequence(
        der.tlv(0xA2, der.octet_string(b"r" * 20)), der.encode_time(T0), der.sequence(broken)
    )
    data = signed_response(a_key(), tbs)
    with pytest.raises(Malformed) as caught:
        Response.parse(data)
    assert caught.value.what == "SingleResponse.certStatus"
    assert caught.value.offset == data.index(b"\x83\x00\x18\x0f")
    assert caught.value.message == (
        "SingleResponse.certStatus: tag 0x83 is none of good, revoked, unknown "
        f"(at byte {caught.value.offset})"
    )
