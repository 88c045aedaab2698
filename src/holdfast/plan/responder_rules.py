"""What a responder says when it is asked now, and whether the staples say the same.

It is asked by GET and by POST: nginx and HAProxy fetch by GET, Apache by POST, and a cache before
the responder sees the one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import ERROR_RESPONSE_ADVICE, FAULT, WARNING, Finding, finding
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from holdfast.plan.report import (
    AskedReport,
    LeafReport,
    Method,
    ResponderReport,
    StapleReport,
    status_of,
)

SLOW = 1000.0  # milliseconds; what a server that fetches inside the handshake makes its users wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request and what came of it. `stages`: (name, milliseconds since the beginning)."""

    method: Method
    certid_hash: str = "sha1"
    stages: tuple[tuple[str, float], ...] = ()
    response: Response | None = None
    failure: str = ""
    problem: str = ""
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponderAnswer:
    """What asking one responder URL came to. `failure`: the class of the error ("" for none).

    `asked`: every request there was; what is told beside is that of the first that got an answer
    to use, or of the last.
    """

    url: str
    milliseconds: float | None = None
    response: Response | None = None
    failure: str = ""
    problem: str = ""
    http_status: int | None = None
    asked: tuple[Asked, ...] = ()


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
    if answer.milliseconds is not None and answer.milliseconds > SLOW:
        findings.append(finding("responder-slow", url=url, milliseconds=round(answer.milliseconds)))
    asked = tuple(_judged(one, leaf, at=at, policy=policy) for one in answer.asked)
    said = [one.certificate_status for one in asked if one.valid]
    if verdict is not None and verdict.valid:
        said.insert(0, status_of(verdict))
    findings += _compared(url, said, sent) + _by_method(url, asked)
    if not any(s.position == 0 for s in sent):  # then nobody else tells of a revocation
        verdicts = [verdict, *(one.verdict for one in asked)]
        valid = [each for each in verdicts if each is not None and each.valid]
        findings += [f for each in valid for f in each.findings if f.severity >= FAULT]
    reachable = answer.response is not None or _answered(answer.failure)
    return ResponderReport(
        url, leaf.leaf, reachable, answer.milliseconds, verdict, tuple(findings), asked
    )


def _judged(asked: Asked, leaf: LeafReport, *, at: datetime, policy: Policy) -> AskedReport:
    verdict, problem = None, asked.problem
    if not asked.failure and asked.response is not None and leaf.issuer is not None:
        subject = Subject.of(leaf.leaf, leaf.issuer)
        verdict = examine(asked.response, subject, at=at, policy=policy)
        if not verdict.valid:
            worst = verdict.worst
            problem = worst.message if worst is not None else "it says nothing of this certificate"
    return AskedReport(
        method=asked.method,
        certid_hash=asked.certid_hash,
        stages=asked.stages,
        http_status=asked.http_status,
        failure=asked.failure,
        problem=problem,
        verdict=verdict,
    )


_ASKS: dict[Method, str] = {"GET": "nginx and HAProxy ask", "POST": "Apache asks"}


def _by_method(url: str, asked: Sequence[AskedReport]) -> list[Finding]:
    """What only one of GET and POST gets, or gets otherwise."""
    best: dict[Method, AskedReport] = {}
    for one in asked:
        if one.method not in best or (one.valid and not best[one.method].valid):
            best[one.method] = one
    if len(best) < 2 or not any(one.valid for one in best.values()):
        return []
    said = {method: one.certificate_status for method, one in best.items()}
    if all(one.valid for one in best.values()):
        if said["GET"] == said["POST"]:
            return []
        return [finding("responder-methods-differ", url=url, get=said["GET"], post=said["POST"])]
    bad = next(one for one in best.values() if not one.valid)
    works: Method = "POST" if bad.method == "GET" else "GET"
    return [
        finding(
            "responder-method-fails",
            url=url,
            method=bad.method,
            works=works,
            problem=bad.problem or "no answer to use",
            who=_ASKS[bad.method],
        )
    ]


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


def _compared(url: str, said: Sequence[str | None], sent: Sequence[StapleReport]) -> list[Finding]:
    """Whether any of what it `said` is another thing than what a staple says."""
    for staple in sent:
        stapled = staple.certificate_status
        if staple.position or not staple.valid or not stapled:
            continue
        for status in said:
            if status and status != stapled:
                return [
                    finding(
                        "responder-disagrees", url=url, certificate_status=status, stapled=stapled
                    )
                ]
    return []
