"""net/http_client, _line, _pool and _urls: what strangers' URLs and servers try (K15, K25).

Each refusal stands beside what is like it and is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from holdfast.errors import OperatorError, Unavailable
from holdfast.net import http_pool
from holdfast.net.dial import OPERATOR, PUBLIC_ONLY, AddressPolicy
from holdfast.net.http_answer import HttpAnswer
from holdfast.net.http_client import Http
from holdfast.net.http_pool import AT_ONCE
from support.http import misbehaving

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DEAD = "http://127.0.0.1:1"


def saying(data: bytes, again: bytes = b"") -> Script:
    """`data`, and then `again` without an end."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        while again:
            writer.write(again)
            await writer.drain()

    return script


def ask(script: Script) -> HttpAnswer:
    async def main() -> HttpAnswer:
        async with misbehaving(script) as port, Http(timeout=3) as http:
            return await http.get(f"http://127.0.0.1:{port}/")

    return asyncio.run(main())


def failure_of(script: Script) -> str:
    with pytest.raises(Unavailable) as caught:
        ask(script)
    return caught.value.failure


def refusal_of(
    url: str,
    *,
    proxy: str | None = None,
    policy: AddressPolicy = OPERATOR,
    headers: tuple[tuple[str, str], ...] = (),
) -> str:
    async def main() -> None:
        async with Http(timeout=3, proxy=proxy, policy=policy) as http:
            await http.get(url, headers=headers)

    with pytest.raises(Unavailable) as caught:
        asyncio.run(main())
    return caught.value.failure


# -- replies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "again"),
    [
        (CHUNKED + b"4\r\nfine\r\n0\r\nX: ", b"y" * 65536),
        (CHUNKED + b"4\r\nfine\r\n0\r\n", b"X: y\r\n" * 1000),
        (CHUNKED + b"4;", b"x" * 65536),
        (CHUNKED, b"1;" + b"x" * 1000 + b"\r\ny\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 200 ", b"x" * 65536),
    ],
    ids=["trailer", "trailers", "chunk extension", "chunk extensions", "interim", "reason"],
)
def test_red_framing_without_end_is_not_read_until_the_deadline(data: bytes, again: bytes) -> None:
    assert failure_of(saying(data, again)) == "not-http"


def test_chunks_of_one_byte_are_a_body() -> None:
    """Twin: 100 KB that frame 20 KB."""
    assert len(ask(saying(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")).body) == 20_000


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: -4",
        b"Content-Length: 4, 4",
        b"Content-Length: 99999999999999999999999999",
    ],
    ids=map(str, range(6)),
)
def test_red_a_length_of_two_minds(fields: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nfine"
    assert failure_of(saying(data)) in ("not-http", "oversized")


def test_a_trailer_is_no_header() -> None:
    answer = ask(saying(CHUNKED + b"4\r\nfine\r\n0\r\nRetry-After: 9\r\n\r\n"))
    assert answer.body == b"fine"
    assert answer.retry_after is None


def test_red_a_server_that_speaks_first() -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await asyncio.sleep(1)

    assert failure_of(banner) == "not-http"


# -- kept connections -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "second",
    [b"", b"HTTP/1.1 408 Idle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b"left over"],
    ids=["closed", "408", "left over"],
)
def test_what_a_kept_connection_ends_with_is_no_failure(second: bytes) -> None:
    """One kept connection is tried, and then a fresh one, however many are kept."""
    requests: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        requests.append(1)
        writer.write(FINE)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            requests.append(2)
            writer.write(second)

    async def main() -> None:
        async with misbehaving(script) as port, Http(timeout=3) as http:
            url = f"http://127.0.0.1:{port}/"
            await asyncio.gather(*(http.get(url) for _ in range(8)))
            assert (await http.post(url, b"")).body == b"fine"

    asyncio.run(main())
    assert requests == [1] * 8 + [2, 1]


def test_red_408_on_a_fresh_connection_is_the_answer() -> None:
    assert ask(saying(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")).status == 408


def test_red_a_reply_that_waits_unread_is_not_the_next() -> None:
    """It has come while this process was busy, before the request that it would answer."""

    @contextlib.contextmanager
    def two_for_one() -> Iterator[int]:
        def serve(listening: socket.socket) -> None:
            with contextlib.suppress(OSError):
                for _ in range(2):
                    one, _ = listening.accept()
                    one.recv(65536)
                    one.sendall(FINE)
                    time.sleep(0.05)
                    one.sendall(FINE.replace(b"fine", b"evil"))

        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=serve, args=(listening,), daemon=True).start()
            yield int(listening.getsockname()[1])

    def busy() -> None:
        time.sleep(0.15)  # the event loop sees nothing of what comes now

    async def main(port: int) -> None:
        async with Http(timeout=3) as http:
            for _ in range(2):
                assert (await http.get(f"http://127.0.0.1:{port}/")).body == b"fine"
                busy()

    with two_for_one() as port:
        asyncio.run(main(port))


def test_kept_connections_are_so_many_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "IDLE", 2)
    ended: list[int] = []

    def kept(number: int) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(FINE)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            ended.append(number)

        return script

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(Http(timeout=3))
            for number in range(4):
                port = await stack.enter_async_context(misbehaving(kept(number)))
                await http.get(f"http://127.0.0.1:{port}/")
            await asyncio.sleep(0.05)
            assert ended == [0, 1]

    asyncio.run(main())


def test_requests_that_are_given_up_give_back_their_turns() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/hang" in await reader.readuntil(b"\r\n\r\n"):
            await asyncio.Event().wait()
        writer.write(FINE)

    async def main() -> None:
        async with misbehaving(script) as port, Http(timeout=3) as http:
            url = f"http://127.0.0.1:{port}/"
            hung = [http.get(f"{url}hang", timeout=0.1) for _ in range(3 * AT_ONCE)]
            results = await asyncio.gather(*hung, return_exceptions=True)
            assert {getattr(one, "failure", None) for one in results} == {"timeout"}
            answers = await asyncio.gather(*(http.get(url) for _ in range(AT_ONCE)))
            assert {answer.body for answer in answers} == {b"fine"}

    asyncio.run(main())


# -- proxies ----------------------------------------------------------------------------------


def test_a_hung_responder_behind_a_proxy_delays_no_other() -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"http://hung.invalid/" in await reader.readuntil(b"\r\n\r\n"):
            await asyncio.Event().wait()
        writer.write(FINE)

    async def main() -> None:
        async with misbehaving(proxy) as port, Http(proxy=f"http://127.0.0.1:{port}") as http:
            hung = [asyncio.create_task(http.get("http://hung.invalid/")) for _ in range(AT_ONCE)]
            await asyncio.sleep(0.02)
            assert (await http.get("http://well.invalid/", timeout=1)).body == b"fine"
            for task in hung:
                task.cancel()
            await asyncio.gather(*hung, return_exceptions=True)

    asyncio.run(main())


def test_a_proxy_without_an_address_is_the_proxys() -> None:
    assert refusal_of("http://well.invalid/", proxy="http://no-such-host.invalid:1") == "proxy"


@pytest.mark.parametrize("said", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 502 x\r\n\r\n"])
def test_what_is_wrong_with_connect_is_the_proxys(said: bytes) -> None:
    async def main() -> str:
        async with (
            misbehaving(saying(said)) as port,
            Http(proxy=f"http://127.0.0.1:{port}", timeout=3) as http,
        ):
            with pytest.raises(Unavailable) as caught:
                await http.get("https://well.invalid/")
            return caught.value.failure

    assert asyncio.run(main()) == "proxy"


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://name:secret@h:1",
        "http://name:secret@h:99999",
        "http://name:secret/more@h:1",
        "http://name:a/secret@h:1",
        "name:secret@h:1",
        "http://name:secret@",
    ],
)
def test_red_a_proxys_password_is_in_no_message(proxy: str) -> None:
    with pytest.raises(OperatorError) as caught:
        Http(proxy=proxy)
    assert "secret" not in caught.value.message


# -- URLs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.1", "127.0.0.1.", "0x7f000001", "0177.0.0.1", "2130706433.", "[::ffff:127.0.0.1]"],
)
@pytest.mark.parametrize("proxy", [None, DEAD])
def test_k25_an_address_in_odd_spelling_is_one(host: str, proxy: str | None) -> None:
    url = f"http://{host}:1/"
    assert refusal_of(url, proxy=proxy, policy=PUBLIC_ONLY) == "address-refused"


def test_k25_red_twin_an_operators_may_be_asked_for() -> None:
    assert refusal_of("http://127.1:1/", policy=AddressPolicy()) == "refused"
    assert refusal_of("http://127.1:1/", proxy=DEAD) == "proxy"


@pytest.mark.parametrize(
    "url",
    [
        "http://[fd00:ec2::254%251]/",
        "http://well.invalid[::1]/",
        "http://[::1]well.invalid/",
        "http://%31%32%37.0.0.1/",
        "http://a\\b/",
        "http://a,b/",
        "http://h\x00/",
        "http://h/\x00",
        "http://h/?\n",
        "http://h/\u0080",
        "http://h/" + "x" * 9000,
    ],
    ids=map(str, range(11)),
)
def test_red_urls_that_may_be_read_in_two_ways(url: str) -> None:
    assert refusal_of(url, proxy=DEAD) == "bad-url"


@pytest.mark.parametrize("url", ["http://[2001:db8::1]:1/%0d%0a?%00", "http://a_b-c.invalid:/"])
def test_urls_that_look_odd_and_are_right(url: str) -> None:
    assert refusal_of(url, proxy=DEAD) == "proxy"  # it was asked


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00", "\u0142"], ids=map(str, range(4)))
def test_red_what_a_server_has_said_is_not_sent_back_as_a_line(value: str) -> None:
    assert refusal_of(DEAD, headers=(("If-None-Match", value),)) == "bad-url"


def test_what_a_server_has_said_is_sent_back() -> None:
    assert refusal_of(DEAD, headers=(("If-None-Match", '"\xe9\t"'),)) == "refused"
