"""The control socket: questions, errors, bounds, permissions."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import NotFound, OperatorError, Unavailable
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.services.control import SOCKET, Control
from holdfast.services.control_client import ask
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.stores.memory import MemoryStore
from support.clock import FakeClock
from support.pki import AT
from support.staples import a_desk

X = a_desk("x.test", serial=0xABC)


class Desk:
    """Answers once `up`."""

    def __init__(self) -> None:
        self.up = True

    async def response(self, subject: Subject, /) -> Response:
        if not self.up:
            raise Unavailable("connection refused", failure="connect")
        return X.response(AT)


def played(
    folder: Path,
    story: Callable[[Callable[..., Awaitable[Any]], Keeper], Awaitable[None]],
    *,
    up: bool = True,
    reload: Callable[[], Awaitable[dict[str, Any]]] | None = None,
) -> None:
    """`story(asked, keeper)` beside a keeper; `asked` is the blocking client, in a thread."""

    async def whole() -> None:
        clock, source = FakeClock(AT), Desk()
        source.up = up
        kept = [Kept.of(X.subject)]
        keeper = Keeper(kept, source=source, store=MemoryStore(), clock=clock)
        task = asyncio.create_task(keeper.run())
        await clock.settle(turns=200)

        async def asked(question: Any, **wishes: Any) -> Any:
            return await asyncio.to_thread(ask, folder, question, **wishes)

        async with Control(keeper, folder / SOCKET, clock=clock, reload=reload):
            await story(asked, keeper)
        keeper.stop()
        await task

    asyncio.run(whole())


def test_k24_each_question_has_its_answer(tmp_path: Path) -> None:
    async def story(asked: Callable[..., Awaitable[Any]], keeper: Keeper) -> None:
        document = await asked({"do": "status"})
        assert document["certificates"][0]["state"] == "good"
        assert await asked({"do": "refresh", "name": "x.test"}) == {"refreshing": ["x.test"]}
        waited = await asked({"do": "wait", "name": "abc", "timeout": 5})
        assert waited["name"] == "x.test"
        assert await asked({"do": "staple", "name": "x.test"})
        assert await asked({"do": "reload"}) == {"certificates": 1}

    async def reload() -> dict[str, Any]:
        return {"certificates": 1}

    played(tmp_path, story, reload=reload)


def test_errors_arrive_as_what_they_were(tmp_path: Path) -> None:
    async def story(asked: Callable[..., Awaitable[Any]], keeper: Keeper) -> None:
        with pytest.raises(NotFound, match="nobody"):
            await asked({"do": "staple", "name": "nobody"})
        with pytest.raises(NotFound, match="nobody"):
            await asked({"do": "wait", "name": "nobody"})
        with pytest.raises(NotFound, match="connection refused"):
            await asked({"do": "staple", "name": "x.test"})
        with pytest.raises(OperatorError, match="no settings"):
            await asked({"do": "reload"})
        with pytest.raises(OperatorError, match="'dance'"):
            await asked({"do": "dance"})
        with pytest.raises(OperatorError, match="name"):
            await asked({"do": "status", "name": 7})
        with pytest.raises(OperatorError):
            await asked({"do": "wait", "name": "x.test", "timeout": "soon"})
        with pytest.raises(OperatorError):
            await asked(["status"])

    played(tmp_path, story, up=False)


def test_k29_wait_ends_at_its_timeout_and_says_why(tmp_path: Path) -> None:
    async def story(asked: Callable[..., Awaitable[Any]], keeper: Keeper) -> None:
        with pytest.raises(Unavailable, match="connection refused") as caught:
            await asked({"do": "wait", "name": "x.test", "timeout": 0.05})
        assert "within 0.05 s" in caught.value.message

    played(tmp_path, story, up=False)


@pytest.mark.parametrize("line", [b"garbage\n", b"[\n", b"\xff\n", b"{}\n", b"x" * 200_000 + b"\n"])
def test_garbage_is_answered_or_cut_off_and_the_next_is_served(tmp_path: Path, line: bytes) -> None:
    def thrown() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(tmp_path / SOCKET))
            try:
                connection.sendall(line)
                return connection.makefile("rb").readline()
            except (BrokenPipeError, ConnectionResetError):
                return b""

    async def story(asked: Callable[..., Awaitable[Any]], keeper: Keeper) -> None:
        answer = await asyncio.to_thread(thrown)
        assert not answer or "error" in json.loads(answer)
        assert await asked({"do": "status"})

    played(tmp_path, story)


def test_the_socket_is_the_owners_alone_and_goes_with_the_keeper(tmp_path: Path) -> None:
    async def story(asked: Callable[..., Awaitable[Any]], keeper: Keeper) -> None:
        assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o600

    played(tmp_path, story)
    assert not (tmp_path / SOCKET).exists()
    with pytest.raises(Unavailable, match="no keeper is running") as caught:
        ask(tmp_path, {"do": "status"})
    assert caught.value.failure == "not-running"


def test_a_second_keeper_is_refused_and_a_dead_ones_socket_is_not(tmp_path: Path) -> None:
    async def story(asked: Callable[..., Awaitable[Any]], keeper: Keeper) -> None:
        with pytest.raises(OperatorError, match="another keeper"):
            async with Control(keeper, tmp_path / SOCKET, clock=FakeClock(AT)):
                raise AssertionError

    played(tmp_path, story)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))
    played(tmp_path, lambda asked, keeper: asked({"do": "status"}))


@pytest.mark.parametrize("folder", ["nowhere", "x" * 200])
def test_a_folder_that_cannot_hold_a_socket(tmp_path: Path, folder: str) -> None:
    with pytest.raises(OperatorError, match="cannot listen"):
        played(tmp_path / folder, lambda asked, keeper: asked({"do": "status"}))
