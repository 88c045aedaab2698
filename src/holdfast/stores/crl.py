"""A `Ledger` made of CRLs: full, delta and indirect ones, from files and URLs.

Laws: nothing counts before its signature was checked (`pki.crl_view`); a list that has ended, or
that could never be had, makes every question a `StoreError` (the responder answers tryLater), never
a good; a list with a smaller number than one that was seen is refused and the one that was seen
stays; files are read again when they change, URLs before their lists end, by the `Clock`. A CRL
tells what was revoked and not what was issued: a serial on no list is None, unless the operator
said that unlisted means good (`Unlisted.GOOD`), and then the lists must speak of everything.
Numbers are remembered for as long as the process runs. RFC 5280 5, 6.3.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

import structlog

from holdfast.errors import HoldfastError, OperatorError, StoreError, Unavailable
from holdfast.net.files import read_bounded
from holdfast.net.http_client import Http
from holdfast.net.issuers import is_url
from holdfast.ocsp.single_extensions import CrlID
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.crl import MAX_CRL, Crl, CrlEntry
from holdfast.pki.crl_view import CrlView, blind_spot, objection, supersedes, view
from holdfast.seams import Clock, LedgerEntry

log = structlog.get_logger("holdfast.crl")

MAX_TEXT = 2 * MAX_CRL  # bytes: PEM takes a third more than DER
DEADLINE = 60.0  # seconds for one download
SOONEST, LATEST = timedelta(minutes=1), timedelta(hours=1)  # between two looks
SKEW = timedelta(minutes=5)  # how far ahead the clock of who made a list may be


class Unlisted(Enum):
    """What a serial is that no list names."""

    UNAUTHORIZED = "unauthorized"  # not told: the rule for serials never issued answers
    GOOD = "good"


@dataclass(slots=True)
class _Place:
    """One file or URL, and what was last read there."""

    name: str
    crls: tuple[Crl, ...] = ()
    seen: tuple[int, int, int] | None = None
    etag: str = ""
    trouble: StoreError | None = None

    @property
    def is_url(self) -> bool:
        return is_url(self.name)


def http_for_lists() -> Http:
    """A client for downloads of this size, under the operator's address policy."""
    return Http(max_bytes=MAX_TEXT, timeout=DEADLINE)


class CrlLedger:
    """The `Ledger` of `ca` in the CRLs at `places` (paths and URLs).

    URLs are read by `refresh`, which `follow` repeats; files at each question. `issuers`: the
    certificates of those whose indirect CRLs count too.
    """

    def __init__(
        self,
        places: Sequence[str | os.PathLike[str]],
        *,
        ca: Certificate,
        clock: Clock,
        issuers: Sequence[Certificate] = (),
        unlisted: Unlisted = Unlisted.UNAUTHORIZED,
        http: Callable[[], Http] = http_for_lists,
    ) -> None:
        self._places = [_Place(os.fspath(place)) for place in places]
        self._ca = ca
        self._clock = clock
        self._issuers = tuple(issuers)
        self._unlisted = unlisted
        self._http = http
        self._lock = threading.Lock()
        self._newest: dict[object, tuple[str, Crl]] = {}
        self._view: CrlView | None = None
        self._alerted = ""
        for place in self._places:
            if place.is_url:
                place.trouble = StoreError(
                    f"{place.name}: not fetched yet", hint="see that the address answers"
                )

    # -- the seam ---------------------------------------------------------------------------

    @property
    def blocking(self) -> bool:
        """Not while every file is as it was: what was read is kept."""
        if not self._lock.acquire(blocking=False):
            return True
        try:
            return self._view is None or any(
                _identity(os.stat(place.name)) != place.seen
                for place in self._places
                if not place.is_url
            )
        except OSError:
            return False  # told at once
        finally:
            self._lock.release()

    @property
    def as_of(self) -> datetime:
        """When what is said now was made up: the oldest, where the CA splits its list."""
        newest: dict[object, datetime] = {}
        for crl in self._current().lists:
            newest[crl.scope] = max(crl.this_update, newest.get(crl.scope, crl.this_update))
        return min(newest.values())

    def entry(self, serial: int, /) -> LedgerEntry | None:
        current = self._current()
        found = current.revoked.get(serial)
        if found is not None:
            return self._ledger_entry(found, current)
        if self._unlisted is Unlisted.GOOD:
            return LedgerEntry(serial, self._ca.not_after)
        return None

    def entries(self) -> Iterator[LedgerEntry]:
        """What is revoked; more a CRL does not tell. No certificate outlives its CA, whose end
        stands for that of each."""
        current = self._current()
        return iter([self._ledger_entry(found, current) for found in current.revoked.values()])

    def check(self) -> None:
        """`StoreError` when nothing can be said now; no alert, for who starts it looks on."""
        with self._lock:
            self._judged()

    # -- reading again ----------------------------------------------------------------------

    async def refresh(self) -> None:
        """Fetch every URL; what fails is logged, and what was held stays until its own end."""
        urls = [place for place in self._places if place.is_url]
        if not urls:
            return
        async with self._http() as http:
            for place in urls:
                try:
                    await self._fetch(place, http)
                except HoldfastError as error:
                    if not place.crls:
                        place.trouble = StoreError(
                            error.message, hint=error.hint or "see that the address answers"
                        )
                    log.warning(
                        "crl not refreshed", url=place.name, why=error.message, held=len(place.crls)
                    )

    async def follow(self) -> None:
        """Refresh for ever, each list well before its end; alert when nothing can be said."""
        while True:
            await self._clock.sleep_until(self.next_look())
            await self.refresh()
            try:
                await asyncio.to_thread(self._current)
            except StoreError:
                continue  # told by the alert

    def next_look(self) -> datetime:
        """When to refresh: after a quarter of the time that is left, so that tries become more
        frequent towards the end, and never rarer than hourly."""
        now = self._clock.now()
        left = self._view.next_update - now if self._view is not None else timedelta(0)
        return now + min(max(left / 4, SOONEST), LATEST)

    # -- below ------------------------------------------------------------------------------

    async def _fetch(self, place: _Place, http: Http) -> None:
        headers = (("If-None-Match", place.etag),) if place.etag and place.crls else ()
        answer = await http.get(place.name, headers=headers)
        if answer.status == 304 and headers:
            return
        if answer.status != 200:
            raise Unavailable(
                f"{place.name}: HTTP status {answer.status}",
                failure=f"http-{answer.status // 100}xx",
                hint="see that the address is the CRL's",
            )
        etag = next((v for k, v in answer.headers if k.lower() == "etag"), "")
        await asyncio.to_thread(self._take, place, answer.body, etag)

    def _take(self, place: _Place, data: bytes, etag: str = "") -> None:
        """Make `data` what `place` holds, if all of it is to be believed."""
        crls = self._believed(place.name, data)
        with self._lock:
            place.crls, place.etag, place.trouble = crls, etag, None
            self._remember(place)

    def _believed(self, name: str, data: bytes) -> tuple[Crl, ...]:
        crls = pem.crls(data, name=name, limit=MAX_TEXT)
        for crl in crls:
            why = objection(crl, ca=self._ca, issuers=self._issuers)
            if not why and crl.this_update - self._clock.now() > SKEW:
                why = f"a CRL of the future (thisUpdate {crl.this_update:%Y-%m-%dT%H:%M:%SZ})"
            if why:
                raise OperatorError(
                    f"{name}: {why}",
                    hint="give the CA's own CRLs; name the issuer of an indirect one by"
                    " --crl-issuer; see that the clock is right",
                )
        return crls

    def _remember(self, place: _Place) -> None:
        for crl in place.crls:
            key = (crl.scope, crl.is_delta)
            before = self._newest.get(key)
            if before is None or supersedes(crl, before[1]):
                self._newest[key] = (place.name, crl)
            else:
                log.error(
                    "crl refused: it is older than the one held",
                    place=place.name,
                    number=crl.number,
                    held=before[1].number,
                )
        self._view = None

    def _held(self) -> list[tuple[str, Crl]]:
        """The newest list of every kind that stands at a place now. What stood there once is only
        remembered, for its number: a CA that changes its key or its points starts another."""
        kinds = {(crl.scope, crl.is_delta) for place in self._places for crl in place.crls}
        return [held for kind, held in self._newest.items() if kind in kinds]

    def _current(self) -> CrlView:
        """What the lists say now; `StoreError` when that cannot be told."""
        with self._lock:
            try:
                found = self._judged()
            except StoreError as error:
                if self._alerted != error.message:
                    self._alerted = error.message
                    log.error("crl cannot be used", why=error.message, hint=error.hint)
                raise
            if self._alerted:
                self._alerted = ""
                log.info("crl can be used again", until=found.next_update.isoformat())
            return found

    def _judged(self) -> CrlView:
        for place in self._places:
            if not place.is_url:
                self._look(place)
            if place.trouble is not None:
                raise place.trouble.with_traceback(None)
        if self._view is None:
            try:
                self._view = view(self._held(), ca=self._ca)
            except HoldfastError as error:
                raise StoreError(error.message, hint=error.hint) from error
        if self._clock.now() >= self._view.next_update:
            raise StoreError(
                f"{self._view.ends_first}: the CRL ended at"
                f" {self._view.next_update:%Y-%m-%dT%H:%M:%SZ}",
                hint="put the CA's newest CRL there; until then every answer is tryLater",
            )
        if self._unlisted is Unlisted.GOOD:
            unseen = blind_spot(self._view.lists, ca=self._ca)
            if unseen:
                raise StoreError(
                    f"unlisted serials cannot be good: the CRLs do not speak of {unseen}",
                    hint="give the CRLs that do, or --crl-unlisted unauthorized",
                )
        return self._view

    def _look(self, place: _Place) -> None:
        """Read a file again if it changed; the lock is held."""
        try:
            seen = _identity(os.stat(place.name))
            if seen == place.seen:
                return
            place.seen = seen
            place.crls = self._believed(place.name, read_bounded(Path(place.name), MAX_TEXT))
            place.trouble = None
            self._remember(place)
        except OSError as error:
            place.seen = None
            raise StoreError(
                f"cannot read {place.name}: {error.strerror or error}",
                hint="give the CA's CRL, DER or PEM",
            ) from error
        except HoldfastError as error:
            place.trouble = StoreError(
                error.message if place.name in error.message else f"{place.name}: {error.message}",
                hint=error.hint or "put the CA's CRL there, DER or PEM",
            )

    def _ledger_entry(self, found: CrlEntry, current: CrlView) -> LedgerEntry:
        reason = None if found.reason is None else RevocationReason.by_code(found.reason)
        if reason is RevocationReason.REMOVE_FROM_CRL:
            reason = None  # RFC 5280 5.3.1: for deltas alone; on a full CRL it explains nothing
        return LedgerEntry(
            found.serial,
            self._ca.not_after,
            found.revoked_at,
            reason,
            invalidity_date=found.invalidity_date,
            crl=_reference(current.list_of(found)),
        )


def _reference(place: tuple[str, Crl] | None) -> CrlID | None:
    """A list as clients can find it: a file's path is nobody's business but ours."""
    if place is None:
        return None
    name, crl = place
    url = name if is_url(name) and name.isascii() else None
    return CrlID(url, crl.number, crl.this_update)


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mtime_ns, found.st_size, found.st_ino
