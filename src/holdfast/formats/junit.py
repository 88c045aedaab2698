"""Reports as JUnit XML: a suite for each target, in it a case for each area that was looked at.

Laws: a finding at or above the limit is a failure, a target that could not be looked at an error,
stapling that does not apply a skipped case; graver and lesser words stand in the text. No character
that XML 1.0 has no way to write comes through. The schema is that of Jenkins and of Ant's task.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from holdfast.formats.controls import harmless
from holdfast.formats.summary import AREAS, VERDICTS, area, by_hurt, cured, sentence
from holdfast.ocsp.findings import Finding, Severity
from holdfast.plan.report import Report, instant

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def document(reports: Sequence[Report], fail_on: Severity) -> str:
    """The whole file."""
    suites = [_suite(report, fail_on) for report in reports]
    sums = [sum(counts) for counts in zip(*(counts for _, counts in suites), strict=True)]
    inner = "".join(text for text, _ in suites)
    return f'{HEAD}<testsuites name="holdfast check"{_counted(sums)}>\n{inner}</testsuites>\n'


def _suite(report: Report, fail_on: Severity) -> tuple[str, tuple[int, int, int, int]]:
    """The suite of one target; how many tests, failures, errors and skipped ones it has."""
    cases: list[str] = []
    failures = errors = skipped = 0
    for name in AREAS:
        found = [one for one in by_hurt(report) if area(one.code) == name]
        bad = [one for one in found if one.severity >= fail_on]
        unreached = report.verdict == "unreachable"
        if unreached and name != "reach":
            skipped += 1
            inner = _skipped("the target was not reached")
        elif unreached:
            errors += 1
            inner = _outcome("error", report, found, "unreachable")
        elif bad:
            failures += 1
            inner = _outcome("failure", report, found, bad[0].code)
        elif name == "staple" and report.verdict == "not-applicable":
            skipped += 1
            inner = _skipped(VERDICTS["not-applicable"])
        else:
            inner = _said("system-out", report, found)
        classname = quoteattr(f"holdfast.check.{name.replace(' ', '-')}")
        case = f"{harmless(report.target)}: {name}"
        cases.append(
            f"<testcase classname={classname} name={quoteattr(case)} time={_time(report, name)}>"
            f"{inner}</testcase>\n"
        )
    counts = (len(cases), failures, errors, skipped)
    at = (instant(report.at) or "").removesuffix("Z")  # ISO 8601 without a zone, as Ant writes it
    hosts = quoteattr(harmless(" ".join(report.addresses)))
    return (
        f"<testsuite name={quoteattr(harmless(report.target))} timestamp={quoteattr(at)}"
        f" hostname={hosts}{_counted(counts)} time={_time(report, '')}>\n{''.join(cases)}"
        f"<system-out>{escape(harmless(f'{report.verdict}: {sentence(report)}'))}</system-out>\n"
        "</testsuite>\n",
        counts,
    )


def _time(report: Report, name: str) -> str:
    """Seconds of the handshakes, or of the responders' answers."""
    shaken = sum(o.milliseconds for o in report.handshakes)
    asked = sum(one.milliseconds or 0.0 for one in report.responders)
    spent = {"reach": shaken, "responder": asked, "": shaken + asked}.get(name, 0.0)
    return f'"{spent / 1000:.3f}"'


def _outcome(kind: str, report: Report, found: Sequence[Finding], code: str) -> str:
    message = next((one.message for one in found if one.code == code), code)
    return (
        f"<{kind} type={quoteattr(code)} message={quoteattr(harmless(message))}>"
        f"{escape(_text(report, found))}</{kind}>"
    )


def _said(kind: str, report: Report, found: Sequence[Finding]) -> str:
    return f"<{kind}>{escape(_text(report, found))}</{kind}>" if found else ""


def _skipped(why: str) -> str:
    return f"<skipped message={quoteattr(why)}/>"


def _text(report: Report, found: Sequence[Finding]) -> str:
    return "\n".join(
        f"{one.severity.text} {one.code}: {harmless(one.message)}\n"
        f"    hint: {harmless(one.hint)}\n"
        + "".join(f"    {harmless(line)}\n" for line in cured(report, one).splitlines())
        + f"    {one.spec}"
        for one in found
    )


def _counted(counts: Sequence[int]) -> str:
    tests, failures, errors, skipped = counts or (0, 0, 0, 0)
    return f' tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
