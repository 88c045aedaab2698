"""A TLS server for any `asyncio.Protocol`, on plain TCP and `tls.pipe` (works on uvloop too).

Laws: the application sees a connection only after its handshake; a handshake has a deadline; the
number of connections is bounded, in all and for each client; the end is said by close_notify and
TCP FIN, and what the client still sends is read and dropped for a moment, so that a reset cannot
take away the last answer.
A handshake does no I/O but its own bytes (K2). Whoever may say for whom it connects must say so, in
a PROXY header before the handshake, and nobody else can.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, cast

from holdfast.errors import HoldfastError, Unavailable
from holdfast.net.listen import listen, unlistenable
from holdfast.net.proxy_protocol import Ends, Network, read_header, within
from holdfast.pki.certificate import Certificate
from holdfast.tls.server import ServerPipe, ServerTLS

HANDSHAKE_TIMEOUT = 10.0  # seconds; Apache's mod_reqtimeout allows 20 with slow links in mind
LINGER = 2.0  # seconds of reading after our end, as nginx's lingering_close waits for the client
MAX_CONNECTIONS = 10_000
MAX_PER_CLIENT = 2_000  # of one address; behind one NAT are many
BACKLOG = 1024

AppFactory = Callable[[], asyncio.Protocol]
OnFailure = Callable[[str, HoldfastError], None]
OnRefusal = Callable[[str, str], None]
OnUnstapled = Callable[[Certificate], None]


class TLSServer:
    """Listens, and gives each finished handshake a protocol of `app()`.

    The protocol gets a `TLSTransport`. `on_failure(peer, error)` hears of handshakes that failed,
    `on_refusal(peer, why)` of connections that were one too many, `on_unstapled(leaf)` of
    must-staple certificates that had no staple in a handshake that went well all the same.
    `headers_from`: load balancers, which begin with a PROXY header.
    """

    def __init__(
        self,
        tls: ServerTLS,
        *,
        app: AppFactory,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        max_connections: int = MAX_CONNECTIONS,
        max_per_client: int = MAX_PER_CLIENT,
        headers_from: tuple[Network, ...] = (),
        on_failure: OnFailure = lambda peer, error: None,
        on_refusal: OnRefusal = lambda peer, why: None,
        on_unstapled: OnUnstapled = lambda leaf: None,
    ) -> None:
        self.tls = tls
        self._app = app
        self._handshake_timeout = handshake_timeout
        self._max_connections = max_connections
        self._max_per_client = max_per_client
        self._headers_from = headers_from
        self._on_failure = on_failure
        self._on_refusal = on_refusal
        self._on_unstapled = on_unstapled
        self._clients: dict[str, int] = {}
        self._links: set[_Link] = set()
        self._servers: list[asyncio.Server] = []
        self._left = asyncio.Event()
        self.handshakes = 0
        self.failed = 0
        self.refused = 0

    @property
    def open_connections(self) -> int:
        return len(self._links)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens: with the ports that the system chose for port 0."""
        return [socket.getsockname()[:2] for server in self._servers for socket in server.sockets]

    async def listen(self, host: str, port: int, *, serving: bool = True) -> None:
        """Accept on `host` ("": every interface) and `port` (0: any free one); where `serving` is
        False, from `serve` on."""
        server = await listen(host, port, self._link, backlog=BACKLOG, serving=serving)
        self._servers.append(server)

    async def serve(self) -> None:
        """Accept wherever an address was taken and is not served yet."""
        for server in self._servers:
            host, port = server.sockets[0].getsockname()[:2]
            try:
                await server.start_serving()
            except OSError as error:  # another program came first
                raise unlistenable(host, port, error) from error

    async def close(self, *, grace: float = 5.0) -> None:
        """Stop listening, let connections end by themselves for `grace` seconds, then end them."""
        for server in self._servers:
            server.close()
        for link in list(self._links):
            link.retire()
        if self._links:
            self._left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), grace)
        for link in list(self._links):
            link.abort()
        self._servers.clear()

    def _link(self) -> _Link:
        return _Link(self)

    def admit(self, link: _Link) -> bool:
        """Whether `link` may be; one that may is counted until it leaves."""
        if len(self._links) >= self._max_connections:
            self._refuse(link.client, f"there are {self._max_connections} connections already")
            return False
        if not within(link.client, self._headers_from) and not self.count(link.client):
            return False
        self._links.add(link)
        return True

    def count(self, client: str) -> bool:
        """Whether `client` may have one more; then it has."""
        held = self._clients.get(client, 0)
        if held >= self._max_per_client:
            self._refuse(client, f"it has {held} connections already")
            return False
        self._clients[client] = held + 1
        return True

    def _refuse(self, client: str, why: str) -> None:
        self.refused += 1
        self._on_refusal(client, why)

    def says_for_whom(self, client: str) -> bool:
        """Whether `client` is a load balancer, which sends a header."""
        return within(client, self._headers_from)

    def start(self, link: _Link) -> asyncio.Protocol:
        self.handshakes += 1
        for identity in link.pipe.lacking:
            self._on_unstapled(identity.leaf)
        return self._app()

    def failure(self, peer: str, error: HoldfastError) -> None:
        self.failed += 1
        self._on_failure(peer, error)

    def leave(self, link: _Link) -> None:
        self._links.discard(link)
        if link.counted:
            left = self._clients[link.client] - 1
            if left:
                self._clients[link.client] = left
            else:
                del self._clients[link.client]
        if not self._links:
            self._left.set()

    @property
    def handshake_timeout(self) -> float:
        return self._handshake_timeout


class TLSTransport(asyncio.Transport):
    """What an application protocol writes to. `tls` is the connection's `Pipe`."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    @property
    def tls(self) -> ServerPipe:
        return self._link.pipe

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername` and `sockname` are the client's own, also where a load balancer tells them."""
        ends = self._link.ends
        if ends is not None and name in ("peername", "sockname"):
            return ends.source if name == "peername" else ends.target
        return self._link.raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._link.send(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._link.send(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """close_notify and FIN; reading goes on."""
        self._link.end_sending()

    def close(self) -> None:
        self._link.close()

    def abort(self) -> None:
        self._link.abort()

    def is_closing(self) -> bool:
        return self._link.closing

    def pause_reading(self) -> None:
        self._link.raw.pause_reading()

    def resume_reading(self) -> None:
        self._link.raw.resume_reading()

    def is_reading(self) -> bool:
        return self._link.raw.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._link.raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._link.raw.set_write_buffer_limits(high, low)


class _Link(asyncio.Protocol):
    """One TCP connection: the ciphertext side."""

    raw: asyncio.Transport

    def __init__(self, server: TLSServer) -> None:
        self._server = server
        self.pipe = server.tls.connection()
        self._app: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._header: bytes | None = None  # what came of a PROXY header that is awaited
        self.ends: Ends | None = None  # what it said
        self.client = ""  # the address that is counted
        self.counted = False
        self.closing = False
        self._ended_sending = False
        self._heard_eof = False
        self._admitted = False

    # -- from the network -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.client = str(name[0]) if name else ""
        server = self._server
        self._admitted = server.admit(self)
        if not self._admitted:
            self.closing = True
            self.raw.abort()
            return
        if server.says_for_whom(self.client):
            self._header = b""
        else:
            self.counted = True
        self._timer = asyncio.get_running_loop().call_later(server.handshake_timeout, self._late)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if self._header is not None:
            data = self._after_header(self._header + data)
            if not data:
                return
        pipe = self.pipe
        try:
            plain = pipe.receive(data)
        except HoldfastError as error:
            self._fail(error)
            return
        if self._app is None:
            self._flush()
            if not pipe.established:
                return
            self._begin()
        elif not pipe.quiet:
            self._flush()
        if plain and self._app is not None and not self.closing:
            self._app.data_received(plain)
        if pipe.peer_closed:
            self._eof()

    def eof_received(self) -> bool:
        if self.closing:
            return False
        try:
            self.pipe.eof()
        except HoldfastError as error:
            self._fail(error)
            return False
        self._eof()
        return not self.closing

    def pause_writing(self) -> None:
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        if self._app is not None:
            self._app.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._disarm()
        self._server.leave(self)
        app, self._app = self._app, None
        if app is not None:
            app.connection_lost(exc)

    # -- from the application ---------------------------------------------------------------

    def send(self, data: bytes | bytearray | memoryview) -> None:
        if self.closing or self._ended_sending or not data:
            return
        try:
            self.pipe.send(data)
        except HoldfastError as error:
            self._fail(error)
            return
        self._flush()

    def end_sending(self) -> None:
        if self._ended_sending or self.closing:
            return
        self._ended_sending = True
        self.pipe.close()
        self._flush()
        if not self.raw.is_closing():
            with contextlib.suppress(OSError):  # the peer may have reset it already
                self.raw.write_eof()

    def close(self) -> None:
        """End in both directions: what was written is still delivered."""
        if self.closing:
            return
        self.end_sending()
        self.closing = True
        if self._heard_eof:
            self.raw.close()
            return
        if not self.raw.is_closing():
            self.raw.resume_reading()
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(LINGER, self.raw.close)

    def retire(self) -> None:
        """The server ends: what has no application yet is dropped."""
        if self._app is None:
            self.abort()

    def abort(self) -> None:
        self.closing = True
        self.raw.abort()

    # -- within -----------------------------------------------------------------------------

    def _after_header(self, data: bytes) -> bytes:
        """What of `data` follows the PROXY header; b"" while that is not whole, or is wrong."""
        try:
            read = read_header(data)
        except HoldfastError as error:
            self._fail(error)
            return b""
        if read is None:
            self._header = data
            return b""
        self._header = None
        self.ends, length = read
        if self.ends is not None:
            self.client = self.ends.source[0]
            self.counted = self._server.count(self.client)
            if not self.counted:
                self.abort()
                return b""
        return data[length:]

    def _begin(self) -> None:
        self._disarm()
        self._app = self._server.start(self)
        self._app.connection_made(TLSTransport(self))

    def _eof(self) -> None:
        if self._heard_eof:
            return
        self._heard_eof = True
        if self._app is None or not self._app.eof_received():
            self.close()

    def _flush(self) -> None:
        waiting = self.pipe.outgoing()
        if waiting and not self.raw.is_closing():
            self.raw.write(waiting)

    def _fail(self, error: HoldfastError) -> None:
        if self._app is None:
            self._server.failure(self._peer, error)
        self._flush()  # the alert
        self.closing = True
        self.raw.close()

    def _late(self) -> None:
        self._server.failure(
            self._peer,
            Unavailable(
                f"no TLS handshake within {self._server.handshake_timeout:g} s", failure="timeout"
            ),
        )
        self.abort()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _peer(self) -> str:
        name = self.ends.source if self.ends else self.raw.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if name else "?"
