"""Answers as HTTP has them: headers and bytes. R21 to R23, RFC 6960 A.2, RFC 9919 6.2.

Laws: an OCSP error and a nonced answer are never cached; every other answer carries the caching
headers, and its max-age ends before nextUpdate. The bytes made here for a kept answer and the
`Reply` made of the same answer have the same headers (`tests/unit/services/test_responder.py`).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from holdfast.net.http_message import Headers, Reply, http_date
from holdfast.ocsp.http import RESPONSE_TYPE

_TYPE = (b"Content-Type", RESPONSE_TYPE.encode())
_NO_STORE = (b"Cache-Control", b"no-store")
_CACHE_CONTROL = b"max-age=%d, public, no-transform, must-revalidate"
_TIMES = (
    b"Content-Type: " + RESPONSE_TYPE.encode() + b"\r\n"
    b"Last-Modified: %b\r\nExpires: %b\r\nCache-Control: " + _CACHE_CONTROL + b"\r\n"
)
_UNCACHED = (
    b"Content-Type: " + RESPONSE_TYPE.encode() + b"\r\n"
    b"Cache-Control: no-store\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def max_age_of(next_update: int, at: int, most: int) -> int:
    """Seconds that a cache may keep an answer: `most`, and never up to nextUpdate (R21)."""
    return max(0, min(next_update - at - 1, most))


def cacheable(der: bytes, this_update: int, next_update: int, max_age: int) -> tuple[bytes, bytes]:
    """What follows the Date of a 200: the headers that many answers share, then the others and the
    body. Times are epoch seconds."""
    shared = headers(this_update, next_update, max_age)
    return shared, with_etag(der, hashlib.sha256(der).hexdigest())


def with_etag(der: bytes, digest: str) -> bytes:
    """The second part of these; `digest` is the SHA-256 of `der` in hex."""
    return b'ETag: "' + digest.encode() + _length(len(der)) + der


def uncacheable(der: bytes) -> bytes:
    """The same of an error or a nonced answer (R19, R22)."""
    return _uncached(len(der)) + der


def cacheable_reply(
    der: bytes, this_update: int, next_update: int, max_age: int, unless: bytes | None
) -> Reply:
    """The same as a `Reply`; `unless`: If-None-Match of a GET or HEAD, for which a 304 may do."""
    etag = b'"%s"' % hashlib.sha256(der).hexdigest().encode()
    headers: Headers = (
        _TYPE,
        (b"ETag", etag),
        (b"Last-Modified", _date(this_update)),
        (b"Expires", _date(next_update)),
        (b"Cache-Control", _CACHE_CONTROL % max_age),
    )
    if unless is not None and _matches(unless, etag):
        return Reply(304, b"", headers[1:])
    return Reply(200, der, headers)


def uncacheable_reply(der: bytes) -> Reply:
    return Reply(200, der, (_TYPE, _NO_STORE))


@lru_cache(maxsize=4096)
def headers(this_update: int, next_update: int, max_age: int) -> bytes:
    """The first part of `cacheable`."""
    return _TIMES % (_date(this_update), _date(next_update), max_age)


@lru_cache(maxsize=1024)
def _length(octets: int) -> bytes:
    """After the ETag; spelled once, for a format costs more than all else of a reply."""
    return b'"\r\nContent-Length: %d\r\n\r\n' % octets


@lru_cache(maxsize=1024)
def _uncached(octets: int) -> bytes:
    return _UNCACHED % octets


@lru_cache(maxsize=4096)
def _date(epoch: int) -> bytes:
    """Answers of one batch share their times."""
    return http_date(datetime.fromtimestamp(epoch, UTC))


def _matches(header: bytes, etag: bytes) -> bool:
    """RFC 9110 13.1.2: weak comparison, `*` matches anything."""
    tags = [tag.strip().removeprefix(b"W/") for tag in header.split(b",")]
    return etag in tags or b"*" in tags
