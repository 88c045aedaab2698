"""A small HTTP/1.x server for handlers that want the raw request.

Laws: the target's bytes reach the handler as they came; replies leave in the order of the requests;
every client is bounded in bytes, time and number (`Limits`); a close lets replies under way end.
RFC 9112.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
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
from holdfast.net.sockets import BACKLOG

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
    "serve_on",
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


async def serve_on(
    sockets: Iterable[socket.socket],
    handler: Handler,
    *,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Server:
    """Answer by `handler` on `sockets`, which listen already."""
    server = Server(handler, limits=limits or Limits(), clock=clock or SystemClock())
    for one in sockets:
        await server.take(one)
    return server


class Server:
    """A handler, its listening sockets and its connections."""

    def __init__(self, handler: Handler, *, limits: Limits, clock: Clock) -> None:
        self.handler = handler
        self.limits = limits
        self.connections: set[Connection] = set()
        self.draining = False
        self._clock = clock
        self._listeners: list[asyncio.Server] = []
        self._date_line = b""
        self._date_until = float("-inf")

    def connection(self) -> Connection:
        """The protocol of a client that has just come."""
        return Connection(self)

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Begin; after a `close` too. `OperatorError` when the address cannot be had."""
        begun = await listen(host, port, self.connection, reuse_port=reuse_port)
        self._listeners = [*self._listeners, begun]
        self.draining = False

    async def take(self, given: socket.socket) -> None:
        """Answer on `given`, which listens already; TCP or unix."""
        loop = asyncio.get_running_loop()
        begun = await loop.create_server(self.connection, sock=given, backlog=BACKLOG)
        self._listeners = [*self._listeners, begun]
        self.draining = False

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and port; of a unix socket its path and 0."""
        if not self._listeners or not self._listeners[0].sockets:
            raise RuntimeError("not listening")
        name = self._listeners[0].sockets[0].getsockname()
        return (str(name[0]), int(name[1])) if isinstance(name, tuple) else (str(name), 0)

    @property
    def port(self) -> int:
        return self.address[1]

    async def close(self, *, grace: float = 5.0) -> None:
        """Stop listening, let replies under way end within `grace` seconds, cut off the rest."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        self._listeners = []
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
