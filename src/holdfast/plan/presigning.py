"""What is signed ahead, and again when: a ledger and a shelf compared, both in order of serials.

Laws: an answer is signed again by half of its validity under 16 hours, else 8 hours before its end
and when it is 4 days old (R29, CA/Browser Forum 4.9.10); what the ledger no longer says is signed
again at once, and what left it is dropped; of two entries of one serial the one that revokes
counts; no answer outlives its signer or its issuer (R15, R30).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from holdfast.errors import OperatorError, Unavailable
from holdfast.ocsp.response import encode_certificate_status
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.plan.record import Record
from holdfast.plan.rows import GOOD_DER, Row
from holdfast.plan.rules import Rules, compromised

SHORT = 16 * 3600  # seconds of validity under which half of it is the limit
REST = 8 * 3600  # seconds before nextUpdate by which a longer one is signed again
OLD = 4 * 86400  # seconds after which it is, however long it holds


class Need(Enum):
    """What has to be done about one serial."""

    KEEP = "keep"
    WRONG = "wrong"  # the shelf says something else than the ledger
    GONE = "gone"  # the ledger no longer has it
    MISSING = "missing"
    OLD = "old"


class Step(NamedTuple):
    """`certificate_status`: in the ledger. `due`: when one that is kept is to be signed again."""

    need: Need
    serial: bytes
    certificate_status: bytes
    due: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How answers are to be signed ahead.

    `ahead`: how long before the last instant that R29 leaves. `ended`: also for certificates that
    have ended. `since`: what was signed before that second is signed again, whatever its age.
    """

    rules: Rules
    hashes: int
    ahead: timedelta = timedelta(hours=1)
    ended: bool = False
    since: int = 0

    def due(self, this_update: int, next_update: int) -> int:
        """When an answer of this window is signed again: `ahead` before the limit, but not before
        half of the time up to it."""
        last = limit(this_update, next_update)
        return last - min(round(self.ahead.total_seconds()), (last - this_update) // 2)


@lru_cache(maxsize=1 << 14)
def told(at: datetime | None, reason: RevocationReason | None, ca: Revoked | None) -> bytes:
    """The certificate_status, in DER, of a certificate revoked `at` that instant (None: not), whose
    CA's own revocation is `ca` (R14)."""
    if at is None and ca is None:
        return GOOD_DER
    own = None if at is None else Revoked(at, reason)
    if ca is not None:
        own = compromised(own, ca)
    assert own is not None
    return encode_certificate_status(own)


def window(signer: Signer, rules: Rules, at: datetime) -> tuple[datetime, datetime]:
    """(thisUpdate, nextUpdate) of an answer from what the ledger said at `at`. `Unavailable` when
    the signer has no time left."""
    known = at.astimezone(UTC).replace(microsecond=0)
    ends = signer.certificate.not_after
    if not signer.is_issuer:
        ends = min(ends, signer.issuer.not_after)
    next_update = min(known + rules.validity, ends)
    this_update = max(known - rules.backdate, signer.certificate.not_before)
    if next_update <= this_update:
        raise Unavailable(
            f"{signer.certificate.subject} or its issuer ends at {ends:%Y-%m-%dT%H:%M:%SZ}",
            hint="give a signer that is in date (`holdfast ca signer` issues one)",
        )
    return this_update, next_update


def limit(this_update: int, next_update: int) -> int:
    """The last instant by which R29 has an answer of this window signed again."""
    validity = next_update - this_update
    if validity < SHORT:
        return this_update + validity // 2
    return min(next_update - REST, this_update + OLD)


def refuse_hasty(rules: Rules) -> None:
    """`OperatorError` when answers would be due as soon as they are signed."""
    validity = round((rules.validity + rules.backdate).total_seconds())
    if limit(0, validity) // 2 <= rules.backdate.total_seconds():
        raise OperatorError(
            f"answers that hold for {rules.validity} and are dated back by {rules.backdate} would "
            "have to be signed again as soon as they are signed",
            hint="give a longer --validity or a shorter --backdate",
        )


def compare(
    rows: Iterable[Row],
    records: Iterable[Record],
    *,
    wish: Wish,
    at: int,
    ends: int | None = None,
) -> Iterator[Step]:
    """What is to be done about each serial of either, in order; both come in order of serials.

    `ends`: the nextUpdate that an answer signed now gets. One that holds until then already is not
    signed again for its age: its signer is at its end, and signing would gain nothing.
    """
    held = iter(records)
    record = next(held, None)
    dues: dict[tuple[int, int], int] = {}  # many have one window
    for serial, certificate_status in strictest(rows):
        while record is not None and record.serial < serial:
            yield Step(Need.GONE, record.serial, b"")
            record = next(held, None)
        if record is None or record.serial != serial:
            yield Step(Need.MISSING, serial, certificate_status)
            continue
        _, this_update, next_update, hashes, said = record
        when = dues.get((this_update, next_update))
        if when is None:
            when = dues[this_update, next_update] = wish.due(this_update, next_update)
        need = Need.OLD
        if said != certificate_status:
            need = Need.WRONG
        elif not wish.since <= this_update <= at or hashes != wish.hashes:
            pass  # later than now: the clock was set back
        elif when > at:
            need = Need.KEEP
        elif ends is not None and next_update >= ends:
            need, when = Need.KEEP, next_update
        yield Step(need, serial, certificate_status, when)
        record = next(held, None)
    while record is not None:
        yield Step(Need.GONE, record.serial, b"")
        record = next(held, None)


def strictest(rows: Iterable[Row]) -> Iterator[Row]:
    """Each serial once. Rows come sorted, where revoked (tag 0xa1) stands after good (0x80)."""
    last: Row | None = None
    for one in rows:
        if last is not None and last[0] != one[0]:
            yield last
        last = one
    if last is not None:
        yield last
