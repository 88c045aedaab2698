"""Changes of one server that wait for its next reload, all for the same one (K28).

Laws: `plan.reloading` decides when; one reload is under way at a time; what comes meanwhile waits
for the next; a newer change of a certificate takes the place of one that still waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.errors import DeliveryError, HoldfastError
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.plan.reloading import USUAL_PACE, Pace, Waiting, lately, reload_at
from holdfast.seams import Clock


@dataclass(frozen=True, slots=True)
class Change:
    """`staple` None: the certificate's staple is to be taken away."""

    certid: CertID
    staple: Staple | None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each change, in order: None, or why it failed. `reloaded`: it took one."""

    errors: Sequence[HoldfastError | None]
    reloaded: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    change: Change
    waiting: Waiting
    done: asyncio.Future[None]


class Reloads:
    """`apply` makes a batch of changes and reloads the server once."""

    def __init__(
        self,
        name: str,
        apply: Callable[[Sequence[Change]], Awaitable[Applied]],
        *,
        clock: Clock,
        pace: Pace = USUAL_PACE,
    ) -> None:
        self._name, self._apply = name, apply
        self._clock, self._pace = clock, pace
        self._asked: dict[str, _Asked] = {}
        self._recent: list[datetime] = []
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def ask(self, change: Change, waiting: Waiting) -> None:
        """Return when a reload has taken up `change`; raise what went wrong with it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = _Asked(change, waiting, done)
        key = change.certid.key
        overtaken = self._asked.pop(key, None)
        if overtaken is not None and not overtaken.done.done():
            overtaken.done.set_exception(
                DeliveryError(f"{self._name}: overtaken by a newer change before its reload")
            )
        self._asked[key] = asked
        if self._task is None or self._task.done():
            self._changed = asyncio.Event()
            self._task = asyncio.create_task(self._run())
        self._changed.set()
        try:
            await done
        finally:
            if self._asked.get(key) is asked:  # cancelled: it is not to be made any more
                del self._asked[key]
                self._changed.set()

    async def _run(self) -> None:
        while self._asked:
            now = self._clock.now()
            waits = [asked.waiting for asked in self._asked.values()]
            due = reload_at(waits, self._recent, now, self._pace)
            if due is not None and due > now:
                await self._sleep(due)
                continue
            batch = list(self._asked.values())
            self._asked.clear()
            await self._make(batch)

    async def _make(self, batch: Sequence[_Asked]) -> None:
        try:
            applied = await self._apply([asked.change for asked in batch])
        except BaseException as error:
            for asked in batch:
                if not asked.done.done():
                    asked.done.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        if applied.reloaded:
            now = self._clock.now()
            self._recent = [*lately(self._recent, now, self._pace), now]
        for asked, failed in zip(batch, applied.errors, strict=True):
            if asked.done.done():
                continue
            if failed is None:
                asked.done.set_result(None)
            else:
                asked.done.set_exception(failed)

    async def _sleep(self, until: datetime) -> None:
        self._changed.clear()
        sleep = asyncio.ensure_future(self._clock.sleep_until(until))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([sleep, change], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            change.cancel()
            await asyncio.gather(sleep, change, return_exceptions=True)
