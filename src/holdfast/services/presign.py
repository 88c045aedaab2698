"""Presigning: a shelf kept as a ledger says, signed ahead by all cores.

Laws: what the shelf says wrongly is put right before anything else is signed; every batch is
committed when it is signed, in order of serials, so that a kill loses no more than what was under
way, and the next run goes on from there; thisUpdate is when the ledger was read, not when the
answer was signed; a change that was followed is never overwritten by what was read before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, cast

import structlog

from holdfast.errors import StoreError, Unavailable
from holdfast.ocsp.certid import serial_octets
from holdfast.ocsp.sign import Signer
from holdfast.plan.presigning import (
    Need,
    Step,
    Wish,
    compare,
    limit,
    window,
)
from holdfast.plan.record import Record
from holdfast.plan.rows import Rows
from holdfast.seams import Clock, Ledger, LedgerEntry
from holdfast.services.ledger_rows import TOLD, LedgerRows, Listing
from holdfast.services.signing_processes import MOST, Batch, SigningProcesses
from holdfast.services.sorted_rows import SortedRows, seldom_collected

PART = 10_000  # records read at a time
EVERY = timedelta(hours=1)  # how often a ledger that tells its changes is compared in whole

log = structlog.get_logger("holdfast.presign")


class Shelf(Protocol):
    """One CA's part of a shelf, open for writing."""

    @property
    def path(self) -> Path: ...

    @property
    def current(self) -> bool: ...

    def count(self) -> int: ...
    def records(self, after: bytes | None, limit: int) -> list[Record]: ...
    def compared(self, at: int) -> None: ...
    def close(self) -> None: ...


class Telling(Protocol):
    """A ledger that tells what changed after a revision, at most some at a time."""

    @property
    def revision(self) -> int: ...

    def changes(self, since: int) -> tuple[int, tuple[LedgerEntry, ...]]: ...


@dataclass(frozen=True, slots=True)
class Tally:
    """What was done. `listed`: certificates in the ledger; `without`: those for which nothing is
    signed ahead, because they have ended, or more is told of them than their revocation."""

    listed: int = 0
    without: int = 0
    signed: int = 0
    kept: int = 0
    dropped: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.listed + other.listed,
            self.without + other.without,
            self.signed + other.signed,
            self.kept + other.kept,
            self.dropped + other.dropped,
        )


Progress = Callable[[int, int], None]
"""Told how many serials of how many were gone through."""


@dataclass(slots=True)
class _Going:
    """One going through ledger and shelf. `needs`: what is seen to; `left`: how many other steps
    there are; `soonest`: the instant at which the first of what is kept is due."""

    steps: Iterable[Step]
    needs: set[Need]
    at: datetime
    total: int
    soonest: int
    left: int = 0


class Presigner:
    """One CA's ledger and its part of a shelf.

    `opened` opens the shelf, again after it failed. `identity`: what changes with a ledger that
    does not tell its changes, where that is cheap to know; None: it is compared at each look.
    `delay`: within which a change is on the shelf; while something longer is signed, changes are
    looked for every half of it.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        opened: Callable[[], Shelf],
        processes: SigningProcesses,
        choose: Callable[[datetime], Signer],
        wish: Wish,
        clock: Clock,
        identity: Callable[[], Hashable] | None = None,
        delay: timedelta | None = None,
        progress: Progress = lambda _done, _total: None,
    ) -> None:
        self.stopped = False
        self.settled = False
        """Whether the last run came to its end."""
        self._ledger = ledger
        self._telling = cast(Telling, ledger) if tells(ledger) else None
        self._opened = opened
        self._shelf: Shelf | None = None
        self._processes = processes
        self._choose = choose
        self._wish = wish
        self._rows = LedgerRows(wish)
        self._clock = clock
        self._identity = identity
        self._half = None if delay is None else delay.total_seconds() / 2
        self._progress = progress
        self._seen: Hashable = None
        self._revision = 0
        self._ran: datetime | None = None
        self._again: datetime | None = None  # when all has to be compared
        self._fresh: set[bytes] = set()  # serials that changed since the ledger was listed
        self._right = False
        """Whether nothing is held that the ledger says otherwise, as it was `_seen` or as far as it
        was followed. Only then may the shelf say that it was compared."""
        self._looked = 0.0

    @property
    def shelf(self) -> Shelf:
        if self._shelf is None or not self._shelf.current:
            self.close()
            self._again, self._right = None, False
            self._shelf = self._opened()
        return self._shelf

    def close(self) -> None:
        """Close the shelf; the next look opens it again."""
        if self._shelf is not None:
            self._shelf.close()
        self._shelf = None

    # -- all of it ----------------------------------------------------------------------------

    def run(self) -> Tally:
        """Compare all and sign what is due. Where changes are followed, a ledger that changed
        meanwhile ends the run early; the next look begins it again."""
        at = self._ran = self._clock.now()
        self.settled, self._again, self._fresh = False, None, set()
        seen = None if self._identity is None else self._identity()
        if self._telling is None:
            self._right = self._right and seen is not None and seen == self._seen
        elif not self._right:  # else what changed meanwhile is still to be followed
            self._revision = self._telling.revision
        self._seen = seen
        this_update, next_update = window(self._choose(at), self._wish.rules, at)
        begins, ends = int(this_update.timestamp()), int(next_update.timestamp())
        now = int(at.timestamp())
        soonest = self._wish.due(begins, ends)
        shelf = self.shelf  # what is wrong with it is told before the ledger is read
        listing = Listing(self._ledger, self._rows, at, self._pause)
        with seldom_collected(), closing(SortedRows(listing, shelf.path.parent)) as listed:
            total = Tally(listed=len(listed), without=listing.without)
            self._looked = self._clock.monotonic()
            left, empty = len(listed), not shelf.count()
            for needs in ({Need.WRONG, Need.GONE}, {Need.MISSING, Need.OLD}):
                if empty and Need.OLD in needs:
                    total += self._sign(self._everything(listed, at))
                elif not empty and (left or Need.OLD not in needs):
                    steps = compare(listed, self._records(), wish=self._wish, at=now, ends=ends)
                    going = _Going(steps, needs, at, len(listed), soonest)
                    total += self._sign(self._batches(going))
                    soonest, left = going.soonest, going.left
                if self.stopped or self._outdated():
                    return total
                if not self._fresh:  # else a later comparison is noted already
                    shelf.compared(now)
                self._right = True
        if self.shelf is not shelf:
            return total  # another file stands there now, and lacks what was signed into the old
        self.settled = True
        self._wish = replace(self._wish, since=0)
        # Answers come to their time one by one; the slack of each lets them be signed together.
        slack = timedelta(seconds=max(0, limit(begins, ends) - self._wish.due(begins, ends)))
        again = datetime.fromtimestamp(soonest, UTC)
        self._again = min(max(again, at + slack / 2), at + EVERY)
        return replace(total, kept=max(0, total.listed - total.signed))

    def _records(self) -> Iterator[Record]:
        """What lies on the shelf, read in parts, so that no page is pinned while signing."""
        after = None
        while part := self.shelf.records(after, PART):
            yield from part
            if len(part) < PART:
                return
            after = part[-1].serial

    def _everything(self, listed: SortedRows, at: datetime) -> Iterator[Batch]:
        """What `_batches` gives where nothing is held yet, in half of the time."""
        done = 0
        for rows in listed.drained(self._processes.share):
            self._progress(done, len(listed))
            yield Batch(rows, at)
            done += len(rows)
            yield from self._meanwhile()
            if self.stopped or self._outdated():
                return
        self._progress(len(listed), len(listed))

    def _batches(self, going: _Going) -> Iterator[Batch]:
        rows = Rows()
        gone: list[bytes] = []
        shown, full = Need.OLD in going.needs, False
        for number, step in enumerate(going.steps):
            if full or number % TOLD == 0:
                full = False
                if shown:
                    self._progress(min(number, going.total), going.total)
                yield from self._meanwhile()
                if self.stopped or self._outdated():
                    return
            if step.need not in going.needs:
                if step.need is not Need.KEEP:
                    going.left += 1
                elif step.due < going.soonest:
                    going.soonest = step.due
                continue
            if step.need is Need.GONE:
                gone.append(step.serial)
            else:
                rows.add(step.serial, step.certificate_status)
            if len(rows) >= self._processes.batch or len(gone) >= MOST:
                yield Batch(rows, going.at, gone)
                rows, gone, full = Rows(), [], True
        if rows or gone:
            yield Batch(rows, going.at, gone)
        if shown:
            self._progress(going.total, going.total)

    def _pause(self) -> None:
        """A moment between two rows while the ledger is listed."""
        self._sign(self._meanwhile())

    def _meanwhile(self) -> Iterator[Batch]:
        """What changed in the ledger during a long run, where that is to be looked for by now."""
        if self._half is None or self._clock.monotonic() - self._looked < self._half:
            return
        self._looked = self._clock.monotonic()
        at = self._clock.now()
        if self._telling is not None:
            for batch in self._changed(at):
                self._fresh.update(batch.rows.serials)
                self._fresh.update(batch.gone)
                yield batch
        elif self._identity is None:
            self._seen = object()  # nobody can tell: read it again
        elif not self._outdated():
            yield Batch(Rows(), at, followed=True)

    def _sign(self, batches: Iterable[Batch]) -> Tally:
        done = Tally()
        with closing(self._processes.sign(batches, self._changed_since)) as signed:
            for count, batch in signed:
                if batch.all_followed and self._right:
                    self.shelf.compared(int(batch.at.timestamp()))
                done += Tally(signed=count, dropped=len(batch.gone))
        return done

    def _changed_since(self, batch: Batch) -> frozenset[bytes]:
        """What of `batch` was followed since it was listed."""
        return frozenset() if batch.followed else frozenset(self._fresh)

    def _outdated(self) -> bool:
        """Whether the ledger is known, or has to be supposed, to be another than the one read."""
        if self._half is None or self._telling is not None:
            return False
        if self._identity is None:
            return self._seen is not None
        return self._identity() != self._seen

    # -- what changed ---------------------------------------------------------------------------

    def look(self) -> Tally:
        """Bring the shelf up to what changed since the last look or run, and what is due by now."""
        at = self._clock.now()
        again, ran = self._again, self._ran
        if again is None or ran is None or not ran <= at < again or self._outdated():
            return self.run()
        if self._telling is None and self._identity is None:
            return self.run()
        if self._telling is None:
            return self._sign([Batch(Rows(), at, followed=True)])
        return self._sign(self._changed(at))

    def _changed(self, at: datetime) -> Iterator[Batch]:
        """What the ledger says changed since it was asked last; the last batch is empty, and is
        committed when all of it is."""
        assert self._telling is not None
        found: dict[bytes, bytes | None] = {}
        revision = self._revision
        while True:
            revision, entries = self._telling.changes(revision)
            if not entries:
                break
            for entry in entries:
                row = self._rows.row(entry, at)
                found[serial_octets(entry.serial)] = None if row is None else row[1]
        changed = sorted(found.items())
        for start in range(0, len(changed), MOST):
            part = changed[start : start + MOST]
            rows = Rows.of((serial, said) for serial, said in part if said is not None)
            gone = [serial for serial, said in part if said is None]
            yield Batch(rows, at, gone)._replace(followed=True)
        self._revision = revision
        yield Batch(Rows(), at, followed=True)

    # -- for ever -------------------------------------------------------------------------------

    async def follow(self, ended: asyncio.Event, told: Callable[[Tally], None]) -> None:
        """Look every half of the delay until `ended`. A medium that fails is told and tried again:
        what is on the shelf says by itself until when it was compared."""
        assert self._half is not None
        trouble = ""
        while not ended.is_set():
            try:
                done = await asyncio.to_thread(self.look)
            except (StoreError, Unavailable) as error:
                if self._processes.broken:
                    raise  # whoever started this one starts another
                if error.message != trouble:
                    log.error("presigning stands still", why=error.message, hint=error.hint)
                trouble = error.message
                self._again, self._right = None, False
                self.close()
            else:
                if trouble:
                    log.info("presigning goes on")
                trouble = ""
                if done.signed or done.dropped:
                    told(done)
                if not self.settled:
                    continue
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self._half)


def tells(ledger: Ledger) -> bool:
    """Whether `ledger` tells its changes."""
    return hasattr(type(ledger), "changes") and hasattr(type(ledger), "revision")
