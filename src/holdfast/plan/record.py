"""Record: one response as it lies on a shelf, with what is asked of it before it is served.

Laws: the header is of fixed size and stands before the DER, which is never parsed or hashed to be
served, for its SHA-256 stands between them;
the certificate_status is read out of the response itself, so that what is compared with the
ledger is what clients are told. Times are seconds since 1970 in 32 bits: a response lives for
days, and this form ends in 2106.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

HEADER = Struct(">IIHBB")  # this_update, next_update, where the status is, its length, the hashes
TIMES = Struct(">II")  # the beginning of it
DIGEST_AT = HEADER.size
SIZE = DIGEST_AT + 32  # where the DER begins

_BITS = {"sha1": 1, "sha256": 2, "sha384": 4, "sha512": 8}


class Record(NamedTuple):
    """What a shelf holds of one serial. `certificate_status` is DER, `hashes` a set by `mask`."""

    serial: bytes
    this_update: int
    next_update: int
    hashes: int
    certificate_status: bytes


def mask(hash_algorithms: Iterable[str]) -> int:
    """The CertID hashes that a response speaks by, in one octet. `KeyError` for an unknown one."""
    found = 0
    for name in hash_algorithms:
        found |= _BITS[name]
    return found


def read(serial: bytes, value: bytes | memoryview) -> Record:
    """The record of `serial` in what lies under it."""
    this_update, next_update, start, length, hashes = HEADER.unpack_from(value)
    return Record(serial, this_update, next_update, hashes, bytes(value[start : start + length]))
