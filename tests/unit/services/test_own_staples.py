"""A proxy's own keeping: fetched ahead, kept through failures, turned by a revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from holdfast.errors import HoldfastError, Unavailable
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import GOOD, CertificateStatus, Revoked
from holdfast.servers.shelf import Shelf
from holdfast.services.follower import Follower
from holdfast.services.own_staples import OwnStaples
from holdfast.stores.memory import MemoryStore
from support.answers import a_staple, a_subject, an_answer
from support.clock import FakeClock
from support.pki import AT, a_root, a_server, an_intermediate

CA = an_intermediate(a_root())
SITE = a_server(CA, "localhost")
LEAF = SITE.certificate.der
HOUR = timedelta(hours=1)


class Scripted:
    """A source that answers as of the clock, or raises."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0
        self.says: CertificateStatus = GOOD
        self.trouble: HoldfastError | None = None
        self.bug = False

    async def response(self, subject: Subject, /) -> Response:
        self.asked += 1
        if self.bug:
            raise RuntimeError("a bug")
        if self.trouble is not None:
            raise self.trouble
        window = timedelta(hours=10)
        answer = an_answer(CA, SITE, self.says, at=self.clock.now(), window=window)
        return Response.parse(answer)


class Scene:
    """Everything together, driven by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock(AT)
        self.shelf = Shelf()
        self.source = Scripted(self.clock)
        self.events: list[tuple[str, Any]] = []
        self.own = OwnStaples(
            [a_subject(CA, SITE)],
            source=self.source,
            server=self.shelf,
            clock=self.clock,
            on_event=lambda name, facts: self.events.append((name, facts)),
        )

    @property
    def sent(self) -> bytes:
        return self.shelf.lookup(LEAF, self.clock.now())

    async def settle(self) -> None:
        await self.clock.settle(turns=60)

    async def pass_time(self, hours: float) -> None:
        """In steps of six minutes, as a machine would live through them."""
        for _ in range(int(hours * 10)):
            self.clock.advance(timedelta(minutes=6))
            await self.settle()


def played(play: Callable[[Scene], Any]) -> Scene:
    async def run() -> Scene:
        scene = Scene()
        task = asyncio.create_task(scene.own.run())
        await asyncio.wait_for(scene.own.ready(), 5)
        await scene.settle()
        await play(scene)
        task.cancel()
        return scene

    return asyncio.run(run())


def test_k1_the_staple_is_there_before_anyone_asks() -> None:
    async def play(scene: Scene) -> None:
        assert scene.sent

    scene = played(play)
    assert scene.source.asked == 1
    assert scene.events[0] == (
        "staple",
        {"certificate": "localhost", "certificate_status": "good"},
    )


def test_k5_it_is_renewed_after_half_the_window_and_never_lapses() -> None:
    async def play(scene: Scene) -> None:
        first = scene.sent
        await scene.pass_time(3)
        assert scene.sent == first
        for _ in range(10):
            await scene.pass_time(3)
            assert scene.sent
        assert scene.sent != first

    assert 4 <= played(play).source.asked <= 9


def test_k7_a_failing_responder_costs_nothing_until_the_end_and_then_the_staple() -> None:
    async def play(scene: Scene) -> None:
        scene.source.trouble = Unavailable("down", failure="timeout")
        await scene.pass_time(8)
        assert scene.sent
        await scene.pass_time(2)
        assert scene.sent == b""
        scene.source.trouble = None
        await scene.pass_time(2)
        assert scene.sent

    scene = played(play)
    assert any(name == "fetch-failed" and f["failure"] == "timeout" for name, f in scene.events)


def test_k8_a_week_of_outage_is_not_a_storm() -> None:
    async def play(scene: Scene) -> None:
        scene.source.trouble = Unavailable("down", failure="timeout")
        await scene.pass_time(7 * 24)

    assert played(play).source.asked < 400


def test_k11_a_revocation_turns_the_staple() -> None:
    async def play(scene: Scene) -> None:
        good = scene.sent
        scene.source.says = Revoked(scene.clock.now())
        await scene.pass_time(8)
        assert scene.sent not in (b"", good)

    assert ("staple", {"certificate": "localhost", "certificate_status": "revoked"}) in played(
        play
    ).events


def test_a_bug_in_a_source_is_told_and_survived() -> None:
    async def play(scene: Scene) -> None:
        scene.source.bug = True
        await scene.pass_time(7)
        assert scene.sent
        scene.source.bug = False
        await scene.pass_time(4)
        assert scene.sent

    assert any(f.get("failure") == "bug" for _, f in played(play).events)


def test_certificates_that_come_and_go_at_a_reload() -> None:
    async def play(scene: Scene) -> None:
        scene.own.keep([])
        await scene.pass_time(8)
        assert scene.source.asked == 1
        scene.own.keep([a_subject(CA, SITE)])
        await scene.settle()
        assert scene.source.asked == 2

    played(play)


# -- following a keeper -----------------------------------------------------------------------


def following(store: MemoryStore, shelf: Shelf, events: list[Any]) -> Follower:
    return Follower(
        [a_subject(CA, SITE)],
        store=store,
        server=shelf,
        clock=FakeClock(AT),
        on_event=lambda name, facts: events.append((name, facts)),
    )


def test_k3_a_keepers_staple_is_verified_again_and_put_on_the_shelf() -> None:
    async def run() -> None:
        store, shelf, events = MemoryStore(), Shelf(), list[Any]()
        follower = following(store, shelf, events)
        await follower.look()
        assert shelf.lookup(LEAF, AT) == b""
        staple = a_staple(CA, SITE)
        await store.save(staple)
        await follower.look()
        await follower.look()
        assert shelf.lookup(LEAF, AT) == staple.der
        assert len(events) == 1
        older = a_staple(CA, SITE, at=AT - HOUR)
        await store.save(older)
        await follower.look()
        assert shelf.lookup(LEAF, AT) == staple.der
        await store.drop(staple.certid)
        await follower.look()
        assert shelf.lookup(LEAF, AT) == b""

    asyncio.run(run())


def test_k3_red_what_does_not_verify_is_told_once_and_not_served() -> None:
    async def run() -> None:
        store, shelf, events = MemoryStore(), Shelf(), list[Any]()
        stale = a_staple(CA, SITE, at=AT - timedelta(days=2), window=HOUR * 2)
        await store.save(stale)
        follower = following(store, shelf, events)
        for _ in range(3):
            await follower.look()
        assert shelf.lookup(LEAF, AT) == b""
        assert [name for name, _ in events] == ["no-staple"]

    asyncio.run(run())
