"""From what was seen to a report: is stapling right on this server, and if not, why?

Laws: pure; every rule is applied to all that was seen, and the verdict is made at the end. The
staple itself is judged by `ocsp.verify` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.errors import Malformed
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import (
    FATAL,
    FAULT,
    NOTE,
    WARNING,
    Finding,
    finding,
)
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.verify import examine_bytes
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.plan.chain_rules import judge_chain
from holdfast.plan.clients import clients
from holdfast.plan.crl_rules import CrlAnswer, judge_crl
from holdfast.plan.report import (
    CrlReport,
    LeafReport,
    Report,
    ReportVerdict,
    ResponderReport,
    StapleReport,
)
from holdfast.plan.responder_rules import ResponderAnswer, judge_responder
from holdfast.plan.transport_rules import transport
from holdfast.tls.observation import Failure, Observation

NEAR_EXPIRY = 0.8  # of the window; K19's second rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What is asked of a server. `roots` anchor trust; `servername` is the name it must have."""

    servername: str
    at: datetime
    roots: tuple[Certificate, ...] = ()
    policy: Policy = STRICT
    require_staple: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that was found out. `unresolved`: the name came to no address.

    `issuers` were fetched by AIA; `responders` and `crls` go by the leaf's SHA-256.
    """

    observations: tuple[Observation, ...] = ()
    unresolved: Failure | None = None
    issuers: tuple[Certificate, ...] = ()
    responders: Mapping[str, tuple[ResponderAnswer, ...]] = field(default_factory=dict)
    crls: Mapping[str, CrlAnswer] = field(default_factory=dict)


def report(target: str, seen: Seen, judge: Judge) -> Report:
    """The report on `target`."""
    findings: list[Finding] = []
    transport(target, seen.observations, seen.unresolved, into=findings)
    leaves: list[LeafReport] = []
    staples: list[StapleReport] = []
    responders: list[ResponderReport] = []
    crl: CrlReport | None = None
    for der, observations in by_leaf(seen.observations).items():
        chain = readable_chain(observations)
        if not chain:
            problem = f"its certificate cannot be read ({len(der)} bytes)"
            findings.append(
                finding(
                    "tls-handshake-failed",
                    address=observations[0].address,
                    tls=observations[0].tls,
                    problem=problem,
                )
            )
            continue
        leaf = judge_chain(
            chain,
            servername=judge.servername,
            roots=judge.roots,
            fetched=seen.issuers,
            at=judge.at,
            into=findings,
        )
        leaves.append(leaf)
        sent = _staples(leaf, observations, seen, judge, findings)
        _must_staple(leaf.leaf, observations, findings)
        _presence(leaf.leaf, observations, judge, findings)
        answers = seen.responders.get(leaf.leaf.sha256, ())
        asked = [
            judge_responder(answer, leaf, sent, at=judge.at, policy=judge.policy)
            for answer in answers
        ]
        findings += [found for one in asked for found in one.findings]
        staples += sent
        responders += asked
        fetched = seen.crls.get(leaf.leaf.sha256)
        if fetched is not None and crl is None:
            said = next((s.certificate_status for s in sent if s.position == 0), None)
            said = said or next(
                (one.certificate_status for one in asked if one.certificate_status), None
            )
            crl = judge_crl(fetched, leaf, ocsp=said, at=judge.at)
            findings += crl.findings
    ordered = _ordered(findings)
    return Report(
        target=target,
        servername=judge.servername,
        at=judge.at,
        verdict=_verdict(seen, leaves, staples, ordered),
        addresses=tuple(dict.fromkeys(o.address for o in seen.observations)),
        handshakes=seen.observations,
        leaves=tuple(leaves),
        staples=tuple(staples),
        responders=tuple(responders),
        crl=crl,
        clients=clients(leaves, staples, ordered),
        findings=ordered,
    )


def by_leaf(observations: Sequence[Observation]) -> dict[bytes, list[Observation]]:
    """The handshakes that showed each leaf certificate."""
    grouped: dict[bytes, list[Observation]] = {}
    for observation in observations:
        if observation.seen:
            grouped.setdefault(observation.leaf, []).append(observation)
    return grouped


def readable_chain(observations: Sequence[Observation]) -> list[Certificate]:
    """The longest chain sent with one leaf, less what is unreadable; empty when the leaf is."""
    longest = max((o.chain for o in observations), key=len)
    chain: list[Certificate] = []
    for number, der in enumerate(longest):
        certificate = _readable(der)
        if certificate is not None:
            chain.append(certificate)
        elif number == 0:
            return []
    return chain


def _readable(der: bytes) -> Certificate | None:
    """The certificate, if every fact that a report asks of it can be read."""
    try:
        certificate = Certificate(der)
        for fact in _FACTS:
            getattr(certificate, fact)
    except Malformed:
        return None
    return certificate


_FACTS = (
    "key_type",
    "is_ca",
    "names",
    "must_staple",
    "responder_urls",
    "issuer_urls",
    "crl_urls",
    "subject_key_id",
    "authority_key_id",
    "not_after",
)


# -- staples ----------------------------------------------------------------------------------


def _staples(
    leaf: LeafReport,
    observations: Sequence[Observation],
    seen: Seen,
    judge: Judge,
    into: list[Finding],
) -> list[StapleReport]:
    """Every different staple that was sent with `leaf`, judged."""
    reports: dict[tuple[bytes, int], StapleReport] = {}
    for observation in observations:
        for position, staple in enumerate(observation.staples):
            if not staple or (staple, position) in reports:
                continue
            certificate = _at(observation, position)
            if certificate is not None:
                one = _judged(
                    staple, position, certificate, leaf, issuers=seen.issuers, judge=judge
                )
                reports[staple, position] = one
                into += _findings_of(one, judge.at)
    _absent_intermediates(leaf, observations, list(reports.values()), into)
    return list(reports.values())


def _at(observation: Observation, position: int) -> Certificate | None:
    return _readable(observation.chain[position]) if position < len(observation.chain) else None


def _judged(
    staple: bytes,
    position: int,
    certificate: Certificate,
    leaf: LeafReport,
    *,
    issuers: Sequence[Certificate],
    judge: Judge,
) -> StapleReport:
    issuer = leaf.issuer
    if position:
        issuer = find_issuer(certificate, [*leaf.sent, *issuers, *judge.roots])
    verdict = None
    if issuer is not None:
        subject = Subject.of(certificate, issuer)
        verdict = examine_bytes(staple, subject, at=judge.at, policy=judge.policy)
    return StapleReport(staple, certificate, leaf.leaf, position, verdict)


def _findings_of(staple: StapleReport, at: datetime) -> list[Finding]:
    if staple.verdict is None:
        return []
    found = [one.prefixed("staple") for one in staple.verdict.findings]
    window = staple.window
    if window is not None and NEAR_EXPIRY <= window.passed(at) < 1:
        percent = f"{staple.age_percent(at):g}"
        found.append(finding("staple-near-expiry", age_percent=percent))
    return found


def _absent_intermediates(
    leaf: LeafReport,
    observations: Sequence[Observation],
    staples: Sequence[StapleReport],
    into: list[Finding],
) -> None:
    if not any(o.tls == "TLSv1.3" and o.staple for o in observations):
        return
    stapled = {s.certificate for s in staples}
    for certificate in leaf.sent[1:]:
        if certificate.responder_urls and certificate not in stapled:
            into.append(finding("staple-absent-intermediate", subject=certificate.subject))


def _presence(
    leaf: Certificate, observations: Sequence[Observation], judge: Judge, into: list[Finding]
) -> None:
    """Is there a staple, in every handshake, and the same one?"""
    stapled = [o for o in observations if o.staple]
    different = {o.staple for o in stapled}
    if not stapled:
        if leaf.responder_urls or judge.require_staple:
            severity = FAULT if judge.require_staple else WARNING
            responder = ", ".join(leaf.responder_urls) or "none, but a staple is required"
            into.append(finding("staple-missing", severity=severity, responder=responder))
    elif len(stapled) < len(observations):
        into.append(
            finding(
                "staple-intermittent",
                severity=FAULT if leaf.must_staple else WARNING,
                stapled=len(stapled),
                handshakes=len(observations),
            )
        )
    if len(different) > 1:
        into.append(finding("staple-differs", count=len(different)))


def _must_staple(
    leaf: Certificate, observations: Sequence[Observation], into: list[Finding]
) -> None:
    if leaf.must_staple:
        if not any(o.staple for o in observations):
            into.append(finding("must-staple-without-staple"))
        if not leaf.responder_urls:
            into.append(finding("must-staple-without-responder"))
        if leaf.must_staple_critical:
            into.append(finding("must-staple-critical"))
    if not leaf.responder_urls:
        into.append(finding("no-responder-url"))
    for url in leaf.responder_urls:
        if not url.lower().startswith("http://"):
            into.append(finding("responder-url-not-http", url=url))


# -- the verdict ------------------------------------------------------------------------------


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Gravest first, each message once."""
    once: dict[tuple[str, str], Finding] = {}
    for found in findings:
        once.setdefault((found.code, found.message), found)
    return tuple(sorted(once.values(), key=lambda found: -found.severity))


def _verdict(
    seen: Seen,
    leaves: Sequence[LeafReport],
    staples: Sequence[StapleReport],
    findings: Sequence[Finding],
) -> ReportVerdict:
    if not any(o.seen for o in seen.observations):
        failures = [o.error.kind for o in seen.observations if o.error is not None]
        if all(kind == "unreachable" for kind in failures):
            return "unreachable"
    worst = max((found.severity for found in findings), default=NOTE)
    if worst in (FAULT, FATAL):
        return "bad"
    if worst == WARNING:
        return "warning"
    applies = any(leaf.leaf.responder_urls for leaf in leaves) or bool(staples)
    return "good" if applies else "not-applicable"


__all__ = [
    "CrlAnswer",
    "Judge",
    "ResponderAnswer",
    "Seen",
    "by_leaf",
    "readable_chain",
    "report",
]
