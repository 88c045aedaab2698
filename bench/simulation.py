"""The keeper's plan over simulated time: a year of one certificate, a week of outage for 100,000.

The clock is a number on a heap: nothing sleeps. The year has a window of 7 days and one fault
after another, of every kind, each up to two days long, with restarts between: the longest time
without a staple must be 0. In the outage every responder is down for a week: each staple must be
sent until the instant of its withdrawal and no longer, and neither the outage nor the recovery may
be a herd. One in 20 certificates is planned and stands for its like; the circuit of a responder is
asked by all of them, and lets the same few through. `--all` plans every one, which takes half an
hour; `--short` plans fewer.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bench.timing import Row, report
from holdfast.ocsp import freshness
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.pki import issue
from holdfast.plan.circuit import CLOSED, Circuit
from holdfast.plan.entry import STORE, Deliver, Entry, Failure, Fetch, Holder, Withdraw
from holdfast.plan.keeping import begun, outcome, steps_of

AT = datetime(2026, 1, 1, tzinfo=UTC)
DAY, WEEK, YEAR = timedelta(days=1), timedelta(days=7), timedelta(days=365)
SERVER = "server"
RESPONDERS = 4
NEVER = timedelta(0)
FAULTS = (
    "dns", "refused", "timeout", "http-4xx", "http-5xx", "html", "empty", "truncated", "oversized",
    "try-later", "unauthorized", "malformed", "response-wrong-certificate",
    "response-bad-signature", "response-expired", "response-not-yet-valid", "unknown",
)  # fmt: skip
DOWN = frozenset({"dns", "refused", "timeout", "http-5xx"})  # what opens a circuit


class Mould:
    """One response that was signed and proved; others differ in serial and times only."""

    def __init__(self) -> None:
        self.ca = issue.root("Simulated CA", at=AT - YEAR, lifetime=10 * YEAR)
        self.subject = Subject(1, self.ca.certificate)
        single = SingleResponse(self.subject.certid, GOOD, AT, AT + WEEK)
        signer = Signer(self.ca.certificate, self.ca.key, self.ca.certificate)
        der = signer.respond([single], produced_at=AT)
        self.staple = verify(Response.parse(der), self.subject, at=AT)

    def cast(self, subject: Subject, at: datetime, window: timedelta) -> Staple:
        response, single = self.staple.response, self.staple.single
        assert response.basic is not None
        told = response.basic._replace(produced_at=at)
        said = single._replace(this_update=at, next_update=at + window)
        der = response.der + at.isoformat().encode()
        made = response._replace(der=der, basic=told)
        return replace(self.staple, response=made, subject=subject, single=said, verified_at=at)


@dataclass
class Responder:
    """`fault(at)`: how it answers then, "" for well. `asked`: questions by the minute."""

    faults: list[tuple[datetime, datetime, str]] = field(default_factory=list)
    circuit: Circuit = CLOSED
    asked: Counter[int] = field(default_factory=Counter)

    def fault(self, at: datetime) -> str:
        return next((kind for since, until, kind in self.faults if since <= at < until), "")


@dataclass
class Covered:
    """What the server of one certificate sent: gaps, and how far from the end it was taken away."""

    staple: Staple | None = None
    since: datetime | None = None
    longest_lapse: timedelta = NEVER
    furthest: timedelta = NEVER
    never_early: bool = True

    def delivered(self, staple: Staple, at: datetime) -> None:
        if self.staple is None and self.since is not None:
            self.longest_lapse = max(self.longest_lapse, at - self.since)
        self.staple = staple

    def withdrawn(self, at: datetime) -> None:
        if self.staple is None:
            return
        away = at - freshness.withdraw_at(self.staple)
        self.never_early &= away >= NEVER
        self.furthest = max(self.furthest, away)
        self.staple, self.since = None, at


class Simulation:
    """Entries, their responders, and an agenda; `run` moves the time."""

    def __init__(self, mould: Mould, *, responders: int, window: timedelta) -> None:
        self.mould, self.window = mould, window
        self.responders = [Responder() for _ in range(responders)]
        self.entries: dict[str, Entry] = {}
        self.covered: dict[str, Covered] = {}
        self.requests = 0
        self.wishes = 0  # to ask, those that a circuit refused included
        self.steps = 0
        self._agenda: list[tuple[datetime, str]] = []

    def add(self, serial: int, staple_at: datetime | None, at: datetime) -> str:
        """A certificate, whose staple of `staple_at` the store holds."""
        subject = Subject(serial, self.mould.ca.certificate)
        entry = Entry(
            name=str(serial), subject=subject, holders=(Holder(name=STORE), Holder(name=SERVER))
        )
        if staple_at is not None:
            staple = self.mould.cast(subject, staple_at, self.window)
            entry = replace(entry, staple=staple).with_holder(Holder(name=STORE, given=staple))
        self.entries[entry.key] = entry
        self.covered[entry.key] = Covered()
        heapq.heappush(self._agenda, (at, entry.key))
        return entry.key

    def restart(self, at: datetime) -> None:
        """A new keeper, which has what the store had; servers go on sending."""
        for key, entry in self.entries.items():
            stored = entry.holder(STORE)
            assert stored is not None
            held = stored.given if isinstance(stored.given, Staple) else None
            current = held if held and at < freshness.withdraw_at(held) else None
            fresh = Entry(name=entry.name, subject=entry.subject, staple=current, key=key)
            self.entries[key] = replace(fresh, holders=(Holder(name=STORE), Holder(name=SERVER)))
            heapq.heappush(self._agenda, (at, key))

    def run(self, until: datetime) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            at, key = heapq.heappop(self._agenda)
            heapq.heappush(self._agenda, (self._rest(key, at), key))

    def _rest(self, key: str, at: datetime) -> datetime:
        """Plan and act until nothing is left to do at `at`; when to look again."""
        for _ in range(20):
            self.steps += 1
            made = steps_of(self.entries[key], at)
            if not made.actions:
                return made.wake_at
            for action in made.actions:
                entry, result = begun(self.entries[key], action, at), None
                if isinstance(action, Fetch):
                    result = self._fetch(entry, at)
                elif isinstance(action, Deliver) and action.holder == SERVER:
                    self.covered[key].delivered(action.staple, at)
                elif isinstance(action, Withdraw) and action.holder == SERVER:
                    self.covered[key].withdrawn(at)
                self.entries[key] = outcome(entry, action, result, at)
        raise AssertionError(f"does not come to rest: {made.actions}")

    def _fetch(self, entry: Entry, at: datetime) -> Staple | Failure:
        responder = self.responders[entry.subject.serial % len(self.responders)]
        self.wishes += 1
        if not responder.circuit.lets_through(at):
            return Failure("circuit-open", "not asked")
        self.requests += 1
        responder.asked[int((at - AT).total_seconds()) // 60] += 1
        responder.circuit = responder.circuit.asked(at)
        fault = responder.fault(at)
        if fault in DOWN:
            responder.circuit = responder.circuit.failed(at)
        else:
            responder.circuit = CLOSED
        if fault:
            return Failure(fault, fault)
        return self.mould.cast(entry.subject, at.replace(microsecond=0), self.window)


# -- the two stories ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Year:
    requests: int
    longest_lapse: timedelta
    faults: int
    restarts: int


def a_year(mould: Mould, *, days: int = 365, seed: int = 1) -> Year:
    """One certificate, a fault of up to two days in each of its windows, a restart a fortnight."""
    dice = random.Random(seed)
    world = Simulation(mould, responders=1, window=WEEK)
    world.add(7, None, AT)
    begin, count = AT + DAY, 0
    while begin < AT + timedelta(days=days):
        end = begin + timedelta(hours=dice.uniform(0.1, 48))
        world.responders[0].faults.append((begin, end, FAULTS[count % len(FAULTS)]))
        # Single: what comes next leaves time to be asked again.
        begin, count = end + timedelta(hours=dice.uniform(4, 60)), count + 1
    restarts = 0
    for day in range(14, days, 14):
        at = AT + timedelta(days=day, hours=dice.uniform(0, 24))
        world.run(at)
        world.restart(at)
        restarts += 1
    world.run(AT + timedelta(days=days))
    (covered,) = world.covered.values()
    return Year(world.requests, covered.longest_lapse, count, restarts)


@dataclass(frozen=True)
class Outage:
    certificates: int
    planned: int
    requests: int
    wishes: int
    steps: int
    peak_before: float  # questions a second to one responder, the busiest minute
    peak_outage: float
    peak_after: float
    longest_lapse: timedelta
    furthest: timedelta  # from the instant of withdrawal
    never_early: bool
    healed_after: timedelta


def an_outage(mould: Mould, *, certificates: int = 100_000, one_in: int = 20) -> Outage:
    """All responders down for a week, and two days of recovery."""
    dice = random.Random(2)
    world = Simulation(mould, responders=RESPONDERS, window=WEEK)
    planned = certificates // one_in
    down, up = AT + DAY, AT + DAY + WEEK
    for responder in world.responders:
        responder.faults.append((down, up, "timeout"))
    for serial in range(planned):  # in the middle of their lives: refreshed one after the other
        world.add(serial + 1, (AT - WEEK * dice.uniform(0, 0.5)).replace(microsecond=0), AT)
    for responder in world.responders:
        responder.asked.clear()
    world.run(up + 2 * DAY)
    lapsed = [covered for covered in world.covered.values() if covered.since is not None]
    healed = max(
        (h.given_at for e in world.entries.values() for h in e.holders if h.given_at), default=up
    )
    assert all(covered.staple is not None for covered in world.covered.values()), "all healed"
    first, last = (int((instant - AT).total_seconds()) // 60 for instant in (down, up))
    minutes = [(m, n) for r in world.responders for m, n in r.asked.items()]
    before = max((n for m, n in minutes if 1 < m < first), default=0)
    # The circuit lets through the same few of a hundred thousand as of five thousand.
    outage = max((n for m, n in minutes if first + 10 <= m < last), default=0)
    after = max((n for m, n in minutes if m >= last), default=0)
    del healed
    return Outage(
        certificates,
        planned,
        world.requests,
        world.wishes,
        world.steps,
        before * one_in / 60,
        outage / 60,
        after * one_in / 60,
        max((c.longest_lapse for c in lapsed), default=NEVER),
        max((c.furthest for c in world.covered.values()), default=NEVER),
        all(c.never_early for c in world.covered.values()),
        max((c.longest_lapse + c.since - up for c in lapsed if c.since), default=NEVER),
    )


def rows(year: Year, outage: Outage) -> list[Row]:
    n = f"{outage.certificates:,}"
    return [
        Row(f"year: requests ({year.faults} faults, {year.restarts} restarts)", year.requests, ""),
        Row("year: longest lapse", lapse := year.longest_lapse.total_seconds(), "s", lapse, most=0),
        Row(f"week of outage: {n} certificates, planned", outage.planned, ""),
        Row("week of outage: requests of those planned", outage.requests, ""),
        Row("week of outage: withdrawn after the instant", late := seconds(outage.furthest), "s",
            late, most=1),
        Row("week of outage: withdrawn before it", float(not outage.never_early), "",
            float(not outage.never_early), most=0),
        Row("peak for one responder, before", outage.peak_before, "/s"),
        Row("peak for one responder, outage", peak := outage.peak_outage, "/s", peak, most=0.5),
        Row("peak for one responder, recovery", peak := outage.peak_after, "/s",
            peak / (outage.certificates / RESPONDERS) * 600, most=1),
        Row("last one healed after", seconds(outage.healed_after) / 60, "min"),
    ]  # fmt: skip


def seconds(span: timedelta) -> float:
    return span.total_seconds()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--short", action="store_true", help="fewer of the certificates planned")
    parser.add_argument("--all", action="store_true", help="every certificate planned")
    options = parser.parse_args()
    mould = Mould()
    year = a_year(mould)
    outage = an_outage(mould, one_in=1 if options.all else 400 if options.short else 20)
    return report("simulation: requests and lapses", rows(year, outage), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
