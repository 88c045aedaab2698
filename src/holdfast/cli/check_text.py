"""How `holdfast check` tells a report to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.cli.output import Printer, rfc3339, span, validity_bar

if TYPE_CHECKING:
    from holdfast.plan.report import LeafReport, Report, StapleReport
    from holdfast.tls.observation import Observation

_STYLES = {
    "good": "good",
    "warning": "warning",
    "bad": "fatal",
    "not-applicable": "dim",
    "unreachable": "fatal",
}
_WORDS = {
    "good": "good",
    "warning": "works, with warnings",
    "bad": "bad",
    "not-applicable": "stapling does not apply: the certificate names no OCSP responder",
    "unreachable": "not reached",
}


def tell(reports: Sequence[Report], *, to: Printer | None = None) -> None:
    """Write every report, and a line of sums when there are several."""
    printer = to or Printer.on()
    for number, report in enumerate(reports):
        if number:
            printer.line()
        _one(printer, report)
    if len(reports) > 1:
        counts = {word: sum(r.verdict == word for r in reports) for word in _WORDS}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        printer.line()
        printer.line(f"{len(reports)} targets: {told}")


def _one(printer: Printer, report: Report) -> None:
    verdict = printer.paint(_WORDS[report.verdict], _STYLES[report.verdict])
    printer.line(f"{printer.paint(report.target, 'bold')}: {verdict}")
    printer.field("  handshakes", _handshakes(report.handshakes))
    for leaf in report.leaves:
        _leaf(printer, leaf)
        for staple in report.staples:
            if staple.leaf == leaf.leaf:
                _staple(printer, staple, report)
        for responder in report.responders:
            if responder.leaf == leaf.leaf:
                said = responder.certificate_status or "no usable answer"
                took = (
                    "" if responder.milliseconds is None else f", {responder.milliseconds:.0f} ms"
                )
                printer.field("  responder", f"{responder.url} says {said}{took}")
    if report.crl is not None and report.crl.revoked is not None:
        listed = "lists the certificate as revoked" if report.crl.revoked else "does not list it"
        printer.field("  CRL", f"{report.crl.url} {listed}")
    refusing = [c for c in report.clients if not c.accepts]
    if refusing:
        printer.field("  refused by", [f"{c.client} ({c.because})" for c in refusing])
    for found in report.findings:
        printer.finding(found, indent="  ")


def _handshakes(observations: Sequence[Observation]) -> list[str]:
    """One line for each address, version and kind of key."""
    groups: dict[tuple[str, str, str], list[Observation]] = {}
    for o in observations:
        if o.seen:
            groups.setdefault((o.address, o.tls, o.key_type), []).append(o)
    lines = []
    for (address, tls, key_type), seen in groups.items():
        stapled = sum(o.staple is not None for o in seen)
        best = min(o.milliseconds for o in seen)
        lines.append(
            f"{address}  {tls}  {key_type}  {stapled} of {len(seen)} stapled, {best:.1f} ms"
        )
    return lines


def _leaf(printer: Printer, report: LeafReport) -> None:
    leaf = report.leaf
    name = leaf.names[0] if leaf.names else leaf.subject
    more = f" and {len(leaf.names) - 1} more" if len(leaf.names) > 1 else ""
    must = ", must-staple" if leaf.must_staple else ""
    printer.field(
        "  certificate",
        f"{name}{more}, {leaf.key_type}, serial {leaf.serial:x}, until {rfc3339(leaf.not_after)}"
        + must,
    )


def _staple(printer: Printer, staple: StapleReport, report: Report) -> None:
    verdict = staple.verdict
    whose = "staple" if staple.position == 0 else f"staple for #{staple.position}"
    if verdict is None:
        printer.field(f"  {whose}", f"{len(staple.der)} bytes; no issuer to judge it by")
        return
    status = staple.certificate_status
    told = printer.paint(status, status) if status is not None else "says nothing usable"
    signer = {"issuer": "the issuer", "delegate": "a delegated signer", "trusted": "a trusted one"}
    by = f", signed by {signer[verdict.signer_role]}" if verdict.signer_role else ""
    valid = "" if staple.valid else printer.paint(", not valid", "fatal")
    printer.field(f"  {whose}", f"{told}{by}{valid}")
    single = verdict.single
    if single is not None:
        bar = validity_bar(
            single.this_update, single.next_update, at=report.at, unicode=printer.unicode
        )
        printer.field("", bar)
        age = span(report.at - single.this_update)
        until = "" if single.next_update is None else f" until {rfc3339(single.next_update)}"
        printer.field("", f"from {rfc3339(single.this_update)}{until}, {age} old")
