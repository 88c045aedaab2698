"""A keeper under a service manager: it says when it is ready, that it lives, and that it ends.

Laws: READY=1 is told once the gate is met, never before (K1), and while it is not the manager is
asked for more time, because a keeper that is killed for its responder's sake helps nobody; a sign
of life is given only while the keeper's own loop takes up what is due, so that a loop that hangs
is ended and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Literal, assert_never

from holdfast.net.notify import Notify
from holdfast.ocsp.statuses import Good
from holdfast.plan.entry import Entry, Need
from holdfast.plan.keeping import kept
from holdfast.seams import Clock
from holdfast.services.keeper import Keeper

Gate = Literal["loaded", "must-staple", "every"]

LOOK = timedelta(seconds=1)  # between two looks at a gate that is not met
LOOKS_A_WORD = 10  # between two words to the manager
MORE_TIME = timedelta(seconds=30)  # asked for with each
STUCK = timedelta(seconds=20)  # something due is not taken up for so long: the loop hangs
NAMED = 3  # certificates that a status line names

_log = logging.getLogger("holdfast.keeper")


class Attended:
    """Tells `notify` about `keeper`. `gate`: what must be held before it is ready.

    "loaded": what the state folder has; "must-staple": a current good staple for each certificate
    that asks for one; "every": for each at all. Certificates without a responder are not waited
    for: nobody could ever bring theirs (K17).
    """

    def __init__(
        self,
        keeper: Keeper,
        notify: Notify,
        *,
        clock: Clock,
        gate: Gate = "loaded",
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.ready = False
        self._keeper, self._notify, self._clock, self._gate = keeper, notify, clock, gate
        self._sleep = sleep  # of the event loop: a clock that is set delays no sign of life
        self._ended = False
        self._due: tuple[datetime, float] | None = None  # what is due, and since when (monotonic)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[Attended]:
        """Tell while the block runs, and at its end that this is the end."""
        tasks = [asyncio.ensure_future(work) for work in (self._pulse(), self._until_ready())]
        try:
            yield self
        finally:
            self.stopping()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell that the settings are read again, and at the end of the block, however it ends,
        that the keeper goes on."""
        if self.ready:
            self._notify.reloading()
        try:
            yield
        finally:
            if self.ready:
                self._notify.ready(self._summary())

    def stopping(self) -> None:
        """Tell that this is the end; once."""
        if not self._ended:
            self._ended = True
            self._notify.stopping()

    def awaited(self) -> list[Entry]:
        """The certificates that the gate waits for now."""
        at, rules = self._clock.now(), self._keeper.rules
        return [
            entry
            for entry in self._keeper.entries
            if self._asked_for(entry)
            and not ((staple := kept(entry, at, rules)) and staple.certificate_status == Good())
        ]

    def lives(self) -> bool:
        """False when the keeper's loop has left what is due for longer than `STUCK`.

        Measured on the monotonic clock: when the wall clock is set forward much is late at once,
        and the loop is not to blame (K23).
        """
        due, now = self._keeper.due_at, self._clock.monotonic()
        if self._keeper.started_at is None or due is None or due > self._clock.now():
            self._due = None
            return True
        if self._due is None or self._due[0] != due:
            self._due = (due, now)
        return now - self._due[1] < STUCK.total_seconds()

    def _asked_for(self, entry: Entry) -> bool:
        leaf = entry.subject.leaf
        if entry.retired or not entry.applicable:
            return False
        if leaf is not None and self._clock.now() >= leaf.not_after:
            return False
        match self._gate:
            case "loaded":
                return False
            case "must-staple":
                return entry.need is Need.MUST or (leaf is not None and leaf.must_staple)
            case "every":
                return True
            case _:
                assert_never(self._gate)

    async def _until_ready(self) -> None:
        for look in count():
            waits = self._waits_for()
            if not waits:
                break
            if look % LOOKS_A_WORD == 0:
                _log.info("not-ready waiting for %s", waits)
                self._notify.starting(f"waiting for {waits}", within=MORE_TIME)
            await self._sleep(LOOK.total_seconds())
        self.ready = True
        _log.info("ready certificates=%s", len(self._keeper.entries))
        self._notify.ready(self._summary())

    def _waits_for(self) -> str:
        """What is not there yet, in words; "" when it is ready."""
        if not self._keeper.loaded:
            return "the state folder to be read"
        waits = self.awaited()
        if not waits:
            return ""
        names = ", ".join(entry.name for entry in waits[:NAMED])
        more = len(waits) - NAMED
        return f"a good staple for {names}" + (f" and {more} more" if more > 0 else "")

    async def _pulse(self) -> None:
        watchdog = self._notify.watchdog
        while watchdog is not None:
            if self.lives():
                self._notify.alive()
            else:
                _log.critical("the keeper's loop does not run; no sign of life is given")
            await self._sleep(watchdog.total_seconds() / 3)

    def _summary(self) -> str:
        return f"keeping {len(self._keeper.entries)} certificates"
