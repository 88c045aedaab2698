"""One client of the HTTP server: bytes in, requests to the handler, replies out in order.

Laws: any bytes give a reply or a closed connection; at every stage there is a deadline and a bound;
a handler's bug is a 500 and one traceback in the log, and the process lives. A handler that returns
its reply is answered within `data_received`, and all replies to one read leave in one write; only
an awaitable makes a task. The parser is llhttp, strict. RFC 9112.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

import httptools

from holdfast.net.deadline import Deadline
from holdfast.net.http_head import said as head_said
from holdfast.net.http_head import without_upgrade
from holdfast.net.http_message import Answer, Raw, Reply, Request, plain
from holdfast.net.http_turns import SLICE_BYTES, Turns
from holdfast.net.http_wire import ConnectionWire

if TYPE_CHECKING:
    from holdfast.net.http_server import Server

LINGER_SECONDS = 2.0  # how long a refused client's bytes are read on, so that it sees the reply
LINGER_BYTES = 1 << 20
FLUSH_BYTES = 64 * 1024
CHUNK_OVERHEAD = 8  # raw bytes per body byte: chunks of one byte cost six

_log = logging.getLogger("holdfast.net.http_server")
_BUG = plain(500, "internal error", close=True)


class _Stop(Exception):
    """Raised in a parser callback: this client is read no further."""


class Connection(asyncio.Protocol):
    """One client, at the stage idle, head or body. `_worker` lives while an answer is awaited."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limits = server.limits
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()  # the connection is gone
        # the client has ended its side
        self._left: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._turns: Turns = cast(Turns, None)
        self._parser = httptools.HttpRequestParser(self)
        self._peer = ""
        # the request being read
        self._stage = "idle"
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = self._raw_bytes = self._body_bytes = 0
        self._body: list[bytes] = []
        self._expects = False
        # what is to be answered and sent; a bare Reply refuses the client
        self._pending: deque[tuple[Request, bool] | Reply] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._writable: asyncio.Future[None] | None = None
        self._ended = False  # nothing more is read
        self._last_sent = False  # nothing more is sent
        self._linger_bytes = -1  # still to be thrown away; -1 when not lingering
        self._deadline = Deadline(self._loop, self._expired)

    # -- asyncio ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._turns = Turns(self._transport, take=self._take, full=self._is_full)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._server.connections.add(self)
        if self._server.draining:
            self._leave()
        elif len(self._server.connections) > self._limits.connections:
            self._refuse(plain(503, "too many connections", headers=((b"Retry-After", b"1"),)))
        else:
            self._deadline.set(self._limits.head_seconds)

    def data_received(self, data: bytes) -> None:
        if len(data) > SLICE_BYTES:
            self._turns.came(data)
        else:
            self._take(data)

    def _is_full(self) -> bool:
        if self._ended:
            return False  # the rest is thrown away
        return self._writable is not None or len(self._pending) >= self._limits.pipelined

    def _take(self, data: bytes) -> None:
        if self._ended:
            self._discard(data)
            return
        stage = self._stage
        self._raw_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_again(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._unparsable(error)
        if self._stage != "idle" and not self._ended:
            self._check_progress(fresh=self._stage != stage)
        self._flush()

    def eof_received(self) -> bool:
        """A client may end its side and still read the replies to what it sent."""
        self._ended = True
        if not self._left.done():
            self._left.set_result(None)
        if self._worker is None and not self._pending:
            return False
        # It may also be gone altogether, which only a write would tell.
        self._loop.call_later(self._limits.write_seconds, self._transport.abort)
        return True

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()
            self._deadline.set(self._limits.write_seconds)

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
        if self._worker is None and self._pending and not self._last_sent:
            self._worker = self._loop.create_task(self._work(None))
        if not self._is_full():
            self._turns.go_on()
        self._arm_for_stage()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = self._last_sent = True
        self._server.connections.discard(self)
        self._deadline.end()
        if self._worker is not None:
            self._worker.cancel()
        elif self._writable is not None:
            self._writable.cancel()
        for future in (self._left, self.lost):
            if not future.done():
                future.set_result(None)

    def drain(self) -> None:
        """End now when nothing is under way, else after the reply to it."""
        under_way = self._worker is not None or self._pending or self._turns.waiting
        if self._stage == "idle" and not under_way:
            self._leave()

    def _leave(self) -> None:
        """The server ends, and nothing is under way here."""
        self._close()

    def abort(self) -> None:
        self._transport.abort()

    # -- reading: called by the parser ------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._ended:
            raise _Stop
        self._stage = "head"
        self._target = b""
        self._headers = []
        self._head_bytes = self._raw_bytes = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._head_bytes += len(url)
        if len(self._target) > self._limits.target_bytes:
            self._stop(plain(414, "the request target is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage != "head":
            return  # a trailer of a chunked body; RFC 9110 6.5.1 lets it be dropped
        self._headers.append((name.lower(), value))
        self._head_bytes += len(name) + len(value) + 4
        limits = self._limits
        if self._head_bytes > limits.head_bytes or len(self._headers) > limits.headers:
            self._stop(plain(431, "the headers are too large"))

    def on_headers_complete(self) -> None:
        self._stage = "body"
        said = head_said(self._headers, self._parser.get_http_version(), self._limits)
        if said.refusal is not None:
            self._stop(said.refusal)
        if self._parser.should_upgrade():
            return  # read again without it
        self._expects = said.expects
        if self._expects and self._worker is None and not self._pending:
            self._continue()

    def on_body(self, body: bytes) -> None:
        self._expects = False  # it did not wait
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._stop(plain(413, "the body is too large"))

    def on_message_complete(self) -> None:
        parser = self._parser
        method = parser.get_method().decode("ascii")
        if parser.should_upgrade() and method != "CONNECT":
            return
        request = Request(
            method,
            self._target,
            self._headers,
            b"".join(self._body) if self._body else b"",
            parser.get_http_version(),
            self._peer,
        )
        self._body.clear()
        self._stage = "idle"
        self._expects = False
        keep = (
            parser.should_keep_alive() and not parser.should_upgrade() and not self._server.draining
        )
        self._ended = not keep
        if self._worker is not None or self._pending or self._writable is not None:
            self._pending.append((request, keep))
            if len(self._pending) >= self._limits.pipelined:
                self._transport.pause_reading()
            return
        answer = self._ask(request)
        if isinstance(answer, Reply):
            self._send(answer, request, keep)
            self._arm_for_stage()
        else:
            self._worker = self._loop.create_task(self._work((answer, request, keep)))
            self._deadline.clear()

    def _read_again(self, rest: bytes) -> None:
        """Read a request that wants another protocol (`Upgrade: h2c`) as if it did not.

        RFC 9110 7.8 lets a server ignore Upgrade, but llhttp then skips the body. The connection
        ends after it; so does one of CONNECT, which was given to the handler like any other.
        """
        if self._ended:
            return
        method, version = self._parser.get_method(), self._parser.get_http_version()
        again = without_upgrade(method, self._target, version, self._headers)
        self._parser = httptools.HttpRequestParser(self)
        self._stage = "idle"
        try:
            self._parser.feed_data(again + rest)
        except httptools.HttpParserUpgrade:  # CONNECT alone, and it is no longer here
            self._refuse(plain(400, "not an HTTP request"))
        except httptools.HttpParserError as error:
            self._unparsable(error)

    def _unparsable(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, _Stop):
            _log.error("a bug in reading a request from %s", self._peer, exc_info=cause or error)
        if not self._ended:  # else it was refused already, or sent bytes after its last request
            self._refuse(plain(400, f"not an HTTP request: {error}"))

    def _check_progress(self, *, fresh: bool) -> None:
        """A request is read in part: bound what it may still cost."""
        limits = self._limits
        if self._stage == "head":  # a header reaches `on_header` only when it is whole
            if self._raw_bytes > limits.head_bytes:
                self._refuse(plain(431, "the headers are too large"))
        elif self._raw_bytes > limits.head_bytes + CHUNK_OVERHEAD * limits.body_bytes:
            self._refuse(plain(413, "the body is too large"))
        if fresh and not self._ended:
            self._arm_for_stage()

    def _stop(self, reply: Reply) -> None:
        self._refuse(reply)
        raise _Stop

    def _refuse(self, reply: Reply) -> None:
        """Answer what came before, then `reply`, then read on a while and close."""
        self._ended = True
        self._stage = "idle"
        if self._worker is not None or self._pending or self._writable is not None:
            self._pending.append(reply)
        else:
            self._send_refusal(reply)

    def _send_refusal(self, reply: Reply) -> None:
        self._write_reply(reply, with_body=True, connection=b"Connection: close\r\n")
        self._last_sent = True
        self._flush()
        # Closing with unread bytes would reset the connection and destroy the reply (RFC 9112 9.6).
        self._linger_bytes = LINGER_BYTES
        with contextlib.suppress(OSError, NotImplementedError, RuntimeError):
            self._transport.write_eof()
        self._deadline.set(LINGER_SECONDS)

    def _discard(self, data: bytes) -> None:
        if self._linger_bytes >= 0:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self._transport.abort()

    # -- answering --------------------------------------------------------------------------

    def _ask(self, request: Request) -> Answer | Awaitable[Answer]:
        try:
            return self._server.handler(request)
        except Exception:
            _log.exception("a bug in answering %s %r", request.method, request.target[:200])
            return _BUG

    async def _work(self, first: tuple[Answer | Awaitable[Answer], Request, bool] | None) -> None:
        """Answer the `first` request, then those that came meanwhile."""
        try:
            if first is not None:
                await self._answer(*first)
            while self._pending and not self._last_sent:
                item = self._pending.popleft()
                if len(self._pending) == self._limits.pipelined // 2:
                    self._turns.go_on()
                if isinstance(item, Reply):
                    self._send_refusal(item)
                else:
                    await self._answer(self._ask(item[0]), *item)
        finally:
            self._worker = None
        if self._last_sent:
            return
        if self._ended:  # the client has ended its side, and has all its replies
            self._close()
            return
        if self._expects:
            self._continue()
        self._arm_for_stage()

    async def _answer(
        self, answer: Answer | Awaitable[Answer], request: Request, keep: bool
    ) -> None:
        if not isinstance(answer, (Reply, Raw)):
            try:
                answer = await answer
            except Exception:
                _log.exception("a bug in answering %s %r", request.method, request.target[:200])
                answer = _BUG
        if isinstance(answer, Raw):
            self._ended = True
            wire = ConnectionWire(self._transport, self._left, self._drained)
            await wire.play(answer, request)
            self._close()
            return
        self._send(answer, request, keep)
        self._flush()
        await self._drained()

    async def _drained(self) -> None:
        while self._writable is not None:
            await self._writable

    def _send(self, reply: Reply, request: Request, keep: bool) -> None:
        keep = keep and not reply.close and not self._server.draining
        connection = b""
        if not keep:
            connection = b"Connection: close\r\n"
        elif request.version == "1.0":
            connection = b"Connection: keep-alive\r\n"
        self._write_reply(reply, with_body=request.method != "HEAD", connection=connection)
        if not keep:
            self._close()

    def _write_reply(self, reply: Reply, *, with_body: bool, connection: bytes) -> None:
        date = self._server.date_line(self._loop.time())
        out = self._out
        out.append(b"%s%s%s\r\n" % (reply.head, date, connection))
        if with_body and reply.body and not reply.bodiless:
            out.append(reply.body)
            self._out_bytes += len(reply.body)
            if self._out_bytes > FLUSH_BYTES:
                self._flush()

    def _continue(self) -> None:
        self._expects = False
        self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._worker is None:
            self._flush()

    def _flush(self) -> None:
        if self._out:
            out, self._out, self._out_bytes = self._out, [], 0
            self._transport.write(b"".join(out))

    def _close(self) -> None:
        """Send what is to be sent and close; abort when the client does not take it."""
        self._ended = self._last_sent = True
        self._pending.clear()
        self._flush()
        self._transport.close()
        self._deadline.set(self._limits.write_seconds)

    def _arm_for_stage(self) -> None:
        if self._last_sent or self._writable is not None:
            return
        if self._worker is not None:
            self._deadline.clear()  # the handler's own time
        else:
            self._deadline.set(self._limits.seconds_of(self._stage))

    def _expired(self) -> None:
        if self._last_sent or self._writable is not None:
            self._transport.abort()
        elif self._stage == "idle":
            self._close()
        else:
            self._refuse(plain(408, "the request did not arrive in time"))
