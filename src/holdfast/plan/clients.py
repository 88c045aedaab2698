"""What well-known clients make of a server, as their sources and our runs of them say.

Firefox (hard-fails a must-staple certificate without a good staple, and a revoked or forged one);
`curl --cert-status` (wants a good staple, and the issuer among what was sent, to make the CertID
from); gnutls-cli (refuses a bad staple, does not ask for one; which part of a staple about several
certificates it reads differs by version: nothing is said of it then); OpenSSL's s_client (does not
judge the staple).
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.ocsp.findings import Finding
from holdfast.pki.chain import find_issuer
from holdfast.plan.report import ClientReport, LeafReport, StapleReport

_CERTIFICATE = frozenset(
    {
        "chain-untrusted",
        "certificate-expired",
        "certificate-not-yet-valid",
        "certificate-name-mismatch",
        "tls-handshake-failed",
        "unreachable",
        "starttls-refused",
    }
)
_FORGED = frozenset(
    {
        "staple-malformed",
        "staple-bad-signature",
        "staple-signer-unauthorised",
        "staple-wrong-certificate",
        "staple-revoked",
    }
)
_USELESS = _FORGED | {
    "staple-expired",
    "staple-not-yet-valid",
    "staple-unknown",
    "staple-error-response",
    "staple-signer-expired",
    "staple-weak-signature",
}

REFUSES: dict[str, frozenset[str]] = {
    "firefox": _CERTIFICATE | _FORGED | {"must-staple-without-staple"},
    "curl --cert-status": _CERTIFICATE | _USELESS | {"staple-missing", "no-responder-url"},
    "gnutls-cli": _CERTIFICATE | (_USELESS - {"staple-malformed", "staple-error-response"}),
    "openssl s_client": _CERTIFICATE - {"certificate-name-mismatch"} | {"staple-malformed"},
}
"""client -> the findings that make it refuse."""

ISSUER_NOT_SENT = "issuer-not-sent"  # no finding: the chain is complete for everybody else


def clients(
    leaves: Sequence[LeafReport], staples: Sequence[StapleReport], findings: Sequence[Finding]
) -> tuple[ClientReport, ...]:
    """Whether each client of the table would go on; none when no certificate was seen."""
    if not leaves:
        return ()
    codes = [found.code for found in findings]
    first = [staple for staple in staples if staple.position == 0]
    rows = []
    for client, refuses in REFUSES.items():
        hits = [code for code in codes if code in refuses]
        if client == "gnutls-cli" and any(map(_about_several, first)):
            continue
        if first:
            hits = [code for code in hits if code != "no-responder-url"]
        if client == "curl --cert-status" and first and not all(map(_issuer_sent, leaves)):
            hits.append("chain-incomplete" if "chain-incomplete" in codes else ISSUER_NOT_SENT)
        rows.append(ClientReport(client, not hits, hits[0] if hits else None))
    return tuple(rows)


def _issuer_sent(report: LeafReport) -> bool:
    return find_issuer(report.leaf, report.sent) is not None


def _about_several(staple: StapleReport) -> bool:
    """Whether the staple answers about other certificates too."""
    verdict = staple.verdict
    basic = None if verdict is None or verdict.response is None else verdict.response.basic
    return basic is not None and len(basic.singles) > 1
