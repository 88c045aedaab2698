"""sources/layered: each layer adds one thing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from holdfast.errors import HoldfastError, NotFound, Rejected, StoreError, Unavailable
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import UNKNOWN, Revoked
from holdfast.sources.layered import Cached, FirstOf, Limited, Shared, Verified
from support.clock import FakeClock
from support.pki import AT
from support.staples import a_desk

DESK = a_desk()
OTHER = a_desk("other.test", responder_urls=("http://other.test/",))
DAY = timedelta(days=1)


class Says:
    """A source that says the same for ever, and counts."""

    def __init__(self, what: Response | HoldfastError) -> None:
        self.what = what
        self.asked = 0

    async def response(self, subject: Subject, /) -> Response:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.what, HoldfastError):
            raise self.what
        return self.what


class Waits:
    """A source that answers when told, and knows how many wait."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = self.most = self.asked = self.cancelled = 0

    async def response(self, subject: Subject, /) -> Response:
        self.asked += 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
        return DESK.response()


class Shelf:
    """A store in memory that can fail."""

    def __init__(self, *, broken: bool = False) -> None:
        self.held: dict[CertID, Staple] = {}
        self.broken = broken
        self.saves = 0

    async def save(self, staple: Staple, /) -> None:
        self.saves += 1
        if self.broken:
            raise StoreError("disk full")
        self.held[staple.certid] = staple

    async def load(self, certid: CertID, /) -> Response | None:
        if self.broken:
            raise StoreError("disk gone")
        staple = self.held.get(certid)
        return None if staple is None else staple.response

    async def drop(self, certid: CertID, /) -> None:
        self.held.pop(certid, None)


def run(coroutine: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(10):
            return await coroutine

    return asyncio.run(bounded())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# -- Verified ---------------------------------------------------------------------------------


def test_verified_passes_what_is_valid() -> None:
    response = DESK.response()
    clock = FakeClock(AT)
    assert run(Verified(Says(response), clock=clock).response(DESK.subject)) is response


@pytest.mark.parametrize("move", [-DAY, 8 * DAY])
def test_verified_refuses_what_is_not_current(move: timedelta) -> None:
    with pytest.raises(Rejected):
        run(Verified(Says(DESK.response()), clock=FakeClock(AT + move)).response(DESK.subject))


def test_verified_refuses_another_certificates() -> None:
    with pytest.raises(Rejected, match=r"(?i)serial"):
        run(Verified(Says(OTHER.response()), clock=FakeClock(AT)).response(DESK.subject))


# -- FirstOf ----------------------------------------------------------------------------------


def test_first_of_takes_the_first_that_has_it() -> None:
    good, late = Says(DESK.response()), Says(DESK.response())
    source = FirstOf(Says(NotFound("no")), Says(Unavailable("down")), good, late)
    assert run(source.response(DESK.subject)) is good.what
    assert late.asked == 0


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ((), NotFound),
        ((NotFound("a"), NotFound("b")), NotFound),
        ((NotFound("a"), Unavailable("b")), Unavailable),
        ((Unavailable("b"), NotFound("a")), Unavailable),
    ],
)
def test_first_of_is_sure_only_when_all_are(
    said: tuple[HoldfastError, ...], kind: type[HoldfastError]
) -> None:
    with pytest.raises(kind):
        run(FirstOf(*(Says(error) for error in said)).response(DESK.subject))


# -- Limited ----------------------------------------------------------------------------------


def test_k8_limited_bounds_each_responder_and_the_total() -> None:
    async def main() -> None:
        inner = Waits()
        source = Limited(inner, per_responder=2, total=3)
        tasks = [asyncio.create_task(source.response(DESK.subject)) for _ in range(5)]
        await settle()
        assert inner.waiting == 2
        tasks += [asyncio.create_task(source.response(OTHER.subject)) for _ in range(5)]
        await settle()
        assert inner.waiting == 3  # a slow responder does not keep others away
        inner.open.set()
        await asyncio.gather(*tasks)
        assert inner.asked == 10
        assert inner.most == 3
        assert not source._hosts  # nothing is kept for hosts that nobody asks

    run(main())


def test_limited_lets_go_when_cancelled() -> None:
    async def main() -> None:
        inner = Waits()
        source = Limited(inner, per_responder=1)
        first, second = (asyncio.create_task(source.response(DESK.subject)) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        assert inner.asked == 2
        inner.open.set()
        await second

    run(main())


# -- Shared -----------------------------------------------------------------------------------


def test_k20_fifty_at_once_are_one_request() -> None:
    async def main() -> None:
        inner = Waits()
        source = Shared(inner)
        tasks = [asyncio.create_task(source.response(DESK.subject)) for _ in range(50)]
        await settle()
        inner.open.set()
        assert len({id(r) for r in await asyncio.gather(*tasks)}) == 1
        assert inner.asked == 1
        await source.response(DESK.subject)  # and later is another question
        assert inner.asked == 2
        await asyncio.gather(*(source.response(s.subject) for s in (DESK, OTHER)))
        assert inner.asked == 4

    run(main())


def test_shared_errors_reach_everyone() -> None:
    async def main() -> None:
        inner = Says(Unavailable("down"))
        source = Shared(inner)
        got = await asyncio.gather(
            *(source.response(DESK.subject) for _ in range(3)), return_exceptions=True
        )
        assert [type(error) for error in got] == [Unavailable] * 3
        assert inner.asked == 1

    run(main())


def test_shared_is_cancelled_with_its_last_asker_only() -> None:
    async def main() -> None:
        inner = Waits()
        source = Shared(inner)
        first, second = (asyncio.create_task(source.response(DESK.subject)) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        assert (inner.waiting, inner.cancelled) == (1, 0)
        second.cancel()
        await settle()
        assert (inner.waiting, inner.cancelled) == (0, 1)
        inner.open.set()
        await source.response(DESK.subject)

    run(main())


# -- Cached -----------------------------------------------------------------------------------


def cached(
    what: Response | HoldfastError, shelf: Shelf, at: timedelta = timedelta(0)
) -> tuple[Says, Callable[[], Response]]:
    inner = Says(what)
    source = Cached(inner, shelf, clock=FakeClock(AT + at))
    return inner, lambda: run(source.response(DESK.subject))


def test_cached_asks_once_while_fresh() -> None:
    shelf = Shelf()
    inner, ask = cached(DESK.response(), shelf)
    assert ask().der == ask().der == inner.what.der  # type: ignore[union-attr]
    assert (inner.asked, shelf.saves) == (1, 1)


def test_cached_asks_again_after_the_refresh_point() -> None:
    shelf = Shelf()
    shelf.held[DESK.subject.certid] = DESK.staple()
    new = DESK.response(AT + 5 * DAY)
    inner, ask = cached(new, shelf, 5 * DAY)
    assert ask().der == new.der
    assert inner.asked == 1
    assert shelf.held[DESK.subject.certid].der == new.der


@pytest.mark.parametrize(
    "worse",
    [
        Unavailable("down"),
        NotFound("gone"),
        OTHER.response(AT + 5 * DAY),
        DESK.response(AT - DAY, window=10 * DAY),  # K10
        DESK.response(AT + 5 * DAY, status=UNKNOWN),  # K12
    ],
)
def test_k7_k10_k12_nothing_worse_replaces_what_holds(worse: Response | HoldfastError) -> None:
    shelf = Shelf()
    held = shelf.held[DESK.subject.certid] = DESK.staple()
    inner, ask = cached(worse, shelf, 5 * DAY)
    assert ask().der == held.der
    assert inner.asked == 1
    assert shelf.held[DESK.subject.certid] is held


def test_k11_revoked_replaces_good() -> None:
    shelf = Shelf()
    shelf.held[DESK.subject.certid] = DESK.staple()
    revoked = DESK.response(AT + 5 * DAY, status=Revoked(AT))
    _, ask = cached(revoked, shelf, 5 * DAY)
    assert ask().der == revoked.der


def test_k4_what_has_ended_is_not_given() -> None:
    shelf = Shelf()
    shelf.held[DESK.subject.certid] = DESK.staple()
    _, ask = cached(Unavailable("down"), shelf, 7 * DAY)
    with pytest.raises(Unavailable):
        ask()


def test_cached_gives_only_what_verifies() -> None:
    shelf = Shelf()
    _, ask = cached(OTHER.response(), shelf)
    with pytest.raises(Rejected):
        ask()
    assert not shelf.held


def test_k3_a_broken_store_costs_no_answer() -> None:
    inner, ask = cached(DESK.response(), Shelf(broken=True))
    assert ask().der == ask().der
    assert inner.asked == 2
