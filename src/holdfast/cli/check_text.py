"""How `holdfast check` tells its reports to a person.

Laws: colour says how bad a thing is and nothing else; of one target all is told, of several what is
right takes a line each, so that what hurts is seen; findings stand by what hurts, a hint each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.cli.output import Printer, rfc3339, span, validity_bar
from holdfast.formats.summary import VERDICTS, by_hurt, in_words, refused_by, sentence
from holdfast.ocsp.findings import WARNING

if TYPE_CHECKING:
    from holdfast.ocsp.findings import Finding
    from holdfast.plan.cure import Cure
    from holdfast.plan.report import LeafReport, Report, StapleReport
    from holdfast.tls.observation import Observation

_STYLES = {
    "good": "good",
    "warning": "warning",
    "bad": "fatal",
    "not-applicable": "dim",
    "unreachable": "fatal",
}
_MARKS = {"good": "✓", "warning": "!", "bad": "✗", "not-applicable": "·", "unreachable": "?"}
NEAR_END = 0.8  # of the window; plan.checking tells of it


def tell(reports: Sequence[Report], *, to: Printer | None = None) -> None:
    """Write every report; of several what is right first, in a line each, and sums at the end."""
    printer = to or Printer.on()
    if len(reports) == 1:
        _one(printer, reports[0])
        return
    brief = [report for report in reports if is_brief(report)]
    width = max((len(report.target) for report in brief), default=0)
    for report in brief:
        _line(printer, report, min(width, 40))
    for report in reports:
        if not is_brief(report):
            printer.line()
            _one(printer, report)
    counts = {word: sum(r.verdict == word for r in reports) for word in VERDICTS}
    told = [
        printer.paint(f"{count} {word}", _STYLES[word]) for word, count in counts.items() if count
    ]
    printer.line()
    printer.line(f"{len(reports)} targets: {', '.join(told)}")


def is_brief(report: Report) -> bool:
    """Whether a line says it all: nothing to mend, or nobody there."""
    return report.verdict == "unreachable" or all(f.severity < WARNING for f in report.findings)


def _line(printer: Printer, report: Report, width: int) -> None:
    mark = f"{_MARKS[report.verdict]} " if printer.unicode else ""
    word = printer.paint(f"{mark}{report.verdict:<14}", _STYLES[report.verdict])
    printer.line(f"{word} {report.target:<{width}}  {sentence(report)}")


def _one(printer: Printer, report: Report) -> None:
    mark = f"{_MARKS[report.verdict]} " if printer.unicode else ""
    verdict = printer.paint(f"{mark}{VERDICTS[report.verdict]}", _STYLES[report.verdict])
    printer.line(f"{printer.paint(report.target, 'bold')}: {verdict}")
    printer.field("  handshakes", _handshakes(printer, report.handshakes))
    if report.server is not None and (told := in_words(report.server)):
        printer.field("  server", told)
    for leaf in report.leaves:
        _leaf(printer, leaf, report)
        for staple in report.staples:
            if staple.leaf == leaf.leaf:
                _staple(printer, staple, report)
        for responder in report.responders:
            if responder.leaf == leaf.leaf:
                status = responder.certificate_status
                said = printer.paint(status, status) if status else "no usable answer"
                took = (
                    "" if responder.milliseconds is None else f", {responder.milliseconds:.0f} ms"
                )
                printer.field("  responder", f"{responder.url} says {said}{took}")
    if report.crl is not None and report.crl.revoked is not None:
        listed = "does not list it"
        if report.crl.revoked:
            listed = printer.paint("lists the certificate as revoked", "revoked")
        printer.field("  CRL", f"{report.crl.url} {listed}")
    codes = {found.code for found in report.findings}  # at these it is told who refuses
    refusing = [c for c in report.clients if not c.accepts and c.because not in codes]
    if refusing:
        printer.field("  refused by", [f"{c.client} ({c.because})" for c in refusing])
    told_cures: set[tuple[Cure, ...]] = set()
    for found in by_hurt(report):
        _finding(printer, report, found)
        cures = report.cures.get(found.code, ())
        _cures(printer, cures, again=cures in told_cures)
        told_cures.add(cures)


def _finding(printer: Printer, report: Report, found: Finding) -> None:
    severity = found.severity.text
    clients = ", ".join(refused_by(report, found))
    refusing = printer.paint(f" (refused by {clients})", "dim") if clients else ""
    code = printer.paint(found.code, "bold")
    printer.line(
        f"  {printer.paint(severity.ljust(7), severity)} {code}: {found.message}{refusing}"
    )
    if found.hint:
        printer.line(f"          {printer.paint('hint:', 'dim')} {found.hint}")


def _cures(printer: Printer, cures: Sequence[Cure], *, again: bool) -> None:
    """What mends it; of findings with the same cure at the first."""
    if again and cures:
        printer.line(f"          {printer.paint('cure:', 'dim')} the same")
        return
    for cure in cures:
        first, *rest = cure.lines()
        printer.line(f"          {printer.paint('cure:', 'dim')} {first}")
        for line in rest:
            printer.line(f"            {line}")


def _handshakes(printer: Printer, observations: Sequence[Observation]) -> list[str]:
    """One line for each address, version and kind of key."""
    groups: dict[tuple[str, str, str], list[Observation]] = {}
    for o in observations:
        if o.seen:
            groups.setdefault((o.address, o.tls, o.key_type), []).append(o)
    lines = []
    for (address, tls, key_type), seen in groups.items():
        stapled = sum(o.staple is not None for o in seen)
        best = min(o.milliseconds for o in seen)
        style = "good" if stapled == len(seen) else "warning" if stapled else "dim"
        told = printer.paint(f"{stapled} of {len(seen)} stapled", style)
        lines.append(f"{address}  {tls}  {key_type}  {told}, {best:.1f} ms")
    return lines


def _leaf(printer: Printer, report: LeafReport, whole: Report) -> None:
    leaf = report.leaf
    name = leaf.names[0] if leaf.names else leaf.subject
    more = f" and {len(leaf.names) - 1} more" if len(leaf.names) > 1 else ""
    must = ", must-staple" if leaf.must_staple else ""
    until = rfc3339(leaf.not_after)
    if leaf.not_after <= whole.at:
        until = printer.paint(until, "fatal")
    printer.field(
        "  certificate",
        f"{name}{more}, {leaf.key_type}, serial {leaf.serial:x}, until {until}{must}",
    )


def _staple(printer: Printer, staple: StapleReport, report: Report) -> None:
    verdict = staple.verdict
    whose = "staple" if staple.position == 0 else f"staple for #{staple.position}"
    if verdict is None:
        printer.field(f"  {whose}", f"{len(staple.der)} bytes; no issuer to judge it by")
        return
    status = staple.certificate_status
    told = printer.paint(status, status) if status is not None else "says nothing usable"
    if not staple.valid:
        says = f", says {status}" if status is not None else ", says nothing usable"
        told = f"{printer.paint('not valid', 'fatal')}{says}"
    signer = {"issuer": "the issuer", "delegate": "a delegated signer", "trusted": "a trusted one"}
    by = f", signed by {signer[verdict.signer_role]}" if verdict.signer_role else ""
    printer.field(f"  {whose}", f"{told}{by}")
    single = verdict.single
    if single is not None:
        bar = validity_bar(
            single.this_update, single.next_update, at=report.at, unicode=printer.unicode
        )
        printer.field("", printer.paint(bar, _bar_style(staple, report)))
        age = span(report.at - single.this_update)
        until = "" if single.next_update is None else f" until {rfc3339(single.next_update)}"
        printer.field("", f"from {rfc3339(single.this_update)}{until}, {age} old")


def _bar_style(staple: StapleReport, report: Report) -> str:
    """Green while it holds, yellow when a healthy server would long have a new one, else red; of
    a certificate that is not good never green."""
    window = staple.window
    if not staple.valid or (window is not None and not 0 <= window.passed(report.at) < 1):
        return "fault"
    if staple.certificate_status != "good":
        return staple.certificate_status or "fault"
    if window is None or window.passed(report.at) >= NEAR_END:
        return "warning"
    return "good"
