"""What `seams.Source` promises, held against every implementation.

A new source gets one entry in `SOURCES`: a function that, given a `World`, gives the source.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import HoldfastError, NotFound, PeerError, Rejected, StoreError, Unavailable
from holdfast.net.http_client import Http
from holdfast.net.http_server import Reply, Request
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.http import decode_get_path
from holdfast.ocsp.request import Request as OcspRequest
from holdfast.ocsp.response import Response, ResponseStatus, error_response
from holdfast.ocsp.staple import Staple
from holdfast.seams import LedgerEntry, Source
from holdfast.sources.http import HttpSource
from holdfast.sources.layered import Cached, FirstOf, Limited, Shared, Verified
from holdfast.sources.signing import Signing
from holdfast.sources.stored import StoredSource
from support.clock import FakeClock
from support.http import serving
from support.pki import AT
from support.staples import Desk, a_desk

DESK = a_desk()
STRANGER = a_desk("stranger.test")
OCSP = ((b"Content-Type", b"application/ocsp-response"),)


@dataclass
class World:
    """What is behind the source: it knows DESK's certificate, unless told to be in trouble."""

    url: str
    http: Http
    folder: Path
    trouble: str = ""  # "", "down" (cannot be found out) or "garbage"
    slow: bool = False
    asked: int = 0

    async def __call__(self, request: Request) -> Reply:
        self.asked += 1
        if self.slow:
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        if self.trouble == "down":
            return Reply(503)
        if self.trouble == "garbage":
            return Reply(200, b"garbage", OCSP)
        body = request.body if request.method == "POST" else decode_get_path(request.path)
        certid = OcspRequest.parse(body).singles[0].certid
        if certid.serial != DESK.subject.serial:
            return Reply(200, error_response(ResponseStatus.unauthorized), OCSP)
        return Reply(200, DESK.response().der, OCSP)

    def subject(self, desk: Desk = DESK) -> Subject:
        return Subject.of(desk.server.certificate, desk.ca.certificate, (self.url,))


class Shelf:
    """A store that forgets at once."""

    async def save(self, staple: Staple, /) -> None: ...

    async def load(self, certid: CertID, /) -> Response | None:
        return None

    async def drop(self, certid: CertID, /) -> None: ...


def http(world: World) -> Source:
    return HttpSource(world.http)


def stored(world: World) -> Source:
    named = world.folder / "named"
    if world.trouble != "down":  # else it is missing
        named.write_bytes(b"garbage" if world.trouble else DESK.response().der)
    return StoredSource([named])


class WorldLedger:
    """Knows DESK's certificate, unless its world is in trouble."""

    blocking = True

    def __init__(self, world: World) -> None:
        self.world = world

    def entry(self, serial: int, /) -> LedgerEntry | None:
        if self.world.trouble:
            raise StoreError("the ledger cannot be read")
        known = serial == DESK.subject.serial
        return LedgerEntry(serial, DESK.server.certificate.not_after) if known else None

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(())


def signing(world: World) -> Source:
    return Signing(signer=DESK.signer, ledger=WorldLedger(world), clock=FakeClock(AT))


# name -> (how it is made, whether what it does not know is NotFound, whether a slow world shows)
SOURCES: dict[str, tuple[Callable[[World], Source], bool, bool]] = {
    "http": (http, False, True),
    "stored": (stored, True, False),
    "signing": (signing, True, False),
    "verified": (lambda w: Verified(http(w), clock=FakeClock(AT)), False, True),
    "first-of": (lambda w: FirstOf(http(w), http(w)), False, True),
    "limited": (lambda w: Limited(http(w), per_responder=3), False, True),
    "shared": (lambda w: Shared(http(w)), False, True),
    "cached": (lambda w: Cached(http(w), Shelf(), clock=FakeClock(AT)), False, True),
}


@asynccontextmanager
async def world_in(folder: Path, **state: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Http(timeout=5))
        world = World("", client, folder, **state)
        server = await stack.enter_async_context(serving(world))
        world.url = f"http://127.0.0.1:{server.port}"
        yield world


def run(coroutine: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await coroutine

    return asyncio.run(bounded())


@pytest.fixture(params=SOURCES)
def made(request: pytest.FixtureRequest) -> tuple[Callable[[World], Source], bool, bool]:
    return SOURCES[request.param]


def test_gives_a_response_for_the_subject(made: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with world_in(tmp_path) as world:
            response = await made[0](world).response(world.subject())
            assert response.basic is not None
            assert response.basic.singles[0].certid == DESK.subject.certid

    run(main())


def test_is_safe_to_call_concurrently(made: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with world_in(tmp_path) as world:
            source = made[0](world)
            ask = [source.response(world.subject()) for _ in range(20)]
            strange = [source.response(world.subject(STRANGER)) for _ in range(5)]
            got = await asyncio.gather(*ask, *strange, return_exceptions=True)
            assert all(isinstance(each, Response) for each in got[:20])
            assert all(isinstance(each, HoldfastError) for each in got[20:])

    run(main())


def test_what_it_does_not_know_is_an_error_of_the_tree(made: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with world_in(tmp_path) as world:
            await made[0](world).response(world.subject(STRANGER))

    with pytest.raises(NotFound if made[1] else PeerError) as caught:
        run(main())
    assert caught.value.message


@pytest.mark.parametrize("trouble", ["down", "garbage"])
def test_trouble_is_unavailable_or_the_peers(made: Any, tmp_path: Path, trouble: str) -> None:
    async def main() -> None:
        async with world_in(tmp_path, trouble=trouble) as world:
            await made[0](world).response(world.subject())

    with pytest.raises((Unavailable, PeerError, Rejected)) as caught:
        run(main())
    if trouble == "down":
        assert isinstance(caught.value, Unavailable)
    assert caught.value.message


def test_recovers_when_the_trouble_is_over(made: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with world_in(tmp_path) as world:
            source = made[0](world)
            world.trouble = "down"
            with pytest.raises(Unavailable):
                await source.response(world.subject())
            world.trouble = ""
            assert isinstance(await source.response(world.subject()), Response)

    if made[2]:
        run(main())


def test_honours_cancellation_and_is_usable_after(made: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with world_in(tmp_path, slow=made[2]) as world:
            source = made[0](world)
            task = asyncio.create_task(source.response(world.subject()))
            while made[2] and not world.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            world.slow = False
            assert isinstance(await source.response(world.subject()), Response)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [t for t in left if "holdfast" in repr(t.get_coro())]

    run(main())
