"""What a piece of DER is, told by its outline alone.

Laws: never raises on any bytes; looks at tags and lengths only, so a wrong guess costs a worse
message, never a wrong acceptance: the parser of that kind still judges.
"""

from __future__ import annotations

from enum import Enum

from holdfast.pki.tlv import CONTEXT_0, INTEGER, SEQUENCE, Element, element, elements

SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # 1.2.840.113549.1.7.2, PKCS#7 signedData


class Kind(Enum):
    """The value is the word for people."""

    CERTIFICATE = "a certificate"
    TRUSTED_CERTIFICATE = "a certificate with OpenSSL trust settings"
    CRL = "a CRL"
    PKCS7 = "a PKCS#7 bundle"
    PRIVATE_KEY = "a private key"
    ENCRYPTED_KEY = "an encrypted private key"
    PUBLIC_KEY = "a public key"
    REQUEST = "a certificate signing request"
    PKCS12 = "a PKCS#12 file"
    OCSP_RESPONSE = "an OCSP response"
    OCSP_REQUEST = "an OCSP request"
    UNKNOWN = "something else"


def kind_of(der: bytes) -> Kind:
    """What `der` begins with; bytes after its first element are not looked at."""
    if der[:2] == b"\x30\x80":  # indefinite length: only PKCS#7 and PKCS#12 are met so
        return Kind.PKCS7 if SIGNED_DATA in der[:32] else Kind.PKCS12
    outer = element(der, 0, len(der))
    if outer is None or outer.tag != SEQUENCE:
        return Kind.UNKNOWN
    parts = elements(der, outer.start, outer.end)
    if not parts:
        return Kind.UNKNOWN
    match [part.tag for part in parts]:
        case [0x30, 0x30, 0x03]:
            return _signed_kind(der, parts[0])
        case [0x0A, *_]:
            return Kind.OCSP_RESPONSE
        case [0x06, 0xA0]:
            held = der[parts[0].head : parts[0].end]
            return Kind.PKCS7 if held == SIGNED_DATA else Kind.UNKNOWN
        case [0x02, 0x30, 0x04, *_] | [0x02, 0x04, *_] | [0x02, 0x02, 0x02, 0x02, *_]:
            return Kind.PRIVATE_KEY  # PKCS#8, SEC 1, PKCS#1
        case [0x02, 0x30] | [0x02, 0x30, 0x30]:
            return Kind.PKCS12
        case [0x02, 0x02]:
            return Kind.PUBLIC_KEY  # PKCS#1
        case [0x30, 0x04]:
            return Kind.ENCRYPTED_KEY
        case [0x30, 0x03]:
            return Kind.PUBLIC_KEY
        case [0x30, 0x30]:
            within = kind_of(der[parts[0].head : parts[0].end])
            return Kind.TRUSTED_CERTIFICATE if within is Kind.CERTIFICATE else Kind.UNKNOWN
        case [0x30] | [0x30, 0xA0]:
            return Kind.OCSP_REQUEST
        case _:
            return Kind.UNKNOWN


def _signed_kind(der: bytes, to_be_signed: Element) -> Kind:
    """Certificate, CRL or request: SIGNED{} values that differ within."""
    parts = elements(der, to_be_signed.start, to_be_signed.end) or []
    tags = [part.tag for part in parts]
    if tags[:1] == [CONTEXT_0]:
        return Kind.CERTIFICATE
    if tags[:1] == [INTEGER]:
        tags = tags[1:]
    match tags:
        case [0x30, 0x30, 0x17 | 0x18, *_]:
            return Kind.CRL
        case [0x30, 0x30, 0x30, 0x30, 0x30, *_]:
            return Kind.CERTIFICATE  # version 1
        case [0x30, 0x30] | [0x30, 0x30, 0xA0]:
            return Kind.REQUEST
        case _:
            return Kind.UNKNOWN
