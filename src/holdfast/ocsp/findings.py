"""Findings: facts about the world, as values; and the table of every code there is.

The table is the manual page: docs/reference/findings.md is written from it. Codes are stable and
kebab-case. The rules about a response are written once, as `staple-...`; when a stored response is
judged (`holdfast verify`) the same rule is told as `response-...`. Severities by profile:
`strict` is the table's; `rfc6960` and `browser` soften or sharpen single rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import NamedTuple


class Severity(IntEnum):
    """note < warning < fault < fatal."""

    NOTE = 0
    WARNING = 1
    FAULT = 2
    FATAL = 3

    @property
    def text(self) -> str:
        return self.name.lower()


NOTE, WARNING, FAULT, FATAL = Severity.NOTE, Severity.WARNING, Severity.FAULT, Severity.FATAL


class Profile(Enum):
    """Whose rules: ours (`strict`), the RFC's letter, or Firefox's verifier."""

    STRICT = "strict"
    RFC6960 = "rfc6960"
    BROWSER = "browser"


class Rule(NamedTuple):
    """One row. `message` and `hint` are templates over the finding's facts and `{it}` ("the
    staple" or "the response"); `spec` is where the rule comes from."""

    severity: Severity
    message: str
    hint: str
    spec: str


@dataclass(frozen=True, slots=True)
class Finding:
    """`facts` fill the row's templates; `severity` may differ from the row's by profile."""

    code: str
    severity: Severity
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def rule(self) -> Rule:
        return rule_of(self.code)

    @property
    def message(self) -> str:
        return self._filled(self.rule.message)

    @property
    def hint(self) -> str:
        """The row's; an `advice` among the facts, which fits the case better, takes its place."""
        return str(self.facts["advice"]) if "advice" in self.facts else self._filled(self.rule.hint)

    @property
    def spec(self) -> str:
        return self.rule.spec

    def prefixed(self, prefix: str) -> Finding:
        """The same under `prefix` ("staple" or "response"); other codes stay as they are."""
        for known in ("staple-", "response-"):
            if self.code.startswith(known):
                return Finding(f"{prefix}-{self.code[len(known) :]}", self.severity, self.facts)
        return self

    def as_json(self) -> dict[str, object]:
        """The object of interface documents: code, severity, message, hint, spec, facts."""
        return {
            "code": self.code,
            "severity": self.severity.text,
            "message": self.message,
            "hint": self.hint,
            "spec": self.spec,
            "facts": {name: _shown(value) for name, value in self.facts.items()},
        }

    def _filled(self, template: str) -> str:
        it = "the response" if self.code.startswith("response-") else "the staple"
        shown = {name: _shown(value) for name, value in self.facts.items()}
        return template.format_map(_Facts(shown, it=it))


class _Facts(dict[str, str]):
    """A fact that was not given is shown as its own name: a hole must not hide the finding."""

    def __missing__(self, name: str) -> str:
        return f"({name})"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def finding(code: str, /, *, severity: Severity | None = None, **facts: object) -> Finding:
    """A finding of the row `code`, at the row's severity unless another is given."""
    return Finding(code, rule_of(code).severity if severity is None else severity, facts)


def rule_of(code: str) -> Rule:
    """The row of `code`; a `response-...` code is its `staple-...` row. `KeyError` if none."""
    if code.startswith("response-"):
        return RULES["staple-" + code.removeprefix("response-")]
    return RULES[code]


def worst(findings: Iterable[Finding]) -> Finding | None:
    """The first of the gravest; None when there are none."""
    return max(findings, key=lambda found: found.severity, default=None)


_REFETCH = "fetch a new one from the responder; `holdfast fetch` shows what it says now"
_CLOCK = "compare the clocks of this machine, the server and the CA's responder"
_CA = "tell the CA; until it is mended, clients that check will refuse the certificate"

RULES: dict[str, Rule] = {
    # -- the response itself ------------------------------------------------------------------
    "staple-missing": Rule(
        WARNING,
        "no staple was sent, although the certificate names a responder ({responder})",
        "turn stapling on in the server, or run `holdfast keep` beside it",
        "RFC 6066 8",
    ),
    "staple-intermittent": Rule(
        WARNING,
        "{stapled} of {handshakes} handshakes carried a staple{pattern}",
        "the server fetches staples only after it was asked: run `holdfast keep` beside it",
        "RFC 6066 8",
    ),
    "staple-differs": Rule(
        WARNING,
        "{count} different staples were sent for one certificate",
        "the server's processes or addresses hold staples of different age: feed them from one "
        "keeper",
        "RFC 6066 8",
    ),
    "staple-malformed": Rule(
        FATAL,
        "{it} is not an OCSP response: {problem}",
        "the server or the file sends something else; see what with `holdfast show`",
        "RFC 6960 4.2.1",
    ),
    "staple-error-response": Rule(
        FAULT,
        "{it} is the error response {response_status}, which says nothing of the certificate",
        "{advice}",
        "RFC 6960 2.3",
    ),
    "staple-bad-signature": Rule(
        FATAL,
        "the signature of {it} does not verify with the key of {signer}",
        "it was forged or damaged, or it belongs to another issuer: " + _REFETCH,
        "RFC 6960 3.2 (2)",
    ),
    "staple-weak-signature": Rule(
        FAULT,
        "{it} is signed with {algorithm}",
        "have the CA sign its answers with SHA-256; --allow-sha1 accepts SHA-1 until then",
        "RFC 9155 2, CA/Browser Forum 7.1.3.2",
    ),
    "staple-signer-unauthorised": Rule(
        FATAL,
        "{it} is signed by {signer}, which may not answer for {issuer}: {reason}",
        "the signer must be the issuer, or be issued by the issuer's own key with the extended "
        "key usage OCSPSigning",
        "RFC 6960 4.2.2.2",
    ),
    "staple-signer-without-nocheck": Rule(
        NOTE,
        "the delegated signer {signer} carries no id-pkix-ocsp-nocheck, so a strict client may "
        "ask whether it is revoked itself",
        "issue delegated signers with id-pkix-ocsp-nocheck and a short life",
        "RFC 6960 4.2.2.2.1",
    ),
    "staple-signer-expired": Rule(
        FAULT,
        "the signer {signer} is in date only from {not_before} to {not_after}",
        "renew the delegated signer's certificate (`holdfast ca signer`) and sign anew",
        "RFC 6960 4.2.2.2",
    ),
    "staple-wrong-certificate": Rule(
        FATAL,
        "{it} is about {answered}, not about serial {serial} of {issuer}",
        "the server sends another certificate's staple, or the chain given is not its own",
        "RFC 6960 3.2 (1)",
    ),
    "staple-expired": Rule(
        FAULT,
        "{it} ended at {ended}, {ago} ago",
        _REFETCH,
        "RFC 6960 3.2 (6)",
    ),
    "staple-not-yet-valid": Rule(
        FAULT,
        "{it} begins at {this_update}, {ahead} from now",
        _CLOCK,
        "RFC 6960 3.2 (5)",
    ),
    "staple-no-next-update": Rule(
        WARNING,
        "{it} has no nextUpdate: it says of itself that newer news is always to be had",
        "have the CA set nextUpdate, which RFC 9919 requires; until then it is held {lifetime}",
        "RFC 9919 3.2.2, RFC 6960 2.4",
    ),
    "staple-too-old": Rule(
        FAULT,
        "{it} was made {age} ago, more than the {max_age} allowed",
        _REFETCH,
        "--max-age",
    ),
    "staple-near-expiry": Rule(
        WARNING,
        "{age_percent} % of the window of {it} has passed; a healthy server would have renewed "
        "it at 50 %{newer}",
        "see why the renewal fails: `holdfast fetch` asks the responder as the server would",
        "RFC 9919 4",
    ),
    "staple-window-too-long": Rule(
        WARNING,
        "the window of {it} is {window}; a revocation may stay unseen for as long",
        "have the CA keep it at 10 days or less; Firefox counts no more than 10",
        "CA/Browser Forum 4.9.10",
    ),
    "staple-produced-outside-certificate": Rule(
        FAULT,
        "{it} was produced at {produced_at}, outside the certificate's own life ({not_before} "
        "to {not_after})",
        _CLOCK,
        "RFC 6960 2.4",
    ),
    "staple-produced-before-this-update": Rule(
        NOTE,
        "{it} was produced at {produced_at}, before its own thisUpdate {this_update}",
        "harmless: some responders backdate producedAt",
        "RFC 6960 2.4",
    ),
    "staple-revoked": Rule(
        FAULT,
        "the certificate was revoked at {at} ({reason})",
        "replace the certificate: clients that check refuse it",
        "RFC 6960 2.2",
    ),
    "staple-unknown": Rule(
        FAULT,
        "the responder does not know the certificate",
        "the CA's database lacks it, or the wrong CA is asked; unknown is not good",
        "RFC 6960 2.2",
    ),
    "staple-conflicting-singles": Rule(
        FAULT,
        "{it} speaks {count} times of the certificate and contradicts itself ({said})",
        _CA,
        "RFC 6960 3.2",
    ),
    "staple-critical-extension": Rule(
        FAULT,
        "{it} carries the critical extension {oid}, which is not known",
        _CA,
        "RFC 6960 4.4",
    ),
    "staple-nonce-mismatch": Rule(
        FAULT,
        "{it} answers another request: its nonce is not the one sent",
        "a cache or a replay stands between: ask without a nonce, or the responder directly",
        "RFC 9654 2.1",
    ),
    "staple-nonce-absent": Rule(
        NOTE,
        "{it} carries no nonce although one was asked for",
        "the responder answers from a cache; the window alone tells how fresh it is",
        "RFC 9654 2.1",
    ),
    "staple-outlives-signer": Rule(
        WARNING,
        "{it} ends at {next_update}, after {whose} certificate at {not_after}",
        "it is used until the earlier end; have the CA end its answers before its signers",
        "CA/Browser Forum 4.9.9",
    ),
    "staple-certid-sha256": Rule(
        NOTE,
        "{it} names the certificate by {hash_algorithm}: older Firefox, curl 7.88 and s2n refuse "
        "such staples",
        "ask the responder with a SHA-1 CertID, as `holdfast keep` does by default",
        "RFC 9919 3.1.1",
    ),
    "staple-too-large": Rule(
        WARNING,
        "{it} has {size} bytes; with it the handshake does not fit the first flight{more}",
        "have the CA leave needless certificates and extensions out of its answers",
        "RFC 6928",
    ),
    "staple-absent-intermediate": Rule(
        NOTE,
        "no staple was sent for the intermediate {subject}",
        "TLS 1.3 can carry one for each certificate; few servers do, and few clients ask",
        "RFC 8446 4.4.2.1",
    ),
    # -- must-staple --------------------------------------------------------------------------
    "must-staple-without-staple": Rule(
        FATAL,
        "the certificate demands a staple (must-staple) and none was sent",
        "turn stapling on at once: Firefox refuses the connection. `holdfast keep` has the "
        "staple ready before the first handshake",
        "RFC 7633 4.2.3.1",
    ),
    "must-staple-without-responder": Rule(
        FAULT,
        "the certificate demands a staple (must-staple) and names no responder to get one from",
        "have it issued again, with a responder or without must-staple",
        "RFC 7633 4.2.3.1",
    ),
    "must-staple-critical": Rule(
        NOTE,
        "the must-staple extension is marked critical: clients that do not know it refuse the "
        "certificate",
        "have it issued with the extension not critical",
        "RFC 7633 4",
    ),
    # -- the responder ------------------------------------------------------------------------
    "no-responder-url": Rule(
        NOTE,
        "the certificate names no OCSP responder: stapling does not apply to it ({reason})",
        "nothing to do; many CAs ended OCSP in 2025 and use short lives and CRLs instead",
        "CA/Browser Forum SC-063",
    ),
    "responder-url-not-http": Rule(
        WARNING,
        "the responder address {url} is not plain http",
        "clients and servers fetch OCSP by http only: answers are signed, and https would need "
        "OCSP itself",
        "CA/Browser Forum 7.1.2.7.7",
    ),
    "responder-unreachable": Rule(
        WARNING,
        "the responder {url} cannot be reached: {problem}",
        "look at the name, the firewall and the proxy on the way there",
        "RFC 6960 A.1",
    ),
    "responder-slow": Rule(
        WARNING,
        "the responder {url} took {milliseconds} ms to answer",
        "servers that fetch inside the handshake wait as long: let a keeper fetch ahead",
        "CA/Browser Forum 4.10.2",
    ),
    "responder-http-error": Rule(
        WARNING,
        "the responder {url} answered HTTP {code}",
        "the address may be wrong or its service broken: ask the CA",
        "RFC 6960 A.2",
    ),
    "responder-error-response": Rule(
        WARNING,
        "the responder {url} answered {response_status}",
        "{advice}",
        "RFC 6960 2.3",
    ),
    "responder-invalid-response": Rule(
        FAULT,
        "the responder {url} gave an answer that cannot be used: {problem}",
        _CA,
        "RFC 6960 3.2",
    ),
    "responder-method-fails": Rule(
        WARNING,
        "the responder {url} answers {works}, and {method} not: {problem}",
        "{who} by {method}; let a keeper fetch, which asks both ways, and tell the CA",
        "RFC 6960 A.1",
    ),
    "responder-methods-differ": Rule(
        WARNING,
        "the responder {url} says {get} to GET and {post} to POST",
        "a cache before the responder is old, which GET alone sees: tell the CA",
        "RFC 9919 5",
    ),
    "responder-disagrees": Rule(
        FAULT,
        "the responder {url} says {certificate_status} now, the staple says {stapled}",
        "the server holds an old staple: have it renewed now (`holdfast refresh`)",
        "RFC 6960 3.2",
    ),
    # -- the chain ----------------------------------------------------------------------------
    "chain-incomplete": Rule(
        FAULT,
        "the server does not send the certificate of {issuer}, which issued {subject}",
        "add the intermediate to the server's certificate file: {how}",
        "RFC 8446 4.4.2",
    ),
    "chain-out-of-order": Rule(
        WARNING,
        "the certificates are not sent in order, each issued by the next",
        "order the file leaf first: `holdfast bundle FILE` writes it so",
        "RFC 8446 4.4.2",
    ),
    "chain-superfluous": Rule(
        NOTE,
        "{count} certificates are sent that no client needs: {subjects}",
        "take them out of the server's certificate file",
        "RFC 8446 4.4.2",
    ),
    "chain-untrusted": Rule(
        FATAL,
        "the chain does not end at a trusted root: {reason}",
        "complete the chain; for a private CA give its root with --ca-file",
        "RFC 5280 6.1",
    ),
    "chain-weak-key": Rule(
        WARNING,
        "{subject} has a weak key ({key})",
        "issue it again with RSA of 2048 bits or more, or ECDSA",
        "CA/Browser Forum 6.1.5",
    ),
    "chain-weak-signature": Rule(
        WARNING,
        "{subject} is signed with {algorithm}",
        "have it issued again with SHA-256",
        "RFC 9155 2",
    ),
    "certificate-expired": Rule(
        FATAL,
        "the certificate {subject} ended at {not_after}",
        "renew it",
        "RFC 5280 4.1.2.5",
    ),
    "certificate-not-yet-valid": Rule(
        FATAL,
        "the certificate {subject} begins at {not_before}",
        _CLOCK,
        "RFC 5280 4.1.2.5",
    ),
    "certificate-name-mismatch": Rule(
        FATAL,
        "the certificate is for {names}, not for {servername}",
        "the server's default certificate answered: give the name its own, or mend the name",
        "RFC 9525 6",
    ),
    "certificate-revoked-by-crl": Rule(
        FAULT,
        "the CRL {url} lists the certificate as revoked at {at} ({reason})",
        "replace the certificate: clients that check refuse it",
        "RFC 5280 6.3",
    ),
    "crl-unreachable": Rule(
        WARNING,
        "the CRL {url} cannot be had: {problem}",
        "look at the address and the way there",
        "RFC 5280 4.2.1.13",
    ),
    "crl-expired": Rule(
        WARNING,
        "the CRL {url} ended at {next_update}",
        "have the CA publish a new one",
        "RFC 5280 5.1.2.5",
    ),
    "crl-bad-signature": Rule(
        FAULT,
        "the CRL {url} is not signed by {issuer}",
        _CA,
        "RFC 5280 6.3.3 (f)",
    ),
    "crl-disagrees-with-ocsp": Rule(
        FAULT,
        "the CRL {url} says {crl}, OCSP says {ocsp}",
        _CA,
        "CA/Browser Forum 4.9.9",
    ),
    # -- the responder's own sources (R35) ----------------------------------------------------
    "ledger-laxer": Rule(
        FAULT,
        "serial {serial}: {stricter} says {strict}, the ledger says {lax}",
        "if the ledger is an old copy, put the newest back; else enter the revocation "
        "(`holdfast ca revoke`, `openssl ca -revoke`). Until then {strict} is answered",
        "RFC 6960 2.2",
    ),
    "presigned-laxer": Rule(
        FAULT,
        "serial {serial}: {stricter} says {strict}, the answer signed ahead says {lax}",
        "see that `holdfast presign` runs, and over the same ledger. Until then {strict} is "
        "answered, signed when it is asked for",
        "CA/Browser Forum 4.9.10",
    ),
    "crl-laxer": Rule(
        WARNING,
        "serial {serial}: {stricter} says {strict}, the CRL of {as_of} does not list it",
        "publish a new CRL (`holdfast ca crl`, `openssl ca -gencrl`)",
        "CA/Browser Forum 4.9.7",
    ),
    "revocation-differs": Rule(
        WARNING,
        "serial {serial}: {stricter} says {strict}, {laxer} says {lax}",
        "make the date and the reason the same in both. Until then {strict} is answered",
        "CA/Browser Forum 4.9.9",
    ),
    # -- transport ----------------------------------------------------------------------------
    "unreachable": Rule(
        FATAL,
        "{address} cannot be reached: {problem}",
        "look at the name, the port and the firewall",
        "RFC 9293",
    ),
    "tls-handshake-failed": Rule(
        FATAL,
        "the TLS handshake with {address} failed ({tls}): {problem}",
        "look at the server's own error log at this minute",
        "RFC 8446 6.2",
    ),
    "tls-version-old": Rule(
        WARNING,
        "the server offers nothing newer than {tls}",
        "turn TLS 1.3 on",
        "RFC 9325 3.1.1",
    ),
    "starttls-refused": Rule(
        FAULT,
        "no TLS by STARTTLS with {address}: {problem}",
        "turn STARTTLS on in that server, or look at the port",
        "RFC 3207, RFC 2595",
    ),
    "without-sni-differs": Rule(
        NOTE,
        "a client that sends no name by SNI {difference}",
        "nothing to do, unless clients or monitors without SNI matter: then make this certificate "
        "the server's default one",
        "RFC 6066 3",
    ),
    "check-cut-short": Rule(
        WARNING,
        "not everything was looked at: {problem}",
        "{advice}",
        "the check's own bounds",
    ),
    "address-family-differs": Rule(
        WARNING,
        "IPv4 and IPv6 do not behave alike: {difference}",
        "the addresses lead to different servers or configurations",
        "RFC 6555",
    ),
}
"""Every code but the `response-...` twins, with what a person needs to know."""

ERROR_RESPONSE_ADVICE = {
    "malformedRequest": "the responder does not understand the request: try GET, POST and the "
    "other CertID hash",
    "internalError": "the responder is broken now: keep what you have and try again later",
    "tryLater": "the responder is too busy: keep what you have and try again later",
    "sigRequired": "the responder wants signed requests: ask the CA for another address",
    "unauthorized": "the responder does not answer for this certificate: wrong responder, or "
    "the CA has not published an answer yet",
}
"""response_status -> what to do."""
