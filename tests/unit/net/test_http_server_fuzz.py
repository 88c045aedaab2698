"""Any bytes, cut anywhere, give replies or a closed connection: never an exception, never a bug
in the log, never more replies than requests could have been."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.net.clock import SystemClock
from holdfast.net.http_connection import Connection
from holdfast.net.http_server import Limits, Reply, Request, Server
from support.depth import examples


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        assert not self.closed
        self.written += data

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


FRAGMENTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"POST /%2F HTTP/1.1\r\nHost: a\r\n",
    b"HEAD / HTTP/1.0\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n",
    b"Host: b\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 9999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, Upgrade\r\n",
    b"Upgrade: h2c\r\n",
    b"\r\n",
    b"\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nT: x\r\n\r\n",
    b"abc",
    b"\x00",
    b"\xff",
    b" ",
    b":",
]
pieces = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)), max_size=30)


def answer(request: Request) -> Reply:
    assert isinstance(request.body, bytes)
    return Reply(200, request.target[:10])


def later(request: Request) -> object:
    async def wait() -> Reply:
        await asyncio.sleep(0)
        return answer(request)

    return wait() if request.method == "POST" else answer(request)


@pytest.mark.parametrize("handler", [answer, later])
@examples(400, slow=5000)
def test_any_bytes(handler: object, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(parts=pieces, end=st.booleans())
    def law(parts: list[bytes], end: bool) -> None:
        in_order(handler, parts, end)

    law()


def in_order(handler: object, parts: list[bytes], end: bool) -> None:
    logged: list[logging.LogRecord] = []
    watch = logging.Handler()
    watch.emit = logged.append  # type: ignore[method-assign]
    logger = logging.getLogger("holdfast.net.http_server")

    async def main() -> None:
        server = Server(
            handler,  # type: ignore[arg-type]
            limits=Limits(body_bytes=1000, head_bytes=500, pipelined=3),
            clock=SystemClock(),
        )
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: pytest.fail(str(context)))
        connection, transport = Connection(server), FakeTransport()
        connection.connection_made(transport)
        for part in parts:
            if transport.closed:
                break
            connection.data_received(part)
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        if end and not transport.closed and not connection.eof_received():
            transport.close()
        count = transport.written.count(b"HTTP/1.1 ")
        assert count <= sum(part.count(b"HTTP/1") for part in parts) * 2 + 1
        connection.connection_lost(None)
        await asyncio.sleep(0)

    logger.addHandler(watch)
    try:
        asyncio.run(main())
    finally:
        logger.removeHandler(watch)
    assert not logged, logged[0].exc_info
