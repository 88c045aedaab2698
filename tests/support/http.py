"""A raw HTTP client that sends exactly what it is given, and servers that last for a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from holdfast.net.http_server import Handler, Limits, Server, serve


@asynccontextmanager
async def serving(handler: Handler, *, limits: Limits | None = None) -> AsyncIterator[Server]:
    """An HTTP server of ours on a free port of 127.0.0.1."""
    server = await serve("127.0.0.1", 0, handler, limits=limits)
    try:
        yield server
    finally:
        await server.close(grace=0)


@asynccontextmanager
async def misbehaving(script: object) -> AsyncIterator[int]:
    """A TCP server that does what `async script(reader, writer)` says; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)  # type: ignore[operator]
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def talk(port: int, *pieces: bytes, end: bool = False, timeout: float = 5.0) -> bytes:
    """Send `pieces` one after the other and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if end:
            writer.write_eof()
        async with asyncio.timeout(timeout):
            return await reader.read(-1)
    finally:
        writer.close()


@dataclass
class RawReply:
    """A reply as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None


def split(stream: bytes, *, methods: str = "") -> list[RawReply]:
    """The replies of `stream`, which must hold nothing else. `methods`: H for a reply to HEAD."""
    replies: list[RawReply] = []
    while stream:
        head, blank, stream = stream.partition(b"\r\n\r\n")
        assert blank, head
        first, *lines = head.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), first
        headers = [(k, v.strip()) for k, _, v in (line.partition(":") for line in lines)]
        reply = RawReply(int(first[9:12]), headers, b"")
        if methods[len(replies) : len(replies) + 1] != "H":
            length = int(reply.header("content-length") or 0)
            assert len(stream) >= length
            reply.body, stream = stream[:length], stream[length:]
        replies.append(reply)
    return replies
