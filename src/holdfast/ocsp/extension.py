"""Extensions of requests, responses and single responses (RFC 6960 4.4, RFC 9654, RFC 6962).

An unknown critical one is for the judge to refuse (V5); here every well-formed one is kept, in
order, so that a message is written back as it was read.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.errors import Malformed
from holdfast.ocsp import der

NONCE = "1.3.6.1.5.5.7.48.1.2"  # RFC 9654
CRL_REFERENCE = "1.3.6.1.5.5.7.48.1.3"  # RFC 6960 4.4.2
ACCEPTABLE_RESPONSES = "1.3.6.1.5.5.7.48.1.4"  # RFC 6960 4.4.3
ARCHIVE_CUTOFF = "1.3.6.1.5.5.7.48.1.6"  # RFC 6960 4.4.4
SERVICE_LOCATOR = "1.3.6.1.5.5.7.48.1.7"  # RFC 6960 4.4.6
PREFERRED_SIGNATURE_ALGORITHMS = "1.3.6.1.5.5.7.48.1.8"  # RFC 6960 4.4.7
EXTENDED_REVOKE = "1.3.6.1.5.5.7.48.1.9"  # RFC 6960 4.4.8
CRL_REASON = "2.5.29.21"  # RFC 5280 5.3.1
INVALIDITY_DATE = "2.5.29.24"  # RFC 5280 5.3.2
SCT_LIST = "1.3.6.1.4.1.11129.2.4.5"  # RFC 6962 3.3

NAMES = {
    NONCE: "nonce",
    CRL_REFERENCE: "CRL reference",
    ACCEPTABLE_RESPONSES: "acceptable response types",
    ARCHIVE_CUTOFF: "archive cutoff",
    SERVICE_LOCATOR: "service locator",
    PREFERRED_SIGNATURE_ALGORITHMS: "preferred signature algorithms",
    EXTENDED_REVOKE: "extended revoked definition",
    CRL_REASON: "reason code",
    INVALIDITY_DATE: "invalidity date",
    SCT_LIST: "signed certificate timestamps",
}
KNOWN = frozenset(NAMES)

MAX_EXTENSIONS = 32  # a response in the field has at most three


@dataclass(frozen=True, slots=True)
class Extension:
    """`oid` dotted; `value` the octets inside extnValue."""

    oid: str
    critical: bool
    value: bytes

    def encode(self) -> bytes:
        return der.sequence(
            der.encode_oid(self.oid),
            der.tlv(der.BOOLEAN, b"\xff") if self.critical else b"",
            der.octet_string(self.value),
        )


def find(extensions: tuple[Extension, ...], oid: str) -> Extension | None:
    for extension in extensions:
        if extension.oid == oid:
            return extension
    return None


def encode_extensions(tag: int, extensions: tuple[Extension, ...]) -> bytes:
    """`[tag] EXPLICIT Extensions`, or nothing when there are none."""
    if not extensions:
        return b""
    return der.tlv(
        der.context(tag), der.sequence(*(extension.encode() for extension in extensions))
    )


def read_extensions(
    data: bytes, position: int, end: int, tag: int, what: str
) -> tuple[tuple[Extension, ...], int]:
    """(extensions, position after) of `[tag] EXPLICIT Extensions` at `position`."""
    outer, outer_end = der.take(data, position, end, der.context(tag), what)
    inner, inner_end = der.take(data, outer, outer_end, der.SEQUENCE, what)
    der.finish(inner_end, outer_end, what)
    if inner == inner_end:
        raise Malformed(what, "an empty list, which RFC 5280 4.1 forbids", offset=inner)
    found: list[Extension] = []
    seen: set[str] = set()
    while inner < inner_end:
        if len(found) == MAX_EXTENSIONS:
            raise Malformed(what, f"more than {MAX_EXTENSIONS} extensions", offset=inner)
        begin = inner
        extension, inner = _read(data, inner, inner_end, what)
        if extension.oid in seen:
            raise Malformed(what, f"extension {extension.oid} stands twice", offset=begin)
        seen.add(extension.oid)
        found.append(extension)
    return tuple(found), outer_end


def _read(data: bytes, position: int, end: int, what: str) -> tuple[Extension, int]:
    start, stop = der.take(data, position, end, der.SEQUENCE, what)
    oid, start = der.oid(data, start, stop, f"{what}.extnID")
    critical = False
    if start < stop and data[start] == der.BOOLEAN:
        critical, after = der.boolean(data, start, stop, f"{what}.critical")
        if not critical:
            raise Malformed(
                f"{what}.critical", "FALSE written out, which DER forbids", offset=start
            )
        start = after
    value, value_end = der.take(data, start, stop, der.OCTET_STRING, f"{what}.extnValue")
    der.finish(value_end, stop, what)
    return Extension(oid, critical, data[value:value_end]), stop


# -- the nonce --------------------------------------------------------------------------------


def nonce_extension(octets: bytes) -> Extension:
    """RFC 9654 2.1: the nonce is an OCTET STRING inside extnValue, 1 to 128 octets."""
    if not 1 <= len(octets) <= 128:
        raise ValueError("a nonce has 1 to 128 octets (RFC 9654)")
    return Extension(NONCE, False, der.octet_string(octets))


def nonce_of(extensions: tuple[Extension, ...], what: str) -> bytes | None:
    """The nonce's octets; None when absent; `Malformed` when not an OCTET STRING of 1 to 128
    octets (R16)."""
    extension = find(extensions, NONCE)
    if extension is None:
        return None
    start, stop = der.whole(extension.value, der.OCTET_STRING, f"{what}.nonce")
    if not 1 <= stop - start <= 128:
        raise Malformed(f"{what}.nonce", f"{stop - start} octets; RFC 9654 allows 1 to 128")
    return extension.value[start:stop]
