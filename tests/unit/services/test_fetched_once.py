"""services/fetched_once: many checks, one download."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.errors import Unavailable
from holdfast.services.fetched_once import FetchedOnce


class Far:
    """A web that notes what it is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ready = asyncio.Event()

    async def fetch(self, url: str, limit: int) -> bytes:
        self.asked.append(url)
        await self.ready.wait()
        if url == "gone":
            raise Unavailable("gone: HTTP status 404", failure="http")
        return url.encode() * 10


def test_many_that_want_it_at_once_have_it_of_one_download() -> None:
    async def main() -> None:
        far = Far()
        async with FetchedOnce(far.fetch) as fetch:
            waiting = [asyncio.create_task(fetch("crl", 100)) for _ in range(20)]
            await asyncio.sleep(0)
            far.ready.set()
            assert set(await asyncio.gather(*waiting)) == {b"crl" * 10}
            assert await fetch("crl", 100) == b"crl" * 10
            assert await fetch("other", 100) == b"other" * 10
        assert far.asked == ["crl", "other"]

    asyncio.run(main())


def test_red_one_that_gives_up_ends_no_other_and_a_failure_is_everybodys() -> None:
    async def main() -> None:
        far = Far()
        async with FetchedOnce(far.fetch) as fetch:
            first, second = (asyncio.create_task(fetch("crl", 100)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            far.ready.set()
            assert await second == b"crl" * 10
            for _ in range(2):
                with pytest.raises(Unavailable, match="404"):
                    await fetch("gone", 100)
        assert far.asked == ["crl", "gone"]

    asyncio.run(main())


def test_the_oldest_is_let_go_when_there_is_too_much() -> None:
    async def main() -> None:
        far = Far()
        far.ready.set()
        async with FetchedOnce(far.fetch, most=25) as fetch:
            for url in ("a", "b", "c", "c", "b", "a"):  # ten bytes each
                assert await fetch(url, 100) == url.encode() * 10
            assert await fetch("large" * 9, 100)  # more than is kept at all
        assert far.asked == ["a", "b", "c", "a", "large" * 9]

    asyncio.run(main())


def test_the_end_ends_what_is_under_way() -> None:
    async def main() -> None:
        far = Far()
        async with FetchedOnce(far.fetch) as fetch:
            waiting = asyncio.create_task(fetch("crl", 100))
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
