"""net/answer_server: the quick way says what the general one says, and is taken for nothing else
(R24 to R27)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
import uvloop

from holdfast.net.answer_server import (
    LEARNED_A_SECOND,
    MAX_BLOCK,
    MAX_BLOCKS,
    MOST_OWED,
    AnswerServer,
)
from holdfast.net.http_server import Limits, Reply, Request
from support.http import split, talk

HOST = b"Host: h\r\n"


Quick = bytes | tuple[bytes] | None


class Recorder:
    """Answers quickly what it knows, at once or `together` with what else came, and remembers who
    was asked: `quick` or `handler`."""

    together: ClassVar[bool] = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, bytes]] = []
        self.broken = self.broken_together = False
        self.answered: list[int] = []  # how many together

    def tick(self, epoch: int, /) -> None:
        assert epoch > 0

    def get(self, line: bytes, peer: str, /) -> Quick:
        assert peer == "127.0.0.1"
        if self.broken:
            raise RuntimeError("a bug")
        if line.startswith(b"GET /general"):
            return None
        return self._told(line, b"", line)

    def post(self, line: bytes, body: bytes, peer: str, /) -> Quick:
        return self._told(line, body, line + b" " + body)

    def answers(self, due: Sequence[tuple[bytes]], /) -> list[bytes | None]:
        if self.broken_together:
            raise RuntimeError("a bug")
        self.answered.append(len(due))
        return [None if b"/waits" in reply else reply for (reply,) in due]

    def _told(self, line: bytes, body: bytes, said: bytes) -> Quick:
        self.asked.append(("quick", line, body))
        reply = b"Content-Length: %d\r\n\r\n%b" % (len(said), said)
        return (reply,) if self.together else reply

    def handle(self, request: Request) -> Reply:
        line = request.method.encode() + b" " + request.target
        self.asked.append(("handler", line, request.body))
        return Reply(200, line + (b" " + request.body if request.body else b""))

    @property
    def ways(self) -> str:
        return "".join(way[0] for way, _, _ in self.asked)


@pytest.fixture(autouse=True, params=["at once", "together"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test here is of both."""
    Recorder.together = request.param == "together"
    yield
    Recorder.together = False


TOGETHER = pytest.mark.parametrize("both_ways", ["together"], indirect=True)


def served(
    *pieces: bytes,
    recorder: Recorder | None = None,
    limits: Limits | None = None,
    end: bool = True,
    methods: str = "",
) -> tuple[list[Any], Recorder, AnswerServer]:
    """What came back for `pieces`, each sent when the reply to the one before was there."""
    recorder = recorder or Recorder()

    async def main() -> tuple[list[Any], Recorder, AnswerServer]:
        server = AnswerServer(recorder.handle, recorder, limits=limits)
        await server.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        got = b""
        try:
            async with asyncio.timeout(10):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.02)
                if end:
                    writer.write_eof()
                got = await reader.read(-1)
        finally:
            writer.close()
            await server.close(grace=0)
        return split(got, methods=methods), recorder, server

    return _run(main())


def _run(coroutine: Awaitable[Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)  # type: ignore[arg-type]


def get(target: bytes, headers: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + headers + b"\r\n"


def post(body: bytes, headers: bytes = HOST) -> bytes:
    return b"POST / HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


def test_the_second_time_is_quick_and_the_same() -> None:
    """R24: the target's bytes reach both ways as they came."""
    replies, recorder, _ = served(get(b"/a//%2F"), get(b"/a//%2F"), get(b"/b"))
    assert recorder.ways == "hqq"
    assert [reply.body for reply in replies] == [b"GET /a//%2F", b"GET /a//%2F", b"GET /b"]
    assert all(reply.header("date") and reply.header("connection") is None for reply in replies)


def test_a_post_is_quick_when_its_length_is_that_of_the_block() -> None:
    replies, recorder, _ = served(post(b"1234"), post(b"5678"), post(b"12345"), post(b"67890"))
    assert recorder.ways == "hqhq"
    bodies = [b"1234", b"5678", b"12345", b"67890"]
    assert [reply.body for reply in replies] == [b"POST / " + body for body in bodies]


@pytest.mark.parametrize("again", [post(b"1234") + b"5", post(b"1234")[:-1], get(b"/x") + b"GET"])
def test_a_request_with_more_or_less_than_itself_is_read_the_general_way(again: bytes) -> None:
    """A known block does not make what stands around it known: pipelined bytes are not swallowed,
    missing ones are waited for."""
    _, recorder, _ = served(post(b"1234"), get(b"/x"), again)
    assert recorder.asked[-1][0] == "handler"
    assert "q" not in recorder.ways


def test_pipelined_requests_are_answered_in_order() -> None:
    """R27."""
    whole = get(b"/1") + post(b"two") + get(b"/3")
    replies, recorder, _ = served(get(b"/0"), whole, get(b"/4"))
    lines = [b"GET /0", b"GET /1", b"POST / two", b"GET /3", b"GET /4"]
    assert [reply.body for reply in replies] == lines
    assert recorder.ways == "hhhhq"


@TOGETHER
def test_every_split_of_a_known_request_reads_the_same() -> None:
    request = post(b"body")
    for cut in range(1, len(request)):
        replies, _, _ = served(request, request[:cut], request[cut:])
        assert [reply.body for reply in replies] == [b"POST / body"] * 2, cut


@pytest.mark.parametrize(
    "header",
    [
        b'If-None-Match: "x"\r\n',
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"Connection: te\r\n",
    ],
)
def test_headers_that_say_more_are_never_learned(header: bytes) -> None:
    """R23: a client that has the answer gets its 304 from the handler."""
    _, recorder, server = served(get(b"/x", HOST + header), get(b"/x", HOST + header))
    assert "q" not in recorder.ways
    assert not server.gets


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nX: a HTTP/1.1\r\nA: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na",
        b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na",
        get(b"/x", HOST + b"X: " + b"a" * MAX_BLOCK + b"\r\n"),
    ],
)
def test_what_is_not_plain_is_never_learned(request_bytes: bytes) -> None:
    """R26."""
    replies, recorder, server = served(request_bytes, request_bytes)
    assert [reply.status for reply in replies] == [200, 200]
    assert recorder.ways == "hh"
    assert not server.gets
    assert not server.posts


def test_a_block_of_get_is_not_one_of_another_method() -> None:
    _, recorder, _ = served(get(b"/x"), b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n", methods="GH")
    assert recorder.ways == "hh"


def test_a_connection_that_is_to_close_is_closed_after_the_quick_reply() -> None:
    closing = get(b"/x", HOST + b"Connection: close\r\n")
    recorder = Recorder()

    async def main() -> list[bytes]:
        server = AnswerServer(recorder.handle, recorder)
        await server.listen("127.0.0.1", 0)
        try:
            return [await talk(server.port, closing) for _ in range(2)]
        finally:
            await server.close(grace=0)

    first, second = (split(stream)[0] for stream in _run(main()))
    assert recorder.ways == "hq"
    assert first.header("connection") == second.header("connection") == "close"
    assert first.body == second.body == b"GET /x"


def test_what_the_quick_way_does_not_know_the_handler_answers() -> None:
    replies, recorder, _ = served(get(b"/x"), get(b"/general"))
    assert recorder.ways == "hh"
    assert replies[1].body == b"GET /general"


def test_a_bug_of_the_quick_way_is_told_and_the_handler_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    recorder.broken = True
    replies, _, _ = served(get(b"/x"), get(b"/x"), recorder=recorder)
    assert [reply.status for reply in replies] == [200, 200]
    assert recorder.ways == "hh"
    assert "a bug in answering" in caplog.text


def test_what_is_learned_is_bounded() -> None:
    """Clients whose every request has other headers cost a bounded time and memory."""
    server = AnswerServer(lambda _: Reply(), Recorder())
    for number in range(3 * MAX_BLOCKS):
        if number % 10 == 0:
            server.tick(server.until)
        headers = [(b"x", b"%d" % number)]
        server.learn(get(b"/x", b"x: %d\r\n" % number), headers)
        server.learn(post(b"a", b"x: %d\r\n" % number), [*headers, (b"content-length", b"1")])
    assert 0 < len(server.gets) <= MAX_BLOCKS
    assert 0 < len(server.posts) <= MAX_BLOCKS
    server.tick(server.until)
    server.gets.clear()
    for number in range(1000):
        server.learn(get(b"/x", b"y: %d\r\n" % number), [(b"y", b"%d" % number)])
    assert len(server.gets) == LEARNED_A_SECOND


def test_an_idle_connection_is_closed_after_a_quick_reply() -> None:
    """R27."""
    replies, recorder, _ = served(
        get(b"/x"), get(b"/x"), limits=Limits(idle_seconds=0.2), end=False
    )
    assert recorder.ways == "hq"
    assert len(replies) == 2


# -- made together ----------------------------------------------------------------------------


async def _learned(server: AnswerServer, count: int) -> list[tuple[Any, Any]]:
    """Clients whose header block `server` knows."""
    await server.listen("127.0.0.1", 0)
    clients = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(count)]
    for reader, writer in clients:
        writer.write(get(b"/known"))
        await reader.readuntil(b"GET /known")
    return clients


@TOGETHER
def test_what_comes_in_one_turn_is_answered_together() -> None:
    recorder = Recorder()

    async def main() -> list[bytes]:
        server = AnswerServer(recorder.handle, recorder)
        clients = await _learned(server, 5)
        recorder.answered.clear()
        for number, (_, writer) in enumerate(clients):
            writer.write(get(b"/%d" % number))
        got = [
            await reader.readuntil(b"GET /%d" % number)
            for number, (reader, _) in enumerate(clients)
        ]
        await server.close(grace=0)
        return got

    replies = _run(main())
    assert all(reply.startswith(b"HTTP/1.1 200 OK\r\nDate: ") for reply in replies)
    assert sum(recorder.answered) == 5
    assert max(recorder.answered) > 1


@TOGETHER
@pytest.mark.parametrize("how", ["the client ends its side", "the server ends", "more comes"])
def test_what_is_owed_is_sent_before_anything_else_happens(how: str) -> None:
    """R27: in the turn in which it came; nothing is lost, and nothing overtakes it."""
    recorder = Recorder()

    async def main() -> bytes:
        server = AnswerServer(recorder.handle, recorder)
        ((reader, writer),) = await _learned(server, 1)
        (connection,) = server.connections
        connection.data_received(get(b"/owed"))
        assert connection.owed  # type: ignore[attr-defined]
        match how:
            case "the client ends its side":
                assert not connection.eof_received()
                connection.abort = lambda: None  # type: ignore[method-assign]
                writer.write_eof()
            case "more comes":
                connection.data_received(get(b"/general"))
                connection.data_received(get(b"/last"))
        async with asyncio.timeout(10):
            await server.close(grace=5)
            return bytes(await reader.read(-1))

    replies = split(_run(main()))
    bodies = [b"GET /owed", b"GET /general", b"GET /last"][: 3 if how == "more comes" else 1]
    assert [reply.body for reply in replies] == bodies


@TOGETHER
def test_a_client_that_is_gone_is_not_answered() -> None:
    recorder = Recorder()

    async def main() -> None:
        server = AnswerServer(recorder.handle, recorder)
        ((_, writer),) = await _learned(server, 1)
        (connection,) = server.connections
        recorder.answered.clear()
        connection.data_received(get(b"/owed"))
        connection.abort()
        connection.connection_lost(None)
        server.settle()
        writer.close()
        await server.close(grace=0)

    _run(main())
    assert recorder.answered == []


@TOGETHER
def test_what_has_to_wait_after_all_is_answered_by_the_handler() -> None:
    replies, recorder, _ = served(get(b"/x"), get(b"/waits"), get(b"/x"))
    assert [reply.body for reply in replies] == [b"GET /x", b"GET /waits", b"GET /x"]
    assert recorder.ways == "hqhq"


@TOGETHER
def test_a_bug_in_what_is_made_together_is_told_and_the_handler_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    recorder.broken_together = True
    replies, _, _ = served(get(b"/x"), get(b"/x"), recorder=recorder)
    assert [reply.body for reply in replies] == [b"GET /x"] * 2
    assert recorder.ways == "hqh"
    assert "a bug in answering 1 requests" in caplog.text


@TOGETHER
def test_no_more_is_made_together_than_a_bound() -> None:
    recorder = Recorder()

    async def main() -> None:
        server = AnswerServer(recorder.handle, recorder)
        clients = await _learned(server, 2)
        (connection, _) = server.connections
        for _ in range(MOST_OWED + 1):
            server.owe((connection, (b"Content-Length: 0\r\n\r\n",), b"", True))  # type: ignore[arg-type]
        assert recorder.answered[-1:] == [MOST_OWED]
        for _, writer in clients:
            writer.close()
        await server.close(grace=0)

    _run(main())
