"""What the keeper holds and counts, for Prometheus: text exposition format 0.0.4 (K22).

Law: a certificate without a current staple never reads as good: `holdfast_staple_good` is 0 and
`holdfast_staple_seconds_left` is 0, never absent, while a staple should be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from holdfast.formats.exposition import labelled
from holdfast.ocsp import freshness
from holdfast.plan.entry import STORE, Entry, Rules
from holdfast.plan.keeping import fetch_due
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_state import STATES, state
from holdfast.services.tally import LATENCIES, Tally
from holdfast.version import __version__

# name: (type, what it says); the order is the order of the text
METRICS: dict[str, tuple[str, str]] = {
    "holdfast_build_info": ("gauge", "1, with the version."),
    "holdfast_started_timestamp_seconds": ("gauge", "When the keeper began."),
    "holdfast_certificates": ("gauge", "Certificates that are kept, by state."),
    "holdfast_staple_good": ("gauge", "1 while a current staple says good, else 0."),
    "holdfast_staple_seconds_left": ("gauge", "Until the staple is withdrawn; 0 without one."),
    "holdfast_staple_window_seconds": ("gauge", "From the staple's thisUpdate to its end."),
    "holdfast_must_staple": ("gauge", "1 when the certificate asks for a staple (RFC 7633)."),
    "holdfast_certificate_expiry_timestamp_seconds": ("gauge", "The certificate's notAfter."),
    "holdfast_answered_timestamp_seconds": ("gauge", "The last proved answer."),
    "holdfast_next_fetch_timestamp_seconds": ("gauge", "When the responder is asked next."),
    "holdfast_failures_in_a_row": ("gauge", "Failed fetches since the last answer."),
    "holdfast_delivered": ("gauge", "1 while the server has the staple that is held, else 0."),
    "holdfast_alarm": ("gauge", "1 for each alarm that stands."),
    "holdfast_fetches_total": ("counter", "Fetches by outcome."),
    "holdfast_fetch_failures_total": ("counter", "Fetches that failed, by kind of failure."),
    "holdfast_fetch_seconds": ("histogram", "Time to an answer or a failure, by responder."),
    "holdfast_deliveries_total": ("counter", "Deliveries by server and outcome."),
    "holdfast_proofs_total": ("counter", "Proofs by handshake, by server and outcome."),
    "holdfast_withdrawals_total": ("counter", "Withdrawals by server and outcome."),
    "holdfast_alerts_total": ("counter", "Alerts raised, by code."),
    "holdfast_bugs_total": ("counter", "Exceptions that should not have been."),
}
Samples = dict[str, list[str]]


def metrics_text(keeper: Keeper, at: datetime) -> str:
    """All of it."""
    samples = inventory_samples(keeper.entries, at, keeper.rules)
    return text_of(samples | tally_samples(keeper))


def text_of(samples: Samples) -> str:
    """`samples` under their heads, in the table's order."""

    def lines() -> Iterator[str]:
        for name, (kind, says) in METRICS.items():
            yield f"# HELP {name} {says}\n# TYPE {name} {kind}\n"
            yield "".join(samples.get(name, ()))

    return "".join(lines())


def inventory_samples(entries: Iterable[Entry], at: datetime, rules: Rules) -> Samples:
    """What is told of each certificate; touches nothing else, so that a thread may do it."""
    samples: Samples = {name: [] for name in METRICS}
    counts = dict.fromkeys(STATES, 0)
    for entry in entries:
        now = state(entry, at, rules)
        counts[now] += 1
        for name, labels, value in _of_entry(entry, now, at, rules):
            samples[name].append(_sample(name, labels, value))
    name = "holdfast_certificates"
    samples[name] = [_sample(name, _labels(state=s), counts[s]) for s in STATES]
    return samples


def _of_entry(
    entry: Entry, now: str, at: datetime, rules: Rules
) -> Iterator[tuple[str, str, int | float]]:
    who = _labels(name=entry.name, serial=f"{entry.subject.serial:x}")
    leaf, staple = entry.subject.leaf, entry.staple
    if now not in ("not-applicable", "leaving"):
        left = 0
        if staple is not None:
            withdrawn = freshness.withdraw_at(staple, rules.freshness)
            left = max(0, int((withdrawn - at).total_seconds()))
            length = freshness.window_of(staple, rules.freshness).length
            yield "holdfast_staple_window_seconds", who, int(length.total_seconds())
        yield "holdfast_staple_seconds_left", who, left
        yield "holdfast_staple_good", who, int(now == "good")
        for holder in entry.holders:
            if holder.name != STORE:
                has = staple is not None and now in ("good", "revoked") and holder.has(staple)
                yield "holdfast_delivered", f"{who},{_labels(server=holder.name)}", int(has)
    if leaf is not None:
        yield "holdfast_must_staple", who, int(leaf.must_staple)
        expiry = int(leaf.not_after.timestamp())
        yield "holdfast_certificate_expiry_timestamp_seconds", who, expiry
    if entry.answered_at is not None:
        yield "holdfast_answered_timestamp_seconds", who, int(entry.answered_at.timestamp())
    due = fetch_due(entry, at, rules)
    if due is not None:
        yield "holdfast_next_fetch_timestamp_seconds", who, int(due.timestamp())
    yield "holdfast_failures_in_a_row", who, entry.failures
    for told in sorted(entry.told):
        code, _, about = told.partition(":")
        yield "holdfast_alarm", f"{who},{_labels(code=code, server=about)}", 1


def tally_samples(keeper: Keeper) -> Samples:
    """What has been counted since the keeper began."""
    tally = keeper.tally
    samples: Samples = {"holdfast_build_info": []}

    def put(name: str, labels: str, value: int | float) -> None:
        samples.setdefault(name, []).append(_sample(name, labels, value))

    put("holdfast_build_info", _labels(version=__version__), 1)
    if keeper.started_at is not None:
        put("holdfast_started_timestamp_seconds", "", int(keeper.started_at.timestamp()))
    for outcome, count in sorted(tally.fetches.items()):
        put("holdfast_fetches_total", _labels(outcome=outcome), count)
    for kind, count in sorted(tally.failures.items()):
        put("holdfast_fetch_failures_total", _labels(kind=kind), count)
    samples["holdfast_fetch_seconds"] = [*_histogram(tally)]
    for name, counts in (
        ("holdfast_deliveries_total", tally.deliveries),
        ("holdfast_proofs_total", tally.proofs),
        ("holdfast_withdrawals_total", tally.withdrawals),
    ):
        for (holder, done), count in sorted(_both_outcomes(counts).items()):
            put(name, _labels(server=holder or "store", outcome=done), count)
    for code, count in sorted(tally.alerts.items()):
        put("holdfast_alerts_total", _labels(code=code), count)
    put("holdfast_bugs_total", "", tally.bugs)
    return samples


def _both_outcomes(counts: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """With 0 for what has not happened yet: a rate needs a first value."""
    holders = {holder for holder, _ in counts}
    nothing = {(holder, done): 0 for holder in holders for done in ("done", "failed")}
    return nothing | dict(counts)


def _histogram(tally: Tally) -> Iterator[str]:
    name = "holdfast_fetch_seconds"
    for responder, latency in sorted(tally.latencies.items()):
        who, total = _labels(responder=responder), 0
        for end, count in zip((*LATENCIES, "+Inf"), latency.counts, strict=True):
            total += count
            yield _sample(f"{name}_bucket", f"{who},{_labels(le=str(end))}", total)
        yield _sample(f"{name}_sum", who, round(latency.seconds, 6))
        yield _sample(f"{name}_count", who, total)


def _labels(**labels: str) -> str:
    return labelled(labels.items())


def _sample(name: str, labels: str, value: int | float) -> str:
    return f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n"
