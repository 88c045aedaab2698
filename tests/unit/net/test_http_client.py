"""net/http_client against servers that behave and misbehave (K7, K15, K25)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import OperatorError, Unavailable
from holdfast.net.dial import PUBLIC_ONLY, AddressPolicy
from holdfast.net.http_answer import HttpAnswer, parse_retry_after
from holdfast.net.http_client import Http
from holdfast.net.http_server import Reply, Request, plain
from holdfast.net.http_urls import environment_proxy
from support.http import misbehaving, serving
from support.pki import a_root, a_server, written

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def echo(request: Request) -> Reply:
    agent = request.header(b"user-agent") or b""
    return Reply(
        200,
        b"%s %s %s" % (request.method.encode(), request.target, request.body),
        (
            (b"Content-Type", b"Text/Plain; charset=x"),
            (b"X-Agent", agent),
            (b"X-Names", b",".join(name for name, _ in request.headers)),
        ),
    )


def ask(handler: Any, path: str = "/", *, body: bytes | None = None, **how: Any) -> HttpAnswer:
    async def main() -> HttpAnswer:
        async with serving(handler) as server, Http(**how) as http:
            url = f"http://127.0.0.1:{server.port}{path}"
            return await (http.get(url) if body is None else http.post(url, body))

    return asyncio.run(main())


def failure_of(handler: Script | str, **how: Any) -> Unavailable:
    """What asking a raw server, or a URL, raises."""

    async def main() -> None:
        how.setdefault("timeout", 5)
        async with contextlib.AsyncExitStack() as stack:
            url = handler
            if not isinstance(handler, str):
                port = await stack.enter_async_context(misbehaving(handler))
                url = f"http://127.0.0.1:{port}/"
            http = await stack.enter_async_context(Http(**how))
            await http.get(str(url))

    with pytest.raises(Unavailable) as caught:
        asyncio.run(main())
    return caught.value


def saying(data: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()

    return script


def test_get_and_what_it_sends() -> None:
    answer = ask(echo, "/a//b/../%2F+?q")
    assert answer.status == 200
    assert answer.body == b"GET /a//b/../%2F+?q "
    assert answer.content_type == "text/plain"
    assert str(answer.header("x-agent")).startswith("holdfast/")
    assert answer.header("X-NAMES") == "host,user-agent,accept-encoding"
    assert answer.address.startswith("127.0.0.1:")
    assert answer.date is not None
    assert abs(answer.date - datetime.now(UTC)) < timedelta(seconds=5)


def test_post() -> None:
    assert ask(echo, "/x", body=b"abc").body == b"POST /x abc"


def test_timeline_is_in_order() -> None:
    async def main() -> None:
        async with serving(echo) as server, Http() as http:
            first = await http.get(f"http://localhost:{server.port}/")
            names = [name for name, _ in first.timeline.stages()]
            assert names == ["dns", "connect", "send", "first byte", "done"]
            times = [value for _, value in first.timeline.stages()]
            assert times == sorted(times)
            second = await http.get(f"http://localhost:{server.port}/")
            assert second.timeline.connect is None  # kept
            assert second.timeline.done is not None

    asyncio.run(main())


def test_any_status_is_an_answer() -> None:
    for status in (204, 304, 404, 500, 503):
        assert ask(lambda _, s=status: plain(s, "")).status == status


def test_caching_headers() -> None:
    headers = (
        (b"ETag", b'"e"'),
        (b"Cache-Control", b'public, Max-Age="60", no-transform'),
        (b"Expires", b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (b"Retry-After", b"120"),
    )
    answer = ask(lambda _: Reply(200, b"", headers))
    assert answer.etag == '"e"'
    assert answer.max_age == 60
    assert answer.expires == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert answer.retry_after == 120
    assert answer.last_modified is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 90 ", 90),
        ("99999999999999999999", 7 * 86400),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0),
        ("Sun, 06 Nov 2094 08:40:00 GMT", 7 * 86400),
    ],
)
def test_k8_retry_after(value: str | None, seconds: float | None) -> None:
    now = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert parse_retry_after(value, now=now) == seconds


# -- failures, each with its class (K7) -------------------------------------------------------


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        await writer.drain()


FAILURES: list[tuple[str, Script, str]] = [
    ("hang", hang, "timeout"),
    ("drip", drip, "timeout"),
    ("reset", reset, "reset"),
    ("closed", saying(b""), "reset"),
    ("half a head", saying(b"HTTP/1.1 200 OK\r\nA:"), "reset"),
    ("not HTTP", saying(b"220 mail.example ESMTP\r\n"), "not-http"),
    ("binary", saying(bytes(range(256))), "not-http"),
    ("bad length", saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "not-http"),
    ("short", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), "truncated"),
    (
        "short chunk",
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx"),
        "truncated",
    ),
    (
        "bad chunk",
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx"),
        "not-http",
    ),
    ("declared", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), "oversized"),
    ("endless", endless, "oversized"),
    ("huge head", saying(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n"), "not-http"),
]


@pytest.mark.parametrize(
    ("script", "failure"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
def test_k7_failures_have_classes(script: Script, failure: str) -> None:
    error = failure_of(script, timeout=0.5)
    assert error.failure == failure
    assert "127.0.0.1" in error.message


@pytest.mark.parametrize(
    ("url", "failure"),
    [
        ("ldap://h/", "bad-url"),
        ("http://", "bad-url"),
        ("http:///x", "bad-url"),
        ("http://h:99999/", "bad-url"),
        ("http://h:0/", "bad-url"),
        ("http://[::1/", "bad-url"),
        ("http://u:p@h/", "bad-url"),
        ("http://h/a b", "bad-url"),
        ("http://h/\r\nX: y", "bad-url"),
        ("http://hö/", "bad-url"),
        ("", "bad-url"),
        ("http://no-such-host.invalid/", "dns"),
        ("http://a..b/", "dns"),
        ("http://127.0.0.1:1/", "refused"),
        ("http://localhost:1/", "refused"),
        ("http://169.254.169.254/latest/meta-data", "address-refused"),
        ("http://[fd00:ec2::254]/", "address-refused"),
        ("http://[::ffff:169.254.169.254]/", "address-refused"),
        ("http://2852039166/", "bad-url"),  # 169.254.169.254 as one number
        ("http://0xa9fea9fe/", "address-refused"),
        ("http://0.0.0.0/", "address-refused"),
    ],
)
def test_k7_k25_urls_that_are_not_asked(url: str, failure: str) -> None:
    assert failure_of(url).failure == failure


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1"])
def test_k25_strangers_cannot_reach_inside(host: str) -> None:
    assert failure_of(f"http://{host}:9/", policy=PUBLIC_ONLY).failure == "address-refused"


def test_k25_red_twin_operators_can() -> None:
    assert failure_of("http://127.0.0.1:1/", policy=AddressPolicy()).failure == "refused"


def test_a_cap_that_is_just_large_enough() -> None:
    assert len(ask(lambda _: Reply(200, b"x" * 100), max_bytes=100).body) == 100


def test_a_kept_connection_that_was_closed_is_not_an_error() -> None:
    """Also for POST, which aiohttp by itself would not repeat."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")  # and then it closes without a word

    async def main() -> None:
        async with misbehaving(once) as port, Http() as http:
            for _ in range(4):
                assert (await http.post(f"http://127.0.0.1:{port}/", b"")).status == 200

    asyncio.run(main())


def test_cancelling_a_request_leaves_the_client_usable() -> None:
    async def main() -> None:
        async with misbehaving(hang) as port, serving(echo) as server, Http() as http:
            task = asyncio.create_task(http.get(f"http://127.0.0.1:{port}/"))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await http.get(f"http://127.0.0.1:{server.port}/")).status == 200

    asyncio.run(main())


# -- redirects --------------------------------------------------------------------------------


def redirecting(steps: int, status: int = 302) -> Callable[[Request], Reply]:
    def handler(request: Request) -> Reply:
        step = int(request.path[1:] or b"0")
        if step < steps:
            return Reply(status, b"", ((b"Location", b"/%d" % (step + 1)),))
        return echo(request)

    return handler


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_k15_redirects_are_followed(status: int) -> None:
    answer = ask(redirecting(3, status), "/0")
    assert answer.body == b"GET /3 "
    assert len(answer.redirects) == 3
    assert answer.url.endswith("/3")


def test_k15_redirects_are_limited() -> None:
    with pytest.raises(Unavailable, match="more than 3 redirects") as caught:
        ask(redirecting(4), "/0")
    assert caught.value.failure == "redirect"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_k15_post_keeps_its_body(status: int) -> None:
    assert ask(redirecting(1, status), "/0", body=b"abc").body == b"POST /1 abc"


def test_k15_post_is_not_turned_into_get() -> None:
    with pytest.raises(Unavailable, match="303"):
        ask(redirecting(1, 303), "/0", body=b"abc")


@pytest.mark.parametrize(
    ("location", "failure"),
    [
        (b"http://169.254.169.254/", "address-refused"),
        (b"//169.254.169.254/", "address-refused"),
        (b"file:///etc/passwd", "bad-url"),
        (b"gopher://h/", "bad-url"),
        (b"http://[::1", "redirect"),
        (b"http://user@h/", "bad-url"),
    ],
)
def test_k25_policy_holds_at_every_hop(location: bytes, failure: str) -> None:
    with pytest.raises(Unavailable) as caught:
        ask(lambda _: Reply(302, b"", ((b"Location", location),)))
    assert caught.value.failure == failure


def test_a_redirect_without_location_is_an_answer() -> None:
    assert ask(lambda _: Reply(302)).status == 302


# -- proxies ----------------------------------------------------------------------------------


def test_k15_proxy_gets_the_absolute_form() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            proxy = f"http://127.0.0.1:{server.port}"
            async with Http(proxy=proxy, policy=PUBLIC_ONLY) as http:
                answer = await http.get("http://ocsp.example.invalid/a//b")
                assert answer.body == b"GET http://ocsp.example.invalid/a//b "
                with pytest.raises(Unavailable) as caught:
                    await http.get("http://127.0.0.1/")  # not through a proxy either
                assert caught.value.failure == "address-refused"

    asyncio.run(main())


def test_k15_dead_proxy() -> None:
    error = failure_of("http://ocsp.example.invalid/", proxy="http://127.0.0.1:1")
    assert error.failure == "proxy"
    assert "proxy" in error.hint


@pytest.mark.parametrize("proxy", ["socks5://h:1", "h:1", "http://"])
def test_a_wrong_proxy_is_the_operators(proxy: str) -> None:
    with pytest.raises(OperatorError, match="proxy"):
        Http(proxy=proxy)


def test_environment_is_read_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert ask(echo).status == 200
    with pytest.raises(Unavailable) as caught:
        ask(echo, proxy_from_environment=True)
    assert caught.value.failure == "proxy"
    assert environment_proxy("http", "direct.example") is None
    assert str(environment_proxy("http", "other.example")) == "http://127.0.0.1:1"
    assert environment_proxy("https", "other.example") is None


# -- https ------------------------------------------------------------------------------------


def test_https_is_verified(tmp_path: Path) -> None:
    now = datetime.now(UTC) - timedelta(days=1)
    ca = a_root(at=now)
    chain, key = written(a_server(ca, at=now), tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(chain, key)
    trusting = ssl.create_default_context(cadata=ca.issued.pem.decode())

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 302 x\r\nLocation: http://h/\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(play, "127.0.0.1", 0, ssl=server_tls)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        async with Http(tls=trusting) as http:
            with pytest.raises(Unavailable, match="from https to") as caught:
                await http.get(url)  # TLS was right; the downgrade is refused
            assert caught.value.failure == "redirect"
        async with Http() as http:
            with pytest.raises(Unavailable, match="TLS") as caught:
                await http.get(url)
            assert caught.value.failure == "tls"
        server.close()

    asyncio.run(main())
