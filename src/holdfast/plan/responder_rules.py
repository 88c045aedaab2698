"""What a responder says when it is asked now, and whether the staples say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import ERROR_RESPONSE_ADVICE, FAULT, WARNING, Finding, finding
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from holdfast.plan.report import LeafReport, ResponderReport, StapleReport

SLOW = 1000.0  # milliseconds; what a server that fetches inside the handshake makes its users wait


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponderAnswer:
    """What asking one responder URL came to. `failure`: the class of the error ("" for none)."""

    url: str
    milliseconds: float | None = None
    response: Response | None = None
    failure: str = ""
    problem: str = ""
    http_status: int | None = None


_ERROR_RESPONSES = {
    "try-later": "tryLater",
    "internal-error": "internalError",
    "unauthorized": "unauthorized",
    "malformed-request": "malformedRequest",
    "sig-required": "sigRequired",
}
_NOT_OCSP = frozenset({"html", "empty", "truncated", "malformed", "oversized", "not-ocsp"})


def judge_responder(
    answer: ResponderAnswer,
    leaf: LeafReport,
    sent: Sequence[StapleReport],
    *,
    at: datetime,
    policy: Policy,
) -> ResponderReport:
    """What `answer` says, and whether it agrees with the staples."""
    url, findings, verdict = answer.url, [], None
    if answer.failure:
        findings.append(_failed(answer))
    elif answer.response is not None and leaf.issuer is not None:
        subject = Subject.of(leaf.leaf, leaf.issuer)
        verdict = examine(answer.response, subject, at=at, policy=policy)
        if not verdict.valid:
            worst = verdict.worst
            problem = worst.message if worst is not None else "it says nothing of this certificate"
            findings.append(finding("responder-invalid-response", url=url, problem=problem))
        else:
            findings += _compared(url, verdict.certificate_status, sent)
            if not any(s.position == 0 for s in sent):
                findings += [f for f in verdict.findings if f.severity >= FAULT]
    if answer.milliseconds is not None and answer.milliseconds > SLOW:
        findings.append(finding("responder-slow", url=url, milliseconds=round(answer.milliseconds)))
    reachable = answer.response is not None or _answered(answer.failure)
    return ResponderReport(url, leaf.leaf, reachable, answer.milliseconds, verdict, tuple(findings))


def _answered(failure: str) -> bool:
    return failure in _ERROR_RESPONSES or failure in _NOT_OCSP or failure.startswith("http-")


def _failed(answer: ResponderAnswer) -> Finding:
    url, failure = answer.url, answer.failure
    if failure.startswith("http-"):
        # Not by finding(): the row's template calls this fact "code", as finding's own argument
        return Finding("responder-http-error", WARNING, {"url": url, "code": answer.http_status})
    if failure in _ERROR_RESPONSES:
        name = _ERROR_RESPONSES[failure]
        return finding(
            "responder-error-response",
            url=url,
            response_status=name,
            advice=ERROR_RESPONSE_ADVICE[name],
        )
    if failure in _NOT_OCSP:
        return finding("responder-invalid-response", url=url, problem=answer.problem)
    return finding("responder-unreachable", url=url, problem=answer.problem)


def _compared(url: str, certificate_status: object, sent: Sequence[StapleReport]) -> list[Finding]:
    said = getattr(certificate_status, "text", None)
    for staple in sent:
        stapled = staple.certificate_status
        if staple.position == 0 and staple.valid and stapled and said and stapled != said:
            return [
                finding("responder-disagrees", url=url, certificate_status=said, stapled=stapled)
            ]
    return []
