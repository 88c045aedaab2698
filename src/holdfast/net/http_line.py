"""One connection of the HTTP client: a request out, its reply in, and again while both sides agree.

Laws: head, body and what frames it are bounded; whatever the server does ends in a `Said` or in
`Unavailable` with a class; nothing is decompressed. The parser is llhttp, as lenient as browsers
are about line ends. A deadline is the caller's: who gives up calls `abort`. RFC 9112.
"""

from __future__ import annotations

import asyncio
import select
from dataclasses import dataclass
from typing import cast

import httptools

from holdfast.errors import Unavailable
from holdfast.net.tcp_info import waited_here
from holdfast.net.timeline import Stopwatch

MAX_HEAD = 64 * 1024  # bytes of a status line and headers; real ones are under 4 KiB
PER_BYTE = 8  # bytes of framing for each of a body, besides MAX_HEAD: chunks of one need 5
LONG_HEAD = f"does not speak HTTP: a head of more than {MAX_HEAD} bytes"
LONG_FRAMING = f"does not speak HTTP: more than {MAX_HEAD} bytes that frame no body"
NO_BODY = (204, 304)  # RFC 9112 6.3


@dataclass(frozen=True, slots=True)
class Said:
    """A reply as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Line(asyncio.Protocol):
    """One exchange at a time; `reusable` says whether another may follow. `address` is the peer's,
    for messages and answers."""

    _body: bytearray
    _framing: int

    def __init__(self, address: str) -> None:
        self.address = address
        self.reusable = False
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._waiting: asyncio.Future[Said] | None = None
        self._lost = False
        self._unasked = False  # the server spoke out of turn

    async def exchange(
        self, request: bytes, *, url: str, watch: Stopwatch, max_bytes: int, tunnel: bool = False
    ) -> Said:
        """Send `request` and read the reply. `tunnel`: it is a CONNECT, whose reply ends with its
        head. `url` is for messages."""
        self.reusable = False
        self._url, self._watch, self._most, self._tunnel = url, watch, max_bytes, tunnel
        self._begin()
        if self._unasked:
            self.abort()
            raise Unavailable(f"{url}: does not speak HTTP: it speaks unasked", failure="not-http")
        if self._lost:
            raise self._reset(None)
        waiting = self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        watch.mark("send")
        try:
            said: Said = await waiting
            return said
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiting = None

    def quiet(self) -> bool:
        """Whether another exchange may begin: the system holds nothing unread, not even an end,
        which would be taken for the next reply."""
        if not self.reusable or self.transport.is_closing():
            return False
        look = select.poll()
        look.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not look.poll(0)

    def abort(self) -> None:
        self.reusable = False
        self.transport.abort()

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self._unasked = True
            self.abort()
            return
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.reusable = False  # the reply is whole; what follows it is no HTTP
        except httptools.HttpParserError as error:
            self.reusable = False  # the reply may be whole, and this what follows it
            self._fail("not-http", f"does not speak HTTP: {error}")
        if self._framing > MAX_HEAD:
            self._fail("not-http", LONG_FRAMING if self._headed else LONG_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost, self.reusable = True, False
        if self._waiting is None or self._waiting.done():
            return
        if not self._headed:
            self._waiting.set_exception(self._reset(exc))
        elif self._until_end and exc is None:
            self._done()
        else:
            self._fail("truncated", f"the body ends too early, after {len(self._body)} bytes")

    # -- llhttp -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._waiting is None or self._waiting.done():
            self.reusable = False  # a reply that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:
            return  # a trailer is no header (RFC 9110 6.5.1)
        key, text = name.decode("latin-1"), value.decode("latin-1").strip()
        self._headers.append((key, text))
        self._fields += len(name) + len(value)
        if self._fields > MAX_HEAD:
            self._fail("not-http", LONG_HEAD)
        match key.lower():
            case "content-length":
                self._until_end = False
                if text.isdecimal() and int(text[:20]) > self._most:
                    self._large = True
            case "transfer-encoding":
                self._until_end = not text.lower().endswith("chunked")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if 100 <= self._status < 200 and self._status != 101:
            return
        self._headed = True
        self._watch.late(waited_here(self.transport.get_extra_info("socket")))
        self._watch.mark("first_byte")
        if self._tunnel:
            self._done()
        elif self._large and self._status not in NO_BODY:
            self._oversized()

    def on_body(self, data: bytes) -> None:
        self._body += data
        self._framing = max(0, self._framing - (1 + PER_BYTE) * len(data))
        if len(self._body) > self._most:
            self._oversized()

    def on_message_complete(self) -> None:
        if not self._headed:  # "100 Continue" and the like: the reply is yet to come
            self._headers.clear()
            self._until_end, self._large = True, False
            return
        keep = self._parser.should_keep_alive() and not self._lost
        self._done(keep=keep and not self.transport.is_closing())

    # -- within -----------------------------------------------------------------------------

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_lf_after_cr=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._headed, self._status = False, 0
        self._fields = 0
        self._framing = 0  # bytes that are no body, less what the body has made up for
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._until_end = True  # a body without a length ends with the connection
        self._large = False

    def _done(self, *, keep: bool = False) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._watch.mark("done")
            self.reusable = keep
            self._waiting.set_result(Said(self._status, tuple(self._headers), bytes(self._body)))

    def _oversized(self) -> None:
        self._fail("oversized", f"the body is larger than {self._most} bytes")

    def _fail(self, failure: str, problem: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Unavailable(f"{self._url}: {problem}", failure=failure))
            self.abort()

    def _reset(self, exc: Exception | None) -> Unavailable:
        if exc is None:
            problem = "closed the connection without an answer"
        else:
            said = exc.strerror if isinstance(exc, OSError) else None
            problem = f"the connection broke: {said or exc}"
        return Unavailable(f"{self._url}: {problem}", failure="reset")
