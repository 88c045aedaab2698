"""A proxy keeping its own staples: the keeper's planner, one holder, nothing on disk.

Laws: `plan.keeping` decides everything (K4 to K12), this loop performs it and reports what came of
it; a bug in one action is told and does not end the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import assert_never

from holdfast.errors import HoldfastError
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.plan.entry import (
    Action,
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
from holdfast.plan.keeping import USUAL_RULES, begun, outcome, plan
from holdfast.seams import Clock, Source, StapledServer

OnEvent = Callable[[str, Mapping[str, object]], None]


class OwnStaples:
    """Keeps the staples of `subjects` on `server`, from `source` (unverified will do)."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        *,
        source: Source,
        server: StapledServer,
        clock: Clock,
        rules: Rules = USUAL_RULES,
        policy: Policy = STRICT,
        on_event: OnEvent = lambda name, facts: None,
    ) -> None:
        self._source = source
        self._server = server
        self._clock = clock
        self._rules = rules
        self._policy = policy
        self._on_event = on_event
        self._entries: dict[str, Entry] = {}
        self._changed = asyncio.Event()
        self.keep(subjects)

    def keep(self, subjects: Sequence[Subject]) -> None:
        """From now on keep these; what is known of those that stay is kept."""
        wanted = {entry.key: entry for entry in map(self._entry, subjects)}
        self._entries = {key: self._entries.get(key, entry) for key, entry in wanted.items()}
        self._changed.set()

    async def ready(self) -> None:
        """Return when everything that is kept has been tried once (K1)."""
        while any(e.staple is None and not e.failures for e in self._entries.values()):
            self._changed.clear()
            await self._changed.wait()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                now = self._clock.now()
                planned = plan(self._entries.values(), now, self._rules)
                for action in planned.actions:
                    self._entries[action.key] = begun(self._entries[action.key], action, now)
                    if isinstance(action, Alert):
                        self._alert(action)
                    else:
                        group.create_task(self._perform(action))
                await self._until(planned.wake_at)

    async def _until(self, instant: datetime) -> None:
        """Return at `instant`, or when something has changed."""
        sleeping = asyncio.ensure_future(self._clock.sleep_until(instant))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sleeping, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()  # not awaited: that would swallow a cancellation of our own
            changed.cancel()

    async def _perform(self, action: Fetch | Deliver | Withdraw) -> None:
        entry = self._entries[action.key]
        result: Staple | Failure | None
        try:
            result = await self._done(action, entry)
        except HoldfastError as error:
            result = Failure.of(error)
            self._failed(action, entry, result)
        except Exception as error:
            result = Failure("bug", f"{type(error).__name__}: {error}")
            self._failed(action, entry, result)
        current = self._entries.get(action.key)
        if current is not None:  # else the settings changed meanwhile
            at = self._clock.now()
            self._entries[action.key] = outcome(current, action, result, at, self._rules)
            self._changed.set()

    async def _done(self, action: Fetch | Deliver | Withdraw, entry: Entry) -> Staple | None:
        match action:
            case Fetch():
                response = await self._source.response(entry.subject)
                now = self._clock.now()
                return verify(response, entry.subject, at=now, policy=self._policy)
            case Deliver(staple=staple):
                await self._server.deliver(staple)
                told = staple.certificate_status.text
                self._on_event("staple", {"certificate": entry.name, "certificate_status": told})
                return None
            case Withdraw(because=because):
                await self._server.withdraw(entry.subject.certid)
                self._on_event("withdrawn", {"certificate": entry.name, "because": because})
                return None
            case _:
                assert_never(action)

    def _failed(self, action: Action, entry: Entry, failure: Failure) -> None:
        self._on_event(
            f"{type(action).__name__.lower()}-failed",
            {"certificate": entry.name, "failure": failure.kind, "problem": failure.message},
        )

    def _alert(self, alert: Alert) -> None:
        facts = {"severity": alert.severity.text, "alert": alert.code, "message": alert.message}
        self._on_event("alert", facts)

    def _entry(self, subject: Subject) -> Entry:
        must = subject.leaf is not None and subject.leaf.must_staple
        return Entry(
            name=subject.name,
            subject=subject,
            need=Need.MUST if must else Need.STRICT,
            holders=(Holder(name=self._server.name),),
        )
