"""The connection of one client, as a `Raw` reply writes on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Awaitable, Callable

from holdfast.net.http_message import Raw, Request

_log = logging.getLogger("holdfast.net.http_server")


class ConnectionWire:
    """Implements `Wire` for `Raw` replies."""

    def __init__(
        self,
        transport: asyncio.Transport,
        left: asyncio.Future[None],
        drained: Callable[[], Awaitable[None]],
    ) -> None:
        self._transport = transport
        self._left = left
        self._drained = drained

    async def play(self, raw: Raw, request: Request) -> None:
        """Let `raw`, the reply to `request`, write; whatever goes wrong ends the connection."""
        try:
            await raw.play(self)
        except ConnectionError:
            self._transport.abort()
        except Exception:
            _log.exception("a bug in answering %s %r", request.method, request.target[:200])
            self._transport.abort()

    async def write(self, data: bytes, /) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(data)
        await self._drained()

    def reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def gone(self) -> None:
        await asyncio.shield(self._left)
