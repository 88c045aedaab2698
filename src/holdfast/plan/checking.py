"""From what was seen to a report: is stapling right on this server, and if not, why?

Laws: pure; every rule is applied to all that was seen, and the verdict is made at the end. The
staple itself is judged by `ocsp.verify` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from holdfast.errors import Malformed
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import (
    FATAL,
    FAULT,
    NOTE,
    WARNING,
    Finding,
    Severity,
    finding,
)
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.verify import examine_bytes
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.plan.chain_rules import judge_chain
from holdfast.plan.clients import clients
from holdfast.plan.crl_rules import CrlAnswer, judge_crl
from holdfast.plan.presence_rules import (
    by_leaf,
    judge_demand,
    judge_presence,
    judge_without_sni,
    of_the_name,
)
from holdfast.plan.report import (
    CrlReport,
    LeafReport,
    Report,
    ReportVerdict,
    ResponderReport,
    StapleReport,
    instant,
)
from holdfast.plan.responder_rules import ResponderAnswer, judge_responder
from holdfast.plan.target import protocol_of
from holdfast.plan.transport_rules import transport
from holdfast.tls.observation import Failure, Observation

if TYPE_CHECKING:
    from holdfast.plan.cure import Cure, ServerSeen

NEAR_EXPIRY = 0.8  # of the window; K19's second rung
MAX_LEAVES = 16  # of one target; a name has two, RSA and ECDSA, and more while they are replaced
MAX_SENT = 32  # certificates of a chain that are read; real ones have up to 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What is asked of a server. `roots` anchor trust; `servername` is the name it must have."""

    servername: str
    at: datetime
    roots: tuple[Certificate, ...] = ()
    policy: Policy = STRICT
    require_staple: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """What was left out of a check, and what to do about it. A note where nothing was lost."""

    problem: str
    advice: str
    severity: Severity = WARNING


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
    cuts: tuple[Cut, ...] = ()
    server: ServerSeen | None = None


def report(target: str, seen: Seen, judge: Judge) -> Report:
    """The report on `target`."""
    findings: list[Finding] = []
    transport(target, of_the_name(seen.observations), seen.unresolved, into=findings)
    judge_without_sni(seen.observations, into=findings)
    leaves: list[LeafReport] = []
    staples: list[StapleReport] = []
    responders: list[ResponderReport] = []
    crl: CrlReport | None = None
    groups = by_leaf(seen.observations)
    findings += _cuts(seen, len(groups))
    for der, observations in list(groups.items())[:MAX_LEAVES]:
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
        judge_demand(leaf.leaf, observations, into=findings)
        judge_presence(
            leaf.leaf,
            observations,
            require_staple=judge.require_staple,
            protocol=protocol_of(target),
            into=findings,
        )
        answers = seen.responders.get(leaf.leaf.sha256, ())
        asked = [
            judge_responder(answer, leaf, sent, at=judge.at, policy=judge.policy)
            for answer in answers
        ]
        findings += [found for one in asked for found in one.findings]
        findings += [found for one in sent for found in _near_expiry(one, asked, judge.at)]
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
    mended: Mapping[str, tuple[Cure, ...]] = {}
    if seen.server is not None:
        from holdfast.plan.cures import Case, cures  # most checks have nothing to mend

        known = Case(
            target=target, server=seen.server, leaves=tuple(leaves), responders=tuple(responders)
        )
        mended = cures(ordered, known)
    newest = max((o.tls for o in of_the_name(seen.observations)), default="")
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
        clients=clients(leaves, staples, ordered, responders, newest=newest),
        findings=ordered,
        server=seen.server,
        cures=mended,
    )


def readable_chain(observations: Sequence[Observation]) -> list[Certificate]:
    """The longest chain sent with one leaf, less what is unreadable; empty when the leaf is."""
    longest = max((o.chain for o in observations), key=len)[:MAX_SENT]
    chain: list[Certificate] = []
    for number, der in enumerate(longest):
        certificate = _readable(der)
        if certificate is not None:
            chain.append(certificate)
        elif number == 0:
            return []
    return chain


@lru_cache(maxsize=256)
def _readable(der: bytes) -> Certificate | None:
    """The certificate, if every fact that a report asks of it can be read. It is asked for again
    and again while a check goes on, and an issuer in the checks of all that it issued."""
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
                into += _findings_of(one)
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


def _findings_of(staple: StapleReport) -> list[Finding]:
    if staple.verdict is None:
        return []
    return [one.prefixed("staple") for one in staple.verdict.findings]


def _near_expiry(
    staple: StapleReport, asked: Sequence[ResponderReport], at: datetime
) -> list[Finding]:
    window = staple.window
    if window is None or not NEAR_EXPIRY <= window.passed(at) < 1:
        return []
    percent = f"{staple.age_percent(at):g}"
    newer = _newer(staple, asked)
    return [finding("staple-near-expiry", age_percent=percent, newer=newer)]


def _newer(staple: StapleReport, asked: Sequence[ResponderReport]) -> str:
    """Whose fault it is that the staple is old: what the responder has now."""
    single = staple.verdict.single if staple.verdict is not None else None
    verdicts = [one.verdict for one in asked if one.verdict is not None and one.verdict.valid]
    offered = [verdict.single.this_update for verdict in verdicts if verdict.single is not None]
    if staple.position or single is None or not offered:
        return ""
    if max(offered) > single.this_update:
        return f". The responder has one of {instant(max(offered))}: the server does not fetch it"
    return ". The responder has none that is newer: its CA is late"


def _cuts(seen: Seen, leaves: int) -> list[Finding]:
    cuts = list(seen.cuts)
    if leaves > MAX_LEAVES:
        problem = f"it shows {leaves} different certificates, and {MAX_LEAVES} were looked at"
        cuts.append(Cut(problem, "see why the server shows so many: one or two are usual"))
    return [
        finding("check-cut-short", severity=cut.severity, problem=cut.problem, advice=cut.advice)
        for cut in cuts
    ]


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
    "Cut",
    "Judge",
    "ResponderAnswer",
    "Seen",
    "by_leaf",
    "readable_chain",
    "report",
]
