"""Strict DER: just the parts that OCSP messages are made of, read and written.

Laws: definite, minimal lengths only (X.690 10.1); nothing past the end of its container; every
failure is `Malformed` with the noun and the byte. Readers take the whole message and offsets, so
that offsets in errors count from its start and nothing is copied on the way.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from holdfast.errors import Malformed

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
ENUMERATED, UTF8_STRING, IA5_STRING, GENERALIZED_TIME = 0x0A, 0x0C, 0x16, 0x18
SEQUENCE, SET = 0x30, 0x31
NULL_DER = b"\x05\x00"

MAX_INTEGER = 64  # octets; RFC 5280 4.1.2.2 allows serials of 20, some CAs overshot


def context(number: int, *, constructed: bool = True) -> int:
    """The tag octet of context-specific tag `number` (0 to 30)."""
    return (0xA0 if constructed else 0x80) | number


# -- reading ----------------------------------------------------------------------------------


def take(data: bytes, position: int, end: int, tag: int, what: str) -> tuple[int, int]:
    """(start, stop) of the content of the element at `position`, which must carry `tag` and lie
    within `end`."""
    start = position + 2
    if start <= end and data[position] == tag:
        length = data[position + 1]
        if length >= 0x80:
            start, length = _long_length(data, position, end, what)
        stop = start + length
        if stop <= end:
            return start, stop
        raise Malformed(
            what, f"claims {length} bytes where {end - start} are left", offset=position
        )
    if position >= end:
        raise Malformed(what, "missing", offset=position)
    if data[position] != tag:
        raise Malformed(
            what, f"tag 0x{data[position]:02x} where 0x{tag:02x} belongs", offset=position
        )
    raise Malformed(what, "ends within its header", offset=position)


def element(data: bytes, position: int, end: int, what: str) -> tuple[int, int, int]:
    """(tag, start, stop) of whatever element stands at `position` within `end`."""
    if position >= end:
        raise Malformed(what, "missing", offset=position)
    tag = data[position]
    if tag & 0x1F == 0x1F:
        raise Malformed(what, "a tag number above 30", offset=position)
    start, stop = take(data, position, end, tag, what)
    return tag, start, stop


def whole(data: bytes, tag: int, what: str) -> tuple[int, int]:
    """The content of an element that is all of `data`: trailing bytes are refused."""
    start, stop = take(data, 0, len(data), tag, what)
    finish(stop, len(data), what)
    return start, stop


def finish(position: int, end: int, what: str) -> None:
    """Refuse bytes between `position` and `end`."""
    if position != end:
        raise Malformed(what, f"{end - position} trailing bytes", offset=position)


def _long_length(data: bytes, position: int, end: int, what: str) -> tuple[int, int]:
    count = data[position + 1] & 0x7F
    if count == 0:
        raise Malformed(what, "indefinite length, which DER forbids", offset=position)
    if count > 4:
        raise Malformed(what, f"a length of {count} octets", offset=position)
    start = position + 2 + count
    if start > end:
        raise Malformed(what, "ends within its header", offset=position)
    length = int.from_bytes(data[position + 2 : start], "big")
    if length < 0x80 or length >> (8 * (count - 1)) == 0:
        raise Malformed(what, "a length in more octets than DER allows", offset=position)
    return start, length


def integer(data: bytes, position: int, end: int, what: str) -> tuple[int, int]:
    """(value, position after) of an INTEGER, minimal, of at most MAX_INTEGER octets."""
    start, stop = take(data, position, end, INTEGER, what)
    if 1 < stop - start <= MAX_INTEGER and 0 < data[start] < 0x7F:  # surely minimal
        return int.from_bytes(data[start:stop], "big"), stop
    return integer_content(data, start, stop, what), stop


def integer_content(data: bytes, start: int, stop: int, what: str) -> int:
    """The INTEGER or ENUMERATED whose content octets are data[start:stop]."""
    size = stop - start
    if size == 0 or size > MAX_INTEGER:
        raise Malformed(what, f"an integer of {size} octets", offset=start)
    first = data[start]
    if size > 1 and (
        (first == 0 and data[start + 1] < 0x80) or (first == 0xFF and data[start + 1] >= 0x80)
    ):
        raise Malformed(what, "an integer in more octets than DER allows", offset=start)
    return int.from_bytes(data[start:stop], "big", signed=True)


def boolean(data: bytes, position: int, end: int, what: str) -> tuple[bool, int]:
    """(value, position after) of a BOOLEAN; DER allows 0x00 and 0xff only."""
    start, stop = take(data, position, end, BOOLEAN, what)
    if stop - start != 1 or data[start] not in (0x00, 0xFF):
        raise Malformed(what, "a BOOLEAN that is not DER", offset=start)
    return data[start] == 0xFF, stop


def bit_string(data: bytes, position: int, end: int, what: str) -> tuple[int, int]:
    """(start, stop) of a BIT STRING of whole octets (what signatures are)."""
    start, stop = take(data, position, end, BIT_STRING, what)
    if stop == start or data[start] != 0:
        raise Malformed(what, "a BIT STRING that is not of whole octets", offset=start)
    return start + 1, stop


def oid(data: bytes, position: int, end: int, what: str) -> tuple[str, int]:
    """(dotted text, position after) of an OBJECT IDENTIFIER."""
    start, stop = take(data, position, end, OID, what)
    dotted = _dotted(data[start:stop])
    if dotted is None:
        raise Malformed(what, "an OBJECT IDENTIFIER that is not DER", offset=start)
    return dotted, stop


@lru_cache(maxsize=512)
def _dotted(content: bytes) -> str | None:
    if not content or len(content) > 64 or content[-1] & 0x80:
        return None
    arcs: list[int] = []
    value, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:
            return None
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def generalized_time(data: bytes, position: int, end: int, what: str) -> tuple[datetime, int]:
    """(aware UTC instant, position after); the form is YYYYMMDDHHMMSSZ and no other
    (RFC 5280 4.1.2.5.2: seconds present, Zulu, no fraction)."""
    stop = position + 17
    if stop <= end and data[position : position + 2] == b"\x18\x0f":
        start = position + 2
    else:
        start, stop = take(data, position, end, GENERALIZED_TIME, what)
    found = instant(data[start:stop])
    if found is None:
        shown = data[start : min(stop, start + 24)]
        raise Malformed(what, f"{shown!r} is not a time of the form YYYYMMDDHHMMSSZ", offset=start)
    return found, stop


@lru_cache(maxsize=1024)
def instant(content: bytes) -> datetime | None:
    """The instant that a GeneralizedTime of this content names; None when it is not of the form."""
    if len(content) != 15 or content[14] != 0x5A or not content[:14].isdigit():
        return None
    if content[8:10] == b"24":  # ISO 8601's other midnight, which newer Pythons accept
        return None
    text = content.decode("ascii")
    try:
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
    except ValueError:
        return None


def check_name(data: bytes, position: int, end: int, what: str) -> None:
    """Hold a Name to its shape: SEQUENCE OF SET OF SEQUENCE {OID, value}."""
    while position < end:
        inner, position = take(data, position, end, SET, what)
        if inner == position:
            raise Malformed(what, "an empty RelativeDistinguishedName", offset=inner)
        while inner < position:
            pair, pair_end = take(data, inner, position, SEQUENCE, what)
            _, pair = oid(data, pair, pair_end, what)
            _, _, value_end = element(data, pair, pair_end, what)
            finish(value_end, pair_end, what)
            inner = pair_end


# -- writing ----------------------------------------------------------------------------------


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element: `tag`, the minimal definite length, the parts one after the other."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*parts: bytes) -> bytes:
    return tlv(SEQUENCE, *parts)


def octet_string(content: bytes) -> bytes:
    return tlv(OCTET_STRING, content)


def encode_bit_string(octets: bytes) -> bytes:
    return tlv(BIT_STRING, b"\x00", octets)


def encode_integer(value: int, *, tag: int = INTEGER) -> bytes:
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tlv(tag, value.to_bytes(size, "big", signed=True))


@lru_cache(maxsize=512)
def encode_oid(dotted: str) -> bytes:
    """The OBJECT IDENTIFIER `dotted` ("1.3.6.1...."), tag and length included."""
    arcs = [int(arc) for arc in dotted.split(".")]
    octets = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        group = [arc & 0x7F]
        while arc := arc >> 7:
            group.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(group))
    return tlv(OID, bytes(octets))


def encode_time(instant: datetime) -> bytes:
    """GeneralizedTime of `instant` (aware), whole seconds, Zulu (R20)."""
    at = instant.astimezone(UTC)
    text = f"{at.year:04}{at.month:02}{at.day:02}{at.hour:02}{at.minute:02}{at.second:02}Z"
    return tlv(GENERALIZED_TIME, text.encode("ascii"))
