"""What well-known clients make of a server, as their sources and our runs of them say.

Each client is a row: what makes it refuse, its rule in words, and where that is written. Two ask
more than a list of findings: what Firefox does with a staple that it cannot use hangs on whether
the responder answers it, and `curl --cert-status` makes the CertID from the issuer that was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.ocsp.findings import Finding, finding
from holdfast.ocsp.verify import OPENSSL_MOST_IN_TLS12
from holdfast.pki.chain import find_issuer
from holdfast.plan.client_reading import (
    as_curl_does,
    as_gnutls_does,
    as_openssl_does,
    codes_of,
)
from holdfast.plan.report import ClientReport, LeafReport, ResponderReport, StapleReport

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
}
_NO_AIA = frozenset({"chain-incomplete"})  # who does not fetch issuers by itself
ISSUER_NOT_SENT = "issuer-not-sent"  # no finding: the chain is complete for everybody else


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """`refuses`: the findings at which it ends. `proven`: at what a valid staple tells revoked.
    `empty`: at an empty staple. `most12`: the largest staple that it takes in TLS 1.2. `asks`: the
    findings at which it asks the responder itself, and ends when that does not answer either.
    `tls13`: those at which it ends in TLS 1.3 alone. `reads`: what it finds in a staple."""

    name: str
    rule: str
    source: str
    refuses: frozenset[str]
    proven: bool = False
    empty: bool = True
    asks: frozenset[str] = frozenset()
    tls13: frozenset[str] = frozenset()
    most12: int | None = None
    reads: Callable[[StapleReport], frozenset[str]] = codes_of


CLIENTS: tuple[Client, ...] = (
    Client(
        name="firefox",
        rule="refuses a staple that is forged, revoked, unknown or about another certificate, and "
        "a must-staple certificate without one; where a staple is old or its signer wrong it asks "
        "the responder",
        source="mozilla-firefox/firefox security/certverifier/NSSCertDBTrustDomain.cpp, "
        "CheckRevocation; mozpkix pkixcheck.cpp, CheckTLSFeatures",
        refuses=_CERTIFICATE
        | (_FORGED - {"staple-signer-unauthorised"})
        | {
            "staple-unknown",
            "staple-not-yet-valid",
            "staple-error-response",
            "staple-critical-extension",
            "must-staple-without-staple",
        },
        asks=frozenset({"staple-expired", "staple-signer-unauthorised", "staple-signer-expired"}),
    ),
    Client(
        name="chrome",
        rule="refuses a certificate that a valid staple tells revoked, passes any other staple "
        "over, and does not know must-staple; it fetches missing issuers",
        source="chromium/chromium net/cert/internal/revocation_checker.cc, CheckCertRevocation",
        refuses=_CERTIFICATE,
        proven=True,
        empty=False,
    ),
    Client(
        name="safari",
        rule="refuses a certificate that a valid staple tells revoked, passes any other staple "
        "over, and does not know must-staple; it fetches missing issuers",
        source="apple-oss-distributions/Security trust/trustd/SecRevocationServer.c, "
        "SecORVCConsumeOCSPResponse",
        refuses=_CERTIFICATE,
        proven=True,
        empty=False,
    ),
    Client(
        name="curl --cert-status",
        rule="wants a good, current staple, and the issuer among what was sent",
        source="curl/curl lib/vtls/openssl.c, ossl_check_ocsp / verifystatus; our runs of 7.88",
        refuses=_CERTIFICATE
        | _USELESS
        | _NO_AIA
        | {"staple-missing", "staple-certid-sha256", "no-responder-url"},
        reads=as_curl_does,
        most12=OPENSSL_MOST_IN_TLS12,
    ),
    Client(
        name="gnutls-cli",
        rule="refuses a staple that is garbage, forged, old, revoked or about another certificate, "
        "and a must-staple certificate without one; unknown and tryLater it passes over",
        source="gnutls/gnutls lib/cert-session.c, check_ocsp_response; our runs of 3.7",
        refuses=_CERTIFICATE
        | _NO_AIA
        | _FORGED
        | {
            "staple-expired",
            "staple-signer-expired",
            "must-staple-without-staple",
        },
        reads=as_gnutls_does,
    ),
    Client(
        name="go",
        rule="crypto/tls hands the staple on unread; only an empty one ends the handshake",
        source="golang/go src/crypto/tls/handshake_messages.go, certificateStatusMsg.unmarshal and "
        "unmarshalCertificate",
        refuses=_CERTIFICATE | _NO_AIA,
    ),
    Client(
        name="java",
        rule="judges a staple only with com.sun.net.ssl.checkRevocation=true; in TLS 1.3 it must "
        "parse",
        source="openjdk/jdk src/java.base/share/classes/sun/security/ssl/CertStatusExtension.java, "
        "OCSPStatusResponse; sun/security/validator/PKIXValidator.java; our runs of 17",
        refuses=_CERTIFICATE | _NO_AIA,
        tls13=frozenset({"staple-malformed"}),
    ),
    Client(
        name="openssl s_client",
        rule="wants a staple that parses, and does not judge it",
        source="openssl/openssl ssl/statem/statem_clnt.c, tls_process_cert_status_body; apps/"
        "s_client.c, ocsp_resp_cb",
        refuses=(_CERTIFICATE - {"certificate-name-mismatch"}) | _NO_AIA | {"staple-malformed"},
        reads=as_openssl_does,
        most12=OPENSSL_MOST_IN_TLS12,
    ),
)


def clients(
    leaves: Sequence[LeafReport],
    staples: Sequence[StapleReport],
    findings: Sequence[Finding],
    responders: Sequence[ResponderReport] = (),
    *,
    newest: str = "TLSv1.3",
) -> tuple[ClientReport, ...]:
    """Whether each client of the table would go on; none when no certificate was seen.

    `newest`: the version of TLS that they and the server agree on."""
    if not leaves:
        return ()
    first = [staple for staple in staples if staple.position == 0]
    rows = []
    for client in CLIENTS:
        # GnuTLS 3.7 reads the first single alone, later versions look for the right one; it judges
        # an intermediate's staple too, and finds its signer only where the root was sent
        if client.name == "gnutls-cli" and (
            len(first) < len(staples) or any(map(_about_several, first))
        ):
            continue
        told = _of_the_leaf(client, staples, findings)
        hits = _hits(client, leaves, first, told, responders)
        if newest == "TLSv1.3":
            hits += [found.code for found in findings if found.code in client.tls13]
        elif client.most12 is not None and any(len(s.der) > client.most12 for s in first):
            hits.append("staple-too-large")
        because = hits[0] if hits else None
        rows.append(ClientReport(client.name, not hits, because, client.rule, client.source))
    return tuple(rows)


def _of_the_leaf(
    client: Client, staples: Sequence[StapleReport], findings: Sequence[Finding]
) -> list[Finding]:
    """Those that `client` can know of: of all that is found in staples, what it reads itself."""
    found = {code for staple in staples for code in codes_of(staple)}
    read = {code for staple in staples if staple.position == 0 for code in client.reads(staple)}
    told = [one for one in findings if one.code not in found - read or "empty" in one.facts]
    codes = {one.code for one in told}
    return [*told, *(finding(code) for code in sorted(read - codes))]


def _hits(
    client: Client,
    leaves: Sequence[LeafReport],
    first: Sequence[StapleReport],
    findings: Sequence[Finding],
    responders: Sequence[ResponderReport],
) -> list[str]:
    """Everything at which `client` ends, the gravest first."""
    hits = [found.code for found in findings if _refuses(client, found)]
    if first:
        hits = [code for code in hits if code != "no-responder-url"]
    if client.proven and any(s.valid and s.certificate_status == "revoked" for s in first):
        hits.append("staple-revoked")
    answered = any(one.certificate_status == "good" for one in responders)
    if client.asks and responders and not answered:
        hits += [found.code for found in findings if found.code in client.asks]
    if client.name == "curl --cert-status" and first and not all(map(_issuer_sent, leaves)):
        incomplete = any(found.code == "chain-incomplete" for found in findings)
        hits.append("chain-incomplete" if incomplete else ISSUER_NOT_SENT)
    return hits


def _refuses(client: Client, found: Finding) -> bool:
    if found.code == "staple-malformed" and "empty" in found.facts:
        return client.empty
    if found.code == "staple-error-response" and client.name == "firefox":
        return found.facts.get("response_status") != "tryLater"
    return found.code in client.refuses


def _issuer_sent(report: LeafReport) -> bool:
    return find_issuer(report.leaf, report.sent) is not None


def _about_several(staple: StapleReport) -> bool:
    """Whether the staple answers about other certificates too."""
    verdict = staple.verdict
    basic = None if verdict is None or verdict.response is None else verdict.response.basic
    return basic is not None and len(basic.singles) > 1
