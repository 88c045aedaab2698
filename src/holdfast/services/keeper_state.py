"""What the keeper holds, as one document: `holdfast.status/1`, and as Prometheus text (K22).

Law: a certificate without a current staple never reads as good, whatever was held before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from holdfast.ocsp import freshness
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.entry import STORE, Entry, Failure, Holder, Rules
from holdfast.plan.keeping import fetch_due, kept, wanted
from holdfast.services.keeper import Keeper

SCHEMA = "holdfast.status/1"


def status_document(keeper: Keeper, at: datetime) -> dict[str, Any]:
    """The whole inventory at `at`; times are RFC 3339 text."""
    rows = sorted(keeper.entries, key=lambda entry: entry.name)
    dues = [(due, entry.name) for entry in rows if (due := fetch_due(entry, at, keeper.rules))]
    next_due = min(dues, default=None)
    return {
        "schema": SCHEMA,
        "at": instant(at),
        "started_at": instant(keeper.started_at),
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
        "servers": [holder_row(entry, h) for h in entry.holders if h.name != STORE],
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


def holder_row(entry: Entry, holder: Holder) -> dict[str, Any]:
    return {
        "name": holder.name,
        "delivered": entry.staple is not None and holder.has(entry.staple),
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


# -- Prometheus text exposition format 0.0.4 -----------------------------------------------------

_STATES = ("good", "revoked", "expired", "missing", "not-applicable", "leaving")


def metrics_text(keeper: Keeper, at: datetime) -> str:
    """The same for Prometheus."""
    return "".join(f"{line}\n" for line in _lines(keeper, at))


def _lines(keeper: Keeper, at: datetime) -> Iterator[str]:
    rows = [certificate_row(entry, at, keeper) for entry in keeper.entries]
    yield from _head("holdfast_certificates", "gauge", "Certificates that are kept, by state.")
    for name in _STATES:
        count = sum(row["state"] == name for row in rows)
        yield _sample("holdfast_certificates", {"state": name}, count)
    yield from _head(
        "holdfast_staple_seconds_left",
        "gauge",
        "Until the staple is withdrawn; 0 when there is none.",
    )
    for row in rows:
        if row["state"] not in ("not-applicable", "leaving"):
            left = row["staple"]["seconds_left"] if row["staple"] else 0
            yield _sample("holdfast_staple_seconds_left", _labels(row), left)
    yield from _head("holdfast_staple_good", "gauge", "1 while a current staple says good.")
    for row in rows:
        if row["state"] not in ("not-applicable", "leaving"):
            yield _sample("holdfast_staple_good", _labels(row), int(row["state"] == "good"))
    yield from _head("holdfast_answered_timestamp_seconds", "gauge", "The last proved answer.")
    for entry in keeper.entries:
        if entry.answered_at is not None:
            labels = {"name": entry.name, "serial": f"{entry.subject.serial:x}"}
            at_second = int(entry.answered_at.timestamp())
            yield _sample("holdfast_answered_timestamp_seconds", labels, at_second)
    yield from _head("holdfast_failures_in_a_row", "gauge", "Failed fetches since the last answer.")
    for row in rows:
        yield _sample("holdfast_failures_in_a_row", _labels(row), row["failures"])
    yield from _counters(keeper)


def _counters(keeper: Keeper) -> Iterator[str]:
    tally = keeper.tally
    yield from _head("holdfast_fetches_total", "counter", "Fetches by outcome.")
    for outcome, count in sorted(tally.fetches.items()):
        yield _sample("holdfast_fetches_total", {"outcome": outcome}, count)


    for metric, counts, what in (
        ("holdfast_deliveries_total", tally.deliveries, "Deliveries by server and outcome."),
        ("holdfast_withdrawals_total", tally.withdrawals, "Withdrawals by server and outcome."),
    ):
        yield from _head(metric, "counter", what)
        for (holder, done), count in sorted(counts.items()):
            yield _sample(metric, {"server": holder or "store", "outcome": done}, count)
    yield from _head("holdfast_alerts_total", "counter", "Alerts by code.")
    for code, count in sorted(tally.alerts.items()):
        yield _sample("holdfast_alerts_total", {"code": code}, count)
    yield from _head("holdfast_bugs_total", "counter", "Exceptions that should not have been.")
    yield f"holdfast_bugs_total {tally.bugs}"


def _labels(row: dict[str, Any]) -> dict[str, str]:
    return {"name": row["name"], "serial": row["serial"]}


def _head(name: str, kind: str, says: str) -> Iterator[str]:
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: dict[str, str], value: int | float) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

    inside = ",".join(f'{key}="{quoted(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}"
