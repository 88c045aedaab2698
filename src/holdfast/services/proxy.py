"""The proxy: TLS with staples in front of a plain server, or of a page of its own.

`services/proxy_tcp.py` passes bytes, `services/proxy_http.py` requests. Which staple goes out is
`tls.server`'s and the shelf's business (T1 to T5). Laws: every wait has a deadline; what could
happen with every connection is told once a while, with how often it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from holdfast.errors import HoldfastError, PeerError
from holdfast.net.http_connection import Connection
from holdfast.net.http_server import Limits as PageLimits
from holdfast.net.http_server import Server
from holdfast.net.tls_server import TLSServer
from holdfast.pki.certificate import Certificate
from holdfast.seams import Clock
from holdfast.services.proxy_backend import Pool
from holdfast.services.proxy_http import HttpFront
from holdfast.services.proxy_limits import Deadlines, Limits, Passing
from holdfast.services.proxy_page import HeldFor, page_handler
from holdfast.services.proxy_tcp import Front
from holdfast.services.proxy_upstream import Upstream
from holdfast.tls.server import UNSTAPLED, ServerTLS

__all__ = ["Deadlines", "Limits", "OnEvent", "Passing", "Proxy", "Upstream"]

TOLD_EVERY = 10.0  # seconds between two lines about the same thing

OnEvent = Callable[[str, Mapping[str, object]], None]


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
        passing: Passing | None = None,
        on_event: OnEvent = lambda name, facts: None,
    ) -> None:
        self.tls = tls
        self.upstream = upstream
        self.passing = passing or Passing()
        self.draining = False
        self.fronts: set[HttpFront] = set()
        self._on_event = on_event
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        limits, deadlines = self.passing.limits, self.passing.deadlines
        self._pool = None if upstream is None else Pool(upstream, connect=deadlines.connect)
        page = page_handler(tls, held=held, clock=clock)
        self._page = Server(page, limits=PageLimits(), clock=clock)
        self._server = TLSServer(
            tls,
            app=self._app,
            handshake_timeout=deadlines.handshake,
            max_connections=limits.connections,
            max_per_client=limits.per_client,
            headers_from=self.passing.headers_from,
            on_failure=self._handshake_failed,
            on_refusal=self._connection_refused,
            on_unstapled=self._unstapled,
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
        self.draining = self._page.draining = True
        for connection in list(self._page.connections):
            connection.drain()
        for front in list(self.fronts):
            front.drain()
        await self._server.close(grace=grace)
        if self._pool is not None:
            self._pool.close()

    def unreachable(self, error: HoldfastError) -> None:
        """The upstream could not be dialled."""
        self._tell("upstream-unreachable", upstream=str(self.upstream), error=str(error))

    def upstream_failed(self, why: str) -> None:
        """The upstream gave no answer, or none that is one."""
        self._tell("upstream-failed", upstream=str(self.upstream), error=why)

    def _app(self) -> asyncio.Protocol:
        if self.upstream is None or self._pool is None:
            return Connection(self._page)
        if self.passing.mode == "http":
            return HttpFront(self, self._pool)
        return Front(self, self.upstream)

    def _handshake_failed(self, peer: str, error: HoldfastError) -> None:
        if isinstance(error, PeerError) and error.failure == UNSTAPLED:
            self._tell("not-served", error=error.message, hint=error.hint, peer=peer)
        else:
            self._on_event("handshake-failed", {"peer": peer, "error": error.message})

    def _connection_refused(self, peer: str, why: str) -> None:
        self._tell("connection-refused", peer=peer, error=why)

    def _unstapled(self, leaf: Certificate) -> None:
        name = leaf.names[0] if leaf.names else leaf.subject
        if self.tls.serve_unstapled:
            what = "served without the staple that it demands: clients that know must-staple refuse"
        else:
            what = "must-staple and no staple: another certificate was shown in its place"
        self._tell("alarm", error=what, certificate=name, serial=f"{leaf.serial:x}")

    def _tell(self, event: str, *, error: str, **facts: object) -> None:
        """Log it, unless the same was logged a moment ago; then it is counted, and told later."""
        now = asyncio.get_running_loop().time()
        key = (event, error)
        until, unsaid = self._told.get(key, (0.0, 0))
        if now < until:
            self._told[key] = (until, unsaid + 1)
            return
        if len(self._told) > 1000:
            self._told.clear()
        self._told[key] = (now + TOLD_EVERY, 0)
        more = {"times_untold": unsaid} if unsaid else {}
        self._on_event(event, {"error": error, **facts, **more})
