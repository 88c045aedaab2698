"""The keeper's loop over five-line fakes and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from holdfast.errors import DeliveryError, NotFound, StoreError, Unavailable
from holdfast.ocsp import freshness
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.entry import Rules
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.stores.memory import MemoryStore
from support.clock import FakeClock
from support.pki import AT
from support.staples import WEEK, Desk, a_desk

X, Y = a_desk("x.test", serial=1), a_desk("y.test", serial=2)
ROTATED = a_desk("x.test", serial=3)
HOUR = timedelta(hours=1)


@dataclass
class Desks:
    """A source: each desk signs a week from now, unless something else was asked for."""

    clock: FakeClock
    desks: tuple[Desk, ...] = (X, Y, ROTATED)
    asked: list[int] = field(default_factory=list)
    say: Callable[[Desk], Response] | None = None
    error: Exception | None = None
    gate: asyncio.Event | None = None

    async def response(self, subject: Subject, /) -> Response:
        self.asked.append(subject.serial)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        desk = next(d for d in self.desks if d.subject.serial == subject.serial)
        return self.say(desk) if self.say is not None else desk.response(self.clock.now())


@dataclass
class Server:
    """A stapled server that remembers."""

    name: str = "web"
    sends: dict[str, Staple] = field(default_factory=dict)
    deliveries: int = 0
    error: Exception | None = None

    async def deliver(self, staple: Staple, /) -> None:
        self.deliveries += 1
        if self.error is not None:
            raise self.error
        self.sends[staple.certid.key] = staple

    async def withdraw(self, certid: CertID, /) -> None:
        if self.error is not None:
            raise self.error
        self.sends.pop(certid.key, None)


@dataclass
class World:
    """A keeper with everything it touches."""

    kept: list[Kept]
    rules: Rules = field(default_factory=Rules)
    store: Any = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=lambda: FakeClock(AT))
    server: Server = field(default_factory=Server)
    alerts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = Desks(self.clock)
        self.start()

    def start(self) -> None:
        self.keeper = Keeper(
            self.kept,
            source=self.source,
            store=self.store,
            clock=self.clock,
            servers={"web": self.server},
            rules=self.rules,
            on_alert=lambda entry, alert: self.alerts.append(f"{entry.name} {alert.code}"),
        )

    async def __aenter__(self) -> World:
        self.task = asyncio.create_task(self.keeper.run())
        await self.clock.settle(turns=200)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.keeper.stop()
        await self.task

    async def pass_time(self, span: timedelta) -> None:
        """Wake by wake, as a real clock would."""
        until = self.clock.now() + span
        for _ in range(2000):
            await self.clock.settle(turns=80)
            wake = self.clock.next_wake
            if wake is None or wake > until:
                break
            self.clock.advance(wake - self.clock.now())
        self.clock.advance(until - self.clock.now())
        await self.clock.settle(turns=80)

    def sent(self, desk: Desk) -> Staple | None:
        return self.server.sends.get(desk.subject.certid.key)


def kept(desk: Desk, name: str = "") -> Kept:
    return Kept.of(desk.subject, name=name or desk.subject.name, servers=("web",))


def played(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_k1_fetched_proved_stored_and_delivered() -> None:
    async def story() -> None:
        async with World([kept(X), kept(Y)]) as world:
            assert sorted(world.source.asked) == [1, 2]
            assert world.sent(X) is not None
            assert world.sent(Y) is not None
            assert await world.store.load(X.subject.certid) is not None
            entry = await asyncio.wait_for(world.keeper.settled("x.test"), 5)
            assert entry.name == "x.test"
            assert world.alerts == []

    played(story)


def test_a_healthy_month_costs_a_request_each_half_week_and_no_alarm() -> None:
    async def story() -> None:
        async with World([kept(X)]) as world:
            await world.pass_time(timedelta(days=30))
            assert 6 <= len(world.source.asked) <= 10
            assert world.alerts == []
            held = world.sent(X)
            assert held is not None
            assert world.clock.now() < freshness.refresh_at(held)

    played(story)


@pytest.mark.parametrize(
    "error", [Unavailable("down", failure="connect"), NotFound("none"), ValueError("a bug")]
)
def test_k7_whatever_fails_the_last_good_is_sent_until_its_end(error: Exception) -> None:
    async def story() -> None:
        async with World([kept(X)]) as world:
            first = world.sent(X)
            assert first is not None
            world.source.error = error
            await world.pass_time(freshness.withdraw_at(first) - AT - timedelta(seconds=1))
            assert world.sent(X) is first
            await world.pass_time(timedelta(seconds=1))
            assert world.sent(X) is None
            assert await world.store.load(X.subject.certid) is None
            assert "x.test expiring-66" in world.alerts
            assert "x.test expired" in world.alerts
            world.source.error = None
            await world.pass_time(2 * HOUR)
            assert world.sent(X) is not None

    played(story)


def test_k9_what_is_not_proved_is_neither_stored_nor_sent() -> None:
    async def story() -> None:
        world = World([kept(X)])
        world.source.say = lambda _: Y.response(AT)
        async with world:
            assert world.server.sends == {}
            assert await world.store.load(X.subject.certid) is None
            (entry,) = world.keeper.entries
            assert entry.last_failure is not None
            assert entry.last_failure.kind == "response-wrong-certificate"

    played(story)


def test_k3_after_a_restart_the_store_serves_with_the_responder_down() -> None:
    async def story() -> None:
        world = World([kept(X)])
        async with world:
            first = world.sent(X)
        assert first is not None
        world.source.error = Unavailable("down")
        world.server = Server()
        world.start()
        asked = len(world.source.asked)
        async with world:
            again = world.sent(X)
            assert again is not None
            assert again.der == first.der
            assert len(world.source.asked) == asked, "nothing is asked while it is fresh"

    played(story)


def test_k29_who_waits_before_the_store_is_read_is_told_by_it() -> None:
    """Everything is in place already: there is nothing to do that would tell."""

    async def story() -> None:
        bare = Kept.of(X.subject, name="x.test")
        world = World([bare])
        async with world:
            pass
        world.start()
        loading = asyncio.create_task(world.keeper.load())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(world.keeper.settled("x.test"))
        await loading
        assert (await asyncio.wait_for(waiting, 5)).staple is not None

    played(story)


def test_k3_a_store_that_fails_does_not_stop_the_delivery() -> None:
    @dataclass
    class Full:
        saves: int = 0

        async def save(self, staple: Staple, /) -> None:
            self.saves += 1
            raise StoreError("no space left on device")

        async def load(self, certid: CertID, /) -> Response | None:
            raise StoreError("cannot read")

        async def drop(self, certid: CertID, /) -> None:
            raise StoreError("read-only")

    async def story() -> None:
        full = Full()
        async with World([kept(X)], store=full) as world:
            assert world.sent(X) is not None
            assert world.alerts == ["x.test save-failed"]
            await world.pass_time(HOUR)
            assert full.saves > 5, "it is tried again"
            assert world.alerts == ["x.test save-failed"]

    played(story)


def test_k11_a_revocation_is_delivered_and_told() -> None:
    async def story() -> None:
        async with World([kept(X)], rules=Rules(recheck=timedelta(seconds=60))) as world:
            world.source.say = lambda desk: desk.response(
                world.clock.now(), status=Revoked(AT + HOUR)
            )
            await world.pass_time(timedelta(seconds=61))
            held = world.sent(X)
            assert held is not None
            assert isinstance(held.certificate_status, Revoked)
            assert world.alerts == ["x.test revoked"]

    played(story)


def test_k2_k20_a_hanging_responder_holds_up_nobody_else_and_is_asked_once() -> None:
    async def story() -> None:
        world = World([kept(X)])
        async with world:
            first = world.sent(X)
            assert first is not None
            world.source.gate = asyncio.Event()
            await world.pass_time(WEEK * 0.9)
            assert len(world.source.asked) == 2
            world.keeper.refresh("x.test")
            await world.clock.settle()
            assert len(world.source.asked) == 2, "single flight"
            await world.pass_time(WEEK * 0.1)
            assert world.sent(X) is None, "withdrawn while the fetch still hangs"

    played(story)


def test_a_server_that_fails_is_told_and_tried_again() -> None:
    async def story() -> None:
        world = World([kept(X)])
        world.server.error = DeliveryError("nginx -t failed")
        async with world:
            assert world.alerts == ["x.test deliver-failed"]
            world.server.error = None
            await world.pass_time(timedelta(minutes=6))
            assert world.sent(X) is not None
            assert world.keeper.tally.deliveries["web", "failed"] >= 1
            assert world.keeper.tally.deliveries["web", "done"] == 1

    played(story)


def test_k21_a_delivery_that_is_not_proved_failed() -> None:
    async def story() -> None:
        world = World([kept(X)])
        proofs: list[str] = []

        async def prove(server: str, staple: Staple) -> None:
            proofs.append(server)
            if len(proofs) == 1:
                raise DeliveryError("the handshake shows no staple")

        await world.keeper.adopt(world.kept, servers={"web": world.server}, prove=prove)
        async with world:
            assert world.alerts == ["x.test deliver-failed"]
            await world.pass_time(timedelta(minutes=6))
            assert proofs == ["web", "web"]
            assert world.keeper.entries[0].settled

    played(story)


def test_k24_refresh_now() -> None:
    async def story() -> None:
        async with World([kept(X), kept(Y)]) as world:
            assert world.keeper.refresh("x.test") == ("x.test",)
            await world.clock.settle()
            assert world.source.asked.count(1) == 2
            assert set(world.keeper.refresh()) == {"x.test", "y.test"}
            await world.clock.settle()
            assert world.source.asked.count(2) == 2
            with pytest.raises(NotFound, match="nobody"):
                world.keeper.refresh("nobody")

    played(story)


def test_k24_reload_keeps_what_stays_and_withdraws_what_left() -> None:
    async def story() -> None:
        async with World([kept(X), kept(Y)]) as world:
            held = world.sent(X)
            await world.keeper.adopt([kept(X)])
            await world.clock.settle(turns=200)
            assert world.sent(X) is held
            assert world.sent(Y) is None
            assert await world.store.load(Y.subject.certid) is None
            assert [entry.name for entry in world.keeper.entries] == ["x.test"]
            assert len(world.source.asked) == 2

    played(story)


def test_k18_a_rotated_certificate_takes_over_only_once_its_staple_is_there() -> None:
    async def story() -> None:
        async with World([kept(X)]) as world:
            world.source.error = Unavailable("down")
            await world.keeper.adopt([kept(ROTATED)])
            await world.pass_time(timedelta(minutes=10))
            assert world.sent(X) is not None, "the old one serves until the new one can"
            world.source.error = None
            await world.pass_time(timedelta(hours=1))
            assert world.sent(ROTATED) is not None
            assert world.sent(X) is None
            assert [entry.subject.serial for entry in world.keeper.entries] == [3]

    played(story)


def test_k24_a_server_that_left_the_settings_is_told_to_drop() -> None:
    async def story() -> None:
        async with World([kept(X)]) as world:
            bare = Kept.of(X.subject, name="x.test")
            await world.keeper.adopt([bare], servers={})
            await world.clock.settle(turns=200)
            assert world.server.sends == {}
            assert len(world.keeper.entries) == 1

    played(story)


def test_k24_a_certificate_and_its_server_leave_together() -> None:
    async def story() -> None:
        async with World([kept(X), kept(Y)]) as world:
            await world.keeper.adopt([], servers={})
            await world.clock.settle(turns=200)
            assert world.server.sends == {}
            assert world.keeper.entries == ()
            assert world.keeper.tally.bugs == 0

    played(story)


def test_k23_a_clock_that_is_set_back_and_forth() -> None:
    async def story() -> None:
        async with World([kept(X)]) as world:
            await world.pass_time(HOUR)
            world.clock.jump(-timedelta(days=30))
            await world.pass_time(HOUR)
            assert world.sent(X) is not None
            world.clock.jump(timedelta(days=60))
            await world.pass_time(HOUR)
            held = world.sent(X)
            assert held is not None
            assert world.clock.now() < freshness.withdraw_at(held)

    played(story)


def test_k23_restarted_with_its_clock_behind_and_the_responder_down() -> None:
    """A machine without a battery starts in 1970: what is good is not taken away."""

    async def story() -> None:
        world = World([kept(X)])
        async with world:
            first = world.sent(X)
        assert first is not None
        world.source.error = Unavailable("down", failure="refused")
        world.clock.jump(-timedelta(days=365))
        world.start()
        async with world:
            await world.pass_time(HOUR)
            assert world.sent(X) is first
            assert await world.store.load(X.subject.certid) is not None
            world.clock.jump(timedelta(days=365))
            await world.pass_time(timedelta(days=8))
            assert world.sent(X) is None, "once the clock is right, it ends when it ends (K4)"

    played(story)


def test_stopping_drops_fetches_and_lets_deliveries_end() -> None:
    async def story() -> None:
        world = World([kept(X)])
        world.source.gate = asyncio.Event()
        async with world:
            assert world.source.asked == [1]
        assert world.task.done()
        assert world.server.sends == {}

    played(story)


def test_k17_a_certificate_without_a_responder_asks_nobody() -> None:
    async def story() -> None:
        desk = a_desk("quiet.test", responder_urls=())
        async with World([kept(desk)]) as world:
            await world.pass_time(timedelta(days=3))
            assert world.source.asked == []
            assert world.alerts == ["quiet.test not-applicable"]

    played(story)


def test_dry_run_plans_and_does_nothing() -> None:
    async def story() -> None:
        world = World([kept(X)])
        await world.keeper.load()
        assert [type(action).__name__ for action in world.keeper.plan().actions] == ["Fetch"]
        assert world.source.asked == []

    played(story)
