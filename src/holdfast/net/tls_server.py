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
from collections.abc import Callable

from holdfast.errors import HoldfastError
from holdfast.net.listen import listen, unlistenable
from holdfast.net.proxy_protocol import Network, within
from holdfast.net.tls_link import Link
from holdfast.pki.certificate import Certificate
from holdfast.tls.server import ServerTLS

HANDSHAKE_TIMEOUT = 10.0  # seconds; Apache's mod_reqtimeout allows 20 with slow links in mind
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
        self._links: set[Link] = set()
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

    def _link(self) -> Link:
        return Link(self)

    def admit(self, link: Link) -> bool:
        """Whether `link` may be; one that may is counted until it leaves, for its client too,
        unless that is a load balancer, which says first for whom it connects."""
        if len(self._links) >= self._max_connections:
            self._refuse(link.client, f"there are {self._max_connections} connections already")
            return False
        if not self._headers_from or not within(link.client, self._headers_from):
            link.counted = self.count(link.client)
            if not link.counted:
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

    def start(self, link: Link) -> asyncio.Protocol:
        self.handshakes += 1
        for identity in link.pipe.lacking:
            self._on_unstapled(identity.leaf)
        return self._app()

    def failure(self, peer: str, error: HoldfastError) -> None:
        self.failed += 1
        self._on_failure(peer, error)

    def leave(self, link: Link) -> None:
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
