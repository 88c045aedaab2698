"""Reports as SARIF 2.1.0: a result for each finding, the rules that it is by, and where it is.

Laws: the artifact of a result is the line of the list that named the target, when there is one, so
that a review shows it there; else the target's own URI. A result's fingerprint is its target and
code, so that a finding keeps its identity from run to run. OASIS SARIF 2.1.0, sections in the code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from holdfast.formats.controls import harmless
from holdfast.formats.summary import area, by_hurt, cured, refused_by
from holdfast.ocsp.findings import FATAL, FAULT, NOTE, WARNING, Finding, Severity, rule_of
from holdfast.plan.report import JSON, Report, instant
from holdfast.version import __version__

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
VERSION = "2.1.0"
LEVELS: dict[Severity, str] = {  # 3.27.10
    NOTE: "note",
    WARNING: "warning",
    FAULT: "error",
    FATAL: "error",
}
_SCORES: dict[Severity, str] = {NOTE: "0.0", WARNING: "4.0", FAULT: "7.0", FATAL: "9.0"}


@dataclass(frozen=True, slots=True)
class Place:
    """The line of a file that named a target."""

    file: str
    line: int


def document(reports: Sequence[Report], places: Mapping[str, Place] | None = None) -> JSON:
    """The log; `places` go by the target as it was written."""
    found = [(report, one) for report in reports for one in by_hurt(report)]
    codes = sorted({one.code for _, one in found})
    numbers = {code: number for number, code in enumerate(codes)}
    driver: JSON = {
        "name": "holdfast",
        "version": __version__,
        "rules": [_rule(code) for code in codes],
    }
    run: JSON = {
        "tool": {"driver": driver},
        "invocations": [_invocation(reports)],
        "columnKind": "unicodeCodePoints",  # 3.14.17
        "results": [
            _result(report, one, numbers[one.code], (places or {}).get(report.target))
            for report, one in found
        ],
        "properties": {
            "verdicts": [{"target": harmless(r.target), "verdict": r.verdict} for r in reports],
        },
    }
    return {"$schema": SCHEMA, "version": VERSION, "runs": [run]}


def _rule(code: str) -> JSON:
    """3.49. The message is a template over facts, so the name of the rule is its short text."""
    rule = rule_of(code)
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in code.split("-")),
        "shortDescription": {"text": code.replace("-", " ")},
        "fullDescription": {"text": f"{code.replace('-', ' ')}: {rule.spec}"},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {
            "tags": ["ocsp", area(code).replace(" ", "-")],
            "security-severity": _SCORES[rule.severity],
            "spec": rule.spec,
        },
    }


def _result(report: Report, finding: Finding, number: int, place: Place | None) -> JSON:
    """3.27."""
    message = f"{report.target}: {finding.message}"
    hint = f" Hint: {finding.hint}" if finding.hint else ""
    identity = hashlib.sha256(f"{report.target}\n{finding.code}".encode("utf-8", "replace"))
    return {
        "ruleId": finding.code,
        "ruleIndex": number,
        "level": LEVELS[finding.severity],
        "message": {"text": harmless(message + hint) + _cured(report, finding)},
        "locations": [_location(report, place)],
        "partialFingerprints": {"targetAndCode/v1": identity.hexdigest()},
        "properties": {
            "severity": finding.severity.text,
            "spec": finding.spec,
            "refusedBy": list(refused_by(report, finding)),
        },
    }


def _cured(report: Report, finding: Finding) -> str:
    """The steps that mend it, a line each."""
    return "".join(f"\n{harmless(line)}" for line in cured(report, finding).splitlines())


def _location(report: Report, place: Place | None) -> JSON:
    """3.28. The logical location is the server, whatever file named it."""
    physical: JSON = {"artifactLocation": {"uri": uri_of(report.target)}}
    if place is not None:
        physical = {
            "artifactLocation": {"uri": _file_uri(place.file)},
            "region": {"startLine": place.line},
        }
    name = harmless(report.target)
    return {
        "physicalLocation": physical,
        "logicalLocations": [{"name": name, "fullyQualifiedName": name, "kind": "resource"}],
    }


def _file_uri(path: str) -> str:
    """Relative as it was written, which is what a review looks up; absolute as file: (RFC 8089)."""
    quoted = quote(path, safe="/._-~")
    return f"file://{quoted}" if path.startswith("/") else quoted


def uri_of(target: str) -> str:
    """The target as an absolute URI (RFC 3986): https, unless it names its scheme."""
    scheme, mark, rest = target.partition("://")
    if not mark:
        scheme, rest = "https", target
        if rest.count(":") > 1 and not rest.startswith("["):
            rest = f"[{rest}]"
    return f"{scheme.lower()}://{quote(rest, safe='/:[]@._-~%?=&')}"


def _invocation(reports: Sequence[Report]) -> JSON:
    """3.20. What could not be reached is told of the tool's run, too."""
    unreached = [report for report in reports if report.verdict == "unreachable"]
    invocation: JSON = {"executionSuccessful": True}
    if reports:
        invocation["startTimeUtc"] = instant(min(report.at for report in reports))
    if unreached:
        invocation["toolExecutionNotifications"] = [
            {
                "level": "error",
                "descriptor": {"id": "unreachable"},
                "message": {"text": f"{harmless(report.target)} could not be reached"},
            }
            for report in unreached
        ]
    return invocation
