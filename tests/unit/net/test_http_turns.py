"""A client that pipelines without an end has its turn, and so have the others. R27."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from holdfast.net.http_message import Handler, Reply, Request
from holdfast.net.http_turns import SLICE_BYTES, Turns
from support.http import serving, split, talk

NUMBER = 2000
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    def play(main: Awaitable[None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(main)  # type: ignore[arg-type]

    return play


def a_get(path: str, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in ("Host: a", *fields))
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def at_once(request: Request) -> Reply:
    return Reply(200, request.target)


async def later(request: Request) -> Reply:
    await asyncio.sleep(0)
    return Reply(200, request.target)


@pytest.mark.parametrize("handler", [at_once, later])
@pytest.mark.parametrize("end", [False, True])
def test_a_long_pipeline_is_answered_whole_and_in_order(
    run: Callable[[Awaitable[None]], None], handler: Handler, end: bool
) -> None:
    """R27: also when the client ends its side behind it."""

    async def main() -> None:
        data = b"".join(a_get(f"/{n}") for n in range(NUMBER))
        last = b"" if end else a_get("/last", "Connection: close")
        async with serving(handler) as server:
            said = await talk(server.port, data + last, end=end, timeout=30)
        bodies = [reply.body for reply in split(said)]
        assert bodies == [b"/%d" % n for n in range(NUMBER)] + [b"/last"] * (not end)

    run(main())


def test_another_client_is_answered_within_a_long_pipeline(
    run: Callable[[Awaitable[None]], None],
) -> None:
    """R27: after some slices, not after all that was read."""
    seen: list[bytes] = []

    def note(request: Request) -> Reply:
        seen.append(request.target)
        return Reply(200, b"")

    async def main() -> None:
        data = b"".join(a_get(f"/{n}") for n in range(NUMBER))
        async with serving(note) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            other_reader, other = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(data)
            other.write(a_get("/other"))
            for _ in range(NUMBER):
                await reader.readuntil(b"\r\n\r\n")
            await other_reader.readuntil(b"\r\n\r\n")
            writer.close()
            other.close()
        assert seen.index(b"/other") < NUMBER // 4
        assert len(seen) == NUMBER + 1

    run(main())


def test_a_body_of_many_slices_is_whole(run: Callable[[Awaitable[None]], None]) -> None:
    """R26."""

    async def main() -> None:
        body = bytes(range(256)) * 200
        head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        last = a_get("/last", "Connection: close")
        async with serving(lambda request: Reply(200, request.body or b"none")) as server:
            replies = split(await talk(server.port, head + body + last))
        assert [reply.body for reply in replies] == [body, b"none"]

    run(main())


def test_a_pipeline_under_way_is_not_cut_by_a_close(
    run: Callable[[Awaitable[None]], None],
) -> None:
    """A server that drains ends a connection after a reply, and says so in it."""

    async def main() -> None:
        data = b"".join(a_get(f"/{n}") for n in range(200))
        async with serving(later) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(data)
            first = await reader.readuntil(b"\r\n\r\n/0")
            ends = asyncio.create_task(server.close(grace=10))
            rest = await reader.read(-1)
            await ends
            writer.close()
        replies = split(first + rest)
        assert [reply.body for reply in replies] == [b"/%d" % n for n in range(len(replies))]
        assert replies[-1].header("connection") == "close"

    run(main())


class Transport(asyncio.Transport):
    """It only counts whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.closing = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing


def test_slices_stop_while_enough_waits_and_when_the_client_is_gone() -> None:
    """R27: nothing is read meanwhile; nothing is taken of a client that has gone."""

    async def main() -> None:
        transport, taken, full = Transport(), [], [False]
        turns = Turns(transport, take=taken.append, full=lambda: full[0])
        whole = bytes(range(250)) * 40
        turns.came(whole)
        assert (len(taken), transport.reading) == (1, False)
        await asyncio.sleep(0)
        full[0] = True
        before = len(taken)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(taken) == before
        assert turns.waiting
        full[0] = False
        turns.go_on()
        for _ in range(20):
            await asyncio.sleep(0)
        assert b"".join(taken) == whole
        assert {len(part) for part in taken[:-1]} == {SLICE_BYTES}
        assert (turns.waiting, transport.reading) == (False, True)
        turns.came(whole)
        transport.closing = True
        before = len(taken)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(taken) == before

    asyncio.run(main())
