"""The seams: what holdfast's services ask of the world, one or two methods each.

Mostly prose, on purpose: a seam is a promise, and `tests/contract/` holds every implementation to
it. Services know these and never an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple, Protocol

from holdfast.errors import StoreError
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import Response, RevocationReason
from holdfast.ocsp.single_extensions import CrlID
from holdfast.ocsp.staple import Staple


class Clock(Protocol):
    """The time, and waiting for it.

    `now()` is aware UTC and may jump either way (suspend, NTP); `monotonic()` is seconds and never
    goes back. `sleep_until(instant)` returns soon after `now() >= instant`, also when the clock
    jumped over it, and may return early: callers look again.
    """

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep_until(self, instant: datetime, /) -> None: ...


class Source(Protocol):
    """Where OCSP responses come from.

    `response()` returns what the source holds or obtains for `subject` (leaf, issuer, responder
    URLs), unverified unless the source's own docstring says otherwise. It raises `NotFound` when
    the source is sure it has none, `Unavailable` when it could not find out (tryLater and
    internalError included), `PeerError` when the peer refused (unauthorized, malformedRequest,
    sigRequired) or answered with something that is not an OCSP response, `Rejected` when it
    verifies and the response is not fit, and nothing else that a caller is meant to catch. Safe to
    call concurrently. Honours cancellation; leaves nothing half written.
    """

    async def response(self, subject: Subject, /) -> Response: ...


class Store(Protocol):
    """Keeps staples over restarts, keyed by CertID.

    `save` takes only a `Staple`; it is durable and atomic: after it returns, or after a crash at
    any instant, `load` gives either the old bytes or the new. `load` gives back a claim
    (`Response`), None when there is none or when what is there does not parse (which is logged and
    left in place for a look): the caller verifies again. `drop` of what is not there is no error.
    All raise `StoreError` when the medium fails, and then what was held before still is.
    Concurrent calls for different CertIDs do not disturb each other.
    """

    async def save(self, staple: Staple, /) -> None: ...

    async def load(self, certid: CertID, /) -> Response | None: ...

    async def drop(self, certid: CertID, /) -> None: ...


ReadAtOnce = Callable[[Sequence[CertID]], list[Response | StoreError | None]]


def read_at_once(store: Store) -> ReadAtOnce | None:
    """How `store` reads several on a thread: what `load` gives for each, in their order, or why it
    could not. None where it cannot: such a store is asked one by one."""
    read: ReadAtOnce | None = getattr(store, "read_some", None)
    return read


class LedgerEntry(NamedTuple):
    """One certificate that a CA issued. `revoked_at` None: not revoked.

    `subject` is RFC 4514 or OpenSSL one-line text, for people. Of a revoked one, where the ledger
    knows it: `invalidity_date`, since when its key is to be doubted (RFC 5280 5.3.2), and `crl`,
    the list that it stands on.
    """

    serial: int
    not_after: datetime
    revoked_at: datetime | None = None
    reason: RevocationReason | None = None
    subject: str = ""
    invalidity_date: datetime | None = None
    crl: CrlID | None = None


class Ledger(Protocol):
    """What one CA issued and revoked.

    `entry(serial)` is None for a serial the CA never issued, which is never the same as good
    (R11), and for one that the ledger cannot tell of (a CRL lists no more than what is revoked).
    Reading sees every change committed before the call, whichever process made it, unless the
    ledger's own docstring says that it is fetched. May block for milliseconds (a file re-read, a
    database): services call it off the event loop unless `blocking` is False. Raises `StoreError`
    when the medium fails, is malformed or out of date, so that nothing can be said now.
    """

    @property
    def blocking(self) -> bool: ...

    def entry(self, serial: int, /) -> LedgerEntry | None: ...

    def entries(self) -> Iterator[LedgerEntry]: ...


class HeldAnswer(NamedTuple):
    """A response that was signed before it is asked for. Times in seconds since 1970."""

    der: bytes
    this_update: int
    next_update: int
    digest: bytes
    """The SHA-256 of `der`."""


class AnswerShelf(Protocol):
    """Responses signed ahead, of several CAs, read by every process that answers.

    `held(ca, serial)`: what lies there for the CA whose tag is `ca` (`certid.ca_tag`) and the
    serial whose INTEGER has these content octets, None when nothing does; `held_together` gives the
    same of several serials, as of one commit. Both see every commit made before the call, whichever
    process made it; one that has ended is the caller's business.
    `generation` changes when anything was committed; asking costs less than `held`. None
    blocks. A shelf that is not there yet is an empty one. All raise `StoreError` when the medium
    fails. Made in the process that reads: a shelf does not survive a fork.
    """

    def held(self, ca: bytes, serial: bytes, /) -> HeldAnswer | None: ...

    def held_together(
        self, ca: bytes, serials: Sequence[bytes], /
    ) -> Sequence[HeldAnswer | None]: ...

    @property
    def generation(self) -> int: ...


class Waits(Enum):
    """Instead of a ledger's word: it would have to be waited for."""

    WAITS = "waits"


def entry_at_once(ledger: Ledger) -> Callable[[int], LedgerEntry | Waits | None]:
    """How `ledger` is asked where nothing may block: as `entry`, or `Waits` where that would block.
    One that can tell cheaper than by `blocking` does in a method `entry_now`."""
    quick: Callable[[int], LedgerEntry | Waits | None] | None = getattr(ledger, "entry_now", None)

    def ask(serial: int) -> LedgerEntry | Waits | None:
        return Waits.WAITS if ledger.blocking else ledger.entry(serial)

    return ask if quick is None else quick


class StapledServer(Protocol):
    """A TLS server that can be given staples.

    `deliver` returns when the server will send `staple` in every handshake that begins after, and
    raises `DeliveryError` otherwise; delivering the same staple twice is harmless. `withdraw`
    returns when the server no longer sends any staple for `certid`. Neither verifies: a `Staple`
    is proof already, but a server that may hold it later drops it by itself at its end. One that
    drops it before that tells by how much in an attribute `stops_early`. One whose `deliver` may
    wait long says so by an attribute `patient`: there a later call for the same certificate
    overtakes an earlier, which then raises `DeliveryError`; elsewhere calls do not overlap.
    """

    @property
    def name(self) -> str: ...

    async def deliver(self, staple: Staple, /) -> None: ...

    async def withdraw(self, certid: CertID, /) -> None: ...


def stops_early(server: StapledServer) -> timedelta:
    """How long before a staple's end `server` stops sending it by itself."""
    early: timedelta = getattr(server, "stops_early", timedelta(0))
    return early


def patient(server: StapledServer) -> bool:
    """Whether `server`'s deliveries may wait long and be overtaken."""
    waits: bool = getattr(server, "patient", False)
    return waits
