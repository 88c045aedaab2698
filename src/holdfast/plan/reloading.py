"""When a server that must be reloaded is reloaded: seldom, and never too late (K28).

Laws: pure, the instant is `at`; one reload takes up all that waits; what is not urgent waits for
the next slot, one `interval` after the last reload; what is urgent waits a moment for others like
it, the longer the more reloads there were lately, so that a thousand first deliveries are ten
reloads; nothing waits past its own `by`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.ocsp.freshness import end_of, withdraw_at
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked

REVOKED_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`gather`: how long an urgent change waits for others; `lead`: what a reload may take."""

    interval: timedelta = timedelta(minutes=5)
    gather: timedelta = timedelta(seconds=1)
    lead: timedelta = timedelta(seconds=10)


USUAL_PACE = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One change that waits for a reload since `since`, at most until `by`."""

    since: datetime
    urgent: bool = False
    by: datetime | None = None


def waiting_for(new: Staple | None, loaded: Staple | None, at: datetime) -> Waiting:
    """How long `new` (None: a withdrawal) may wait, when the server is known to send `loaded`.

    Urgent: a withdrawal, a revoked staple, a first delivery, and one that is given again, because
    the server did not show it. A replacement is due when what it replaces is to be withdrawn.
    """
    if new is None:
        return Waiting(since=at, urgent=True, by=at if loaded is None else end_of(loaded))
    if isinstance(new.certificate_status, Revoked):
        return Waiting(since=at, urgent=True, by=at + REVOKED_WITHIN)
    if loaded is None or loaded.der == new.der:
        return Waiting(since=at, urgent=True)
    return Waiting(since=at, by=withdraw_at(loaded))


def reload_at(
    waiting: Iterable[Waiting], recent: Sequence[datetime], at: datetime, pace: Pace = USUAL_PACE
) -> datetime | None:
    """The instant of the next reload, None while nothing waits. `recent`: of those before."""
    return min((_due(one, recent, at, pace) for one in waiting), default=None)


def lately(recent: Iterable[datetime], at: datetime, pace: Pace = USUAL_PACE) -> list[datetime]:
    """Those of `recent` that still count at `at`: none that a clock set back left in the future."""
    return [instant for instant in recent if at - pace.interval < instant <= at]


def _due(one: Waiting, recent: Sequence[datetime], at: datetime, pace: Pace) -> datetime:
    since = min(one.since, at)  # the clock may have been set back meanwhile
    counted = lately(recent, at, pace)
    gather = min(pace.gather, pace.interval)
    first = since + gather
    if one.urgent:
        slot = since + min(gather * (1 << min(len(counted), 30)), pace.interval)
    else:
        last = max(counted, default=None)
        slot = first if last is None else max(first, last + pace.interval)
    return slot if one.by is None else min(slot, max(first, one.by - pace.lead))
