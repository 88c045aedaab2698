"""The passage of bytes: what the client sends goes to the upstream as it is, and back.

Laws: back-pressure and half-closes pass through; the upstream is dialled on the first decrypted
byte, so that a handshake costs nobody but us; every wait has a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, cast

from holdfast.errors import HoldfastError, Unavailable
from holdfast.services.proxy_limits import Deadlines
from holdfast.services.proxy_upstream import Upstream, header_for

if TYPE_CHECKING:
    from holdfast.services.proxy import Proxy

EARLY = 64 * 1024  # bytes kept while the upstream is being dialled
LOOKS = 4  # how often within its time a passage is looked at, so that bytes cost no clock
_REQUEST = re.compile(rb"[A-Z]{3,16} [^\s]{1,8000} HTTP/1\.[01]\r?\n")


def unreachable_reply(error: HoldfastError) -> tuple[int, bytes]:
    """Status and a whole HTTP/1.1 answer: 504 for an upstream that took too long, else 502."""
    late = isinstance(error, Unavailable) and error.failure == "timeout"
    status, reason = (504, b"Gateway Timeout") if late else (502, b"Bad Gateway")
    body = (
        b"The server behind this proxy took too long\n"
        if late
        else b"The server behind this proxy did not answer\n"
    )
    head = (
        b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (status, reason, len(body))
    )
    return status, head + body


class _Side(asyncio.Protocol):
    """One end of a passage; what comes in here goes out at `other`."""

    transport: asyncio.Transport

    def __init__(self, passage: _Passage) -> None:
        self.passage = passage
        self.other: _Side | None = None
        self.ended = False  # the peer has sent its last byte

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.passage.active = True
        other = self.other
        if other is not None and not other.transport.is_closing():
            other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other is None:
            return False
        self.passage.half_closed(self)
        return not self.other.ended

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.passage.over(self)


class Front(_Side):
    """The client's end: it dials the upstream when the first bytes come."""

    def __init__(self, proxy: Proxy, upstream: Upstream) -> None:
        super().__init__(_Passage(proxy.passing.deadlines))
        self._proxy = proxy
        self._upstream = upstream
        self._early = bytearray()
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.passage.begin(self)

    def data_received(self, data: bytes) -> None:
        other = self.other
        if other is not None:
            self.passage.active = True
            if not other.transport.is_closing():
                other.transport.write(data)
            return
        self.passage.active = True
        self._early += data
        if len(self._early) > EARLY:
            self.transport.pause_reading()
        if self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    def eof_received(self) -> bool:
        if self._dialling is not None and self.other is None:
            self.ended = True  # told to the upstream once it is there
            return True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
        super().connection_lost(exc)

    async def _dial(self) -> None:
        back = _Side(self.passage)
        passing = self._proxy.passing
        try:
            transport = await self._upstream.dial(back, timeout=passing.deadlines.connect)
        except HoldfastError as error:
            self._proxy.unreachable(error)
            if _REQUEST.match(self._early):  # else it would be noise in another protocol
                self.transport.write(unreachable_reply(error)[1])
            self.transport.close()
            return
        back.other = self
        self.other = back
        early = bytes(self._early)
        if passing.proxy_protocol is not None:
            early = header_for(passing.proxy_protocol, self.transport) + early
        if len(self._early) > EARLY:
            self.transport.resume_reading()
        self._early.clear()
        transport.write(early)
        if self.ended:
            self.passage.half_closed(self)


class _Passage:
    """Both ends and the deadline between them.

    `active` is set by every byte; a timer looks at it a few times within the time allowed.
    """

    __slots__ = ("_deadlines", "_front", "_loop", "_quiet", "_step", "_timer", "active")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._step = deadlines.idle / LOOKS
        self._quiet = 0
        self._timer: asyncio.TimerHandle | None = None
        self._front: _Side | None = None
        self.active = False

    def begin(self, front: _Side) -> None:
        self._front = front
        self._timer = self._loop.call_later(self._step, self._look)

    def half_closed(self, ended: _Side) -> None:
        """`ended` will send no more: tell the other side, and wait less long for its end."""
        other = ended.other
        if other is None:
            return
        if other.ended:
            for side in (ended, other):
                side.transport.close()
            return
        if not other.transport.is_closing():
            with contextlib.suppress(OSError):
                other.transport.write_eof()
        self._step, self._quiet = self._deadlines.half_closed / LOOKS, 0
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._step, self._look)

    def over(self, lost: _Side) -> None:
        """One end is gone: what it sent is still delivered, then the other end goes too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._front = None
        other, lost.other = lost.other, None
        if other is not None:
            other.other = None
            other.transport.close()

    def _look(self) -> None:
        self._quiet = 0 if self.active else self._quiet + 1
        self.active = False
        if self._quiet < LOOKS:
            self._timer = self._loop.call_later(self._step, self._look)
        elif self._front is not None:
            self._front.transport.close()
            if self._front.other is not None:
                self._front.other.transport.close()
