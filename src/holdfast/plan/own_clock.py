"""Is our own clock right? By what responders say the time is (K23).

Laws: pure; one responder is one witness, whatever it answers; it takes most of the witnesses to
call our clock wrong, so that one whose own is wrong is only that; an answer out of a cache is as
old as its Age says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from holdfast.errors import Rejected
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.ocsp.window import SKEW

OFF = timedelta(minutes=5)  # what clients forgive: nextUpdate and thisUpdate are read that loosely
WITNESSES = 64  # of the latest responders
MAX_AGE = timedelta(days=1)


def sighted(date: datetime, age: str | None, at: datetime) -> timedelta:
    """How far a responder's clock is before ours, by its Date (and Age) received at `at`."""
    digits = (age or "").strip()[:10]
    old = timedelta(seconds=int(digits)) if digits.isascii() and digits.isdecimal() else None
    return date + min(old or timedelta(0), MAX_AGE) - at


def clock_off(witnesses: Mapping[str, timedelta]) -> timedelta | None:
    """How far our clock is behind (less than nothing: ahead), None while that is forgiven."""
    ordered = sorted(witnesses.values(), key=abs)
    if not ordered:
        return None
    middle = ordered[(len(ordered) - 1) // 2]  # more than half are as far off, or further
    return middle if abs(middle) > OFF else None


def proved_once(response: Response, subject: Subject, *, at: datetime, policy: Policy) -> Staple:
    """`response`, which was current when we took it, proved at `at`, or, if it was signed after
    that, at its own time: our clock is behind, and nobody shall lose what is good."""
    try:
        return verify(response, subject, at=at, policy=policy)
    except Rejected as error:
        single = error.verdict.single
        if single is None or response.basic is None or single.this_update <= at + SKEW:
            raise
    signed_at = max(single.this_update, response.basic.produced_at)
    return verify(response, subject, at=signed_at, policy=policy)


def clock_text(off: timedelta) -> str:
    """For people."""
    minutes = abs(off).total_seconds() / 60
    far = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
    return f"this machine's clock is {far} {'behind' if off > timedelta(0) else 'ahead'}"
