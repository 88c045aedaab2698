"""The keeper: load, plan, act, record, sleep. It decides nothing; `plan.keeping` does.

Laws: it knows seams only; each staple is proved after it is fetched, after it is loaded and before
it is delivered; an action that fails is an outcome, an action with a bug is a log line and an
outcome, and neither stops the loop; what left the settings is withdrawn, and one that is replaced
by another of its name only when that one is settled (K18).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from holdfast.errors import DeliveryError, HoldfastError, NotFound
from holdfast.ocsp.findings import Severity
from holdfast.ocsp.freshness import withdraw_at
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.plan.entry import (
    STORE,
    Action,
    Alert,
    Deliver,
    Entry,
    Failure,
    Fetch,
    Given,
    Need,
    Plan,
    Rules,
    Withdraw,
)
from holdfast.plan.keeping import USUAL_RULES, begun, demanded, outcome, plan, steps_of
from holdfast.seams import Clock, Source, StapledServer, Store
from holdfast.services.agenda import Agenda
from holdfast.services.introduced import changed, introduced, leaving, lost
from holdfast.services.inventory import Kept
from holdfast.services.lanes import Lane, Lanes, Work, lane_of, limit, urgency
from holdfast.services.loading import LayDown, loaded, nothing_collected, taken_up
from holdfast.services.tally import Tally

GRACE = 5.0  # seconds for deliveries under way when the keeper is stopped
SET_BACK = timedelta(minutes=1)  # further than this the clock did not drift, it was set
LOAD_AT_ONCE = 64  # entries read from the store between two looks at what is due, and
LOOK_AT_ONCE = 16  # entries looked at before others have their turn: some 3 ms
PROVED_LATELY = timedelta(minutes=1)  # what was proved then is not proved again to be delivered

_LEVELS = {
    Severity.NOTE: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.FAULT: logging.ERROR,
    Severity.FATAL: logging.CRITICAL,
}
_log = logging.getLogger("holdfast.keeper")

Prove = Callable[[str, Staple], Awaitable[None]]
"""Shows that the named server sends the staple in a real handshake; raises `DeliveryError`."""


class Keeper:
    """Keeps a staple for each of `kept` and gives it to its servers, until it is stopped.

    `prove`, when given, is asked after each delivery. `on_alert` is called once for each alert.
    """

    def __init__(
        self,
        kept: Iterable[Kept],
        *,
        source: Source,
        store: Store,
        clock: Clock,
        servers: Mapping[str, StapledServer] | None = None,
        rules: Rules = USUAL_RULES,
        policy: Policy = STRICT,
        prove: Prove | None = None,
        on_alert: Callable[[Entry, Alert], None] | None = None,
    ) -> None:
        self.rules = rules
        self.tally = Tally()
        self.started_at: datetime | None = None
        self._kept = tuple(kept)
        self._source, self._store, self._clock = source, store, clock
        self._servers = dict(servers or {})
        self._policy, self._prove, self._on_alert = policy, prove, on_alert
        self._entries: dict[str, Entry] = {}
        self._successors: dict[str, str] = {}  # key that leaves -> key that takes its name
        self._agenda = Agenda()
        self._lanes = Lanes(self._start_in, limit)
        self._loading: asyncio.Task[None] | None = None
        self._tasks: dict[asyncio.Task[None], Action | None] = {}
        self._looked_at: datetime | None = None
        self._lay_down = LayDown()
        self._changed = asyncio.Event()
        self._news = asyncio.Condition()
        self._stopping = False

    # -- for those who watch and ask --------------------------------------------------------

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries.values())

    def entry(self, name: str) -> Entry | None:
        """The entry of a name, a key or a serial in hex; one that is leaving only if no other."""
        fitting = [
            entry
            for entry in self._entries.values()
            if name in (entry.name, entry.key, f"{entry.subject.serial:x}")
        ]
        return min(fitting, key=lambda entry: entry.key in self._successors, default=None)

    def refresh(self, name: str | None = None) -> tuple[str, ...]:
        """Fetch `name`, or all, as soon as may be; the names. `NotFound` when there is none."""
        found = [self.entry(name)] if name is not None else [*self._entries.values()]
        for entry in found:
            if entry is None:
                raise NotFound(
                    f"no certificate {name!r} is kept", hint="`holdfast status` lists them"
                )
            self._set(demanded(entry))
        return tuple(entry.name for entry in found if entry is not None)

    async def settled(self, name: str) -> Entry:
        """Return when a current staple for `name` is held and every holder has it (K29)."""
        async with self._news:
            while True:
                entry = self.entry(name)
                if entry is None:
                    raise NotFound(
                        f"no certificate {name!r} is kept", hint="`holdfast status` lists them"
                    )
                if self.is_settled(entry):
                    return entry
                await self._news.wait()

    def is_settled(self, entry: Entry) -> bool:
        steps = steps_of(entry, self._clock.now(), self.rules).actions
        return entry.settled and not any(isinstance(s, Withdraw) for s in steps)

    def proves(self, server: str) -> bool:
        """True when a handshake with `server` must show what it was given (K21)."""
        covers = getattr(self._prove, "covers", None)
        return self._prove is not None and (covers is None or bool(covers(server)))

    @property
    def loaded(self) -> bool:
        """True once all that the store holds is taken up."""
        return self._loading is not None and self._loading.done()

    @property
    def due_at(self) -> datetime | None:
        """When the loop looks at something next; a past instant for long: it does not run."""
        return self._agenda.next

    def plan(self) -> Plan:
        """What would be done now; nothing is."""
        return plan(self._entries.values(), self._clock.now(), self.rules)

    # -- the loop ----------------------------------------------------------------------------

    def introduce(self) -> None:
        """Know every certificate by its name, before what the store holds for it is read."""
        for one in self._kept:
            if one.key not in self._entries:
                self._introduce(one)

    async def load(self) -> None:
        """Take up what the store holds. `run` does this; call it alone for a dry run."""
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load_all())
        await self._loading

    async def run(self) -> None:
        """Keep until `stop` is called or the task is cancelled.

        What is loaded is delivered while the rest is still being loaded (K26).
        """
        self.started_at = self._clock.now()
        loading = asyncio.ensure_future(self.load())
        try:
            while not self._stopping:
                self._begin_what_is_due()
                await self._sleep()
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            await self._wind_up()

    def stop(self) -> None:
        """Let `run` return: deliveries under way may end, fetches are dropped."""
        self._stopping = True
        self._changed.set()

    async def adopt(
        self,
        kept: Iterable[Kept],
        *,
        servers: Mapping[str, StapledServer] | None = None,
        rules: Rules | None = None,
        source: Source | None = None,
        prove: Prove | None = None,
    ) -> None:
        """Go on with `kept` (and, where given, other servers, rules and source): reload (K24).

        Entries that stay keep their staples; the others are withdrawn.
        """
        await self.load()
        before = self._servers
        self._kept = tuple(kept)
        self._servers = before if servers is None else dict(servers)
        self._prove = prove if servers is not None else self._prove
        self.rules = rules or self.rules
        self._source = source or self._source
        wanted = {one.key: one for one in self._kept}
        for key, one in wanted.items():
            entry = self._entries.get(key)
            self._successors.pop(key, None)
            if entry is None:
                await self._load([self._introduce(one)])
            else:
                self._become(entry, changed(entry, one, self._servers, before), before)
        by_name = {one.name: key for key, one in wanted.items()}
        for key, entry in list(self._entries.items()):
            if key in wanted or entry.retired:
                continue
            successor = by_name.get(entry.name)
            self._become(entry, leaving(entry, self._servers, retired=successor is None), before)
            if successor is not None:
                self._successors[key] = successor
        self._retire_the_replaced()

    def _begin_what_is_due(self) -> None:
        now = self._clock.now()
        if self._looked_at is not None and now < self._looked_at - SET_BACK:
            _log.warning("clock-set-back from=%s to=%s", self._looked_at, now)
            self._agenda.everything_at(now)
        self._looked_at = now
        actions: list[Action] = []
        for key in self._agenda.due(now, LOOK_AT_ONCE):
            entry = self._entries.get(key)
            if entry is None:
                continue
            steps = steps_of(entry, now, self.rules)
            for action in steps.actions:
                entry = begun(entry, action, now)
            self._entries[key] = entry
            self._agenda.put(key, steps.wake_at)
            actions += steps.actions
        for action in sorted(actions, key=lambda action: isinstance(action, Fetch)):
            if isinstance(action, Alert):
                self._tell(action)
            else:
                entry = self._entries[action.key]
                self._lanes.put(lane_of(action, entry), action, urgency(action, entry))

    async def _sleep(self) -> None:
        until = self._agenda.next or self._clock.now() + timedelta(hours=1)
        sleep = asyncio.ensure_future(self._clock.sleep_until(until))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([sleep, change], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            change.cancel()
            await asyncio.gather(sleep, change, return_exceptions=True)
        self._changed.clear()

    async def _wind_up(self) -> None:
        self._lanes.clear()
        for task, action in self._tasks.items():
            if isinstance(action, Fetch):
                task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=GRACE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- actions -----------------------------------------------------------------------------

    def _start_in(self, lane: Lane, action: Work) -> None:
        self._start(self._in_lane(lane, action), action)

    async def _in_lane(self, lane: Lane, action: Work) -> None:
        try:
            await self._perform(action)
        finally:
            self._lanes.done(lane)

    async def _perform(self, action: Work) -> None:
        result: Staple | Failure | None
        try:
            result = await self._act(action)
        except HoldfastError as error:
            result = Failure.of(error)
        except Exception as error:
            self.tally.bugs += 1
            _log.exception("bug action=%s", type(action).__name__)
            result = Failure("bug", f"a bug in holdfast: {type(error).__name__}: {error}")
        before = self._entries.get(action.key)
        if before is None:
            return
        after = outcome(before, action, result, self._clock.now(), self.rules)
        self.tally.record(action, before, after, result)
        self._set(after)
        self._lay_down()
        self._retire_the_replaced()
        await self._tell_those_who_wait()

    async def _tell_those_who_wait(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _act(self, action: Work) -> Staple | None:
        match action:
            case Fetch():
                subject = self._entries[action.key].subject
                with self.tally.waiting(subject, self._clock):
                    response = await self._source.response(subject)
                return verify(response, subject, at=self._clock.now(), policy=self._policy)
            case Deliver(_, holder, staple):
                if holder == STORE:
                    await self._store.save(staple)
                    return None
                # nothing is sent that does not still hold at this instant: it may have waited
                now = self._clock.now()
                if now >= withdraw_at(staple, self.rules.freshness):
                    raise DeliveryError(f"{holder}: not given a staple that ends now")
                if not timedelta(0) <= now - staple.verified_at < PROVED_LATELY:
                    verify(staple.response, staple.subject, at=now, policy=self._policy)
                await self._servers[holder].deliver(staple)
                if self._prove is not None and self.proves(holder):
                    with self.tally.proving(holder):
                        await self._prove(holder, staple)
            case Withdraw(key, holder, _):
                certid = self._entries[key].subject.certid
                if holder == STORE:
                    await self._store.drop(certid)
                else:
                    await self._servers[holder].withdraw(certid)
        return None

    def _start(self, work: Awaitable[None], action: Action | None) -> None:
        task = asyncio.ensure_future(work)
        self._tasks[task] = action
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def _tell(self, alert: Alert) -> None:
        self.tally.alerts[alert.code] += 1
        _log.log(_LEVELS[alert.severity], "alert code=%s %s", alert.code, alert.message)
        entry = self._entries.get(alert.key)
        if self._on_alert is not None and entry is not None:
            self._on_alert(entry, alert)

    # -- entries -----------------------------------------------------------------------------

    def _set(self, entry: Entry) -> None:
        if entry.retired and all(h.given is Given.NOTHING and not h.busy for h in entry.holders):
            self._entries.pop(entry.key, None)
            self._successors.pop(entry.key, None)
            self._agenda.drop(entry.key)
            return
        self._entries[entry.key] = entry
        self._agenda.put(entry.key, self._clock.now())
        self._changed.set()

    def _introduce(self, one: Kept) -> str:
        """Know `one` by name; it is looked at once it is loaded."""
        entry = introduced(one, self._servers)
        self._entries[entry.key] = entry
        return entry.key

    async def _load_all(self) -> None:
        """In the order of need, some at a time."""
        with nothing_collected():
            for number, one in enumerate(self._kept):
                if one.key not in self._entries:
                    self._introduce(one)
                if number % LOAD_AT_ONCE == 0:
                    await asyncio.sleep(0)
            keys = sorted(self._entries, key=lambda key: self._entries[key].need is not Need.MUST)
            for first in range(0, len(keys), LOAD_AT_ONCE):
                await self._load(keys[first : first + LOAD_AT_ONCE])

    async def _load(self, keys: Sequence[str]) -> None:
        entries = [self._entries[key] for key in keys]
        clock, policy = self._clock, self._policy
        claimed = await loaded(entries, store=self._store, clock=clock, policy=policy)
        for was, found in zip(entries, claimed, strict=True):
            self._set(taken_up(self._entries.get(found.key, found), found, was=was))
        await self._tell_those_who_wait()

    def _become(self, before: Entry, after: Entry, servers: Mapping[str, StapledServer]) -> None:
        """Go on with `after`; of `servers`, those that lost it are told in passing."""
        for server in lost(before, after, servers):
            self._start(self._take_back(server, before), None)
        self._set(after)

    async def _take_back(self, server: StapledServer, entry: Entry) -> None:
        try:
            await server.withdraw(entry.subject.certid)
        except HoldfastError as error:
            _log.error("withdraw name=%s from=%s failed %s", entry.name, server.name, error.message)

    def _retire_the_replaced(self) -> None:
        for key, successor in list(self._successors.items()):
            old, coming = self._entries.get(key), self._entries.get(successor)
            if old is None:
                del self._successors[key]
            elif coming is None or coming.settled or not coming.applicable:
                del self._successors[key]
                self._set(replace(old, retired=True))
