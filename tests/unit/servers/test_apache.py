"""The mod_ssl adapter on a fake clock, and its snippet. K4, K12, K21."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.statuses import Revoked, Unknown
from holdfast.servers.apache import SLACK, ApacheServer, apache_snippet
from holdfast.servers.apache_md import apache_md_snippet
from holdfast.servers.relay_shelf import RelayShelf
from support.clock import FakeClock
from support.pki import AT
from support.staples import a_desk

SECOND = timedelta(seconds=1)
DESK = a_desk("www.example.org")
CERTID = DESK.subject.certid


def made(clock: FakeClock) -> tuple[ApacheServer, RelayShelf]:
    shelf = RelayShelf(clock=clock)
    return ApacheServer("web", shelf=shelf, clock=clock, cache_timeout=20 * SECOND), shelf


def test_deliver_waits_only_for_what_apache_may_have_cached() -> None:
    async def play() -> None:
        clock = FakeClock(AT)
        server, shelf = made(clock)
        await server.deliver(DESK.staple())
        await server.deliver(DESK.staple(AT - SECOND))
        assert clock.slept == [], "nobody has asked yet"
        clock.advance(SECOND)
        shelf.held(CERTID)
        staple = DESK.staple()
        task = asyncio.create_task(server.deliver(staple))
        await clock.until_asleep()
        assert shelf.held(CERTID) is staple, "the relay answers it at once"
        clock.advance(20 * SECOND)
        await clock.settle()
        assert not task.done()
        clock.advance(SLACK)
        await task

    asyncio.run(play())


def test_withdraw_waits_as_long_and_then_nothing_is_remembered() -> None:
    async def play() -> None:
        clock = FakeClock(AT)
        server, shelf = made(clock)
        await server.withdraw(CERTID)
        await server.deliver(DESK.staple())
        shelf.held(CERTID)
        task = asyncio.create_task(server.withdraw(CERTID))
        await clock.until_asleep()
        assert shelf.held(CERTID) is None
        clock.advance(20 * SECOND + SLACK)
        await task
        assert shelf.answered_else(CERTID) is None

    asyncio.run(play())


def test_a_staple_from_the_future_is_not_answered_before_its_time() -> None:
    async def play() -> None:
        clock = FakeClock(AT)
        server, shelf = made(clock)
        first, early = DESK.staple(), DESK.staple(AT + 3 * SECOND)
        await server.deliver(first)
        task = asyncio.create_task(server.deliver(early))
        await clock.until_asleep()
        assert shelf.held(CERTID) is first
        clock.advance(3 * SECOND)
        await clock.settle()
        assert shelf.held(CERTID) is early
        clock.advance(20 * SECOND + SLACK)
        await task

    asyncio.run(play())


@pytest.mark.parametrize("ahead", [0, 60])
def test_k11_a_later_call_overtakes_one_that_waits(ahead: int) -> None:
    """What is overtaken says so, and changes nothing when it wakes."""

    async def play() -> None:
        clock = FakeClock(AT)
        server, shelf = made(clock)
        await server.deliver(DESK.staple())
        shelf.held(CERTID)
        waiting = asyncio.create_task(server.deliver(DESK.staple(AT + ahead * SECOND)))
        await clock.until_asleep()
        revoked = DESK.staple(AT - SECOND, status=Revoked(AT - SECOND, None))
        later = asyncio.create_task(server.deliver(revoked))
        await clock.settle()
        assert shelf.held(CERTID) is revoked
        clock.advance(20 * SECOND + SLACK)
        await later
        clock.advance(60 * SECOND)
        with pytest.raises(DeliveryError, match="overtaken"):
            await waiting
        assert shelf.held(CERTID) is revoked

    asyncio.run(play())


def test_k12_unknown_is_refused() -> None:
    server, shelf = made(FakeClock(AT))
    good = DESK.staple()
    unknown = replace(good, single=good.single._replace(certificate_status=Unknown()))
    with pytest.raises(DeliveryError, match="unknown is not served"):
        asyncio.run(server.deliver(unknown))
    assert shelf.held(CERTID) is None


def test_the_snippet_says_what_the_adapter_relies_on() -> None:
    snippet = apache_snippet("127.0.0.1:9120", cache_timeout=15 * SECOND)
    lines = [line.strip() for line in snippet.splitlines() if not line.strip().startswith("#")]
    for line in (
        "SSLUseStapling on",
        "SSLStaplingForceURL http://127.0.0.1:9120/ocsp",
        "SSLStaplingStandardCacheTimeout 15",
        "SSLStaplingResponseTimeSkew 0",
        "SSLStaplingReturnResponderErrors off",
        "SSLStaplingFakeTryLater off",
    ):
        assert line in lines
    assert 'cache_timeout = "15s"' in snippet


def test_the_page_shows_the_snippets_that_are_tested() -> None:
    page = Path(__file__).parents[3] / "docs/how-to/apache-with-the-keeper.md"
    text = page.read_text()
    for snippet in (apache_snippet("127.0.0.1:9120"), apache_md_snippet("127.0.0.1:9120")):
        assert f"```apache\n{snippet}```" in text
