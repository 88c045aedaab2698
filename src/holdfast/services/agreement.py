"""Agreement: one CA's ledger, held against its CRL and against the answers that were signed ahead.

Laws: each question gets the strictest of what the places say (`plan.agreement`), at once; a
disagreement is told when it has lasted for the configured delay, once, and once more when it ended;
a word that was stricter is not forgotten because its place cannot be read any more; answers signed
ahead that are too lax are no longer given. All certificates are gone through again and again, at
one part in `SHARE` of the time. R35.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol

import structlog

from holdfast.errors import HoldfastError, Malformed, StoreError
from holdfast.ocsp.certid import ca_tag, serial_octets
from holdfast.ocsp.findings import Finding
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import GOOD, CertificateStatus, Revoked
from holdfast.pki.certificate import Certificate
from holdfast.plan.agreement import Place, Word, disagreements, overrules, strictest
from holdfast.seams import AnswerShelf, Clock, Ledger, LedgerEntry

log = structlog.get_logger("holdfast.agreement")

DELAY = timedelta(minutes=5)  # within which a change is everywhere; longer is a disagreement
PART = 500  # certificates compared at a time
SHARE = 20  # one part of so many of the time is spent on it
MAX_OPEN = 100_000  # disagreements that are held; with more no answer signed ahead is given
MAX_TOLD = 10  # in the log, one by one, of each time that all was gone through

_GOOD = b"\x80\x00"  # CertStatus good, which follows on a CertID; RFC 6960 4.2.1

Overrule = Callable[[bytes, frozenset[bytes] | None], None]
"""Told the CA's tag and the serials (INTEGER octets) whose answers signed ahead must not be given;
None: all (`sources.presigned.Presigned.overrule`)."""


class Lists(Protocol):
    """The CA's CRLs as a ledger of what is revoked; `as_of`: when they were made."""

    @property
    def blocking(self) -> bool: ...

    @property
    def as_of(self) -> datetime: ...

    def entry(self, serial: int, /) -> LedgerEntry | None: ...

    def entries(self) -> Iterator[LedgerEntry]: ...


@dataclass(slots=True)
class Case:
    """One serial on which the places disagree, since they were seen to. `lists`: what the CRL
    said."""

    since: datetime
    findings: tuple[Finding, ...]
    lists: Word | None = None
    told: bool = False


@dataclass(slots=True)
class Round:
    """One time that all was gone through."""

    compared: int = 0
    told: int = 0
    seen: set[int] = field(default_factory=set)


class Agreement:
    """The `Ledger` that says of each certificate of `ca` the strictest that is known.

    Whoever fills `shelf` reads the ledger itself, not this: a hold that was lifted would never end.
    `crl`: what does not list a serial says nothing of it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        ca: Certificate,
        clock: Clock,
        crl: Lists | None = None,
        shelf: AnswerShelf | None = None,
        delay: timedelta = DELAY,
    ) -> None:
        self.found: Counter[str] = Counter()
        """Disagreements that were told, by code, since the start."""
        self.overrule: Overrule = lambda _tag, _serials: None
        """Set by whoever gives the answers of `shelf`, which may sign by this ledger."""
        self._ledger = ledger
        self._ca = ca
        self._tag = ca_tag(ca)
        self._clock = clock
        self._crl = crl
        self._shelf = shelf
        self._lax: set[bytes] = set()
        self._overruled: frozenset[bytes] | None = frozenset()
        self._delay = delay
        self._lock = threading.Lock()
        self._cases: dict[int, Case] = {}
        self._trouble = ""

    # -- the seam ---------------------------------------------------------------------------

    @property
    def blocking(self) -> bool:
        return self._ledger.blocking or (self._crl is not None and self._crl.blocking)

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return self._judged(serial, self._ledger.entry(serial))

    def entries(self) -> Iterator[LedgerEntry]:
        for serial, held in self._rows():
            entry = self._judged(serial, held)
            if entry is not None:
                yield entry

    # -- what disagrees -----------------------------------------------------------------------

    @property
    def disagreements(self) -> int:
        """Certificates on which the places have disagreed for longer than the delay."""
        at = self._clock.now()
        with self._lock:
            return sum(at - case.since >= self._delay for case in self._cases.values())

    def cases(self) -> dict[int, tuple[Finding, ...]]:
        """What the places disagree on now, by serial, however short a time."""
        with self._lock:
            return {serial: case.findings for serial, case in self._cases.items()}

    async def follow(self) -> None:
        """Go through all again and again, every delay."""
        while True:
            await self.sweep()
            await self._clock.sleep_until(self._clock.now() + self._delay)

    async def sweep(self) -> int:
        """Go through all once; how many certificates that were."""
        rows, done = self._rows(), Round()
        going = True
        while going:
            begun = self._clock.monotonic()
            try:
                going = await asyncio.to_thread(self._some, rows, done)
            except StoreError as error:
                self._complain(error)
                return done.compared
            took = self._clock.monotonic() - begun
            await self._clock.sleep_until(self._clock.now() + timedelta(seconds=took * (SHARE - 1)))
        self._trouble = ""
        with self._lock:
            gone = [serial for serial in self._cases if serial not in done.seen]
        for serial in gone:  # in no place that can be gone through: asked for, once
            try:
                self._judged(serial, self._ledger.entry(serial))
            except StoreError as error:
                self._complain(error)
                break
        return done.compared

    def _some(self, rows: Iterator[tuple[int, LedgerEntry | None]], done: Round) -> bool:
        """Compare `PART` of `rows`; False when there are no more."""
        number = 0
        for serial, held in islice(rows, PART):
            number += 1
            self._judged(serial, held, done)
        done.compared += number
        with self._lock:
            self._tell_shelf()
        return number == PART

    def _rows(self) -> Iterator[tuple[int, LedgerEntry | None]]:
        """All that the ledger knows, then what the CRL alone does."""
        for entry in self._ledger.entries():
            yield entry.serial, entry
        try:
            listed = () if self._crl is None else self._crl.entries()
        except StoreError as error:
            self._complain(error)
            return
        for entry in listed:
            if self._ledger.entry(entry.serial) is None:
                yield entry.serial, None

    # -- below ------------------------------------------------------------------------------

    def _judged(
        self, serial: int, held: LedgerEntry | None, done: Round | None = None
    ) -> LedgerEntry | None:
        """What is answered of `serial`, of which the ledger itself says `held`."""
        own = Word(Place.LEDGER, _status(held))
        lists = self._of_lists(serial)
        words = [own, *filter(None, (lists, self._of_shelf(serial)))]
        if len(words) == 1 and serial not in self._cases:
            return held
        not_after = None if held is None else held.not_after
        found = disagreements(words, serial=serial, not_after=not_after)
        if found or serial in self._cases:
            self._note(serial, found, lists, overruled=overrules(words), done=done)
        match strictest(words).certificate_status:
            case Revoked(at=at, reason=reason):
                if own.certificate_status == Revoked(at, reason):
                    return held
                known = held or LedgerEntry(serial, self._ca.not_after)
                return known._replace(revoked_at=at, reason=reason)
            case None:
                return None
            case _:
                return held

    def _of_lists(self, serial: int) -> Word | None:
        if self._crl is None:
            return None
        try:
            listed, as_of = self._crl.entry(serial), self._crl.as_of
        except StoreError as error:
            self._complain(error)
            case = self._cases.get(serial)
            return None if case is None else case.lists
        return Word(Place.CRL, _status(listed) or GOOD, as_of)

    def _of_shelf(self, serial: int) -> Word | None:
        if self._shelf is None:
            return None
        try:
            held = self._shelf.held(self._tag, serial_octets(serial))
            if held is None:
                return None
            status = _said(held.der, serial)
        except HoldfastError as error:
            self._complain(error)
            return None
        ended = self._clock.now().timestamp() >= held.next_update
        if status is None or (ended and not isinstance(status, Revoked)):
            return None  # it is not given any more; a revocation does not end with its answer
        return Word(Place.SHELF, status, datetime.fromtimestamp(held.this_update, UTC))

    def _note(
        self,
        serial: int,
        found: tuple[Finding, ...],
        lists: Word | None,
        *,
        overruled: bool,
        done: Round | None,
    ) -> None:
        at = self._clock.now()
        with self._lock:
            case = self._cases.get(serial)
            if not found:
                self._cases.pop(serial, None)
                overruled = False
                if case is not None and case.told:
                    log.info("places agree again", serial=f"{serial:x}")
            elif case is None:
                case = self._cases[serial] = Case(at, found, lists)
            else:
                case.findings, case.lists = found, lists
            if case is not None and found and not case.told and at - case.since >= self._delay:
                case.told = True
                self._tell(found, done)
            (self._lax.add if overruled else self._lax.discard)(serial_octets(serial))
            if done is None:
                self._tell_shelf()
            elif found:
                done.seen.add(serial)

    def _tell(self, found: tuple[Finding, ...], done: Round | None) -> None:
        for one in found:
            self.found[one.code] += 1
            if done is not None:
                done.told += 1
                if done.told > MAX_TOLD:
                    continue
            log.error(one.message, code=one.code, ca=self._ca.subject, hint=one.hint)

    def _tell_shelf(self) -> None:
        """Have what is too lax no longer given; the lock is held."""
        lax = frozenset(self._lax) if len(self._lax) <= MAX_OPEN else None
        if lax != self._overruled:
            self._overruled = lax
            self.overrule(self._tag, lax)

    def _complain(self, error: HoldfastError) -> None:
        if self._trouble != error.message:
            self._trouble = error.message
            log.error("cannot be compared", why=error.message, hint=error.hint, ca=self._ca.subject)


def _status(held: LedgerEntry | None) -> CertificateStatus | None:
    if held is None:
        return None
    return GOOD if held.revoked_at is None else Revoked(held.revoked_at, held.reason)


def _said(der: bytes, serial: int) -> CertificateStatus | None:
    """What the response `der` says of `serial`."""
    octets = serial_octets(serial)
    certid_ends = b"\x02%c%b" % (len(octets), octets)
    if certid_ends + _GOOD in der:  # nearly all, at a tenth of the time
        return GOOD
    basic = Response.parse(der).basic
    if basic is None:
        raise Malformed("an answer signed ahead", f"serial {serial:x} has an error response")
    for single in basic.singles:
        if single.certid.serial == serial:
            return single.certificate_status
    return None
