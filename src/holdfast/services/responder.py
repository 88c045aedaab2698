"""The OCSP responder: HTTP on one side, answers on the other. R20 to R27, RFC 6960 A, RFC 9919 6.

Laws: the path is never normalised (R24); an OCSP error is an HTTP 200 that nobody caches (R22),
as RFC 6960 A.2 has it; every other answer carries the caching headers that let a CDN do the work
(R21).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from holdfast.errors import Malformed
from holdfast.net.http_server import Reply, Request, http_date, plain
from holdfast.ocsp.http import RESPONSE_TYPE, decode_get_path
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.plan.answering import Answer, refusal
from holdfast.seams import Clock

log = structlog.get_logger("holdfast.responder")

MAX_AGE = timedelta(hours=1)  # how long a cache may keep an answer: a revocation is seen by then
_TYPE = (b"Content-Type", RESPONSE_TYPE.encode())
_NO_STORE = (b"Cache-Control", b"no-store")
_ALLOW = ((b"Allow", b"GET, HEAD, POST"),)


class Answering(Protocol):
    """What gives the answers: the DER of a request in, an `Answer` out, never an exception that a
    caller is meant to catch."""

    def answer_bytes(self, data: bytes, /) -> Awaitable[Answer]: ...


class Responder:
    """An HTTP handler that answers OCSP under `prefix` (a path, "" for the root)."""

    def __init__(
        self,
        answering: Answering,
        *,
        clock: Clock,
        prefix: str = "",
        max_age: timedelta = MAX_AGE,
    ) -> None:
        self._answering = answering
        self._clock = clock
        self._prefix = prefix.rstrip("/").encode()
        self._max_age = max_age
        self.answered: Counter[str] = Counter()
        """Answers given, by certificate_status or, for errors, response_status."""

    @property
    def path(self) -> str:
        """The path it answers under, "" for the root."""
        return self._prefix.decode()

    async def handle(self, request: Request) -> Reply:
        """Answer one HTTP request."""
        match request.method:
            case "POST":
                if not self._is_ours(request.path):
                    return plain(404, "no OCSP responder at this path")
                return await self._reply(request, request.body)
            case "GET" | "HEAD":
                return await self._get(request)
            case _:
                return plain(405, "OCSP is asked by GET or POST", headers=_ALLOW)

    def _is_ours(self, path: bytes) -> bool:
        """The prefix itself, or what follows it after a `/`."""
        return not self._prefix or path == self._prefix or path.startswith(self._prefix + b"/")

    async def _get(self, request: Request) -> Reply:
        path = request.path
        if not self._is_ours(path):
            return plain(404, "no OCSP responder at this path")
        if not path[len(self._prefix) :].strip(b"/"):
            return plain(200, "An OCSP responder: ask by GET or POST (RFC 6960 A.1).")
        try:
            data = decode_get_path(path, self._prefix)
        except Malformed as error:
            return self._error(refusal(ResponseStatus.malformedRequest, error.message), request)
        return await self._reply(request, data)

    async def _reply(self, request: Request, data: bytes) -> Reply:
        given = await self._answering.answer_bytes(data)
        if given.response_status is not ResponseStatus.successful:
            return self._error(given, request)
        for single in given.singles:
            self.answered[single.certificate_status.text] += 1
        if given.nonced or given.next_update is None or given.this_update is None:
            return Reply(200, given.der, (_TYPE, _NO_STORE))
        return self._cacheable(given.der, given.this_update, given.next_update, request)

    def _cacheable(
        self, body: bytes, this_update: datetime, next_update: datetime, request: Request
    ) -> Reply:
        """R21 and R23: ETag, Last-Modified, Expires and a max-age that ends before nextUpdate."""
        left = next_update - self._clock.now() - timedelta(seconds=1)
        seconds = max(0, int(min(left, self._max_age).total_seconds()))
        etag = b'"%s"' % hashlib.sha256(body).hexdigest().encode()
        headers = (
            _TYPE,
            (b"ETag", etag),
            (b"Last-Modified", http_date(this_update)),
            (b"Expires", http_date(next_update)),
            (
                b"Cache-Control",
                b"max-age=%d, public, no-transform, must-revalidate" % seconds,
            ),
        )
        conditional = request.method in ("GET", "HEAD")  # RFC 9110 13.1.2
        if conditional and _matches(request.header(b"if-none-match"), etag):
            return Reply(304, b"", headers[1:])
        return Reply(200, body, headers)

    def _error(self, given: Answer, request: Request) -> Reply:
        self.answered[given.response_status.name] += 1
        log.info(
            "refused",
            response_status=given.response_status.name,
            why=given.why,
            peer=request.peer,
            method=request.method,
        )
        return Reply(200, given.der, (_TYPE, _NO_STORE))


def _matches(header: bytes | None, etag: bytes) -> bool:
    """RFC 9110 13.1.2: weak comparison, `*` matches anything."""
    if header is None:
        return False
    tags = [tag.strip().removeprefix(b"W/") for tag in header.split(b",")]
    return etag in tags or b"*" in tags
