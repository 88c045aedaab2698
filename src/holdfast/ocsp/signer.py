"""Who signed a response, and whether that one may: V2 and V4, RFC 6960 4.2.2.2.

The signature of a delegate's certificate is checked with the issuer's key, not its name
(Erlang's CVE-2026-32144 was to skip that), at any position in `certs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import described, scheme_of
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import FAULT, NOTE, Finding, Profile, finding
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import BasicResponse, ResponderID, ResponderKey, ResponderName
from holdfast.ocsp.verdict import SignerRole
from holdfast.pki.certificate import OCSP_NOCHECK, OCSP_SIGNING, Certificate

Found = tuple[Certificate | None, SignerRole | None]
_Tried = tuple[Certificate, SignerRole | None, list[Finding]]


def signed_by_issuer_or_delegate(
    basic: BasicResponse, subject: Subject, *, at: datetime, policy: Policy, into: list[Finding]
) -> Found:
    """(the certificate whose key made the signature, its role); findings go `into` the list.

    The role is None when that certificate may not sign for the subject's issuer, both are None
    when no certificate at hand made the signature.
    """
    scheme = scheme_of(basic.signature_algorithm)
    if scheme is None:
        into.append(finding("response-weak-signature", algorithm=_algorithm_text(basic)))
        return None, None
    if scheme.weak and not (policy.allow_sha1 and scheme.weak == "SHA-1"):
        into.append(finding("response-weak-signature", algorithm=scheme.name))
    issuer = subject.issuer
    tried: Certificate | None = None
    if _names(basic.responder_id, issuer) and issuer.has_readable_key:  # nearly always
        tried = issuer
        if scheme.verifies(issuer.public_key, basic.signature, basic.tbs):
            return issuer, _role(issuer, issuer, at, policy, into)
    made_it: _Tried | None = None
    for candidate in _others(basic, issuer, policy):
        tried = tried or candidate
        if scheme.verifies(candidate.public_key, basic.signature, basic.tbs):
            found: list[Finding] = []
            role = _role(candidate, issuer, at, policy, found)
            faultless = all(one.severity < FAULT for one in found)
            # A renewed delegate keeps its key: of several certificates that hold it, one without
            # fault is enough, wherever it stands in `certs`.
            if made_it is None or faultless:
                made_it = candidate, role, found
            if faultless:
                break
    if made_it is not None:
        into.extend(made_it[2])
        return made_it[:2]
    if tried is None:
        into.append(_nobody(basic, issuer))
    else:
        into.append(finding("response-bad-signature", signer=tried.subject))
    return None, None


def _others(basic: BasicResponse, issuer: Certificate, policy: Policy) -> Iterator[Certificate]:
    """Every certificate but the issuer that the responderID may mean and whose key is readable."""
    sent = (_parsed(data) for data in basic.certificates)
    for known in (*policy.trusted_responders, *(one for one in sent if one is not None)):
        if known != issuer and known.has_readable_key and _names(basic.responder_id, known):
            yield known


def _names(responder_id: ResponderID, certificate: Certificate) -> bool:
    if isinstance(responder_id, ResponderKey):
        return certificate.key_sha1 == responder_id.key_hash
    return certificate.subject_der == responder_id.name


@lru_cache(maxsize=1024)
def _parsed(data: bytes) -> Certificate | None:
    try:
        return Certificate(data)
    except Malformed:
        return None


def _role(
    signer: Certificate, issuer: Certificate, at: datetime, policy: Policy, into: list[Finding]
) -> SignerRole | None:
    """The role in which `signer` may answer for `issuer`, None when it may not."""
    if not signer.in_date(at):
        into.append(_out_of_date(signer))
    if signer is issuer or (
        signer.subject_der == issuer.subject_der and signer.key_octets == issuer.key_octets
    ):
        return "issuer"
    if signer in policy.trusted_responders:
        return "trusted"
    if not issuer.in_date(at):  # what it delegates ends with it
        into.append(_out_of_date(issuer))
    return _delegate(signer, issuer, policy, into)


def _out_of_date(certificate: Certificate) -> Finding:
    return finding(
        "response-signer-expired",
        signer=certificate.subject,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
    )


def _delegate(
    signer: Certificate, issuer: Certificate, policy: Policy, into: list[Finding]
) -> SignerRole | None:
    issued, weak = issued_by(signer, issuer)
    reason = ""
    try:
        unknown = signer.critical_extensions - _UNDERSTOOD
        renamed = signer.issuer_der != issuer.subject_der
        if not issued:
            reason = "the issuer's key did not sign its certificate"
        elif renamed and policy.profile is not Profile.RFC6960:
            reason = f"its certificate names another issuer ({signer.issuer}), so clients refuse it"
        elif unknown:
            reason = (
                f"its certificate has a critical extension that is not known ({_oids(unknown)})"
            )
        elif not signer.is_delegated_signer:
            reason = f"its certificate lacks the extended key usage OCSPSigning ({OCSP_SIGNING})"
        elif signer.is_ca and policy.profile is not Profile.RFC6960:
            reason = "it is itself a CA, and a delegated signer must not be"
        elif signer.is_ca:
            into.append(_unauthorised(signer, issuer, "it is itself a CA", note=True))
        elif renamed:
            into.append(_unauthorised(signer, issuer, "it names another issuer", note=True))
        if not reason and not signer.has_nocheck:
            into.append(finding("response-signer-without-nocheck", signer=signer.subject))
    except Malformed as error:
        reason = f"its certificate cannot be read: {error.message}"
    if reason:
        into.append(_unauthorised(signer, issuer, reason))
        return None
    if weak and not (policy.allow_sha1 and weak == "SHA-1"):
        into.append(
            finding(
                "response-weak-signature", algorithm=f"a delegate whose certificate uses {weak}"
            )
        )
    return "delegate"


@lru_cache(maxsize=4096)
def issued_by(certificate: Certificate, issuer: Certificate) -> tuple[bool, str]:
    """(`issuer`'s key made the signature on `certificate`, the weak hash's name or "")."""
    if not certificate.signed_with_key_of(issuer):
        return False, ""
    digest = certificate.x509.signature_hash_algorithm
    return True, "" if digest is None else _WEAK.get(digest.name, "")


# RFC 5280 4.2: a critical extension that is not processed refuses the certificate. What these say
# is read here or does not bear on signing OCSP responses.
_UNDERSTOOD = frozenset(
    der.encode_oid(dotted)
    for dotted in (
        "2.5.29.15",  # keyUsage
        "2.5.29.17",  # subjectAltName
        "2.5.29.19",  # basicConstraints
        "2.5.29.32",  # certificatePolicies
        "2.5.29.37",  # extKeyUsage
        OCSP_NOCHECK.dotted_string,
    )
)


def _oids(encoded: Iterable[bytes]) -> str:
    return ", ".join(sorted(der.oid(one, 0, len(one), "extnID")[0] for one in encoded))


_WEAK = {"sha1": "SHA-1", "md5": "MD5"}


def _unauthorised(
    signer: Certificate, issuer: Certificate, reason: str, *, note: bool = False
) -> Finding:
    return finding(
        "response-signer-unauthorised",
        severity=NOTE if note else None,
        signer=signer.subject,
        issuer=issuer.subject,
        reason=reason,
    )


def _nobody(basic: BasicResponse, issuer: Certificate) -> Finding:
    match basic.responder_id:
        case ResponderName():
            named = "a responder named in it"
        case ResponderKey(key_hash):
            named = f"the key {key_hash.hex()}"
    sent = [_parsed(data) for data in basic.certificates]
    unreadable = sum(one is None or not one.has_readable_key for one in sent)
    reason = "it is not the issuer and sends no certificate of its own"
    if unreadable:
        reason = f"{unreadable} of the certificates it sends, or their keys, cannot be read"
    elif basic.certificates:
        reason = "none of the certificates it sends has that name or key"
    return finding(
        "response-signer-unauthorised", signer=named, issuer=issuer.subject, reason=reason
    )


def _algorithm_text(basic: BasicResponse) -> str:
    return described(basic.signature_algorithm)
