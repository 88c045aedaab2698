"""A connection to the upstream in http mode: one request at a time, kept for the next one.

Laws: it answers the exchange that it was given to and no other; after anything odd (an answer
before the request had ended, bytes that nobody asked for, a parser's error) it is never used again.
The parser is llhttp, strict. RFC 9112 6.3, 9.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from holdfast.services.proxy_headers import Header

if TYPE_CHECKING:
    from holdfast.services.proxy_upstream import Upstream

MAX_HEAD = 128 * 1024  # bytes of an answer's head; it is our own upstream's
MAX_IDLE = 128  # connections kept for nobody yet
IDLE = 20.0  # seconds; servers keep 5 (Apache, Node) to 75 (nginx): their ends are watched for


class Asker(Protocol):
    """Who gets the answer."""

    def interim(self, status: int, reason: bytes, headers: list[Header], /) -> None: ...
    def answer_begins(self, status: int, reason: bytes, headers: list[Header], /) -> None: ...
    def answer_part(self, body: bytes, /) -> None: ...
    def answer_ends(self) -> None: ...
    def answer_read(self) -> None:
        """All that came in one read was told."""

    def switched(self, reason: bytes, headers: list[Header], rest: bytes, /) -> None: ...
    def tunnelled(self, data: bytes, /) -> None: ...
    def backend_lost(self, why: str, /) -> None:
        """Before the answer had ended."""

    def backend_writable(self, writable: bool, /) -> None: ...


class Backend(asyncio.Protocol):
    """`asker` None: idle."""

    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self.asker: Asker | None = None
        self.used = 0  # exchanges before this one
        self.heard = False  # a byte of the answer has come
        self.idle_until = 0.0
        self._no_body = False
        self._status = 0
        self._reason = b""
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._in_body = False
        self._to_the_end = False  # the body ends with the connection
        self._done = False  # the answer is whole: what follows in the same read is nobody's
        self._tunnel = False
        self._good = True

    def begin(self, asker: Asker, *, no_body: bool) -> None:
        """What is written from now on is `asker`'s; `no_body`: it asks by HEAD."""
        self.asker, self._no_body, self.heard = asker, no_body, False
        self._in_body = self._to_the_end = self._done = False
        self._head_bytes = 0

    @property
    def reusable(self) -> bool:
        return self._good and not self.transport.is_closing()

    def end(self) -> None:
        """The exchange is over, well or not: keep the connection or close it."""
        self.asker = None
        self.used += 1
        if self.reusable and not self._tunnel:
            self._pool.give_back(self)
        else:
            self.transport.close()

    def abandon(self) -> None:
        """Nobody wants the rest of the answer."""
        self.asker, self._good = None, False
        self.transport.abort()

    # -- asyncio ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        asker = self.asker
        if asker is None:  # an idle server has nothing to say, except farewell
            self._good = False
            self._pool.forget(self)
            self.transport.abort()
            return
        self.heard = True
        if self._tunnel:
            asker.tunnelled(data)
            return
        if not self._in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.asker is asker:
                self._tunnel = True
                rest = data[upgrade.args[0] :]
                asker.switched(self._reason, self._headers, rest)
                return
        except httptools.HttpParserError as error:
            self._good = False
            cause = error.__context__
            if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
                raise cause from None  # a bug of ours
            if self.asker is asker and not self._done:
                self._lost(f"not an HTTP answer: {error}")
                return
        if self._done and self.asker is asker:
            if self._no_body:  # the parser waits for the body that HEAD has not
                self._parser = httptools.HttpResponseParser(self)
            asker.answer_ends()
        elif not self._in_body and self._head_bytes > MAX_HEAD and self.asker is asker:
            self._lost(f"the answer's head is longer than {MAX_HEAD} bytes")
            return
        asker.answer_read()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._good = False
        asker = self.asker
        if asker is None:
            self._pool.forget(self)
        elif self._to_the_end and exc is None:
            asker.answer_ends()
            asker.answer_read()
        else:
            self._lost("it closed the connection")
        # It holds methods of ours: without this every connection would be the cycle collector's
        self._parser = cast(httptools.HttpResponseParser, None)

    def pause_writing(self) -> None:
        if self.asker is not None:
            self.asker.backend_writable(False)

    def resume_writing(self) -> None:
        if self.asker is not None:
            self.asker.backend_writable(True)

    def _lost(self, why: str) -> None:
        asker, self.asker, self._good = self.asker, None, False
        self.transport.abort()
        if asker is not None:
            asker.backend_lost(why)

    # -- called by the parser ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._done:
            self._good = False
            return
        self._reason, self._headers, self._status = b"", [], 0

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer is no header; RFC 9110 6.5.1 lets it be dropped
        if not self._in_body and not self._done:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        asker = self.asker
        if asker is None or self._done:
            self._good = False
            return
        status = self._status = self._parser.get_status_code()
        if status == 101:
            return
        if status < 200:
            asker.interim(status, self._reason, self._headers)
            return
        self._in_body = True
        bodiless = self._no_body or status in (204, 304)
        if not bodiless:
            known = (b"content-length", b"transfer-encoding")
            self._to_the_end = not any(name.lower() in known for name, _ in self._headers)
        if not self._parser.should_keep_alive() or self._to_the_end:
            self._good = False
        self._done = self._no_body
        asker.answer_begins(status, self._reason, self._headers)

    def on_body(self, body: bytes) -> None:
        if self.asker is not None and not self._done:
            self.asker.answer_part(body)

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self._in_body = False
            self._done = True


class Pool:
    """The idle connections to one upstream, the latest used first."""

    def __init__(self, upstream: Upstream, *, connect: float) -> None:
        self.upstream = upstream
        self._connect = connect
        self._idle: list[Backend] = []
        self._sweeping: asyncio.TimerHandle | None = None

    def take(self) -> Backend | None:
        """One that is there."""
        while self._idle:
            backend = self._idle.pop()
            if backend.reusable:
                return backend
        return None

    async def dial(self) -> Backend:
        """A new one; `Unavailable` when it cannot be had."""
        backend = Backend(self)
        await self.upstream.dial(backend, timeout=self._connect)
        return backend

    def give_back(self, backend: Backend) -> None:
        if len(self._idle) >= MAX_IDLE:
            backend.transport.close()
            return
        loop = asyncio.get_running_loop()
        backend.idle_until = loop.time() + IDLE
        self._idle.append(backend)
        if self._sweeping is None:
            self._sweeping = loop.call_later(IDLE, self._sweep)

    def forget(self, backend: Backend) -> None:
        if backend in self._idle:
            self._idle.remove(backend)

    def close(self) -> None:
        """End them all."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        idle, self._idle = self._idle, []
        for backend in idle:
            backend.transport.close()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now, self._sweeping = loop.time(), None
        for backend in [one for one in self._idle if one.idle_until <= now]:
            self._idle.remove(backend)
            backend.transport.close()
        if self._idle:
            self._sweeping = loop.call_later(IDLE / 2, self._sweep)
