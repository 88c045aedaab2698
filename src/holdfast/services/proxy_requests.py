"""Requests out of a client's bytes, for http mode: bounded, refused or ready to be passed on.

Laws: a request's head is judged whole before anything of it goes on; its body is given on as it
comes; nothing is read after a request that ends the connection. The parser is llhttp, strict.
RFC 9112.
"""

from __future__ import annotations

from typing import Protocol, cast

import httptools

from holdfast.net.http_message import Reply
from holdfast.services.proxy_headers import Header, Refused, RequestHead, pass_request
from holdfast.services.proxy_limits import Limits


class Exchange:
    """A request and what has become of it. `refusal`: no upstream hears of it."""

    __slots__ = (
        *("after", "begun", "body_seen", "chunks", "head", "keep", "length", "method"),
        *("refusal", "taken", "tried", "version", "waiting", "waiting_bytes", "websocket", "whole"),
    )

    def __init__(self, method: bytes, version: str) -> None:
        self.method, self.version = method, version
        self.head = b""
        self.length: int | None = 0
        self.websocket = False
        self.after = b""  # what a WebSocket's client said before it was one
        self.keep = False
        self.refusal: Reply | None = None
        self.waiting: list[bytes] = []  # of the body, as it goes on, while nobody takes it
        self.waiting_bytes = 0
        self.body_seen = 0
        self.whole = False  # the client has sent all of it
        self.taken = False  # some of it went to an upstream
        self.begun = False  # the answer has begun
        self.chunks = False  # the answer's body goes in chunks
        self.tried = 0


class Taker(Protocol):
    """Who is given what is read."""

    def head_begins(self) -> None: ...
    def request(self, exchange: Exchange, /) -> None:
        """Its head is whole."""

    def body(self, exchange: Exchange, data: bytes, size: int, /) -> None:
        """`size` bytes of its body, as `data` to the upstream."""

    def whole(self, exchange: Exchange, /) -> None: ...
    def websocket(self, early: bytes, /) -> None:
        """Nothing more is read: the last request wants a WebSocket, and `early` followed it."""


class RequestReader:
    """Give it bytes with `feed`, which raises `Refused` for what goes no further.

    `peer` and `trusted` are the client's, `authority` the upstream's.
    """

    def __init__(
        self, taker: Taker, *, limits: Limits, peer: str, trusted: bool, authority: bytes
    ) -> None:
        self._taker = taker
        self._limits = limits
        self._peer, self._trusted, self._authority = peer, trusted, authority
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._raw = 0
        self._upgraded = False  # to a WebSocket
        self.in_head = False
        self.reading: Exchange | None = None  # its body is awaited
        self.ended = False  # nothing more is read

    def feed(self, data: bytes) -> None:
        """Read `data`; what was read before a `Refused` was given on."""
        while data and not self.ended:
            self._raw += len(data)
            data = self._fed(data)
        if self.in_head and not self.ended and self._raw > self._limits.header_bytes:
            raise Refused(431, "the headers are too large")

    def end(self) -> None:
        """Read nothing more, and let go of those who hold us: without this every connection would
        be the cycle collector's."""
        self.ended, self.in_head, self.reading = True, False, None
        self._parser = cast(httptools.HttpRequestParser, None)
        self._taker = cast(Taker, None)

    def _fed(self, data: bytes) -> bytes:
        """What the parser would not read."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self.ended:
                return b""
            cause = error.__context__
            if isinstance(error, httptools.HttpParserCallbackError):
                raise (cause or error) from None  # a refusal, or a bug of ours
            raise Refused(400, f"not an HTTP request: {error}") from error
        return b""

    def _after_upgrade(self, rest: bytes) -> bytes:
        """llhttp reads no further: for a WebSocket's bytes, or since it took an `Upgrade: h2c` at
        its word, which is not passed on."""
        if self._upgraded:
            self.ended = True
            self._taker.websocket(rest)
            return b""
        self._parser = httptools.HttpRequestParser(self)
        self._raw = 0
        return rest

    # -- called by the parser ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.ended:
            raise Refused(400, "nothing is read after this")
        self._target, self._headers = b"", []
        self._head_bytes = self._raw = 0
        self.in_head = True
        self._upgraded = False
        self._taker.head_begins()

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer of a chunked body; RFC 9110 6.5.1 lets it be dropped
        self._headers.append((name, value))
        self._count(len(name) + len(value) + 4)
        if len(self._headers) > self._limits.headers:
            raise Refused(431, "too many headers")

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.header_bytes:
            raise Refused(431, "the headers are too large")

    def on_headers_complete(self) -> None:
        self.in_head = False
        parser = self._parser
        method, version = parser.get_method(), parser.get_http_version()
        exchange = Exchange(method, version)
        passed = pass_request(
            RequestHead(method, self._target, version, self._headers),
            upgrades=parser.should_upgrade(),
            peer=self._peer,
            trusted=self._trusted,
            authority=self._authority,
        )
        most = self._limits.body_bytes
        if most and passed.length is not None and passed.length > most:
            raise Refused(413, f"the body is longer than {most} bytes")
        exchange.head, exchange.length = passed.head, passed.length
        exchange.websocket = self._upgraded = passed.websocket
        exchange.keep = parser.should_keep_alive() and not passed.websocket
        self.reading = exchange
        self._taker.request(exchange)

    def on_body(self, body: bytes) -> None:
        exchange = self.reading
        if exchange is None:
            return
        exchange.body_seen += len(body)
        most = self._limits.body_bytes
        if most and exchange.body_seen > most:
            raise Refused(413, f"the body is longer than {most} bytes")
        data = body if exchange.length is not None else chunk(body)
        self._taker.body(exchange, data, len(body))

    def on_message_complete(self) -> None:
        exchange, self.reading = self.reading, None
        if exchange is None:
            return
        exchange.whole = True
        if exchange.length is None:
            self._taker.body(exchange, b"0\r\n\r\n", 0)
        if not exchange.keep and not exchange.websocket:
            self.ended = True
        self._taker.whole(exchange)


def chunk(body: bytes) -> bytes:
    """A chunk of a chunked body (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)
