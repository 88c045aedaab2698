"""What is said first of a report: the verdict in a sentence, and its findings by what hurts.

Law: nothing is judged here; severities, verdicts and what clients do are the report's own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast.ocsp.findings import NOTE, Finding, Severity
from holdfast.ocsp.window import duration_text
from holdfast.plan.report import Report, ReportVerdict, StapleReport

if TYPE_CHECKING:
    from holdfast.plan.cure import ServerSeen

VERDICTS: dict[ReportVerdict, str] = {
    "good": "good",
    "warning": "works, with warnings",
    "bad": "bad",
    "not-applicable": "stapling does not apply: the certificate names no OCSP responder",
    "unreachable": "not reached",
}

AREAS = ("reach", "certificate", "staple", "responder", "revocation list")
_PREFIXES = {
    "unreachable": "reach",
    "tls-": "reach",
    "starttls-": "reach",
    "address-": "reach",
    "check-": "reach",
    "certificate-revoked-by-crl": "revocation list",
    "crl-": "revocation list",
    "chain-": "certificate",
    "certificate-": "certificate",
    "staple-": "staple",
    "must-staple-": "staple",
}


def area(code: str) -> str:
    """Which of `AREAS` a finding is about; what names nothing else is the responder's."""
    return next((to for prefix, to in _PREFIXES.items() if code.startswith(prefix)), "responder")


def refused_by(report: Report, finding: Finding) -> tuple[str, ...]:
    """The clients that go away because of `finding`."""
    return tuple(client.client for client in report.clients if client.because == finding.code)


def by_hurt(report: Report) -> tuple[Finding, ...]:
    """Gravest first; among equals what clients refuse, then what is nearer to the handshake."""

    def rank(finding: Finding) -> tuple[int, int, int]:
        hurt = len(refused_by(report, finding))
        return -finding.severity, -hurt, AREAS.index(area(finding.code))

    return tuple(sorted(report.findings, key=rank))


def at_or_above(report: Report, limit: Severity) -> tuple[Finding, ...]:
    """The findings of at least that severity, by what hurts."""
    return tuple(found for found in by_hurt(report) if found.severity >= limit)


def staple_of(report: Report) -> StapleReport | None:
    """The leaf's staple that says most: a valid one, that which ends first; else any."""
    leafs = [staple for staple in report.staples if staple.position == 0]
    valid = [staple for staple in leafs if staple.valid]
    timed = [s for s in valid if s.window is not None]
    if timed:
        return min(timed, key=lambda s: s.window.end if s.window else report.at)
    return next(iter(valid or leafs), None)


def left_of(report: Report, staple: StapleReport) -> timedelta | None:
    """How long `staple` has still to run; None when it has no end."""
    return None if staple.window is None else staple.window.end - report.at


def sentence(report: Report) -> str:
    """The report in one sentence."""
    worst = next((found for found in by_hurt(report) if found.severity > NOTE), None)
    if worst is not None:
        return f"{worst.code}: {worst.message}"
    if report.verdict == "not-applicable":
        return VERDICTS["not-applicable"]
    staple = staple_of(report)
    if staple is None:
        return VERDICTS[report.verdict]
    left = left_of(report, staple)
    said = f"the staple says {staple.certificate_status or 'nothing usable'}"
    if left is None:
        return f"{said} and names no end"
    percent = staple.age_percent(report.at)
    return f"{said}, {percent:.0f} % of its time has passed, {duration_text(left)} left"


def in_words(server: ServerSeen) -> str:
    """What ends TLS, and how that is known; "" where nobody looked."""
    software, here = server.software, server.here
    if software.name == "unknown" and not software.because:
        return ""
    why = [software.because] if software.because else []
    if here is not None and here.config:
        why.append(f"with {here.config}")
    behind = f"; behind it {software.behind}" if software.behind else ""
    return f"{software.text} ({', '.join(why)}){behind}"


def cured(report: Report, found: Finding) -> str:
    """The cures of `found` as one text, a line a step; "" for none."""
    return "\n".join(line for cure in report.cures.get(found.code, ()) for line in cure.lines())
