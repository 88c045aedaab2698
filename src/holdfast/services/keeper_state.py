"""What the keeper holds and what comes next, as one document: `holdfast.status/1` (K22).

Law: a certificate without a current staple never reads as good, whatever was held before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from holdfast.ocsp import freshness
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.alarms import RUNGS, alarm_instants
from holdfast.plan.entry import STORE, Entry, Failure, Holder, Rules
from holdfast.plan.keeping import fetch_due, kept, wanted
from holdfast.services.keeper import Keeper

SCHEMA = "holdfast.status/1"
STATES = ("missing", "expired", "revoked", "leaving", "good", "not-applicable")  # worst first


def status_document(
    keeper: Keeper, at: datetime, *, entries: Iterable[Entry] | None = None
) -> dict[str, Any]:
    """The inventory at `at`, or those `entries` of it; times are RFC 3339 text."""
    everything = keeper.entries
    rows = sorted(everything if entries is None else entries, key=lambda entry: entry.name)
    next_due = min(
        ((due, e.name) for e in everything if (due := fetch_due(e, at, keeper.rules))),
        default=None,
    )
    counts = Counter(state(entry, at, keeper.rules) for entry in everything)
    return {
        "schema": SCHEMA,
        "at": instant(at),
        "started_at": instant(keeper.started_at),
        "counts": {name: counts[name] for name in STATES},
        "next": None if next_due is None else {"at": instant(next_due[0]), "name": next_due[1]},
        "certificates": [certificate_row(entry, at, keeper) for entry in rows],
    }


def certificate_row(entry: Entry, at: datetime, keeper: Keeper) -> dict[str, Any]:
    """One certificate of the document."""
    rules, staple, leaf = keeper.rules, entry.staple, entry.subject.leaf
    row: dict[str, Any] = {
        "name": entry.name,
        "state": state(entry, at, rules),
        "key": entry.key,
        "serial": f"{entry.subject.serial:x}",
        "issuer": entry.subject.issuer.subject,
        "names": [] if leaf is None else list(leaf.names),
        "must_staple": leaf is not None and leaf.must_staple,
        "not_after": None if leaf is None else instant(leaf.not_after),
        "responder_urls": list(entry.subject.responder_urls),
        "need": entry.need.value,
        "staple": None,
        "settled": keeper.is_settled(entry),
        "refresh_at": instant(fetch_due(entry, at, rules)),
        "fetching": entry.fetching,
        "answered_at": instant(entry.answered_at),
        "failures": entry.failures,
        "unchanged": entry.unchanged,
        "last_failure": failure(entry.last_failure),
        "alerts": sorted(entry.told),
        "upcoming": upcoming(entry, at, rules),
        "servers": [holder_row(entry, h, keeper) for h in entry.holders if h.name != STORE],
        "stored": any(
            h.name == STORE and staple is not None and h.has(staple) for h in entry.holders
        ),
    }
    if staple is not None:
        window = freshness.window_of(staple, rules.freshness)
        ends = freshness.withdraw_at(staple, rules.freshness)
        row["staple"] = {
            "certificate_status": staple.certificate_status.text,
            "this_update": instant(staple.this_update),
            "next_update": instant(staple.next_update),
            "produced_at": instant(staple.produced_at),
            "ends_at": instant(window.end),
            "withdraw_at": instant(ends),
            "seconds_left": max(0, int((ends - at).total_seconds())),
            "age_percent": round(100 * max(0.0, window.passed(at)), 1),
            "sent": wanted(entry, at, rules) is staple,
            "bytes": len(staple.der),
        }
    return row


def state(entry: Entry, at: datetime, rules: Rules) -> str:
    """One word: good, revoked, expired, missing, not-applicable, leaving."""
    if entry.retired:
        return "leaving"
    if kept(entry, at, rules) is not None:
        assert entry.staple is not None
        return "revoked" if isinstance(entry.staple.certificate_status, Revoked) else "good"
    if not entry.applicable:
        return "not-applicable"
    return "missing" if entry.staple is None else "expired"


def upcoming(entry: Entry, at: datetime, rules: Rules) -> list[dict[str, Any]]:
    """What happens next to `entry`, and when: each {"at", "do", "about"}, the soonest first.

    "do": fetch, refresh, retry, ask-again (the last answer was no newer), deliver, withdraw, alarm.
    """
    found = [(max(due, at), do, about) for due, do, about in _coming(entry, at, rules)]
    return [{"at": instant(due), "do": do, "about": about} for due, do, about in sorted(found)]


def _coming(entry: Entry, at: datetime, rules: Rules) -> Iterator[tuple[datetime, str, str]]:
    staple = kept(entry, at, rules)
    due = fetch_due(entry, at, rules)
    if due is not None or entry.fetching:
        if entry.failures:
            do = "retry"
        elif staple is None:
            do = "fetch"
        else:
            do = "ask-again" if entry.unchanged else "refresh"
        yield due or at, do, ""
    for holder in entry.holders:
        name = holder.name or "store"
        if holder.failing == "deliver" and staple is not None and holder.next_deliver is not None:
            yield holder.next_deliver, "deliver", name
        if holder.failing == "withdraw" and holder.next_withdraw is not None:
            yield holder.next_withdraw, "withdraw", name
    if staple is not None:
        yield freshness.withdraw_at(staple, rules.freshness), "withdraw", ""
        rungs = zip(alarm_instants(entry, rules), RUNGS, strict=False)
        if alarm := next((rung for rung in rungs if rung[0] > at), None):
            yield alarm[0], "alarm", alarm[1]


def holder_row(entry: Entry, holder: Holder, keeper: Keeper) -> dict[str, Any]:
    """One server. `proved`: a handshake has shown the staple; None where none is asked for."""
    delivered = entry.staple is not None and holder.has(entry.staple)
    return {
        "name": holder.name,
        "delivered": delivered,
        "proved": delivered if keeper.proves(holder.name) else None,
        "delivered_at": instant(holder.given_at),
        "failures": holder.failures,
        "last_failure": failure(holder.last_failure),
    }


def failure(known: Failure | None) -> dict[str, str] | None:
    if known is None:
        return None
    return {"kind": known.kind, "message": known.message, "hint": known.hint}


def instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
