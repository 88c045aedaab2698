"""A responder asked over HTTP (RFC 6960 Appendix A, RFC 9919).

Laws: nothing is verified here; every failure has its class (K7); GET while the URL has at most 255
bytes, else POST, and POST again where GET is not understood (K14); a SHA-1 CertID first, SHA-256
once when the responder says unauthorized (K13); the URLs in their order until one answers (K15).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from holdfast.errors import HoldfastError, Malformed, NotFound, PeerError, Unavailable
from holdfast.net.timeline import Timeline
from holdfast.ocsp.certid import HASH_OIDS, Subject
from holdfast.ocsp.http import REQUEST_TYPE, RESPONSE_TYPE, get_url
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response, ResponseStatus

if TYPE_CHECKING:
    from holdfast.net.http_answer import HttpAnswer
    from holdfast.net.http_client import Http

Method = Literal["auto", "get", "post"]

NONCE_OCTETS = 32  # RFC 9654 2.1: clients use 32
_log = logging.getLogger("holdfast.sources")
_HEADERS = (("Accept", RESPONSE_TYPE),)
_ASKED_BY_POST = (*_HEADERS, ("Content-Type", REQUEST_TYPE))
_POST_MAY_HELP = frozenset({"malformed", "html", "empty", "truncated"})
_OTHER_HASH = {"sha1": "sha256", "sha256": "sha1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to one URL, and what came of it: `response`, or `error`.

    `answer` is None when HTTP itself failed. `notes` tell what was odd and tolerated.
    """

    url: str  # as it was asked, without the request that GET puts into it
    method: Literal["GET", "POST"]
    hash_algorithm: str
    request: Request
    nonce: bytes | None = None
    answer: HttpAnswer | None = None
    response: Response | None = None
    error: HoldfastError | None = None
    notes: tuple[str, ...] = ()
    parse_milliseconds: float | None = None

    @property
    def http_status(self) -> int | None:
        return None if self.answer is None else self.answer.status

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return () if self.answer is None else self.answer.headers

    @property
    def timeline(self) -> Timeline:
        return Timeline() if self.answer is None else self.answer.timeline

    @property
    def failure(self) -> str | None:
        """The class of `error`: dns, timeout, http-5xx, html, malformed, unauthorized ..."""
        return getattr(self.error, "failure", None)


class HttpSource:
    """Implements `Source` by asking the subject's responders. Unverified."""

    def __init__(
        self,
        http: Http,
        *,
        method: Method = "auto",
        hash: str = "sha1",
        nonce: bool = False,
        overrides: Mapping[str, str] | None = None,
        on_exchange: Callable[[Exchange], None] = lambda _: None,
    ) -> None:
        """`overrides`: responder URL -> the URL to ask instead; "*" stands for every other.
        `on_exchange` is called with every exchange."""
        if hash not in HASH_OIDS:
            raise ValueError(f"CertID hash {hash!r} is not one of {', '.join(HASH_OIDS)}")
        self._http = http
        self._method: Method = method
        self._hash = hash
        self._nonce = nonce
        self._overrides = dict(overrides or {})
        self._on_exchange = on_exchange

    async def response(self, subject: Subject, /) -> Response:
        """The first answer that is a successful OCSP response.

        Raises `NotFound` when the subject names no responder, and otherwise what the last exchange
        came to: `Unavailable` (the network, an HTTP status, tryLater, internalError) or `PeerError`
        (not an OCSP response, unauthorized, malformedRequest, sigRequired).
        """
        last: Exchange | None = None
        async with aclosing(self.exchanges(subject)) as exchanges:
            async for last in exchanges:
                if last.error is None:
                    assert last.response is not None
                    return last.response
        if last is None:
            raise NotFound(
                f"{subject.name}: the certificate names no OCSP responder",
                hint="stapling does not apply to it, unless its CA has one that it does not name",
            )
        assert last.error is not None
        raise last.error

    async def exchanges(self, subject: Subject, /) -> AsyncGenerator[Exchange, None]:
        """Every exchange that `response` makes, one after the other; the last may be successful."""
        for url in self.urls(subject):
            async with aclosing(self._asking(subject, url)) as exchanges:
                async for exchange in exchanges:
                    yield exchange
                    if exchange.error is None:
                        return

    def urls(self, subject: Subject) -> tuple[str, ...]:
        """The URLs to ask, in order, overrides applied."""
        others = self._overrides.get("*")
        given = subject.responder_urls
        if not given and others is not None:
            return (others,)
        return tuple(dict.fromkeys(self._overrides.get(url, others or url) for url in given))

    async def exchange(
        self,
        subject: Subject,
        url: str,
        *,
        method: Method | None = None,
        hash: str | None = None,
    ) -> Exchange:
        """Ask `url` once, whatever comes of it. "auto" is GET where the URL is short enough."""
        exchange = await self._exchanged(subject, url, method, hash)
        self._on_exchange(exchange)
        return exchange

    async def _exchanged(
        self, subject: Subject, url: str, method: Method | None, hash: str | None
    ) -> Exchange:
        algorithm = hash or self._hash
        nonce = secrets.token_bytes(NONCE_OCTETS) if self._nonce else None
        request = Request.build(subject.certid_by(algorithm), nonce=nonce)
        wanted = method or self._method
        encoded = request.encode()
        get = None if wanted == "post" else get_url(url, encoded)
        begun = Exchange(
            url=url,
            method="POST" if get is None else "GET",
            hash_algorithm=algorithm,
            request=request,
            nonce=nonce,
        )
        if get is None and wanted == "get":
            error = Unavailable(
                f"{url}: the GET URL would be longer than 255 bytes",
                failure="bad-url",
                hint="ask by POST",
            )
            return replace(begun, error=error)
        try:
            if get is None:
                answer = await self._http.post(url, encoded, headers=_ASKED_BY_POST)
            else:
                answer = await self._http.get(get, headers=_HEADERS)
        except HoldfastError as error:
            return replace(begun, error=_shortened(error, get, url))
        return _read(begun, answer)

    async def _asking(self, subject: Subject, url: str) -> AsyncGenerator[Exchange, None]:
        """One URL: the configured way, then what may help."""
        exchange = await self.exchange(subject, url)
        yield exchange
        if (
            self._method == "auto"
            and exchange.method == "GET"
            and (
                exchange.failure in _POST_MAY_HELP
                or (exchange.http_status in (404, 405) and exchange.error is not None)
            )
        ):
            exchange = await self.exchange(subject, url, method="post")
            yield exchange
        other = _OTHER_HASH.get(self._hash)
        if exchange.failure == "unauthorized" and other is not None:
            method: Method = "post" if exchange.method == "POST" else self._method
            yield await self.exchange(subject, url, method=method, hash=other)


def _read(exchange: Exchange, answer: HttpAnswer) -> Exchange:
    """What `answer` is: a successful response or a classified error."""
    exchange = replace(exchange, answer=answer)
    if answer.status != 200:
        return replace(exchange, error=_http_error(exchange.url, answer))
    begun = time.perf_counter()
    try:
        response = Response.parse(answer.body)
    except Malformed as error:
        return replace(exchange, error=_not_ocsp(exchange.url, answer, error))
    notes: tuple[str, ...] = ()
    if answer.content_type != RESPONSE_TYPE:
        given = answer.content_type or "none"
        notes = (
            f"the Content-Type is {given}, not {RESPONSE_TYPE}; the body is OCSP all the same",
        )
    return replace(
        exchange,
        response=response,
        error=_refusal(exchange.url, answer, response.response_status),
        notes=notes,
        parse_milliseconds=round((time.perf_counter() - begun) * 1000, 3),
    )


def _shortened(error: HoldfastError, asked: str | None, url: str) -> HoldfastError:
    """`error` by the responder's `url`, not by the whole URL of a GET, which is for the log."""
    if asked is None or asked not in error.message or not isinstance(error, Unavailable):
        return error
    _log.debug("asked %s: %s", url, error.message)
    return Unavailable(
        error.message.replace(asked, url),
        failure=error.failure,
        retry_after=error.retry_after,
        hint=error.hint,
    )


def _http_error(url: str, answer: HttpAnswer) -> Unavailable:
    return Unavailable(
        f"{url}: HTTP status {answer.status}",
        failure=f"http-{answer.status // 100}xx",
        retry_after=answer.retry_after,
        hint="the address may be wrong, or the responder is in trouble"
        if answer.status >= 500
        else "the address may be wrong, or something stands before the responder",
    )


def _not_ocsp(url: str, answer: HttpAnswer, error: Malformed) -> PeerError:
    body = answer.body
    start = body[:256].lstrip().lower()
    if not body:
        failure, said = "empty", "an empty body"
    elif start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        failure, said = "html", "a web page, not an OCSP response"
    elif _declared_length(body) > len(body):
        failure, said = "truncated", f"an OCSP response cut off after {len(body)} bytes"
    else:
        failure, said = "malformed", f"not an OCSP response: {error.message}"
    hint = {
        "html": "a captive portal, proxy or firewall answers in the responder's place",
        "empty": "the responder, or a proxy before it, is in trouble",
    }.get(failure, "tell the CA, or look at the proxy before the responder")
    return PeerError(f"{url}: {said}", failure=failure, hint=hint)


def _declared_length(body: bytes) -> int:
    """How long the outermost DER SEQUENCE says it is; 0 when there is none."""
    if len(body) < 2 or body[0] != 0x30:
        return 0
    count = body[1] & 0x7F if body[1] & 0x80 else 0
    if count == 0:
        return 2 + body[1] if body[1] != 0x80 else 0
    return 2 + count + int.from_bytes(body[2 : 2 + count], "big") if count <= 4 else 0


def _refusal(url: str, answer: HttpAnswer, response_status: ResponseStatus) -> HoldfastError | None:
    """The error that an OCSP error response is; None for a successful one."""
    match response_status:
        case ResponseStatus.successful:
            return None
        case ResponseStatus.tryLater:
            failure = "try-later"
        case ResponseStatus.internalError:
            failure = "internal-error"
        case ResponseStatus.unauthorized:
            return PeerError(
                f"{url}: unauthorized: it does not answer for this certificate",
                failure="unauthorized",
                hint="the issuer given may be the wrong one, or the certificate too new or expired",
            )
        case ResponseStatus.malformedRequest:
            return PeerError(
                f"{url}: malformedRequest: it does not understand the request",
                failure="malformed-request",
                hint="try `--method post` and `--hash sha1`, without a nonce",
            )
        case ResponseStatus.sigRequired:
            return PeerError(
                f"{url}: sigRequired: it answers signed requests only",
                failure="sig-required",
                hint="it is not meant for stapling; ask the CA for another responder",
            )
    return Unavailable(
        f"{url}: {response_status.name}: the responder cannot answer now",
        failure=failure,
        retry_after=answer.retry_after,
    )
