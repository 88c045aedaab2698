"""Ready when the gate is met and not before (K1); alive while the loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import Unavailable
from holdfast.net.notify import Notify
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.keeping import USUAL_RULES
from holdfast.services.attended import STUCK, Attended, Gate
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.stores.memory import MemoryStore
from support.clock import FakeClock
from support.notified import Ear
from support.pki import AT
from support.staples import WEEK, a_desk

PLAIN = a_desk("plain.test", serial=1)
MUST = a_desk("must.test", serial=2, must_staple=True)
QUIET = a_desk("quiet.test", serial=3, must_staple=True, responder_urls=())
DESKS = {1: PLAIN, 2: MUST}


class Answers:
    """Those whose serials are in `up` are answered."""

    def __init__(self, *up: int, revoked: bool = False) -> None:
        self.up = set(up)
        self.revoked = revoked

    async def response(self, subject: Subject, /) -> Response:
        if subject.serial not in self.up:
            raise Unavailable("down", failure="connect")
        desk = DESKS[subject.serial]
        return desk.response(AT, WEEK, Revoked(AT)) if self.revoked else desk.response(AT, WEEK)


class World:
    """A keeper of all three, attended; a second of the event loop is a second of the clock."""

    def __init__(self, ear: Ear, answers: Answers, gate: Gate) -> None:
        self.ear = ear
        self.clock = FakeClock(AT)
        kept = [Kept.of(desk.subject) for desk in (PLAIN, MUST, QUIET)]
        self.keeper = Keeper(kept, source=answers, store=MemoryStore(), clock=self.clock)
        notify = Notify(str(ear.path), watchdog=timedelta(seconds=30))
        self.attended = Attended(self.keeper, notify, clock=self.clock, gate=gate, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        ends = self.clock.monotonic() + seconds
        while self.clock.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(timedelta(seconds=1))
            await self.clock.settle(turns=60)
        self.ear.listen(0.01)

    def play(self, story: Callable[[], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            async with self.attended.watching():
                running = asyncio.create_task(self.keeper.run())
                await self.clock.settle(turns=300)
                self.ear.listen(0.01)
                await story()
                self.keeper.stop()
                await running

        asyncio.run(all_of_it())


@pytest.fixture
def ear(tmp_path: Path) -> Ear:
    return Ear(tmp_path / "notify")


def test_k1_loaded_waits_for_no_responder(ear: Ear) -> None:
    world = World(ear, Answers(), "loaded")

    async def story() -> None:
        await world.pass_time(1)
        assert ear.count("READY") == 1

    world.play(story)
    ear.listen(0.01)
    assert ear.count("STOPPING") == 1


@pytest.mark.parametrize(("gate", "needs"), [("must-staple", 2), ("every", 1)])
def test_k1_the_gate_opens_with_the_last_good_staple(ear: Ear, gate: Gate, needs: int) -> None:
    """QUIET is must-staple too, and names no responder: nothing would ever come (K17)."""
    answers = Answers(*({1, 2} - {needs}))
    world = World(ear, answers, gate)

    async def story() -> None:
        await world.pass_time(25)
        assert ear.count("READY") == 0
        assert not world.attended.ready
        said = [one for one in ear.heard if "EXTEND_TIMEOUT_USEC" in one]
        assert len(said) >= 2
        assert DESKS[needs].subject.name in said[-1]["STATUS"]
        answers.up.add(needs)
        world.keeper.refresh()
        await world.pass_time(2)
        assert ear.count("READY") == 1
        assert world.attended.ready

    world.play(story)


def test_k1_a_revoked_staple_is_not_a_good_one(ear: Ear) -> None:
    world = World(ear, Answers(1, 2, revoked=True), "must-staple")

    async def story() -> None:
        await world.pass_time(5)
        assert ear.count("READY") == 0
        assert [entry.name for entry in world.attended.awaited()] == ["must.test"]

    world.play(story)


def test_alive_while_the_loop_runs_also_when_the_clock_is_set_forward(ear: Ear) -> None:
    """K23: everything is late at once, and taken up."""
    world = World(ear, Answers(1, 2), "loaded")

    async def story() -> None:
        await world.pass_time(60)
        assert ear.count("WATCHDOG") >= 5
        world.clock.jump(timedelta(days=3))
        assert world.attended.lives()
        await world.pass_time(30)
        assert world.attended.lives()

    world.play(story)


class Hung:
    """A keeper whose loop took up nothing since it began."""

    started_at = due_at = AT
    loaded, entries, rules = True, (), USUAL_RULES


def test_a_loop_that_hangs_gives_no_sign_of_life(ear: Ear) -> None:
    """The red twin: what is due is left lying for longer than `STUCK`."""
    world = World(ear, Answers(), "loaded")
    notify = Notify(str(ear.path), watchdog=timedelta(seconds=30))
    attended = Attended(Hung(), notify, clock=world.clock, sleep=world.sleep)

    async def story() -> None:
        async with attended.watching():
            await world.pass_time(int(STUCK.total_seconds()) - 1)
            before = ear.count("WATCHDOG")
            assert before == 2
            await world.pass_time(60)
            assert ear.count("WATCHDOG") == before
            assert not attended.lives()

    asyncio.run(story())


def test_reloading_is_told_around_and_ready_after_it_whatever_came_of_it(ear: Ear) -> None:
    world = World(ear, Answers(1, 2), "loaded")

    async def story() -> None:
        await world.pass_time(1)
        with suppress(Unavailable), world.attended.reloading():
            ear.listen(0.01)
            assert "RELOADING" in ear.heard[-1]
            raise Unavailable("no")
        ear.listen(0.01)
        assert "READY" in ear.heard[-1]

    world.play(story)
