"""The planner over random histories: faults, revocations, replays, clock jumps, restarts.

K4 (nothing is sent past withdraw_at), K10 (nothing older replaces), K7, K8 (bounded requests),
K11, K12, K20, K23: whatever happens in whatever order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.ocsp import freshness
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import GOOD, UNKNOWN, Good, Revoked
from holdfast.ocsp.window import SKEW
from holdfast.plan.entry import (
    STORE,
    Alert,
    Deliver,
    Entry,
    Failure,
    Fetch,
    Holder,
    Need,
    Rules,
    Withdraw,
)
from holdfast.plan.keeping import begun, kept, outcome, plan
from support.pki import AT, YEAR
from support.staples import Desk, a_desk

DESK = a_desk(lifetime=20 * YEAR)
ANSWERS = ("good", "same", "replay", "revoked", "unknown", "down", "retry-later", "rejected")


@dataclass
class World:
    """A responder, two servers and a store, and one keeper's entry for one certificate."""

    window: timedelta
    rules: Rules
    desk: Desk = DESK
    at: datetime = AT
    answer: str = "good"
    up: dict[str, bool] = field(default_factory=lambda: {STORE: True, "a": True, "b": True})
    sent: dict[str, Staple] = field(default_factory=dict)
    given: list[Staple] = field(default_factory=list)
    requests: int = 0
    alerts: list[Alert] = field(default_factory=list)
    entry: Entry = field(init=False)
    wake_at: datetime = AT
    healing_until: datetime = AT

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """What a keeper does first: load the store, know nothing of the servers."""
        holders = tuple(Holder(name=name) for name in self.up)
        entry = Entry(name="x", subject=self.desk.subject, need=Need.MUST, holders=holders)
        saved = self.sent.get(STORE)
        if saved is not None and self.at < freshness.withdraw_at(saved):
            entry = replace(entry, staple=saved)
        self.entry = entry
        self.rest()

    def rest(self) -> None:
        """Plan, act, record, until nothing is left to do at this instant."""
        for _ in range(30):
            made = plan([self.entry], self.at, self.rules)
            assert made.wake_at > self.at
            fetches = [a for a in made.actions if isinstance(a, Fetch)]
            assert len(fetches) <= 1
            if not made.actions:
                self.wake_at = made.wake_at
                return
            for action in made.actions:
                self.entry = begun(self.entry, action, self.at)
            assert not plan([self.entry], self.at, self.rules).actions, "nothing is begun twice"
            for action in made.actions:
                result = self.act(action)
                self.entry = outcome(self.entry, action, result, self.at, self.rules)
        raise AssertionError(f"does not come to rest: {made.actions}")

    def act(self, action: object) -> Staple | Failure | None:
        match action:
            case Fetch():
                return self.fetch()
            case Deliver(_, holder, staple):
                assert staple.this_update - SKEW <= self.at < freshness.withdraw_at(staple)
                assert isinstance(staple.certificate_status, Good | Revoked)
                before = self.sent.get(holder)
                if before is not None and self.at < freshness.withdraw_at(before):
                    assert staple.this_update >= before.this_update, "older replaces newer"
                if not self.up[holder]:
                    return Failure("delivery", "it is down")
                self.sent[holder] = staple
                return None
            case Withdraw(_, holder, _):
                if not self.up[holder]:
                    return Failure("delivery", "it is down")
                self.sent.pop(holder, None)
                return None
            case Alert():
                self.alerts.append(action)
                return None
            case _:
                raise AssertionError(action)

    def fetch(self) -> Staple | Failure:
        self.requests += 1
        # signed at the turn of a tenth of the window, as a responder's batch would
        tenth = self.window / 10
        now = AT + ((self.at - AT) // tenth) * tenth
        match self.answer:
            case "good" | "same" | "revoked" | "unknown":
                if self.answer == "same" and self.given:
                    return self.given[-1]
                status = {"revoked": Revoked(AT), "unknown": UNKNOWN}.get(self.answer, GOOD)
                staple = self.desk.staple(now, self.window, status)
                self.given.append(staple)
                return staple
            case "replay":
                return self.given[0] if self.given else Failure("connect", "down")
            case "retry-later":
                return Failure("try-later", "tryLater", retry_after=3600)
            case kind:
                return Failure(kind, kind)

    def advance(self, seconds: float) -> None:
        """Let time pass, waking when the plan said; what it promised holds at every wake."""
        until = self.at + timedelta(seconds=seconds)
        while self.wake_at <= until:
            self.at = self.wake_at
            self.rest()
            self.check()
        self.at = until
        self.check()

    def heal(self, seconds: float) -> None:
        """A server that came back is tried again within the longest pause between tries."""
        self.healing_until = self.at + timedelta(seconds=seconds)
        self.advance(seconds)

    def check(self) -> None:
        for holder, staple in self.sent.items():
            healthy = self.up[holder] and self.at >= self.healing_until
            if healthy and not self.clock_is_behind(staple):
                assert self.at < freshness.withdraw_at(staple), f"{holder} sends an ended staple"
        held = kept(self.entry, self.at, self.rules)
        if held is not None:
            assert isinstance(held.certificate_status, Good | Revoked)

    def clock_is_behind(self, staple: Staple) -> bool:
        """The clock was set back to before what is sent or held: then nothing is taken away."""
        held = self.entry.staple or staple
        return self.at < max(staple.this_update, held.this_update) - SKEW


events = st.one_of(
    st.tuples(st.just("advance"), st.floats(0.001, 2.0)),  # of the window
    st.tuples(st.just("jump"), st.floats(-5.0, 5.0)),
    st.tuples(st.just("answer"), st.sampled_from(ANSWERS)),
    st.tuples(st.just("server"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("restart"), st.just(0)),
)
windows = st.sampled_from([60, 300, 3600, 12 * 3600, 7 * 86400, 10 * 86400])


@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    window=windows,
    happenings=st.lists(events, max_size=14),
    on_revoked=st.sampled_from(["staple", "withhold"]),
    recheck=st.sampled_from([None, 0.05]),
)
def test_whatever_happens(
    window: int, happenings: list[tuple[str, object]], on_revoked: str, recheck: float | None
) -> None:
    whole = timedelta(seconds=window)
    rules = Rules(on_revoked=on_revoked, recheck=None if recheck is None else whole * recheck)
    world = World(whole, rules)
    passed = 0.0
    for what, value in happenings:
        match what:
            case "advance":
                world.advance(value * window)
                passed += value * window
            case "jump":
                world.at += whole * value
                world.rest()
                world.check()
            case "answer":
                world.answer = value
            case "server":
                world.up[value] = not world.up[value]
                if world.up[value]:
                    world.heal(360)
                    passed += 360
            case "restart":
                world.start()
                world.check()
    allowed = 5 * (len(happenings) + 1) + 60 * (passed / window + 1) + 2 * passed / 2700
    assert world.requests <= allowed


@settings(max_examples=25, deadline=None)
@given(window=windows)
def test_k19_a_healthy_cycle_raises_nothing(window: int) -> None:
    world = World(timedelta(seconds=window), Rules())
    world.advance(window * 10)
    assert world.alerts == []
    assert set(world.sent) == {"", "a", "b"}
    assert world.requests <= 40


@settings(max_examples=25, deadline=None)
@given(window=windows, fault=st.sampled_from(["down", "retry-later", "rejected", "unknown"]))
def test_k7_a_good_staple_is_sent_until_its_end_whatever_fails(window: int, fault: str) -> None:
    world = World(timedelta(seconds=window), Rules())
    first = world.given[0]
    world.answer = fault
    world.advance(window * 0.94)
    assert world.sent["a"] is first
    world.advance(window * 0.07)
    assert world.sent == {}
    assert {"expiring-66", "expiring-80", "expiring-90", "expired"} <= {
        alert.code for alert in world.alerts
    }
    world.answer = "good"
    world.advance(2 * 3600)
    assert set(world.sent) == {"", "a", "b"}


def test_k8_a_simulated_week_of_outage_is_bounded_and_heals() -> None:
    world = World(timedelta(days=10), Rules())
    world.answer = "down"
    world.advance(5.5 * 86400)
    before = world.requests
    world.advance(7 * 86400)
    assert world.requests - before < 7 * 24 * 1.5 + 40
    world.answer = "good"
    world.advance(2 * 3600)
    assert set(world.sent) == {"", "a", "b"}


def test_k11_a_revocation_turns_every_server_at_the_next_answer() -> None:
    world = World(timedelta(hours=10), Rules(recheck=timedelta(seconds=60)))
    world.advance(3700)
    world.answer = "revoked"
    world.advance(61)
    assert isinstance(world.sent["a"].certificate_status, Revoked)
    assert [alert.code for alert in world.alerts] == ["revoked"]


def test_k11_withheld() -> None:
    rules = Rules(recheck=timedelta(seconds=60), on_revoked="withhold")
    world = World(timedelta(hours=10), rules)
    world.advance(3700)
    world.answer = "revoked"
    world.advance(61)
    assert set(world.sent) == {STORE}, "kept in the store, sent by nobody"
