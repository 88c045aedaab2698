"""What requests ask for beside CertIDs (R6, R8, R13): read as written, else `Malformed`."""

from __future__ import annotations

import pytest
from asn1crypto import ocsp as asn1

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import (
    ACCEPTABLE_RESPONSES,
    CRL_REASON,
    KNOWN,
    NONCE,
    PREFERRED_SIGNATURE_ALGORITHMS,
    SERVICE_LOCATOR,
    Extension,
)
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.request_extensions import (
    MAX_LISTED,
    PreferredAlgorithm,
    acceptable_extension,
    acceptable_responses,
    not_understood,
    preferred_algorithms,
    preferred_extension,
)
from holdfast.ocsp.response import BASIC

ID = CertID("sha1", b"n" * 20, b"k" * 20, 77)
P256 = AlgorithmIdentifier("1.2.840.10045.2.1", der.encode_oid("1.2.840.10045.3.1.7"))
ECDSA = AlgorithmIdentifier("1.2.840.10045.4.3.2")
RSA = AlgorithmIdentifier("1.2.840.113549.1.1.11", der.NULL_DER)


def test_r8_response_types_are_read_in_order() -> None:
    assert acceptable_responses(()) is None
    written = acceptable_extension("1.2.3", BASIC)
    assert acceptable_responses((written,)) == ("1.2.3", BASIC)
    assert acceptable_responses((acceptable_extension(),)) == ()


def test_r8_another_reader_agrees() -> None:
    """asn1crypto reads what is written here."""
    request = Request.build(ID, extensions=(acceptable_extension(BASIC),))
    read = asn1.OCSPRequest.load(request.encode(), strict=True)
    assert read.acceptable_responses_value.native == ["basic_ocsp_response"]


def test_r13_preferences_are_read_in_order() -> None:
    assert preferred_algorithms(()) == ()
    preferred = (PreferredAlgorithm(ECDSA, P256), PreferredAlgorithm(RSA))
    assert preferred_algorithms((preferred_extension(*preferred),)) == preferred


def test_r13_another_reader_agrees() -> None:
    written = preferred_extension(PreferredAlgorithm(ECDSA, P256), PreferredAlgorithm(RSA))
    request = Request.build(ID, extensions=(written,))
    read = asn1.OCSPRequest.load(request.encode(), strict=True)
    listed = read.preferred_signature_algorithms_value
    assert [one["sig_identifier"]["algorithm"].native for one in listed] == [
        "sha256_ecdsa",
        "sha256_rsa",
    ]
    assert listed[0]["cert_identifier"]["algorithm"].native == "ec"


BASIC_DER = der.encode_oid(BASIC)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (b"", "missing"),
        (b"\x05\x00", "tag 0x05"),
        (BASIC_DER, "tag 0x06"),
        (der.sequence(b"\x05\x00"), "tag 0x05"),
        (der.sequence(BASIC_DER) + b"\x00", "trailing"),
        (der.sequence(b"\x06\x00"), "acceptableResponses"),
        (der.sequence(*[BASIC_DER] * (MAX_LISTED + 1)), "more than 64"),
        (der.sequence(BASIC_DER)[:-1], "acceptableResponses"),
    ],
)
def test_r8_what_is_no_list_of_types_is_malformed(value: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        acceptable_responses((Extension(ACCEPTABLE_RESPONSES, False, value),))


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (b"", "missing"),
        (ECDSA.encode(), "tag 0x06 where 0x30"),
        (der.sequence(ECDSA.encode()), "tag 0x06 where 0x30"),
        (der.sequence(der.sequence()), "sigIdentifier: missing"),
        (der.sequence(der.sequence(ECDSA.encode(), b"\x05\x00")), "pubKeyAlgIdentifier"),
        (der.sequence(der.sequence(ECDSA.encode(), P256.encode(), b"\x05\x00")), "trailing"),
        (der.sequence(der.sequence(ECDSA.encode())) + b"\x00", "trailing"),
        (
            der.sequence(*[PreferredAlgorithm(ECDSA).encode()] * (MAX_LISTED + 1)),
            "more than 64 algorithms",
        ),
    ],
)
def test_r13_what_is_no_list_of_algorithms_is_malformed(value: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        preferred_algorithms((Extension(PREFERRED_SIGNATURE_ALGORITHMS, True, value),))


UNDERSTOOD_IN_REQUEST = {NONCE, ACCEPTABLE_RESPONSES, PREFERRED_SIGNATURE_ALGORITHMS}


@pytest.mark.parametrize("oid", [*sorted(KNOWN), "1.2.3.4"])
def test_r6_critical_extensions_are_understood_only_where_they_belong(oid: str) -> None:
    """R6: a critical reason code in a request is as strange as one of an unknown OID."""
    critical, plain = Extension(oid, True, b""), Extension(oid, False, b"")
    outside = Request((SingleRequest(ID),), (critical,))
    inside = Request((SingleRequest(ID), SingleRequest(ID, (critical,))))
    assert (not_understood(outside) == "") == (oid in UNDERSTOOD_IN_REQUEST)
    assert (not_understood(inside) == "") == (oid == SERVICE_LOCATOR)
    assert not_understood(Request((SingleRequest(ID, (plain,)),), (plain,))) == ""
    assert not_understood(inside) in ("", oid)
    assert CRL_REASON not in UNDERSTOOD_IN_REQUEST
