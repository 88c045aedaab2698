"""A small HTTP/1.x server for handlers that want the raw request.

Laws: the target's bytes reach the handler as they came; replies leave in the order of the requests;
every client is bounded in bytes, time and number (`Limits`); a close lets replies under way end.
RFC 9112.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.net.clock import SystemClock
from holdfast.net.http_connection import Connection
from holdfast.net.http_message import (
    Answer,
    Handler,
    Limits,
    Raw,
    Reply,
    Request,
    Wire,
    http_date,
    plain,
)
from holdfast.net.listen import listen

if TYPE_CHECKING:
    from holdfast.seams import Clock

__all__ = [
    "Answer",
    "Handler",
    "Limits",
    "Raw",
    "Reply",
    "Request",
    "Server",
    "Wire",
    "http_date",
    "plain",
    "serve",
]


async def serve(
    host: str,
    port: int,
    handler: Handler,
    *,
    limits: Limits | None = None,
    clock: Clock | None = None,
    reuse_port: bool = False,
) -> Server:
    """Listen on `host` and `port` (0: any free one) and answer by `handler`.

    `OperatorError` when the address cannot be had.
    """
    server = Server(handler, limits=limits or Limits(), clock=clock or SystemClock())
    await server.listen(host, port, reuse_port=reuse_port)
    return server


class Server:
    """A handler, its listening sockets and its connections."""

    def __init__(self, handler: Handler, *, limits: Limits, clock: Clock) -> None:
        self.handler = handler
        self.limits = limits
        self.connections: set[Connection] = set()
        self.draining = False
        self._clock = clock
        self._listener: asyncio.Server | None = None
        self._date_line = b""
        self._date_until = float("-inf")

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Begin; after a `close` too. `OperatorError` when the address cannot be had."""
        self._listener = await listen(host, port, lambda: Connection(self), reuse_port=reuse_port)
        self.draining = False

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and port."""
        if self._listener is None or not self._listener.sockets:
            raise RuntimeError("not listening")
        host, port = self._listener.sockets[0].getsockname()[:2]
        return str(host), int(port)

    @property
    def port(self) -> int:
        return self.address[1]

    async def close(self, *, grace: float = 5.0) -> None:
        """Stop listening, let replies under way end within `grace` seconds, cut off the rest."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.drain()
        if grace > 0 and self.connections:
            await asyncio.wait([c.lost for c in self.connections], timeout=grace)
        for connection in list(self.connections):
            connection.abort()
        if self.connections:
            await asyncio.wait([c.lost for c in self.connections], timeout=1.0)

    def date_line(self, now: float) -> bytes:
        """The Date header; `now` is the loop's time, and the text is made once a second."""
        if now >= self._date_until:
            instant = self._clock.now()
            self._date_line = b"Date: " + http_date(instant) + b"\r\n"
            self._date_until = now + 1.0 - instant.microsecond / 1e6
        return self._date_line
