"""The ResponseData that nearly every responder sends, recognised whole.

One certificate, good, named by a SHA-1 CertID, the responder by key, a nextUpdate, no extensions:
those bytes have one shape, and two regular expressions and three sums read them faster than the
general reader does (bench/verify.py). Law: what is recognised here the general reader reads to the
same values, and whatever is not goes to it (`tests/property/test_quick.py`).
"""

from __future__ import annotations

import re
from datetime import datetime

from holdfast.ocsp import der

_HEAD = re.compile(
    rb"\xa2\x16\x04\x14(.{20})"  # responderID byKey
    rb"\x18\x0f([0-9]{14}Z)"  # producedAt
    rb"\x30([\x00-\x7f])\x30([\x00-\x7f])\x30([\x00-\x7f])"  # responses, SingleResponse, CertID
    rb"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00"  # SHA-1, parameters NULL
    rb"\x04\x14(.{20})\x04\x14(.{20})"  # issuerNameHash, issuerKeyHash
    rb"\x02([\x01-\x15])(?=[\x01-\x7e])",  # serialNumber, surely minimal and positive
    re.DOTALL,
)
_TAIL = re.compile(rb"\x80\x00\x18\x0f([0-9]{14}Z)\xa0\x11\x18\x0f([0-9]{14}Z)")

_BEFORE_SERIAL = 11 + 22 + 22 + 2  # hashAlgorithm, the hashes, the serial's header
_AFTER_CERTID = 2 + 17 + 19  # certStatus, thisUpdate, nextUpdate

Quick = tuple[bytes, datetime, bytes, bytes, int, datetime, datetime]
"""responder key hash, producedAt, issuerNameHash, issuerKeyHash, serial, thisUpdate, nextUpdate"""


def read(data: bytes, position: int, end: int) -> Quick | None:
    """The ResponseData whose content is data[position:end]; None when it is not of the shape."""
    head = _HEAD.match(data, position, end)
    if head is None:
        return None
    responder, produced, responses, single, certid, name_hash, key_hash, size = head.groups()
    serial_at = head.end()
    tail_at = serial_at + size[0]
    tail = _TAIL.match(data, tail_at, end)
    inside = _BEFORE_SERIAL + size[0]
    if (
        tail is None
        or tail.end() != end
        or certid[0] != inside
        or single[0] != inside + 2 + _AFTER_CERTID
        or responses[0] != inside + 4 + _AFTER_CERTID
    ):
        return None
    this_update, next_update = tail.groups()
    produced_at = der.instant(produced)
    begin = der.instant(this_update)
    finish = der.instant(next_update)
    if produced_at is None or begin is None or finish is None:
        return None
    serial = int.from_bytes(data[serial_at:tail_at], "big")
    return responder, produced_at, name_hash, key_hash, serial, begin, finish
