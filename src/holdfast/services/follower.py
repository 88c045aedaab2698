"""Staples that another process keeps: what a running keeper's store holds goes onto our shelf.

Laws: every response is verified again after loading (K3); a good one that still holds is not given
up for one that does not verify, nor for an older one (K10), but for none at all, because a keeper
drops what is not to be sent; a store that fails is told once and asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from holdfast.errors import HoldfastError, Rejected
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.seams import Clock, StapledServer, Store

EVERY = timedelta(seconds=2)  # a file's look costs 20 us; a new staple is sent within this

OnEvent = Callable[[str, Mapping[str, object]], None]


class Follower:
    """Looks into `store` for the staples of `subjects` and delivers what is new to `server`."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        *,
        store: Store,
        server: StapledServer,
        clock: Clock,
        every: timedelta = EVERY,
        policy: Policy = STRICT,
        on_event: OnEvent = lambda name, facts: None,
    ) -> None:
        self._subjects = tuple(subjects)
        self._store = store
        self._server = server
        self._clock = clock
        self._every = every
        self._policy = policy
        self._on_event = on_event
        self._held: dict[str, Staple] = {}
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Look now and every so often, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep_until(self._clock.now() + self._every)

    def keep(self, subjects: Sequence[Subject]) -> None:
        """From now on look for these."""
        self._subjects = tuple(subjects)

    async def look(self) -> None:
        """Look once at every subject."""
        for subject in self._subjects:
            try:
                await self._one(subject)
            except HoldfastError as error:
                self._tell(subject, error.message)
            await asyncio.sleep(0)

    async def _one(self, subject: Subject) -> None:
        response = await self._store.load(subject.certid)
        key = subject.certid.key
        held = self._held.get(key)
        if response is None:
            if self._held.pop(key, None) is not None:
                # The keeper dropped it: it ended, or is revoked and to be withheld
                await self._server.withdraw(subject.certid)
                self._tell(subject, "the keeper holds no staple any more")
            return
        if held is not None and held.der == response.der:
            return
        try:
            staple = verify(response, subject, at=self._clock.now(), policy=self._policy)
        except Rejected as error:
            self._tell(subject, f"what the store holds is not a staple: {error.message}")
            return
        if held is not None and staple.this_update < held.this_update:
            return
        await self._server.deliver(staple)
        self._held[key] = staple
        self._told.pop(key, None)
        facts = {"certificate": subject.name, "certificate_status": staple.certificate_status.text}
        self._on_event("staple", facts)

    def _tell(self, subject: Subject, problem: str) -> None:
        """Each problem once, until it is another."""
        key = subject.certid.key
        if self._told.get(key) != problem:
            self._told[key] = problem
            self._on_event("no-staple", {"certificate": subject.name, "problem": problem})
