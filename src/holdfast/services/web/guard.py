"""Connections to the page: how many a client may hold open, and how long one may stay silent.

aiohttp bounds lines, headers and bodies, and ends idle connections after a request; it waits
without end for the first one. Law: a connection that has sent no whole request within `HEADER`
seconds is closed, and one beyond a client's share is closed at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from holdfast.services.web.limits import client_of

HEADER = 10.0  # seconds


class Guard:
    """Makes the protocol of each connection; `exempt(host)`: no share (a reverse proxy's)."""

    def __init__(
        self,
        inner: Callable[[], asyncio.Protocol],
        *,
        per_client: int,
        total: int,
        exempt: Callable[[str], bool],
        header: float = HEADER,
    ) -> None:
        self._inner, self._per_client, self._total = inner, per_client, total
        self._exempt, self.header = exempt, header
        self._open: Counter[str] = Counter()
        self._silent: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    def __call__(self) -> asyncio.Protocol:
        return _Guarded(self, self._inner())

    @property
    def connections(self) -> int:
        return self._open.total()

    def spoke(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request came on `transport`."""
        if transport is not None and (timer := self._silent.pop(transport, None)) is not None:
            timer.cancel()

    def admit(self, transport: asyncio.BaseTransport) -> str | None:
        """Count a new connection; its client, or None when it is one too many."""
        peer = transport.get_extra_info("peername")
        host = str(peer[0]) if isinstance(peer, tuple) else ""
        client = client_of(host)
        if self._open.total() >= self._total:
            return None
        if not self._exempt(host) and self._open[client] >= self._per_client:
            return None
        self._open[client] += 1
        loop = asyncio.get_running_loop()
        self._silent[transport] = loop.call_later(self.header, self._tired, transport)
        return client

    def left(self, client: str, transport: asyncio.BaseTransport) -> None:
        self.spoke(transport)
        self._open[client] -= 1
        if self._open[client] <= 0:
            del self._open[client]

    def _tired(self, transport: asyncio.BaseTransport) -> None:
        self._silent.pop(transport, None)
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


class _Guarded(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol, once it is admitted."""

    def __init__(self, guard: Guard, inner: asyncio.Protocol) -> None:
        self._guard, self._inner = guard, inner
        self._transport: asyncio.BaseTransport | None = None
        self._client: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._client = self._guard.admit(transport)
        if self._client is None:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.abort()
        else:
            self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._client is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._client is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._client is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._client is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client is not None:
            assert self._transport is not None
            self._guard.left(self._client, self._transport)
            self._inner.connection_lost(exc)
