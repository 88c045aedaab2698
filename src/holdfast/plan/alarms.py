"""What the keeper tells people, and when: the alarm ladder and the states that need a person.

Laws: a healthy cycle raises nothing (K19); each alert is raised once until what it is about has
changed; "no staple" is never told as good (K22).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from holdfast.ocsp import freshness
from holdfast.ocsp.findings import Severity
from holdfast.ocsp.statuses import Revoked
from holdfast.ocsp.window import duration_text
from holdfast.plan.entry import Alert, Entry, Need, Rules

NOTE, WARNING, FAULT, FATAL = Severity.NOTE, Severity.WARNING, Severity.FAULT, Severity.FATAL

# K19: severity by need, for each rung of the ladder; None is silence.
_LADDER: dict[Need, tuple[Severity | None, Severity | None, Severity | None]] = {
    Need.LENIENT: (None, NOTE, WARNING),
    Need.STRICT: (NOTE, WARNING, FAULT),
    Need.MUST: (WARNING, FAULT, FATAL),
}
_WITHOUT: dict[Need, Severity] = {Need.LENIENT: NOTE, Need.STRICT: WARNING, Need.MUST: FATAL}

RUNGS = tuple(f"expiring-{point * 100:.0f}" for point in freshness.ALARM_POINTS)
LAST_RUNG = len(RUNGS) - 1
ABOUT_THE_STAPLE = frozenset({*RUNGS, "no-staple", "expired", "revoked", "unknown"})
SAID_OFTEN = 3  # answers in a row that were no newer, before the last rung tells of them


def alarms(entry: Entry, at: datetime, rules: Rules) -> list[Alert]:
    """The alerts about `entry` that are due at `at` and not yet told."""
    if entry.retired:
        return []
    found = [*_about_the_certificate(entry, at)]
    if entry.applicable:
        found += [*_about_the_staple(entry, at, rules), *_about_holders(entry)]
    return [alert for alert in found if alert.told not in entry.told]


def alarm_instants(entry: Entry, rules: Rules) -> list[datetime]:
    """When a rung of the ladder may come due by the mere passing of time."""
    if entry.staple is None or entry.retired or not (entry.failures or entry.unchanged):
        return []
    return [freshness.alarm_at(entry.staple, rung, rules.freshness) for rung in range(len(RUNGS))]


def _about_the_certificate(entry: Entry, at: datetime) -> Iterator[Alert]:
    leaf = entry.subject.leaf
    if leaf is not None and at >= leaf.not_after:
        yield Alert(
            entry.key,
            "certificate-expired",
            WARNING,
            f"{entry.name}: the certificate ended at {_text(leaf.not_after)}; nothing is fetched",
        )
    elif not entry.applicable:
        # K17: the normal state of most public certificates of 2026
        if leaf is not None and leaf.must_staple:
            yield Alert(
                entry.key,
                "must-staple-without-responder",
                FAULT,
                f"{entry.name}: must-staple, but it names no OCSP responder: "
                "clients that enforce it will refuse it",
            )
        else:
            yield Alert(
                entry.key,
                "not-applicable",
                NOTE,
                f"{entry.name}: names no OCSP responder; stapling does not apply",
            )


def _about_the_staple(entry: Entry, at: datetime, rules: Rules) -> Iterator[Alert]:
    staple, failure = entry.staple, entry.last_failure
    because = "" if failure is None else f": {failure.message}"
    if failure is not None and failure.kind == "unknown":
        yield Alert(entry.key, "unknown", FAULT, f"{entry.name}{because}")
    if staple is None:
        if entry.failures:
            yield Alert(
                entry.key, "no-staple", _WITHOUT[entry.need], f"{entry.name}: no staple{because}"
            )
        return
    if isinstance(staple.certificate_status, Revoked):
        since = _text(staple.certificate_status.at)
        yield Alert(entry.key, "revoked", FAULT, f"{entry.name}: revoked since {since}")
    if at >= freshness.withdraw_at(staple, rules.freshness):
        yield Alert(
            entry.key,
            "expired",
            max(WARNING, _WITHOUT[entry.need]),
            f"{entry.name}: the last staple has ended and is withdrawn{because}",
        )
        return
    yield from _rung(entry, at, rules, because)


def _rung(entry: Entry, at: datetime, rules: Rules, because: str) -> Iterator[Alert]:
    """The highest rung that has been reached, if a refresh has failed."""
    assert entry.staple is not None
    window = freshness.window_of(entry.staple, rules.freshness)
    passed = window.passed(at)
    reached = [n for n, point in enumerate(freshness.ALARM_POINTS) if passed >= point]
    if not reached:
        return
    rung = reached[-1]
    # A responder may sign again late (R29): answers that are no newer count only at the last rung.
    late = rung == LAST_RUNG and entry.unchanged >= SAID_OFTEN
    severity = _LADDER[entry.need][rung]
    if severity is None or not (entry.failures or late):
        return
    left = duration_text(max(window.end - at, timedelta(0)))
    tried = (
        f"{entry.failures} refreshes have failed"
        if entry.failures
        else "the responder has no newer"
    )
    yield Alert(
        entry.key,
        RUNGS[rung],
        severity,
        f"{entry.name}: {passed:.0%} of the staple's window has passed, {left} left, "
        f"and {tried}{because}",
    )


def _about_holders(entry: Entry) -> Iterator[Alert]:
    for holder in entry.holders:
        if holder.last_failure is None:
            continue
        name = holder.name or "store"
        doing = "withdraw from" if holder.failing == "withdraw" else "deliver to"
        yield Alert(
            entry.key,
            "save-failed" if not holder.name else f"{holder.failing}-failed",
            FAULT if holder.name else WARNING,
            f"{entry.name}: could not {doing if holder.name else 'write'} {name}: "
            f"{holder.last_failure.message}",
            about=name,
        )


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
