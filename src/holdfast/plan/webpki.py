"""What the public Web PKI asks of a responder: the Baseline Requirements as a table (R29 to R31).

Laws: a breach names the setting that makes it, the rule's section and what to write instead; what
is not a setting (the signer's certificate and key) is judged by the same table. Source: CA/Browser
Forum, TLS Baseline Requirements 4.9.9, 4.9.10, 6.1.5, 7.1.2.8, 7.1.2.10.7 and 7.1.3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID

from holdfast.pki.certificate import OCSP_SIGNING, Certificate

SHORTEST = timedelta(hours=8)
LONGEST = timedelta(days=10)
FIRST_ANSWER = timedelta(minutes=15)  # after a certificate is published
CURVES = (256, 384, 521)
RSA_BITS = 2048

Judged = TypeVar("Judged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """How one CA's answers are made.

    `noticed_within`: how long after a certificate is in the ledger the first answer about it can be
    had. When stored answers are signed again is no setting (R29: `plan.presigning`).
    """

    validity: timedelta
    backdate: timedelta = timedelta(0)
    noticed_within: timedelta = timedelta(0)
    unlisted_good: bool = False
    signed_requests_only: bool = False
    digest: str | None = None

    @property
    def window(self) -> timedelta:
        """From thisUpdate to nextUpdate."""
        return self.validity + self.backdate


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningAs:
    """Who signs: `certificate` for `issuer`."""

    certificate: Certificate
    issuer: Certificate

    @property
    def delegated(self) -> bool:
        mine, its = self.certificate, self.issuer
        return mine.subject_der != its.subject_der or mine.key_octets != its.key_octets


@dataclass(frozen=True, slots=True)
class Breach:
    """`key` is the setting to change, `section` the requirement that `problem` breaks."""

    key: str
    section: str
    problem: str
    hint: str

    @property
    def message(self) -> str:
        return f"{self.key}: {self.problem} (Baseline Requirements {self.section})"


@dataclass(frozen=True, slots=True)
class _Rule(Generic[Judged]):
    key: str
    section: str
    hint: str
    broken: Callable[[Judged], str]


def breaches(practice: Practice) -> Iterator[Breach]:
    """What in `practice` the requirements forbid, in their order."""
    yield from _of(PRACTICE_RULES, practice)


def signer_breaches(signing: SigningAs) -> Iterator[Breach]:
    """What the requirements forbid in who signs."""
    yield from _of(DELEGATE_RULES if signing.delegated else ISSUER_RULES, signing)


def _of(rules: tuple[_Rule[Judged], ...], judged: Judged) -> Iterator[Breach]:
    for rule in rules:
        if problem := rule.broken(judged):
            yield Breach(rule.key, rule.section, problem, rule.hint)


def words(span: timedelta) -> str:
    """`span` as settings write it, in the largest unit that divides it."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _too_short(practice: Practice) -> str:
    if practice.window >= SHORTEST:
        return ""
    return f"answers that hold for {words(practice.window)}, and {words(SHORTEST)} is the least"


def _too_long(practice: Practice) -> str:
    if practice.window <= LONGEST:
        return ""
    told = f"answers that hold for {words(practice.window)}"
    return f"{told}{_with_backdate(practice)}, and {words(LONGEST)} is the most"


def _with_backdate(practice: Practice) -> str:
    return " (backdate counted)" if practice.backdate else ""


def _noticed_late(practice: Practice) -> str:
    if practice.noticed_within <= FIRST_ANSWER:
        return ""
    return (
        f"a new certificate is answered only {words(practice.noticed_within)} after it is in the "
        f"ledger; {words(FIRST_ANSWER)} is the most"
    )


def _unlisted(practice: Practice) -> str:
    return "a serial that was never issued would be answered good" if practice.unlisted_good else ""


def _signed_only(practice: Practice) -> str:
    if not practice.signed_requests_only:
        return ""
    return "relying parties ask with unsigned requests, and would all be refused"


def _weak_digest(practice: Practice) -> str:
    if practice.digest in (None, "sha256", "sha384", "sha512"):
        return ""
    return f"answers signed with {practice.digest}"


PRACTICE_RULES: tuple[_Rule[Practice], ...] = (
    _Rule("validity", "4.9.10", 'write validity = "8h" or more, as "12h"', _too_short),
    _Rule("validity", "4.9.10", 'write validity = "10d" or less, as "4d"', _too_long),
    _Rule("delay", "4.9.10", 'write delay = "15m" or less', _noticed_late),
    _Rule(
        "crl_unlisted",
        "4.9.10",
        'give a ledger that knows what was issued, or write crl_unlisted = "unauthorized"',
        _unlisted,
    ),
    _Rule(
        "signed_requests",
        "4.9.9, by RFC 5019 2.1.2",
        'write signed_requests = "ignored" or "verified"',
        _signed_only,
    ),
    _Rule("digest", "7.1.3.2", 'leave digest out, or write "sha256"', _weak_digest),
)


def _without_nocheck(signing: SigningAs) -> str:
    if signing.certificate.has_nocheck:
        return ""
    return f"signer {signing.certificate.subject} lacks id-pkix-ocsp-nocheck"


def _other_purposes(signing: SigningAs) -> str:
    usages = signing.certificate.extended_key_usages or ()
    if tuple(usages) == (OCSP_SIGNING,):
        return ""
    who = f"signer {signing.certificate.subject}"
    if OCSP_SIGNING not in usages:
        return f"{who} lacks the extended key usage OCSPSigning"
    return f"{who} has extended key usages beside OCSPSigning"


def _delegate_key_usage(signing: SigningAs) -> str:
    usage = _key_usage(signing.certificate)
    who = f"signer {signing.certificate.subject}"
    if usage is None or not usage.digital_signature:
        return f"{who} lacks the key usage digitalSignature"
    if usage.key_cert_sign or usage.crl_sign or usage.key_encipherment or usage.key_agreement:
        return f"{who} has key usages beside digitalSignature"
    return ""


def _issuer_key_usage(signing: SigningAs) -> str:
    usage = _key_usage(signing.certificate)
    if usage is not None and usage.digital_signature:
        return ""
    return f"{signing.certificate.subject} lacks digitalSignature, so its key must not sign answers"


def _key_usage(certificate: Certificate) -> x509.KeyUsage | None:
    found = certificate.extension(ExtensionOID.KEY_USAGE)
    return found.value if found is not None and isinstance(found.value, x509.KeyUsage) else None


def _weak_key(signing: SigningAs) -> str:
    who = f"signer {signing.certificate.subject}"
    match signing.certificate.public_key:
        case rsa.RSAPublicKey(key_size=bits) if bits >= RSA_BITS and bits % 8 == 0:
            return ""
        case ec.EllipticCurvePublicKey(curve=curve) if curve.key_size in CURVES:
            return ""
        case _:
            return f"{who} has a key of kind {signing.certificate.key_type}, which is not allowed"


_ISSUE = "let the CA issue a new signer: `holdfast ca signer`"
_KEY = _Rule(
    "signers", "6.1.5", "use RSA of 2048 bits or more, or ECDSA P-256, P-384 or P-521", _weak_key
)
DELEGATE_RULES: tuple[_Rule[SigningAs], ...] = (
    _Rule("signers", "4.9.9", _ISSUE, _without_nocheck),
    _Rule("signers", "7.1.2.8", _ISSUE, _other_purposes),
    _Rule("signers", "7.1.2.8", _ISSUE, _delegate_key_usage),
    _KEY,
)
ISSUER_RULES: tuple[_Rule[SigningAs], ...] = (
    _Rule("signers", "7.1.2.10.7", "give a delegated signer in signers", _issuer_key_usage),
    _KEY,
)
