"""What a responder counts and holds, for Prometheus: text exposition format 0.0.4. R36.

Laws: counters are sums over all workers there are and were, so that they never go back; what a CA
lacks reads 0 and is not left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.formats.exposition import braced
from holdfast.services.responder_audit import FAILURES, SIGNATURES
from holdfast.services.responder_tally import ANSWERED
from holdfast.version import __version__

# name: (type, what it says); the order is the order of the text
METRICS: dict[str, tuple[str, str]] = {
    "holdfast_responder_build_info": ("gauge", "1, with the version."),
    "holdfast_responder_started_timestamp_seconds": ("gauge", "When the workers' master began."),
    "holdfast_responder_workers": ("gauge", "Worker processes that answer."),
    "holdfast_responder_connections": ("gauge", "Open connections."),
    "holdfast_responder_requests_total": ("counter", "OCSP requests by HTTP method."),
    "holdfast_responder_answers_total": (
        "counter",
        "Answers: certificates by certificate_status, errors by response_status.",
    ),
    "holdfast_responder_live_total": (
        "counter",
        "OCSP requests that were answered or refused when asked, not from a store.",
    ),
    "holdfast_responder_not_modified_total": ("counter", "Answered 304: the client has it."),
    "holdfast_responder_refused_total": ("counter", "HTTP requests that are not OCSP's."),
    "holdfast_responder_signatures_total": ("counter", "Signatures made when asked."),
    "holdfast_responder_audit_failures_total": ("counter", "Audit lines that were not kept."),
    "holdfast_responder_bugs_total": ("counter", "Exceptions that should not have been."),
    "holdfast_responder_healthy": ("gauge", "1 while the CA signs and its ledger is read."),
    "holdfast_responder_signer_expiry_timestamp_seconds": (
        "gauge",
        "notAfter of each signer's certificate.",
    ),
    "holdfast_responder_store_answers": ("gauge", "Answers that lie in the store."),
    "holdfast_responder_store_compared_timestamp_seconds": (
        "gauge",
        "When the store was last as the ledger; 0 if it never was.",
    ),
    "holdfast_responder_disagreements": (
        "gauge",
        "Certificates on which ledger, store and CRL disagree.",
    ),
}

PLAIN = {
    "holdfast_responder_live_total": "live",
    "holdfast_responder_not_modified_total": "not_modified",
    "holdfast_responder_refused_total": "refused",
    "holdfast_responder_signatures_total": SIGNATURES,
    "holdfast_responder_audit_failures_total": FAILURES,
    "holdfast_responder_bugs_total": "bugs",
    "holdfast_responder_disagreements": "disagreements",
    "holdfast_responder_connections": "connections",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The store of one CA: how many answers, and when it was last as the ledger."""

    answers: int
    compared: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one CA. `ends`: (signer's serial in hex, its notAfter)."""

    name: str
    healthy: bool
    ends: Sequence[tuple[str, datetime]] = ()
    stored: Stored | None = None


def metrics_text(
    total: Mapping[str, int], facts: Iterable[Facts], *, workers: int, started_at: datetime
) -> str:
    """All of it."""
    rows = dict.fromkeys(METRICS, "")
    for name, value in (*_of_process(total, workers, started_at), *_of_cas(facts)):
        bare = name.partition("{")[0]
        rows[bare] += f"{name} {value}\n"
    return "".join(
        f"# HELP {name} {says}\n# TYPE {name} {kind}\n{rows[name]}"
        for name, (kind, says) in METRICS.items()
    )


def _of_process(
    total: Mapping[str, int], workers: int, started_at: datetime
) -> Iterator[tuple[str, int]]:
    yield _named("holdfast_responder_build_info", version=__version__), 1
    yield "holdfast_responder_started_timestamp_seconds", int(started_at.timestamp())
    yield "holdfast_responder_workers", workers
    for method in ("get", "post"):
        yield _named("holdfast_responder_requests_total", method=method), total.get(method, 0)
    for said in ANSWERED:
        yield _named("holdfast_responder_answers_total", answer=said), total.get(said, 0)
    for name, counter in PLAIN.items():
        yield name, total.get(counter, 0)


def _of_cas(facts: Iterable[Facts]) -> Iterator[tuple[str, int]]:
    for one in facts:
        yield _named("holdfast_responder_healthy", ca=one.name), int(one.healthy)
        for serial, end in one.ends:
            name = "holdfast_responder_signer_expiry_timestamp_seconds"
            yield _named(name, ca=one.name, signer=serial), int(end.timestamp())
        if one.stored is not None:
            name = "holdfast_responder_store_answers"
            yield _named(name, ca=one.name), one.stored.answers
            name = "holdfast_responder_store_compared_timestamp_seconds"
            yield _named(name, ca=one.name), one.stored.compared or 0


def _named(name: str, **labels: str) -> str:
    return name + braced(labels.items())
