"""What a CRL says of a leaf, and whether OCSP says the same. RFC 5280 6.3."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from holdfast.ocsp.findings import Finding, finding
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.crl import Crl
from holdfast.plan.report import CrlReport, LeafReport


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlAnswer:
    """What fetching one CRL came to."""

    url: str
    crl: Crl | None = None
    problem: str = ""


def judge_crl(answer: CrlAnswer, leaf: LeafReport, *, ocsp: str | None, at: datetime) -> CrlReport:
    """The report on the CRL; `ocsp` is the certificate_status that OCSP gave, if any."""
    url, crl = answer.url, answer.crl
    if crl is None:
        missing = finding("crl-unreachable", url=url, problem=answer.problem)
        return CrlReport(url, None, None, (missing,))
    findings: list[Finding] = []
    if leaf.issuer is None or not crl.signed_by(leaf.issuer):
        if leaf.issuer is not None:
            findings.append(finding("crl-bad-signature", url=url, issuer=leaf.issuer.subject))
        return CrlReport(url, None, crl.next_update, tuple(findings))
    if crl.next_update is not None and at > crl.next_update:
        findings.append(finding("crl-expired", url=url, next_update=crl.next_update))
    entry = crl.entry(leaf.leaf.serial, leaf.issuer)
    if entry is not None:
        reason = None if entry.reason is None else RevocationReason.by_code(entry.reason)
        findings.append(
            finding(
                "certificate-revoked-by-crl",
                url=url,
                at=entry.revoked_at,
                reason="no reason given" if reason is None else reason.text,
            )
        )
    said = "good" if entry is None else "revoked"
    current = crl.next_update is None or at <= crl.next_update
    if ocsp in ("good", "revoked") and ocsp != said and current:
        findings.append(finding("crl-disagrees-with-ocsp", url=url, crl=said, ocsp=ocsp))
    return CrlReport(url, entry is not None, crl.next_update, tuple(findings))
