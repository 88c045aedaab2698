"""Reports as metrics: text exposition format 0.0.4, for a textfile collector or a scrape.

Laws: a staple that should be there and is not reads as 0, never as absent, while the server is
reached; no series stands twice, whatever a server sends; every label is bounded, and none is text
that a server chose freely, but for its own responder addresses. Prometheus, "Exposition formats".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from holdfast.formats.controls import harmless
from holdfast.formats.exposition import braced
from holdfast.formats.summary import left_of
from holdfast.ocsp.findings import WARNING, Severity
from holdfast.plan.report import LeafReport, Report, ReportVerdict, StapleReport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST = 200  # characters of a label

METRICS: dict[str, str] = {
    "holdfast_check_reachable": "1 when the server showed a certificate or an answer, else 0.",
    "holdfast_check_right": "1 when nothing is at warning or above, else 0.",
    "holdfast_check_verdict": "1 for the verdict of the check, 0 for the others.",
    "holdfast_check_timestamp_seconds": "The instant that was judged at.",
    "holdfast_check_findings": "How many findings there are, by severity.",
    "holdfast_check_finding": "1 for each code that was found.",
    "holdfast_check_addresses": "How many addresses were looked at.",
    "holdfast_check_handshakes": "Handshakes that showed a certificate, by TLS version.",
    "holdfast_check_stapled_handshakes": "Those of them that carried a staple.",
    "holdfast_check_handshake_seconds": "The quickest handshake, by TLS version.",
    "holdfast_check_certificate_info": "1, with what tells the certificate.",
    "holdfast_check_certificate_expiry_timestamp_seconds": "The certificate's notAfter.",
    "holdfast_check_must_staple": "1 when the certificate demands a staple (RFC 7633).",
    "holdfast_check_chain_complete": "1 when every intermediate was sent, else 0.",
    "holdfast_check_chain_trusted": "1 when the chain ends at a trusted root, else 0.",
    "holdfast_check_staple_present": "1 when a staple was sent for the certificate, else 0.",
    "holdfast_check_staple_good": "1 while every staple sent is valid and says good, else 0.",
    "holdfast_check_staple_this_update_timestamp_seconds": "thisUpdate of the staple.",
    "holdfast_check_staple_next_update_timestamp_seconds": "nextUpdate of the staple.",
    "holdfast_check_staple_left_seconds": "Until the valid staple ends; 0 without one.",
    "holdfast_check_staple_age_ratio": "The part of the staple's window that has passed.",
    "holdfast_check_staple_size_bytes": "Bytes of the staple.",
    "holdfast_check_responder_reachable": "1 when the responder answered HTTP, else 0.",
    "holdfast_check_responder_good": "1 when its answer is valid and says good, else 0.",
    "holdfast_check_responder_seconds": "How long the responder took.",
    "holdfast_check_crl_revoked": "1 when the CRL lists the certificate, else 0.",
    "holdfast_check_client_accepts": "1 when the client would go on, else 0.",
}
Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]


def text(reports: Sequence[Report], *, target_label: bool = True) -> str:
    """The metrics of all reports. Without `target_label` the scrape's own labels tell the target,
    as with every multi-target exporter."""
    samples: dict[str, dict[Labels, float]] = {}
    for report in reports:
        base = (("target", report.target),) if target_label else ()
        for name, labels, value in _of(report):
            samples.setdefault(name, {}).setdefault((*base, *labels), value)
    return exposition(METRICS, samples)


def exposition(
    helps: Mapping[str, str],
    samples: Mapping[str, Mapping[Labels, float]],
    *,
    kinds: Mapping[str, str] | None = None,
) -> str:
    """`samples` under their heads, in the order of `helps`; gauges, but for what `kinds` says."""

    def lines() -> Iterator[str]:
        for name, says in helps.items():
            if samples.get(name):
                yield f"# HELP {name} {says}\n# TYPE {name} {(kinds or {}).get(name, 'gauge')}\n"
                for labels, value in samples[name].items():
                    yield f"{name}{_bounded(labels)} {_number(value)}\n"

    return "".join(lines())


def _of(report: Report) -> Iterator[Sample]:
    reached = report.verdict != "unreachable"
    right = reached and not any(found.severity >= WARNING for found in report.findings)
    yield "holdfast_check_reachable", (), reached
    yield "holdfast_check_right", (), right
    for verdict in get_args(ReportVerdict):
        yield "holdfast_check_verdict", (("verdict", verdict),), verdict == report.verdict
    yield "holdfast_check_timestamp_seconds", (), report.at.timestamp()
    for severity in Severity:
        count = sum(found.severity == severity for found in report.findings)
        yield "holdfast_check_findings", (("severity", severity.text),), count
    for found in report.findings:
        labels = (("code", found.code), ("severity", found.severity.text))
        yield "holdfast_check_finding", labels, 1
    yield "holdfast_check_addresses", (), len(report.addresses)
    yield from _handshakes(report)
    for leaf in report.leaves:
        yield from _leaf(report, leaf)
    yield from _asked(report)


def _handshakes(report: Report) -> Iterator[Sample]:
    seen = [o for o in report.handshakes if o.seen]
    for version, count in sorted(Counter(o.tls for o in seen).items()):
        labels = (("tls", version),)
        of_it = [o for o in seen if o.tls == version]
        yield "holdfast_check_handshakes", labels, count
        yield "holdfast_check_stapled_handshakes", labels, sum(bool(o.staple) for o in of_it)
        quickest = min(o.milliseconds for o in of_it) / 1000
        yield "holdfast_check_handshake_seconds", labels, quickest


def _leaf(report: Report, one: LeafReport) -> Iterator[Sample]:
    leaf = one.leaf
    who = (("certificate", leaf.sha256[:16]),)
    info = (*who, ("serial", f"{leaf.serial:x}"), ("key_type", leaf.key_type))
    yield "holdfast_check_certificate_info", info, 1
    yield (
        "holdfast_check_certificate_expiry_timestamp_seconds",
        who,
        leaf.not_after.timestamp(),
    )
    yield "holdfast_check_must_staple", who, leaf.must_staple
    yield "holdfast_check_chain_complete", who, one.complete
    yield "holdfast_check_chain_trusted", who, one.trusted
    staples = [s for s in report.staples if s.position == 0 and s.leaf == leaf]
    if leaf.responder_urls or leaf.must_staple or staples:
        good = [s.valid and s.certificate_status == "good" for s in staples]
        yield "holdfast_check_staple_present", who, bool(staples)
        yield "holdfast_check_staple_good", who, bool(good) and all(good)
        yield from _staple(report, staples, who)


def _staple(report: Report, staples: Sequence[StapleReport], who: Labels) -> Iterator[Sample]:
    """Of several staples for one certificate the one that ends first: it is the first to fail."""
    left = [
        (rest.total_seconds(), s)
        for s in staples
        if s.valid and (rest := left_of(report, s)) is not None
    ]
    yield "holdfast_check_staple_left_seconds", who, max(min((r for r, _ in left), default=0), 0)
    timed = [s for s in staples if s.window is not None]
    shown = min(timed, key=lambda s: s.window.end if s.window else report.at, default=None)
    if shown is not None and shown.window is not None:
        begin, end = shown.window.begin.timestamp(), shown.window.end.timestamp()
        yield "holdfast_check_staple_this_update_timestamp_seconds", who, begin
        yield "holdfast_check_staple_next_update_timestamp_seconds", who, end
        yield "holdfast_check_staple_age_ratio", who, round(shown.window.passed(report.at), 4)
    if staples:
        yield "holdfast_check_staple_size_bytes", who, max(len(s.der) for s in staples)


def _asked(report: Report) -> Iterator[Sample]:
    for one in report.responders:
        who = (("certificate", one.leaf.sha256[:16]), ("url", one.url))
        yield "holdfast_check_responder_reachable", who, one.reachable
        yield "holdfast_check_responder_good", who, one.certificate_status == "good"
        if one.milliseconds is not None:
            yield "holdfast_check_responder_seconds", who, one.milliseconds / 1000
    if report.crl is not None and report.crl.revoked is not None:
        yield "holdfast_check_crl_revoked", (), report.crl.revoked
    for client in report.clients:
        yield "holdfast_check_client_accepts", (("client", client.client),), client.accepts


def _bounded(labels: Labels) -> str:
    return braced((name, harmless(value, MOST)) for name, value in labels)


def _number(value: float) -> str:
    """Integers as such; others with nine digits, which is a nanosecond or ten of a timestamp."""
    whole = int(value)
    return str(whole) if whole == value else f"{value:.9g}" if abs(value) < 1e6 else f"{value:.3f}"
