"""When a held staple is refreshed, retried for, alarmed about and withdrawn: pure arithmetic.

Laws: a staple is held until `withdraw_at`, never longer (K4); without nextUpdate it has a policy's
lifetime, never for ever (K6); jitter and back-off are computed from the CertID, not rolled, so that
the same history gives the same instants (K5, K8). Judging somebody else's staple is `verify`'s, and
more lenient.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from holdfast.ocsp.staple import Staple
from holdfast.ocsp.window import Window

ALARM_POINTS = (0.66, 0.80, 0.90)  # K19: of the window
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The policy of holding staples. Fractions are of the staple's window.

    `refresh_at` and `jitter`: the first refresh falls between `refresh_at` and
    `refresh_at + jitter`, the spread being at most `jitter_cap`. `default_lifetime` stands in for
    an absent nextUpdate. `margin` and `margin_fraction`: how long before its end a staple is
    withdrawn, whichever is less. `poll`: how long to wait after an answer that was no newer.
    `retry_base` and `retry_cap` bound the back-off; `retry_after_cap` what a responder may ask for.
    """

    refresh_at: float = 0.5
    jitter: float = 0.1
    jitter_cap: timedelta = timedelta(days=1)
    default_lifetime: timedelta = timedelta(hours=12)
    margin: timedelta = timedelta(seconds=60)
    margin_fraction: float = 0.05
    poll: float = 0.05
    poll_cap: timedelta = timedelta(hours=6)
    retry_base: timedelta = timedelta(seconds=10)
    retry_cap: timedelta = timedelta(hours=1)
    retry_after_cap: timedelta = timedelta(days=1)


USUAL = Freshness()


def window_of(staple: Staple, freshness: Freshness = USUAL) -> Window:
    """From thisUpdate to the earliest of nextUpdate (or the default lifetime), the signer's,
    the issuer's and the leaf's end. A nextUpdate after a notAfter is capped, not refused (K4)."""
    return _times(staple, freshness)[2]


Times = tuple[Staple, Freshness, Window, datetime]


class _Latest:
    """The times asked for last, of two staples: a plan asks a dozen times for those of the one that
    is held and the one that a server has, then goes on to the next certificate."""

    asked: Times | None = None
    before: Times | None = None


def _times(staple: Staple, freshness: Freshness) -> Times:
    latest, before = _Latest.asked, _Latest.before
    if latest is not None and latest[0] is staple and latest[1] is freshness:
        return latest
    if before is not None and before[0] is staple and before[1] is freshness:
        return before
    window = _window(staple, freshness)
    margin = min(freshness.margin, window.length * freshness.margin_fraction)
    made = (staple, freshness, window, window.end - margin)
    _Latest.before, _Latest.asked = latest, made
    return made


def _window(staple: Staple, freshness: Freshness) -> Window:
    end = staple.next_update or staple.this_update + freshness.default_lifetime
    leaf = staple.subject.leaf
    ends = [staple.signer.not_after, staple.subject.issuer.not_after]
    ends += [leaf.not_after] if leaf is not None else []
    return Window(staple.this_update, max(end, staple.this_update)).capped(*ends)


def end_of(staple: Staple, freshness: Freshness = USUAL) -> datetime:
    """The instant from which nobody should accept `staple`."""
    return window_of(staple, freshness).end


def withdraw_at(staple: Staple, freshness: Freshness = USUAL) -> datetime:
    """The instant from which `staple` is not sent: a little before its end (K4)."""
    return _times(staple, freshness)[3]


def refresh_at(
    staple: Staple,
    freshness: Freshness = USUAL,
    *,
    early: timedelta = timedelta(0),
    key: str = "",
) -> datetime:
    """The instant of the first refresh: half the window, and the CertID's own jitter (K5).

    `early`: how long before its end a server stops sending it by itself; then it is half of what
    comes before. `key`: the CertID's, where it is known already.
    """
    window = window_of(staple, freshness)
    if window.length > early:
        window = window.capped(window.end - early)
    spread = min(window.length * freshness.jitter, freshness.jitter_cap)
    point = window.point(freshness.refresh_at) + spread * fraction(key or staple.certid.key)
    return min(point, withdraw_at(staple, freshness))


def alarm_at(staple: Staple, rung: int, freshness: Freshness = USUAL) -> datetime:
    """The instant of the alarm `rung`, an index into `ALARM_POINTS`."""
    return window_of(staple, freshness).point(ALARM_POINTS[rung])


def poll_after(staple: Staple, at: datetime, freshness: Freshness = USUAL) -> timedelta:
    """How long to wait after an answer at `at` that left `staple` in need of a refresh.

    A responder may sign again as late as eight hours before nextUpdate (R29), so this is not a
    failure; a twentieth of the window, less as the end comes near, never below a second.
    """
    wait = min(window_of(staple, freshness).length * freshness.poll, freshness.poll_cap)
    return max(min(wait, _urgent(staple, at, freshness, wait)), SECOND)


def backoff(
    key: str,
    failures: int,
    *,
    at: datetime,
    staple: Staple | None = None,
    retry_after: float | None = None,
    freshness: Freshness = USUAL,
) -> timedelta:
    """How long to wait after failure number `failures` (1 is the first) in a row (K8).

    Doubles from `retry_base` to `retry_cap`, give or take a quarter by `key`; shorter as the end of
    the `staple` that is held comes near, so that the tries become more frequent, not fewer. A
    `retry_after` (seconds) is honoured, but never past half of what is left of the staple.
    """
    base = freshness.retry_base
    if staple is not None:
        base = min(base, window_of(staple, freshness).length * freshness.poll)
    base = max(base, SECOND)
    doubled = min(base * 2.0 ** min(max(failures, 1) - 1, 30), freshness.retry_cap)
    wait = doubled * (0.75 + 0.5 * fraction(f"{key}/{failures}"))
    if staple is not None:
        wait = max(min(wait, _urgent(staple, at, freshness, wait)), base * 0.75)
    if retry_after is not None and retry_after > 0:
        asked = timedelta(seconds=min(retry_after, freshness.retry_after_cap.total_seconds()))
        left = timedelta(0) if staple is None else withdraw_at(staple, freshness) - at
        if left > timedelta(0):
            asked = min(asked, max(left / 2, wait))
        wait = max(wait, asked)
    return wait


def fraction(text: str) -> float:
    """A number from 0 up to 1, the same for the same `text` and as good as random over many."""
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / 2**48


def _urgent(staple: Staple, at: datetime, freshness: Freshness, wait: timedelta) -> timedelta:
    """A quarter of what is left of `staple`; `wait` once nothing is left."""
    left = withdraw_at(staple, freshness) - at
    return left / 4 if left > timedelta(0) else wait
