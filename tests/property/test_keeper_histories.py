"""Random histories of several certificates on several servers, and of reloads.

K4, K10, K11: what a server is sent; K7: every fault keeps the last good; K8, K20: how often is
asked, whatever the number of servers; K18: rotation; K28: reloads. And: no lapse while an answer
could be had.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.ocsp import freshness
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import GOOD, UNKNOWN, Good, Revoked
from holdfast.ocsp.window import SKEW
from holdfast.plan.entry import STORE, Alert, Deliver, Entry, Failure, Fetch, Holder, Rules
from holdfast.plan.keeping import begun, outcome, plan, wanted
from holdfast.plan.reloading import Pace, Waiting, reload_at
from support.pki import AT, YEAR
from support.staples import Desk, a_desk

K7 = (
    "dns", "refused", "timeout", "http-4xx", "http-5xx", "html", "empty", "truncated", "oversized",
    "try-later", "unauthorized", "malformed", "not-ocsp", "response-wrong-certificate",
    "response-bad-signature", "response-expired", "response-not-yet-valid",
)  # fmt: skip
DESKS = [a_desk(f"{n}.test", serial=n + 1, lifetime=20 * YEAR) for n in range(3)]
# The longest that a plan waits between two tries: an hour, a quarter more by jitter.
PATIENCE = timedelta(hours=1) * 1.25


@dataclass
class Site:
    """Some certificates on some servers, which work, and one responder."""

    window: timedelta
    servers: int
    rules: Rules
    at: datetime = AT
    fault: str = ""
    well_since: datetime = AT
    entries: dict[str, Entry] = field(default_factory=dict)
    desks: dict[str, Desk] = field(default_factory=dict)
    sent: dict[tuple[str, str], Staple] = field(default_factory=dict)
    newest: dict[tuple[str, str], datetime] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    wake_at: datetime = AT

    def add(self, desk: Desk) -> None:
        names = (STORE, *(f"s{n}" for n in range(self.servers)))
        holders = tuple(Holder(name=name) for name in names)
        entry = Entry(name=desk.subject.name, subject=desk.subject, holders=holders)
        saved = self.sent.get((entry.key, STORE))
        if saved is not None and self.at < freshness.withdraw_at(saved):
            entry = replace(entry, staple=saved)
        self.entries[entry.key], self.desks[entry.key] = entry, desk
        self.rest()

    def restart(self) -> None:
        for key, entry in list(self.entries.items()):
            if entry.retired:
                del self.entries[key]
            else:
                self.add(self.desks[key])

    def retire(self) -> None:
        """The oldest certificate leaves the settings."""
        key = next((k for k, e in self.entries.items() if not e.retired), None)
        if key is not None and len(self.entries) > 1:
            self.entries[key] = replace(self.entries[key], retired=True)
            self.rest()
            assert not [k for k in self.sent if k[0] == key], "it is nowhere any more"

    def rest(self) -> None:
        for _ in range(30):
            made = plan(self.entries.values(), self.at, self.rules)
            if not made.actions:
                self.wake_at = made.wake_at
                return
            fetches = Counter(a.key for a in made.actions if isinstance(a, Fetch))
            assert not fetches or max(fetches.values()) == 1, "single flight"
            for action in made.actions:
                self.entries[action.key] = begun(self.entries[action.key], action, self.at)
            again = plan(self.entries.values(), self.at, self.rules).actions
            assert not again, "nothing is begun twice"
            for action in made.actions:
                entry = self.entries[action.key]
                result = self.act(action)
                self.entries[action.key] = outcome(entry, action, result, self.at, self.rules)
        raise AssertionError(f"does not come to rest: {made.actions}")

    def act(self, action: object) -> Staple | Failure | None:
        match action:
            case Fetch(key):
                self.requests[key] += 1
                return self.answer(self.desks[key])
            case Deliver(key, holder, staple):
                assert staple.this_update - SKEW <= self.at < freshness.withdraw_at(staple)
                assert isinstance(staple.certificate_status, Good | Revoked)
                assert staple.subject.certid.key == key, "nobody else's"
                before = self.sent.get((key, holder))
                if before is not None and self.at < freshness.withdraw_at(before):
                    assert staple.this_update >= before.this_update, "never an older one"
                self.sent[key, holder] = staple
            case Alert():
                pass
            case withdraw:
                self.sent.pop((withdraw.key, withdraw.holder), None)
        return None

    def answer(self, desk: Desk) -> Staple | Failure:
        if self.fault in K7:
            return Failure(self.fault, self.fault)
        tenth = self.window / 10
        now = AT + ((self.at - AT) // tenth) * tenth
        status = {"revoked": Revoked(AT), "unknown": UNKNOWN}.get(self.fault, GOOD)
        return desk.staple(now, self.window, status)

    def turn(self, fault: str) -> None:
        self.fault, self.well_since = fault, self.at

    def jump(self, windows: float) -> None:
        self.at += self.window * windows
        self.well_since = self.at
        self.rest()
        self.check()

    def advance(self, windows: float) -> None:
        until = self.at + self.window * windows
        while self.wake_at <= until:
            self.at = self.wake_at
            self.rest()
            self.check()
        self.at = until
        self.check()

    def check(self) -> None:
        for (key, holder), staple in self.sent.items():
            if self.at >= staple.this_update - SKEW:  # else the clock was set back
                assert self.at < freshness.withdraw_at(staple), f"{key} on {holder} has ended"
        if self.fault in ("", "revoked") and self.at - self.well_since > PATIENCE:
            for key, entry in self.entries.items():
                if entry.staple and self.at < entry.staple.this_update - SKEW:
                    continue  # the clock was set back: nobody signs in the future, so it is wrong
                held = wanted(entry, self.at, self.rules)
                assert held is not None or self.withheld(entry) or entry.retired, "a lapse"
                for holder in entry.holders:
                    has = self.sent.get((key, holder.name))
                    assert held is None or has == held, "every server has it"

    def withheld(self, entry: Entry) -> bool:
        staple = entry.staple
        return (
            self.rules.on_revoked == "withhold"
            and staple is not None
            and isinstance(staple.certificate_status, Revoked)
        )


windows = st.sampled_from([300, 3600, 12 * 3600, 7 * 86400])
events = st.one_of(
    st.tuples(st.just("advance"), st.floats(0.01, 1.5)),
    st.tuples(st.just("jump"), st.floats(-3, 3)),
    st.tuples(st.just("turn"), st.sampled_from([*K7, "", "", "", "unknown", "revoked"])),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("retire"), st.just(0)),
)
forwards = st.one_of(
    st.tuples(st.just("advance"), st.floats(0.01, 1.5)),
    st.tuples(st.just("turn"), st.sampled_from([*K7, "", "", "unknown", "revoked"])),
)


def played(site: Site, happenings: list[tuple[str, object]]) -> float:
    """How many windows passed."""
    passed = 0.0
    for what, value in happenings:
        if what in ("restart", "retire"):
            getattr(site, what)()
        else:
            getattr(site, what)(value)
            passed += value if what == "advance" else 0
        site.check()
    return passed


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    window=windows,
    servers=st.integers(0, 3),
    happenings=st.lists(events, max_size=12),
    on_revoked=st.sampled_from(["staple", "withhold"]),
    recheck=st.sampled_from([None, 0.1]),
)
def test_k4_k10_k11_k18_and_no_lapse(
    window: int,
    servers: int,
    happenings: list[tuple[str, object]],
    on_revoked: str,
    recheck: float | None,
) -> None:
    whole = timedelta(seconds=window)
    rules = Rules(on_revoked=on_revoked, recheck=recheck and whole * recheck)
    site = Site(whole, servers, rules)
    for desk in DESKS:
        site.add(desk)
    passed = played(site, happenings)
    allowed = 5 * (len(happenings) + 1) + 60 * (passed + 1) + 2 * passed * window / 2700
    assert max(site.requests.values()) <= allowed
    site.turn("")
    site.at = max(site.at, AT) + whole + timedelta(hours=2)  # and whatever happened, it heals
    site.rest()
    site.advance(float((PATIENCE + timedelta(minutes=1)) / whole))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(window=windows, happenings=st.lists(forwards, max_size=8))
def test_k20_more_servers_ask_no_more(window: int, happenings: list[tuple[str, object]]) -> None:
    counts = []
    for servers in (1, 6):
        site = Site(timedelta(seconds=window), servers, Rules())
        site.add(DESKS[0])
        played(site, happenings)
        counts.append(site.requests)
    assert counts[0] == counts[1]


changes = st.lists(
    st.tuples(st.floats(0, 4000), st.booleans(), st.none() | st.floats(0, 4000)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(changes=changes, interval=st.sampled_from([0, 60, 300]))
def test_k28_reloads_are_few_and_never_late(
    changes: list[tuple[float, bool, float | None]], interval: int
) -> None:
    """(begins, urgent, by after that) each; one reload takes up all that wait."""
    pace = Pace(interval=timedelta(seconds=interval))
    to_come = sorted(changes, key=lambda change: change[0])
    waiting: list[Waiting] = []
    recent: list[datetime] = []
    at = AT
    while to_come or waiting:
        due = reload_at(waiting, recent, at, pace)
        comes = AT + timedelta(seconds=to_come[0][0]) if to_come else None
        if comes is not None and (due is None or comes <= due):
            at = max(at, comes)
            _, urgent, by = to_come.pop(0)
            deadline = None if by is None else at + timedelta(seconds=by)
            waiting.append(Waiting(since=at, urgent=urgent, by=deadline))
            continue
        assert due is not None
        at = max(at, due)
        for one in waiting:
            latest = one.since + pace.interval + pace.gather
            assert at <= latest, "nothing waits longer than an interval"
            in_time = one.by is None or at <= max(one.by, one.since + pace.gather)
            assert in_time, "nothing waits past its instant"
        recent.append(at)
        waiting.clear()
    if not any(urgent or by is not None for _, urgent, by in changes):
        gaps = [b - a for a, b in pairwise(recent)]
        assert all(gap >= pace.interval for gap in gaps), "one in an interval"
