"""Requests: one and several CertIDs, extensions, signed ones (R1, R5 to R8, R16, R28)."""

from __future__ import annotations

import pytest

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import ACCEPTABLE_RESPONSES, NONCE, Extension
from holdfast.ocsp.request import (
    MAX_REQUEST,
    MAX_REQUESTS,
    Request,
    RequestSignature,
    SingleRequest,
)

ID = CertID("sha1", b"n" * 20, b"k" * 20, 77)
SIGNED = RequestSignature(AlgorithmIdentifier("1.3.101.112"), b"s" * 64, (b"\x30\x00",))
REQUESTOR = der.tlv(0x82, b"client.example")


def test_the_usual_request() -> None:
    """K13: what a client sends is 76 octets or so."""
    data = Request.build(ID).encode()
    request = Request.parse(data)
    assert request == Request((SingleRequest(ID),))
    assert request.nonce is None
    assert len(data) < 80


def test_several_certids_keep_their_order() -> None:
    """R2, R28."""
    ids = [ID._replace(serial=n, null_parameters=n % 2 == 0) for n in (5, 3, 4)]
    request = Request.parse(Request.build(*ids).encode())
    assert [single.certid for single in request.singles] == ids
    assert [single.certid.null_parameters for single in request.singles] == [False, False, True]


def test_extensions_of_both_kinds() -> None:
    """R6, R8."""
    accepts = Extension(ACCEPTABLE_RESPONSES, True, der.sequence())
    request = Request((SingleRequest(ID, (accepts,)),), (accepts,))
    assert Request.parse(request.encode()) == request


def test_a_nonce_goes_behind_other_extensions() -> None:
    other = Extension("1.2.3", False, b"")
    request = Request.build(ID, nonce=b"n" * 32, extensions=(other,))
    assert [extension.oid for extension in request.extensions] == ["1.2.3", NONCE]
    assert Request.parse(request.encode()).nonce == b"n" * 32


def test_r16_a_nonce_of_wrong_length_parses_and_is_malformed_when_asked_for() -> None:
    """R16: so that a responder can say malformedRequest and still log what was asked."""
    wrong = Extension(NONCE, False, der.octet_string(b""))
    request = Request.parse(Request.build(ID, extensions=(wrong,)).encode())
    with pytest.raises(Malformed, match="0 octets"):
        _ = request.nonce


def test_r7_signed_requests_are_read_whole() -> None:
    request = Request((SingleRequest(ID),), (), REQUESTOR, SIGNED)
    read = Request.parse(request.encode())
    assert read == request
    assert read.requestor == REQUESTOR
    assert read.signature == SIGNED
    assert read.tbs == request.encode_tbs()


def test_a_parsed_request_is_written_back_as_it_came() -> None:
    data = Request((SingleRequest(ID),), (), REQUESTOR, SIGNED).encode()
    assert Request.parse(data).encode() == data


ONE = SingleRequest(ID).encode()
LIST = der.sequence(ONE)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "OCSPRequest: missing"),
        (b"\x30\x00", "TBSRequest: missing"),
        (der.sequence(der.sequence(der.sequence())), "empty: it asks for nothing"),
        (Request.build(ID).encode() + b"\x00", "1 trailing bytes"),
        (der.sequence(der.sequence(der.tlv(0xA0, b"\x02\x01\x00"), LIST)), "version: written out"),
        (der.sequence(der.sequence(LIST, b"\x05\x00")), "tag 0x05 where 0xa2 belongs"),
        (der.sequence(der.sequence(LIST), b"\x05\x00"), "tag 0x05 where 0xa0 belongs"),
        (der.sequence(der.sequence(der.sequence(ONE, b"\x05\x00"))), "0x05 where 0x30"),
        (der.sequence(der.sequence(der.sequence(der.sequence(ID.encode(), b"\x05\x00")))), "0xa0"),
        (der.sequence(der.sequence(der.tlv(0xA1, b"\x04\x00"), LIST)), "is no GeneralName"),
        (der.sequence(der.sequence(der.tlv(0xA1, REQUESTOR, REQUESTOR), LIST)), "trailing"),
        (der.sequence(der.sequence(LIST), der.tlv(0xA0, der.sequence())), "signatureAlgorithm"),
        (b"\x30\x80" + der.sequence(LIST) + b"\x00\x00", "indefinite"),
    ],
)
def test_r5_what_is_no_request_is_malformed(data: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        Request.parse(data)


def test_k25_requests_are_bounded() -> None:
    """K25, R26."""
    with pytest.raises(Malformed, match=f"more than {MAX_REQUEST}"):
        Request.parse(b"\x30" * (MAX_REQUEST + 1))
    small = CertID("sha1", b"", b"", 1)
    most = Request.build(*[small] * MAX_REQUESTS)
    assert len(Request.parse(most.encode()).singles) == MAX_REQUESTS
    with pytest.raises(Malformed, match=f"more than {MAX_REQUESTS} CertIDs"):
        Request.parse(Request.build(*[small] * (MAX_REQUESTS + 1)).encode())
    held = RequestSignature(SIGNED.algorithm, b"s", (b"\x30\x00",) * 17)
    with pytest.raises(Malformed, match="more than 16 certificates"):
        Request.parse(Request((SingleRequest(ID),), (), None, held).encode())


@pytest.mark.parametrize("size", [0, 129])
def test_no_request_is_built_with_a_nonce_of_wrong_length(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 128"):
        Request.build(ID, nonce=b"n" * size)
