"""DER outlines: where elements begin and end, and putting them together again.

Laws: readers never raise and never read past what they are given; what elements mean is not known
here. X.690 8.1, definite lengths only.
"""

from __future__ import annotations

from typing import NamedTuple

BOOLEAN, INTEGER, BIT_STRING, OID = 0x01, 0x02, 0x03, 0x06
SEQUENCE, CONTEXT_0, CONTEXT_3 = 0x30, 0xA0, 0xA3


class Element(NamedTuple):
    """One DER element: its tag octet, where its header begins, its content begins and it ends."""

    tag: int
    head: int
    start: int
    end: int


def elements(data: bytes, start: int = 0, end: int | None = None) -> list[Element] | None:
    """The elements that fill `data[start:end]` exactly; None when they do not."""
    end = len(data) if end is None else end
    found = []
    while start < end:
        one = element(data, start, end)
        if one is None:
            return None
        found.append(one)
        start = one.end
    return found


def element(data: bytes, position: int, limit: int) -> Element | None:
    """The element at `position`, if it ends within `limit`; definite lengths and low tags only."""
    if position + 2 > limit or data[position] & 0x1F == 0x1F:
        return None
    length, start = data[position + 1], position + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or start + count > limit:
            return None
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > limit:
        return None
    return Element(data[position], position, start, start + length)


def children(data: bytes) -> list[Element]:
    """What stands inside the element that `data` begins with; nothing where it is not whole."""
    outer = element(data, 0, len(data))
    return [] if outer is None else elements(data, outer.start) or []


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element of the joined `parts`."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def oid_der(dotted: str) -> bytes:
    """The OBJECT IDENTIFIER element of a dotted OID that is known to be one."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        content += bytes(reversed(septets))
    return tlv(OID, bytes(content))
