"""The proxy: TLS with staples in front of a plain server, or of a page of its own.

Laws: bytes pass through as they are, both ways, with back-pressure and half-closes; the upstream is
dialled on the first decrypted byte, so that a handshake costs nobody but us; every wait has a
deadline. Which staple goes out is `tls.server`'s and the shelf's business (T1 to T3).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.dial import OPERATOR, Address, connect, resolve
from holdfast.net.http_connection import Connection
from holdfast.net.http_server import Limits, Server
from holdfast.net.tls_server import MAX_CONNECTIONS, TLSServer
from holdfast.seams import Clock
from holdfast.services.proxy_page import HeldFor, page_handler
from holdfast.tls.server import ServerTLS

EARLY = 64 * 1024  # bytes kept while the upstream is being dialled
RESOLVED_FOR = 30.0  # seconds that the upstream's addresses are kept, as nginx's resolver valid=30s

OnEvent = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. `idle`: without a byte either way; `half_closed`: after one side has ended."""

    handshake: float = 10.0
    connect: float = 5.0
    idle: float = 300.0
    half_closed: float = 30.0


@dataclass(slots=True)
class Upstream:
    """The plain server behind."""

    host: str
    port: int
    _addresses: tuple[Address, ...] = field(default=(), init=False)
    _until: float = field(default=0.0, init=False)

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """`http://host:port` (port 80 when left out); `OperatorError` for anything else."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or 80
        except ValueError as error:
            raise _not_upstream(text, str(error)) from error
        if parts.scheme != "http" or not host:
            raise _not_upstream(text, "the proxy speaks plain http to its upstream")
        if parts.path not in ("", "/") or parts.query or parts.username:
            raise _not_upstream(text, "no path, query or user: requests pass as they are")
        return cls(host, port)

    def __str__(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def dial(self, protocol: asyncio.Protocol, *, timeout: float) -> asyncio.Transport:
        """Connect `protocol`; `Unavailable` when that fails within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._until:
            self._addresses = await resolve(self.host, self.port, timeout=timeout)
            self._until = loop.time() + RESOLVED_FOR
        try:
            dialled = await connect(
                self.host, self.port, policy=OPERATOR, timeout=timeout, addresses=self._addresses
            )
        except HoldfastError:
            self._until = 0.0
            raise
        transport, _ = await loop.create_connection(lambda: protocol, sock=dialled.sock)
        return transport


def _not_upstream(text: str, problem: str) -> OperatorError:
    return OperatorError(
        f"{text!r} is not an upstream: {problem}", hint="write it as http://127.0.0.1:8080"
    )


class Proxy:
    """Listens on TLS and serves `upstream`, or without one a page about its own staples.

    `held(leaf_der)` is what the page shows; `tls` holds what is sent. `on_event(name, facts)` hears
    of what an operator wants in the log.
    """

    def __init__(
        self,
        tls: ServerTLS,
        *,
        held: HeldFor,
        clock: Clock,
        upstream: Upstream | None = None,
        deadlines: Deadlines | None = None,
        max_connections: int = MAX_CONNECTIONS,
        on_event: OnEvent = lambda name, facts: None,
    ) -> None:
        self.tls = tls
        self.upstream = upstream
        self.deadlines = deadlines or Deadlines()
        self._on_event = on_event
        self._page = Server(page_handler(tls, held=held, clock=clock), limits=Limits(), clock=clock)
        self._server = TLSServer(
            tls,
            app=self._app,
            handshake_timeout=self.deadlines.handshake,
            max_connections=max_connections,
            on_failure=self._handshake_failed,
        )

    async def listen(self, host: str, port: int, *, serving: bool = True) -> None:
        """Serve on `host` ("": every interface) and `port` (0: any free one); where `serving` is
        False, from `start` on."""
        await self._server.listen(host, port, serving=serving)

    async def start(self) -> None:
        """Serve wherever an address was taken and is not served yet."""
        await self._server.serve()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return self._server.addresses

    @property
    def port(self) -> int:
        return self.addresses[0][1]

    @property
    def handshakes(self) -> int:
        return self._server.handshakes

    @property
    def open_connections(self) -> int:
        return self._server.open_connections

    async def close(self, *, grace: float = 5.0) -> None:
        """Stop listening; connections get `grace` seconds to end by themselves."""
        self._page.draining = True
        for connection in list(self._page.connections):
            connection.drain()
        await self._server.close(grace=grace)

    def unreachable(self, error: HoldfastError) -> None:
        self._on_event(
            "upstream-unreachable", {"upstream": str(self.upstream), "error": str(error)}
        )

    def _app(self) -> asyncio.Protocol:
        if self.upstream is None:
            return Connection(self._page)
        return _Front(self, self.upstream)

    def _handshake_failed(self, peer: str, error: HoldfastError) -> None:
        self._on_event("handshake-failed", {"peer": peer, "error": error.message})


BAD_GATEWAY = (
    b"HTTP/1.1 502 Bad Gateway\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\n"
    b"Connection: close\r\n"
    b"Content-Length: 44\r\n\r\n"
    b"The server behind this proxy did not answer\n"
)


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
        self.passage.touch()
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

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


class _Front(_Side):
    """The client's end: it dials the upstream when the first bytes come."""

    def __init__(self, proxy: Proxy, upstream: Upstream) -> None:
        super().__init__(_Passage(proxy.deadlines))
        self._proxy = proxy
        self._upstream = upstream
        self._early = bytearray()
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.passage.begin(self)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
            return
        self.passage.touch()
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
        try:
            transport = await self._upstream.dial(back, timeout=self._proxy.deadlines.connect)
        except HoldfastError as error:
            self._proxy.unreachable(error)
            self.transport.write(BAD_GATEWAY)
            self.transport.close()
            return
        back.other = self
        self.other = back
        transport.write(bytes(self._early))
        self._early.clear()
        self.transport.resume_reading()
        if self.ended:
            self.passage.half_closed(self)


class _Passage:
    """Both ends and the deadline between them. One timer, looked at when it fires."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._seen = self._loop.time()
        self._allowed = deadlines.idle
        self._timer: asyncio.TimerHandle | None = None
        self._front: _Side | None = None

    def begin(self, front: _Side) -> None:
        self._front = front
        self._timer = self._loop.call_later(self._allowed, self._look)

    def touch(self) -> None:
        self._seen = self._loop.time()

    def half_closed(self, ended: _Side) -> None:
        """`ended` will send no more: tell the other side, and wait less long for its end."""
        self.touch()
        other = ended.other
        if other is None:
            return
        if other.ended:
            self._finish(ended, other)
            return
        if not other.transport.is_closing():
            with contextlib.suppress(OSError):
                other.transport.write_eof()
        self._allowed = self._deadlines.half_closed
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._allowed, self._look)

    def over(self, lost: _Side) -> None:
        """One end is gone: what it sent is still delivered, then the other end goes too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        other, lost.other = lost.other, None
        if other is not None:
            other.other = None
            other.transport.close()

    def _finish(self, *sides: _Side) -> None:
        for side in sides:
            side.transport.close()

    def _look(self) -> None:
        left = self._seen + self._allowed - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif self._front is not None:
            self._front.transport.close()
            if self._front.other is not None:
                self._front.other.transport.close()
