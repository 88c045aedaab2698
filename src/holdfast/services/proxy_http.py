"""The client's end in http mode: requests in, each to a connection of the upstream, answers back.

Laws: answers leave in the order of the requests, and one request is under way at a time, so that
an answer can never reach another request; bodies are passed on as they come, with back-pressure,
and hardly held; at every stage there is a deadline and a bound. The parser is llhttp, strict.
RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from holdfast.errors import HoldfastError
from holdfast.net.deadline import Deadline
from holdfast.net.http_message import Reply, plain
from holdfast.net.proxy_protocol import within
from holdfast.services.proxy_backend import Backend, Pool
from holdfast.services.proxy_headers import Header, Refused, interim, pass_answer, switching
from holdfast.services.proxy_requests import Exchange, RequestReader, chunk
from holdfast.services.proxy_tcp import EARLY, unreachable_reply
from holdfast.services.proxy_upstream import header_for

if TYPE_CHECKING:
    from holdfast.services.proxy import Proxy

SLOWEST = 4096  # bytes of a body that each `Deadlines.body` must bring
REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))  # RFC 9110 9.2.2
NO_ANSWER = "the server behind this proxy did not answer"
QUEUED, UNTAKEN, FULL = 1, 2, 4  # why the client is not read


class HttpFront(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport
    _reader: RequestReader

    def __init__(self, proxy: Proxy, pool: Pool) -> None:
        self._proxy = proxy
        self._pool = pool
        self._passing = proxy.passing
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, self._expired)
        self._step = 0  # bytes of a body since the deadline was set
        # what is under way
        self._queue: deque[Exchange] = deque()
        self._now: Exchange | None = None
        self._backend: Backend | None = None
        self._own: Backend | None = None  # kept for this client alone, with its PROXY header
        self._dialling: asyncio.Task[None] | None = None
        self._holds = 0
        self._out: list[bytes] = []
        self._writable = True
        self._tunnel = False

    # -- asyncio ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        peer = str(name[0]).partition("%")[0] if name else ""
        self._reader = RequestReader(
            self,
            limits=self._passing.limits,
            peer=peer,
            trusted=within(peer, self._passing.trust_forwarded),
            authority=self._pool.upstream.authority.encode("ascii"),
        )
        self._proxy.fronts.add(self)
        self._deadline.set(self._passing.deadlines.header)

    def data_received(self, data: bytes) -> None:
        if self._tunnel:
            assert self._backend is not None
            self._arm()
            self._backend.transport.write(data)
            return
        try:
            self._reader.feed(data)
        except Refused as refused:
            self._refuse(refused)
        except Exception:
            self.transport.abort()
            raise  # a bug of ours
        self._hold(QUEUED, on=len(self._queue) > 1)
        self._flush()

    def eof_received(self) -> bool:
        """A client may end its side and still read the answers to what it sent."""
        reading = self._reader.reading is not None
        self._reader.ended = True
        nothing = self._now is None and not self._queue
        return not (self._tunnel or nothing or reading)

    def pause_writing(self) -> None:
        self._writable = False
        if self._backend is not None:
            self._backend.transport.pause_reading()
        self._arm()

    def resume_writing(self) -> None:
        self._writable = True
        if self._backend is not None and not self._backend.transport.is_closing():
            self._backend.transport.resume_reading()
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.end()
        self._deadline.end()
        self._proxy.fronts.discard(self)
        if self._dialling is not None:
            self._dialling.cancel()
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.abandon()
        if self._own is not None:
            self._own.transport.close()
        self._queue.clear()
        self._now = None

    def drain(self) -> None:
        """End now when nothing is under way, else after it."""
        if self._now is None and not self._queue:
            self._close()

    # -- called by the reader ---------------------------------------------------------------

    def head_begins(self) -> None:
        if self._now is None:
            self._deadline.set(self._passing.deadlines.header)

    def request(self, exchange: Exchange) -> None:
        self._step = 0
        self._queue.append(exchange)
        if self._now is None:
            self._next()

    def body(self, exchange: Exchange, data: bytes, size: int) -> None:
        self._step += size
        if self._step >= SLOWEST and exchange is self._now:
            self._step = 0
            self._arm()
        backend = self._backend
        if exchange is self._now and backend is not None and exchange.taken:
            backend.transport.write(data)
            return
        exchange.waiting.append(data)
        exchange.waiting_bytes += len(data)
        if exchange.waiting_bytes > EARLY:
            self._hold(UNTAKEN, on=True)

    def whole(self, exchange: Exchange) -> None:
        if exchange is self._now:
            self._arm()

    def websocket(self, early: bytes) -> None:
        exchange = self._queue[-1] if self._queue else self._now
        assert exchange is not None
        # Before the upstream has agreed it could take them for a request; so do those that wait
        # in the kernel
        exchange.after = early
        self._hold(UNTAKEN, on=True)

    def _refuse(self, refused: Refused) -> None:
        """Answer what came before, then this; nothing more is read."""
        reader = self._reader
        exchange, reader.reading = reader.reading, None
        reader.ended, reader.in_head = True, False
        reply = plain(refused.status, refused.why, close=True)
        if exchange is not None and exchange is self._now:
            self._answer_instead(reply)
            return
        if exchange is None:
            exchange = Exchange(b"GET", "1.1")
            self._queue.append(exchange)
        exchange.refusal = reply
        if self._now is None:
            self._next()

    def _answer_instead(self, reply: Reply) -> None:
        """The exchange under way ends by `reply`, or, when its answer has begun, by a cut."""
        exchange, backend = self._now, self._backend
        self._backend = None
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
        if backend is not None:
            backend.abandon()
        if exchange is None or exchange.begun:
            self.transport.abort()
            return
        self._out.append(reply.head + b"Connection: close\r\n\r\n")
        if exchange.method != b"HEAD":
            self._out.append(reply.body)
        self._close()

    # -- the exchange under way -------------------------------------------------------------

    def _next(self) -> None:
        """Begin the first exchange that waits, if any; else wait for the client."""
        self._now = None
        if self._queue:
            exchange = self._now = self._queue.popleft()
            if exchange.refusal is not None:
                self._answer_instead(exchange.refusal)
                return
            self._start(exchange)
        elif self._reader.ended or self._proxy.draining:
            self._close()
            return
        self._hold(QUEUED, on=len(self._queue) > 1)
        self._arm()

    def _start(self, exchange: Exchange) -> None:
        alone = self._passing.proxy_protocol is not None
        kept = None if exchange.tried else self._own if alone else self._pool.take()
        self._own = None
        if kept is not None and kept.reusable:
            self._send(exchange, kept)
        else:
            self._dialling = self._loop.create_task(self._dial(exchange))

    async def _dial(self, exchange: Exchange) -> None:
        try:
            backend = await self._pool.dial()
        except HoldfastError as error:
            self._dialling = None
            self._proxy.unreachable(error)
            status, _ = unreachable_reply(error)
            self._answer_instead(plain(status, NO_ANSWER, close=True))
            return
        self._dialling = None
        if self._passing.proxy_protocol is not None:
            backend.transport.write(header_for(self._passing.proxy_protocol, self.transport))
        self._send(exchange, backend)
        self._arm()

    def _send(self, exchange: Exchange, backend: Backend) -> None:
        backend.begin(self, no_body=exchange.method == b"HEAD")
        if not self._writable:
            backend.transport.pause_reading()
        self._backend = backend
        exchange.taken = True
        exchange.tried += 1
        if exchange.waiting:
            data = b"".join([exchange.head, *exchange.waiting])
            exchange.waiting = []
            exchange.waiting_bytes = 0
        else:
            data = exchange.head
        backend.transport.write(data)
        self._hold(UNTAKEN, on=exchange.websocket)

    # -- called by the backend --------------------------------------------------------------

    def interim(self, status: int, reason: bytes, headers: list[Header]) -> None:
        exchange = self._now
        if exchange is not None and exchange.version == "1.1":
            self._out.append(interim(status, reason, headers))

    def answer_begins(self, status: int, reason: bytes, headers: list[Header]) -> None:
        exchange = self._now
        assert exchange is not None
        exchange.begun = True
        if not exchange.whole:  # it may never come: the connection cannot go on
            exchange.keep = False
        answer = pass_answer(
            status,
            reason,
            headers,
            bodiless=exchange.method == b"HEAD" or status in (204, 304),
            version=exchange.version,
            keep=exchange.keep and not self._proxy.draining,
        )
        exchange.chunks, exchange.keep = answer.chunks, answer.keep
        self._out.append(answer.head)

    def answer_part(self, body: bytes) -> None:
        exchange = self._now
        assert exchange is not None
        self._out.append(chunk(body) if exchange.chunks else body)

    def answer_ends(self) -> None:
        exchange, backend = self._now, self._backend
        assert exchange is not None
        assert backend is not None
        if exchange.chunks:
            self._out.append(b"0\r\n\r\n")
        self._backend = None
        if not self._writable and not backend.transport.is_closing():
            backend.transport.resume_reading()
        if not exchange.whole:
            backend.abandon()
        elif self._passing.proxy_protocol is None:
            backend.end()
        elif exchange.keep and backend.reusable:  # it was told of this client, and is no other's
            backend.asker = None
            backend.used += 1
            self._own = backend
        else:
            backend.asker = None
            backend.transport.close()
        self._hold(FULL | UNTAKEN, on=False)
        if not exchange.keep:
            self._close()
            return
        self._flush()
        self._next()

    def answer_read(self) -> None:
        self._flush()
        if self._now is not None:
            self._arm()

    def switched(self, reason: bytes, headers: list[Header], rest: bytes) -> None:
        exchange = self._now
        if exchange is None or not exchange.websocket or self._backend is None:
            self.backend_lost("it switched to a protocol that nobody asked for")
            return
        exchange.begun = True
        self._tunnel = True
        self._out.append(switching(reason, headers))
        if rest:
            self._out.append(rest)
        self._flush()
        if exchange.after:
            self._backend.transport.write(exchange.after)
            exchange.after = b""
        self._hold(UNTAKEN, on=False)
        self._arm()

    def tunnelled(self, data: bytes) -> None:
        self.transport.write(data)
        self._arm()

    def backend_lost(self, why: str) -> None:
        exchange, backend = self._now, self._backend
        self._backend = None
        if exchange is None:
            return
        if self._tunnel or exchange.begun:
            self._flush()
            if self._tunnel:
                self.transport.close()
            else:
                self.transport.abort()  # a cut answer must not look like a whole one
            return
        again = (
            backend is not None
            and backend.used > 0
            and not backend.heard
            and exchange.tried == 1
            and exchange.whole
            and exchange.length == 0
            and exchange.method in REPEATABLE
        )
        if again:  # it closed what it had kept for us in the moment that we used it
            self._start(exchange)
            return
        self._proxy.upstream_failed(why)
        self._answer_instead(plain(502, NO_ANSWER, close=True))

    def backend_writable(self, writable: bool) -> None:
        self._hold(FULL, on=not writable)
        self._arm()

    # -- within -----------------------------------------------------------------------------

    def _hold(self, why: int, *, on: bool) -> None:
        before = self._holds
        self._holds = before | why if on else before & ~why
        if bool(before) != bool(self._holds) and not self.transport.is_closing():
            if self._holds:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _close(self) -> None:
        self._reader.ended = True
        self._flush()
        self._deadline.end()
        self.transport.close()

    def _arm(self) -> None:
        """Set the deadline of the stage that this is."""
        deadlines, exchange = self._passing.deadlines, self._now
        if not self._writable:
            seconds = deadlines.body
        elif exchange is None:
            seconds = deadlines.header if self._reader.in_head else deadlines.idle
        elif self._tunnel or exchange.begun:
            seconds = deadlines.idle
        elif exchange.whole or self._holds:
            seconds = deadlines.response
        else:
            seconds = deadlines.body
        self._deadline.set(seconds)

    def _expired(self) -> None:
        exchange = self._now
        if not self._writable or self._tunnel or (exchange is not None and exchange.begun):
            self.transport.abort()
        elif exchange is None:
            if self._reader.in_head:
                self._refuse(Refused(408, "the request did not arrive in time"))
                self._flush()
            else:
                self._close()
        elif exchange.whole or self._holds:
            self._proxy.upstream_failed(f"no answer in {self._passing.deadlines.response:g} s")
            self._answer_instead(plain(504, NO_ANSWER, close=True))
        else:
            self._answer_instead(plain(408, "the request did not arrive in time", close=True))
