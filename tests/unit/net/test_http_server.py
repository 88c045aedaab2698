"""net/http_server: raw targets, order, bounds, deadlines (R24 to R27 lean on these)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from holdfast.errors import OperatorError
from holdfast.net.http_message import http_date, origin_form, parse_http_date
from holdfast.net.http_server import Limits, Raw, Reply, Request, Wire, plain, serve
from support.http import serving, split, talk

CLOSE = b"Connection: close\r\n"


def echo(request: Request) -> Reply:
    return Reply(200, b"%s %s %s" % (request.method.encode(), request.target, request.body))


class Loop:
    """Which event loop the tests run on."""

    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


@pytest.fixture(autouse=True, params=[asyncio.new_event_loop, uvloop.new_event_loop])
def _both_loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The responder runs on uvloop where that is installed."""
    monkeypatch.setattr(Loop, "factory", staticmethod(request.param))


def run(coroutine: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await coroutine

    with asyncio.Runner(loop_factory=Loop.factory) as runner:
        return runner.run(bounded())


def answers(
    *pieces: bytes, handler: Any = echo, limits: Limits | None = None, methods: str = "", **how: Any
) -> Any:
    async def main() -> Any:
        async with serving(handler, limits=limits) as server:
            return split(await talk(server.port, *pieces, **how), methods=methods)

    return run(main())


@pytest.mark.parametrize(
    "target",
    [b"/", b"//", b"/a//b/../c", b"/MFE%2F%2b+=/x", b"/%2F%2F", b"/a?q=1&b", b"*", b"http://h//x"],
)
def test_r24_target_is_never_normalised(target: bytes) -> None:
    (reply,) = answers(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n")
    assert reply.status == 200
    assert reply.body == b"GET " + target + b" "


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_r25_any_method_reaches_the_handler(method: str) -> None:
    (reply,) = answers(f"{method} /x HTTP/1.1\r\nHost: h\r\n".encode() + CLOSE + b"\r\n")
    assert reply.body == f"{method} /x ".encode()


def test_connect_reaches_the_handler_and_ends() -> None:
    (reply,) = answers(b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\nSSH-2.0")
    assert reply.body == b"CONNECT h:1 "
    assert reply.header("connection") == "close"


def test_r25_head_is_get_without_body() -> None:
    head, get = answers(
        b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n",
        methods="HG",
    )
    assert head.header("content-length") == "8"
    assert get.body == b"GET /x "


def test_every_reply_has_length_and_date() -> None:
    (reply,) = answers(b"GET / HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n")
    assert reply.header("content-length") == str(len(reply.body)) == "6"
    assert parse_http_date(reply.header("date")) is not None
    assert reply.header("connection") == "close"


@pytest.mark.parametrize("status", [204, 304])
def test_bodiless_replies(status: int) -> None:
    (reply,) = answers(
        b"GET / HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n", handler=lambda _: Reply(status, b"no")
    )
    assert reply.status == status
    assert reply.header("content-length") is None


def test_http_1_0_closes_unless_asked() -> None:
    (reply,) = answers(b"GET /1 HTTP/1.0\r\n\r\n")
    assert reply.header("connection") == "close"
    first, second = answers(
        b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n"
    )
    assert first.header("connection") == "keep-alive"
    assert second.header("connection") == "close"


def test_r27_pipelined_replies_come_in_order() -> None:
    """Slow and fast answers mixed; the fast ones wait for the slow."""

    async def slow(request: Request) -> Reply:
        await asyncio.sleep(0.02)
        return echo(request)

    def mixed(request: Request) -> Reply | Awaitable[Reply]:
        return slow(request) if request.target.endswith(b"0") else echo(request)

    count = 200
    requests = [b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(count)]
    requests.append(b"GET /end HTTP/1.1\r\nHost: h\r\n" + CLOSE + b"\r\n")
    replies = answers(b"".join(requests), handler=mixed)
    assert [r.body.split()[1] for r in replies] == [b"/%d" % n for n in range(count)] + [b"/end"]


def test_every_split_of_the_bytes_reads_the_same() -> None:
    stream = (
        b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n"
        b"GET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    bodies = [b"POST /a abc", b"POST /b abc", b"GET /c "]

    async def main() -> None:
        async with serving(echo) as server:
            for cut in range(1, len(stream), 5):
                got = split(await talk(server.port, stream[:cut], stream[cut:]))
                assert [r.body for r in got] == bodies, cut
            single = [stream[n : n + 1] for n in range(len(stream))]
            assert [r.body for r in split(await talk(server.port, *single))] == bodies

    run(main())


def test_trailers_do_not_become_headers_of_the_next_request() -> None:
    def show(request: Request) -> Reply:
        return Reply(200, repr(request.headers).encode())

    first, second = answers(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nEvil: x\r\nMore: y\r\n\r\n"
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        handler=show,
    )
    assert b"evil" not in first.body.lower()
    assert second.body == b"[(b'host', b'h'), (b'connection', b'close')]"


def test_r26_expect_100_continue() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
            )
            writer.write(b"Connection: close\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            (reply,) = split(await reader.read())
            assert reply.body == b"POST / abc"
            writer.close()

    run(main())


def test_expect_is_answered_by_413_when_the_body_is_too_large() -> None:
    (reply,) = answers(
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n",
        limits=Limits(body_bytes=98),
        end=True,
    )
    assert reply.status == 413


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, 413),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"a\r\n0123456789\r\n" * 11,
            413,
        ),
        (b"GET /" + b"x" * 201 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 11 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 401 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 600_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
def test_r26_bounds_and_garbage(request_bytes: bytes, status: int) -> None:
    """Also that what came before on the connection is still answered, and in order."""
    limits = Limits(body_bytes=100, target_bytes=200, headers=10, head_bytes=400)
    half = len(request_bytes) // 2
    pieces = (request_bytes[:half], request_bytes[half:])
    (reply,) = answers(*pieces, limits=limits)
    assert reply.status == status
    assert reply.header("connection") == "close"

    async def slow(request: Request) -> Reply:
        await asyncio.sleep(0.01)
        return echo(request)

    good, bad = answers(
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n" + pieces[0], pieces[1], limits=limits, handler=slow
    )
    assert good.body == b"GET /1 "
    assert bad.status == status


def test_endless_trailers_are_cut_off() -> None:
    async def main() -> None:
        limits = Limits(body_bytes=100, head_bytes=400)
        async with serving(echo, limits=limits) as server:
            got = await talk(
                server.port,
                b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: ",
                *[b"x" * 200] * 10,
            )
            assert split(got)[0].status == 413

    run(main())


@pytest.mark.parametrize("body", [b"", b"abc"])
def test_upgrade_is_ignored_and_the_body_read(body: bytes) -> None:
    """curl --http2 asks for h2c."""
    (reply,) = answers(
        b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    assert reply.body == b"POST /x " + body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (b"\r\n", None),
        (b"GET / HT", 408),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n", 408),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab", 408),
    ],
)
def test_r27_slow_clients_are_cut_off(sent: bytes, status: int | None) -> None:
    limits = Limits(idle_seconds=0.1, head_seconds=0.1, body_seconds=0.1)
    replies = answers(sent, limits=limits)
    assert [r.status for r in replies] == ([] if status is None else [status])


def test_r27_a_drip_does_not_extend_the_deadline() -> None:
    async def main() -> None:
        async with serving(echo, limits=Limits(head_seconds=0.2)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            begun = asyncio.get_running_loop().time()

            async def drip() -> None:
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n")
                while True:
                    writer.write(b"A: b\r\n")
                    await asyncio.sleep(0.02)

            task = asyncio.create_task(drip())
            assert split(await reader.read())[0].status == 408
            assert asyncio.get_running_loop().time() - begun < 1
            task.cancel()
            writer.close()

    run(main())


def test_idle_connection_is_closed_after_a_reply() -> None:
    (reply,) = answers(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", limits=Limits(idle_seconds=0.1))
    assert reply.status == 200


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def main() -> None:
        big = Reply(200, b"x" * (8 << 20))
        async with serving(lambda _: big, limits=Limits(write_seconds=0.2)) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 50)
            await asyncio.sleep(0.05)
            (connection,) = server.connections
            await connection.lost
            writer.close()

    run(main())


def test_a_slow_reader_gets_everything() -> None:
    async def main() -> None:
        body = b"x" * (1 << 20)
        async with serving(lambda _: Reply(200, body)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 9 + b"GET / HTTP/1.0\r\n\r\n")
            got = 0
            while chunk := await reader.read(100_000):
                got += len(chunk)
                await asyncio.sleep(0)
            assert got > 10 * len(body)
            writer.close()

    run(main())


def test_connection_limit() -> None:
    async def main() -> None:
        async with serving(echo, limits=Limits(connections=2)) as server:
            kept = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            (reply,) = split(await talk(server.port, b""))
            assert reply.status == 503
            assert reply.header("retry-after") == "1"
            for _, writer in kept:
                writer.close()

    run(main())


@pytest.mark.parametrize("late", [False, True])
def test_a_bug_is_500_and_one_traceback(late: bool, caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Request) -> Reply | Awaitable[Reply]:
        if request.target == b"/ok":
            return echo(request)
        return later() if late else 1 / 0  # type: ignore[return-value]

    async def later() -> Reply:
        raise ZeroDivisionError

    async def main() -> None:
        async with serving(broken) as server:
            (reply,) = split(await talk(server.port, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"))
            assert reply.status == 500
            assert b"Zero" not in reply.body
            (reply,) = split(await talk(server.port, b"GET /ok HTTP/1.0\r\n\r\n"))
            assert reply.status == 200

    with caplog.at_level(logging.ERROR):
        run(main())
    assert len([r for r in caplog.records if r.exc_info]) == 1


def test_a_client_that_goes_away_cancels_its_answer() -> None:
    async def main() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def forever(request: Request) -> Reply:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            raise AssertionError

        async with serving(forever) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await begun.wait()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await cancelled.wait()

    run(main())


def test_a_client_may_end_its_side_and_read_on() -> None:
    async def slow(request: Request) -> Reply:
        await asyncio.sleep(0.02)
        return echo(request)

    replies = answers(
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        handler=slow,
        end=True,
    )
    assert [r.body for r in replies] == [b"GET /1 ", b"GET /2 "]


def test_close_lets_replies_under_way_end() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def slow(request: Request) -> Reply:
            begun.set()
            await asyncio.sleep(0.05)
            return echo(request)

        server = await serve("127.0.0.1", 0, slow)
        port = server.port
        busy = asyncio.create_task(talk(port, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"))
        idle = asyncio.create_task(talk(port, b""))
        await begun.wait()
        await server.close(grace=5)
        (reply,) = split(await busy)
        assert reply.body == b"GET /x "
        assert reply.header("connection") == "close"
        assert await idle == b""
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        await server.listen("127.0.0.1", port)  # and again
        (reply,) = split(await talk(port, b"GET /y HTTP/1.0\r\n\r\n"))
        await server.close()

    run(main())


def test_close_cuts_off_after_the_grace() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def forever(request: Request) -> Reply:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        server = await serve("127.0.0.1", 0, forever)
        client = asyncio.create_task(talk(server.port, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"))
        await begun.wait()
        await server.close(grace=0.05)
        assert not server.connections
        with contextlib.suppress(ConnectionError):
            assert await client == b""

    run(main())


def test_raw_replies_write_what_they_like() -> None:
    async def play(wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        await wire.write(b"x")

    (reply,) = answers(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", handler=lambda _: Raw(play))
    assert reply.body == b"x"


def test_raw_replies_learn_that_the_client_is_gone() -> None:
    """A hanging fault must not hold its connection for ever."""

    async def play(wire: Wire) -> None:
        await wire.gone()

    assert (
        answers(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", handler=lambda _: Raw(play), end=True) == []
    )


def test_a_half_closed_client_is_not_waited_for_for_ever() -> None:
    async def forever(request: Request) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    limits = Limits(write_seconds=0.1)
    got = answers(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", handler=forever, limits=limits, end=True)
    assert got == []


def test_raw_replies_may_reset() -> None:
    async def play(wire: Wire) -> None:
        wire.reset()

    with pytest.raises(ConnectionResetError):
        answers(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", handler=lambda _: Raw(play))


def test_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=f"127.0.0.1:{port}: the port is in use") as caught:
            run(serve("127.0.0.1", port, echo))
        assert f"sport = :{port}" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no-such-host.invalid", 80), ("127.0.0.1", 99999)]
)
def test_listening_failures_are_operator_errors(host: str, port: int) -> None:
    with pytest.raises(OperatorError, match="cannot listen on") as caught:
        run(serve(host, port, echo))
    assert caught.value.hint


@pytest.mark.parametrize("header", [(b"A", b"b\r\nC: d"), (b"A b", b"c"), (b"", b"c")])
def test_headers_cannot_be_injected(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="not an HTTP header"):
        Reply(200, b"", (header,))


def test_dates() -> None:
    at = parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT")
    assert at is not None
    assert http_date(at) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == at
    assert parse_http_date("Sun Nov  6 08:49:37 1994") == at
    for bad in ("", "0", "soon", "99 Nov 1994", "Sun, 06 Nov 99999 08:49:37 GMT"):
        assert parse_http_date(bad) is None


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"http://h:1//a?b", b"//a?b"), (b"HTTP://h", b"/"), (b"//h/a", b"//h/a"), (b"*", b"*")],
)
def test_origin_form(target: bytes, path: bytes) -> None:
    assert origin_form(target) == path


def test_plain_is_never_cached() -> None:
    handler: Callable[[Request], Reply] = lambda _: plain(404, "nothing here")  # noqa: E731
    (reply,) = answers(b"GET / HTTP/1.0\r\n\r\n", handler=handler)
    assert reply.header("cache-control") == "no-store"
    assert reply.body == b"nothing here\n"
