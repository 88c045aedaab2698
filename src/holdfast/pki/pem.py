"""Any bytes to certificates, CRLs and other blocks, told by looking: PEM, DER, PKCS#7, base64.

Laws: pure and bounded. `name` tells whose bytes they are, and so who must act: with a name they are
an operator's file, and every failure is an `OperatorError` that names it; without, they are a
peer's, and every failure is `Malformed`. RFC 7468 (PEM, lax reading), RFC 2315 (PKCS#7).
"""

from __future__ import annotations

import binascii
import codecs
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.errors import HoldfastError, Malformed, OperatorError
from holdfast.pki.certificate import Certificate
from holdfast.pki.kind import Kind, kind_of
from holdfast.pki.tlv import SEQUENCE, element, elements
from holdfast.pki.unreadable import UNREADABLE

if TYPE_CHECKING:
    from holdfast.pki.crl import Crl

MAX_INPUT = 64 * 1024 * 1024  # bytes; the largest public CRLs are tens of megabytes

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"

Parsed = TypeVar("Parsed", Certificate, "Crl")

# RFC 7468 and OpenSSL's pem.h
_LABELS = {
    "CERTIFICATE": Kind.CERTIFICATE,
    "X509 CERTIFICATE": Kind.CERTIFICATE,
    "X.509 CERTIFICATE": Kind.CERTIFICATE,
    "TRUSTED CERTIFICATE": Kind.TRUSTED_CERTIFICATE,
    "X509 CRL": Kind.CRL,
    "CRL": Kind.CRL,
    "PKCS7": Kind.PKCS7,
    "CMS": Kind.PKCS7,
    "PKCS #7 SIGNED DATA": Kind.PKCS7,
    "CERTIFICATE REQUEST": Kind.REQUEST,
    "NEW CERTIFICATE REQUEST": Kind.REQUEST,
    "ENCRYPTED PRIVATE KEY": Kind.ENCRYPTED_KEY,
    "PUBLIC KEY": Kind.PUBLIC_KEY,
    "RSA PUBLIC KEY": Kind.PUBLIC_KEY,
    "PKCS12": Kind.PKCS12,
    "OCSP RESPONSE": Kind.OCSP_RESPONSE,
    "OCSP REQUEST": Kind.OCSP_REQUEST,
}

_WAY_OUT = {
    Kind.PRIVATE_KEY: "give the certificate's file here, not the key's",
    Kind.ENCRYPTED_KEY: "give the certificate's file here, not the key's",
    Kind.PUBLIC_KEY: "give the certificate's file here, not the key's",
    Kind.REQUEST: "give the certificate that the CA issued for it",
    Kind.PKCS12: "unpack it: openssl pkcs12 -in FILE -nodes -out FILE.pem",
    Kind.OCSP_RESPONSE: "it goes where a response is asked for (holdfast show FILE prints it)",
    Kind.OCSP_REQUEST: "holdfast show FILE prints it",
    Kind.CRL: "it goes where a CRL is asked for (holdfast show FILE prints it)",
    Kind.CERTIFICATE: "it goes where a certificate is asked for",
}
_SPOILED = "the file is spoiled: copy or fetch it again, whole"
_USUAL = "give PEM, DER, PKCS#7 or base64"


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of input. `label` is PEM's, "" for DER and base64; `line` counts from 1, and is 0
    for DER; `headers` are the lines before the base64 (of keys encrypted the old way)."""

    kind: Kind
    der: bytes
    label: str = ""
    line: int = 0
    headers: tuple[str, ...] = ()


def decode(data: bytes, *, name: str = "", limit: int = MAX_INPUT) -> tuple[Block, ...]:
    """The blocks of `data`, at least one.

    DER and base64 are one block with all their bytes, trailing ones included. PEM may stand among
    other text; blocks of any label are returned.
    """
    if len(data) > limit:
        raise _refusal(name, f"{len(data)} bytes, more than {limit}", "is this the file you meant?")
    data = _without_mark(data)
    if not data.strip():
        raise _refusal(name, "is empty", _USUAL)
    if data[0] == SEQUENCE and data[1:2] and (data[1] >= 0x80 or len(data) <= data[1] + 2):
        return (Block(kind_of(data), data),)
    if _BEGIN in data:
        return tuple(_pem_blocks(data, name))
    bare = _base64(b"".join(data.split()))
    if bare is not None and bare[:1] == b"\x30":
        return (Block(kind_of(bare), bare, line=1),)
    if data[0] == SEQUENCE:
        return (Block(kind_of(data), data),)
    raise _refusal(name, _looks_like(data), _USUAL)


def certificates(data: bytes, *, name: str = "", limit: int = MAX_INPUT) -> tuple[Certificate, ...]:
    """Every certificate in `data`, as they stand, at least one; keys and CRLs beside are passed
    over."""
    blocks = decode(data, name=name, limit=limit)
    found: list[Certificate] = []
    for block in blocks:
        for der in _of_kind(block, Kind.CERTIFICATE, name):
            found.append(_parsed(Certificate, der, block, name))
    if not found:
        raise _wrong_kind(blocks, Kind.CERTIFICATE, name)
    return tuple(found)


def crls(data: bytes, *, name: str = "", limit: int = MAX_INPUT) -> tuple[Crl, ...]:
    """Every CRL in `data`, as they stand, at least one; certificates beside are passed over."""
    from holdfast.pki.crl import Crl

    blocks = decode(data, name=name, limit=limit)
    found: list[Crl] = []
    for block in blocks:
        for der in _of_kind(block, Kind.CRL, name):
            found.append(_parsed(Crl, der, block, name))
    if not found:
        raise _wrong_kind(blocks, Kind.CRL, name)
    return tuple(found)


def single(data: bytes, kind: Kind, *, name: str = "", limit: int = MAX_INPUT) -> bytes:
    """The DER of the one block of `kind` in `data`, for parsers that are strict themselves.

    DER and base64 of unknown kind are returned too, whole: their parser says what is wrong.
    """
    blocks = decode(data, name=name, limit=limit)
    fitting = [b for b in blocks if b.kind is kind]
    if not fitting and len(blocks) == 1 and blocks[0].kind is Kind.UNKNOWN:
        fitting = [blocks[0]]
    if not fitting:
        raise _wrong_kind(blocks, kind, name)
    if len(fitting) > 1:
        raise _refusal(
            name, f"{len(fitting)} of {kind.value} where one belongs", "give them one by one"
        )
    return fitting[0].der


def encode(label: str, der: bytes) -> bytes:
    """One PEM block (RFC 7468: 64 columns)."""
    text = binascii.b2a_base64(der, newline=False)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    word = label.encode("ascii")
    return b"\n".join([_BEGIN + word + _DASHES, *lines, _END + word + _DASHES, b""])


def rewritten(block: Block) -> bytes:
    """`block` as clean PEM again, with its headers."""
    text = encode(block.label, block.der)
    if not block.headers:
        return text
    first, rest = text.split(b"\n", 1)
    return b"\n".join([first, *(h.encode("ascii", "replace") for h in block.headers), b"", rest])


def encode_certificates(certificates: Iterable[Certificate]) -> bytes:
    """A PEM bundle in the order given."""
    return b"".join(encode("CERTIFICATE", c.der) for c in certificates)


# -- reading PEM ------------------------------------------------------------------------------


def _pem_blocks(data: bytes, name: str) -> Iterator[Block]:
    newline = b"\n" if b"\n" in data else b"\r"
    position, line, counted = data.find(_BEGIN), 1, 0
    while position >= 0:
        line += data.count(newline, counted, position)
        counted = position
        block, position = _pem_block(data, position, line, name)
        yield block
        position = data.find(_BEGIN, position)


def _pem_block(data: bytes, position: int, line: int, name: str) -> tuple[Block, int]:
    opened = data.find(_DASHES, position + len(_BEGIN))
    word = data[position + len(_BEGIN) : opened] if opened >= 0 else b""
    if opened < 0 or len(word) > 64 or b"\n" in word:
        raise _refusal(
            name, "a BEGIN line without its closing dashes", "repair the line", line=line
        )
    label = word.decode("ascii", "replace")
    body = opened + len(_DASHES)
    closing = _END + word + _DASHES
    end = data.find(_END, body)
    following = data.find(_BEGIN, body)
    if end < 0 or 0 <= following < end:
        hint = "the file is cut short: copy it again, whole"
        raise _refusal(name, f"a {label} block without an END line", hint, line=line)
    if not data.startswith(closing, end):
        raise _refusal(
            name, f"a {label} block whose END line names another", "repair it", line=line
        )
    headers, text = _headers(data[body:end])
    der = _base64(b"".join(text.split()))
    if der is None:
        hint = "copy the file again, whole"
        if b"\\n" in text:
            hint = "its line ends are written as \\n: make them real line ends"
        raise _refusal(name, f"a {label} block that is not base64", hint, line=line)
    return Block(_kind(label, der), der, label, line, headers), end + len(closing)


def _headers(body: bytes) -> tuple[tuple[str, ...], bytes]:
    """RFC 1421 headers, if there are any, and the rest."""
    if b":" not in body:
        return (), body
    lines = body.strip().splitlines()
    count = 0
    while count < len(lines) and lines[count].strip():
        count += 1
    held = tuple(line.decode("ascii", "replace").strip() for line in lines[:count])
    return held, b"\n".join(lines[count:])


def _kind(label: str, der: bytes) -> Kind:
    """By the label; but a PKCS#7 or another readable thing under a wrong label is what it is."""
    if label.endswith("PRIVATE KEY") and label not in _LABELS:
        return Kind.PRIVATE_KEY
    seen = kind_of(der)
    labelled = _LABELS.get(label, Kind.UNKNOWN)
    if labelled is Kind.TRUSTED_CERTIFICATE and seen is Kind.CERTIFICATE:
        return labelled  # without settings, or with them after the certificate
    return labelled if seen is Kind.UNKNOWN else seen


def _base64(text: bytes) -> bytes | None:
    """Standard or URL alphabet, with or without padding."""
    text = text.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return None


def _without_mark(data: bytes) -> bytes:
    """`data` without a byte order mark; UTF-16 (a Windows shell's redirection) made ASCII."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").encode("ascii", "replace")
    return data.removeprefix(codecs.BOM_UTF8)


# -- blocks to values -------------------------------------------------------------------------


def _of_kind(block: Block, wanted: Kind, name: str) -> list[bytes]:
    """The DER of each object of the `wanted` kind in `block`."""
    if block.kind is Kind.PKCS7:
        held = _pkcs7(block, name)
        return [der for der in held if kind_of(der) is wanted]
    if block.kind is Kind.TRUSTED_CERTIFICATE and wanted is Kind.CERTIFICATE:
        return [_first(block.der)]
    if block.kind is not wanted:
        return []
    if block.label:
        return [block.der]
    parts = elements(block.der)
    if parts is None:
        first = element(block.der, 0, len(block.der))
        extra = len(block.der) - (first.end if first else 0)
        raise _refusal(
            name, f"{extra} bytes that are not DER after the first {wanted.value}", _USUAL
        )
    pieces = [block.der[part.head : part.end] for part in parts]
    return [piece for piece in pieces if kind_of(piece) is wanted]


def _first(der: bytes) -> bytes:
    """The certificate before OpenSSL's trust settings: within a wrapping SEQUENCE or bare."""
    outer = element(der, 0, len(der))
    if outer is None:
        return der
    if kind_of(der) is Kind.TRUSTED_CERTIFICATE:
        inner = element(der, outer.start, outer.end)
        return der[inner.head : inner.end] if inner else der
    return der[: outer.end]


def _pkcs7(block: Block, name: str) -> list[bytes]:
    """The certificates and CRLs of a SignedData; signatures, if any, are not looked at."""
    held = _signed_data(block.der)
    if held is not None:
        return held
    # here, because it loads the email package, which few callers need
    from cryptography.hazmat.primitives.serialization import pkcs7

    try:  # BER, which some exporters write
        found = pkcs7.load_der_pkcs7_certificates(block.der)
    except UNREADABLE as error:
        raise _refusal(
            name, f"a PKCS#7 bundle that cannot be read: {error}", _USUAL, line=block.line
        ) from error
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


def _signed_data(der: bytes) -> list[bytes] | None:
    """RFC 2315 9.1: SignedData's [0] certificates and [1] CRLs; None when it is not DER."""
    position, limit = 0, len(der)
    for tag, skip in ((0x30, 1), (0xA0, 0), (0x30, 0)):
        one = element(der, position, limit)
        if one is None or one.tag != tag:
            return None
        position, limit = one.start, one.end
        for _ in range(skip):  # contentType
            passed = element(der, position, limit)
            if passed is None:
                return None
            position = passed.end
    held: list[bytes] = []
    for part in elements(der, position, limit) or []:
        if part.tag in (0xA0, 0xA1):
            inner = elements(der, part.start, part.end)
            if inner is None:
                return None
            held += [der[one.head : one.end] for one in inner]
    return held


def _parsed(parse: Callable[[bytes], Parsed], der: bytes, block: Block, name: str) -> Parsed:
    try:
        return parse(der)
    except Malformed as error:
        kind = block.kind.value
        raise _refusal(
            name,
            f"{kind} that cannot be read: {error.problem}",
            error.hint or _SPOILED,
            line=block.line,
        ) from error


def _wrong_kind(blocks: tuple[Block, ...], wanted: Kind, name: str) -> HoldfastError:
    kinds = list(dict.fromkeys(block.kind for block in blocks))
    if kinds == [Kind.UNKNOWN]:
        return _refusal(name, "holds no " + wanted.value.split(" ", 1)[1], _USUAL)
    what = " and ".join(kind.value for kind in kinds)
    hint = next((_WAY_OUT[kind] for kind in kinds if kind in _WAY_OUT), _USUAL)
    return _refusal(name, f"is {what}, not {wanted.value}", hint)


def _looks_like(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return "is a web page (HTML or XML), not PEM, DER or base64"
    if start.startswith(b"----"):
        return "begins like PEM but has no line -----BEGIN ...-----"
    return "is neither PEM, DER nor base64"


def _refusal(name: str, problem: str, hint: str, *, line: int = 0) -> HoldfastError:
    if name:
        place = f"{name}, line {line}" if line else name
        return OperatorError(f"{place}: {problem}", hint=hint)
    return Malformed(f"line {line}" if line else "input", problem, hint=hint)
