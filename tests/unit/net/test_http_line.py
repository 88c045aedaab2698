"""net/http_line and http_pool: replies of every shape, kept connections, turns, tunnels (K15)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.errors import Unavailable
from holdfast.net.http_answer import HttpAnswer
from holdfast.net.http_client import Http
from holdfast.net.http_pool import AT_ONCE
from holdfast.net.http_server import Reply, Request
from support.http import misbehaving, serving
from support.pki import a_root, a_server, written

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WAITS = 0.1  # seconds
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


def answering(*replies: bytes) -> tuple[Script, list[int]]:
    """Each request of a connection has the next of `replies`; `connections` counts them."""
    connections: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        for reply in replies:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                connections[-1] += 1
                writer.write(reply)
                await writer.drain()

    return script, connections


def ask(script: Script, *, times: int = 1) -> list[HttpAnswer]:
    async def main() -> list[HttpAnswer]:
        async with misbehaving(script) as port, Http(timeout=5) as http:
            answers = []
            for _ in range(times):
                answers.append(await http.get(f"http://127.0.0.1:{port}/"))
                await asyncio.sleep(0.02)
            return answers

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (FINE, b"fine"),
        (b"HTTP/1.1 200 OK\nContent-Length: 4\n\nfine", b"fine"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + FINE, b"fine"),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n" + FINE, b"fine"),
        (CHUNKED + b"2\r\nfi\r\n2 \r\nne\r\n0\r\n\r\n", b"fine"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99999999\r\n\r\n", b""),
    ],
    ids=map(str, range(8)),
)
def test_replies_of_every_shape(reply: bytes, body: bytes) -> None:
    script, _ = answering(reply)
    (answer,) = ask(script)
    assert answer.body == body
    assert answer.header("x") is None  # what an interim reply says is not the reply's


def test_a_header_of_any_bytes_is_text() -> None:
    script, _ = answering(b"HTTP/1.1 200 \xff\xfe\r\nX-A:  \xe9 \r\nContent-Length: 0\r\n\r\n")
    assert ask(script)[0].header("x-a") == "é"


def test_a_connection_is_kept_while_both_sides_agree() -> None:
    script, connections = answering(FINE, FINE, FINE)
    assert [answer.body for answer in ask(script, times=3)] == [b"fine"] * 3
    assert connections == [3]


@pytest.mark.parametrize(
    "first",
    [
        FINE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        FINE.replace(b"1.1", b"1.0"),
        FINE + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        FINE + b"garbage",
    ],
    ids=map(str, range(4)),
)
def test_red_nothing_that_follows_a_reply_is_taken_for_the_next(first: bytes) -> None:
    """Two replies to one request, or one and something else, end the connection."""
    script, connections = answering(first, first)
    assert [answer.body for answer in ask(script, times=2)] == [b"fine"] * 2
    assert connections == [1, 1]


def test_red_a_change_of_protocol_ends_the_connection() -> None:
    script, connections = answering(
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + FINE, FINE
    )
    assert [answer.status for answer in ask(script, times=2)] == [101, 101]
    assert connections == [1, 1]


def test_turns_are_bounded_and_no_part_of_a_timeline() -> None:
    """A responder is not called slow because we asked it for much at once."""
    under_way, most = 0, 0

    async def slow(_: Request) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.4)
        under_way -= 1
        return Reply(200, b"")

    async def main() -> list[HttpAnswer]:
        async with serving(slow) as server, Http() as http:
            url = f"http://127.0.0.1:{server.port}/"
            return await asyncio.gather(*(http.get(url) for _ in range(4 * AT_ONCE)))

    answers = asyncio.run(main())
    assert most == AT_ONCE
    times = sorted(answer.timeline.done or 0.0 for answer in answers)
    assert times[0] >= 399
    assert times[len(times) // 2] < 1200  # so long the third quarter has taken by its end


def test_a_responder_is_not_slow_because_we_are_busy() -> None:
    """The answer has come to this machine long before this process gets to read it."""

    def busy() -> None:
        time.sleep(0.4)  # holds the event loop up, as the handshakes of many hosts do

    async def main(hold_up: bool) -> HttpAnswer:
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(apart())
            async with Http() as http:
                await http.get(f"http://127.0.0.1:{port}/")  # the connection is kept
                asking = asyncio.create_task(http.get(f"http://127.0.0.1:{port}/"))
                await asyncio.sleep(0.01)
                if hold_up:
                    busy()
                return await asking

    held_up = asyncio.run(main(True))
    assert (held_up.timeline.done or 0.0) < 300
    assert (asyncio.run(main(False)).timeline.done or 0.0) >= WAITS * 1000 * 0.9


@contextlib.contextmanager
def apart() -> Iterator[int]:
    """A server in a thread, which takes `WAITS` for each answer."""

    def serve(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one, _ = listening.accept()
            with one:
                while one.recv(65536):
                    time.sleep(WAITS)
                    one.sendall(FINE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])


def test_https_through_a_proxy_is_a_tunnel(tmp_path: Path) -> None:
    """K15: TLS is with the target; the proxy gets its password and sees nothing else."""
    begin = datetime.now(UTC) - timedelta(days=1)
    ca = a_root(at=begin)
    chain, key = written(a_server(ca, at=begin), tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(chain, key)
    trusting = ssl.create_default_context(cadata=ca.issued.pem.decode())
    heads: list[bytes] = []

    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(FINE)
            await writer.drain()
        writer.close()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if b"Basic dTpwQHc=" not in heads[-1]:
            writer.write(b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n")
            return
        _, port = heads[-1].split()[1].split(b":")
        inner, outer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async def main() -> None:
        server = await asyncio.start_server(target, "127.0.0.1", 0, ssl=server_tls)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/secret"
        async with misbehaving(proxy) as port:
            async with Http(proxy=f"http://u:p%40w@127.0.0.1:{port}", tls=trusting) as http:
                answer = await http.get(url)
                assert answer.body == b"fine"
                assert answer.address == f"127.0.0.1:{port}"
            async with Http(proxy=f"http://127.0.0.1:{port}", tls=trusting) as http:
                with pytest.raises(Unavailable, match="407") as caught:
                    await http.get(url)
                assert caught.value.failure == "proxy"
            async with Http(proxy=f"http://u:p%40w@127.0.0.1:{port}") as http:
                with pytest.raises(Unavailable, match="TLS") as caught:
                    await http.get(url)
                assert caught.value.failure == "tls"
        server.close()

    asyncio.run(main())
    assert heads[0].startswith(b"CONNECT localhost:")
    assert not any(b"secret" in head for head in heads)
