"""Who signed a request: R7, RFC 6960 4.1.2.

Laws: a requestor is proved only by a signature over the TBSRequest as it came, with the key of a
certificate that bears the requestorName and from which a trusted path leads to an anchor that the
operator named. Certificates that come with the request are material, never trust. Whether the
requestor's own certificate was revoked is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from holdfast.errors import Malformed
from holdfast.ocsp.algorithms import described, scheme_of
from holdfast.ocsp.request import Request
from holdfast.pki.certificate import Certificate
from holdfast.pki.tlv import children, tlv
from holdfast.pki.trust import Untrusted, path_to
from holdfast.pki.unreadable import UNREADABLE

# Anybody can send many certificates of one name and key, and every step among them has to be tried;
# chains that are used have at most three CAs below the anchor.
MAX_SENT = 5
_DIRECTORY_NAME = 0xA4  # GeneralName, RFC 5280 4.2.1.6


@dataclass(frozen=True, slots=True)
class Proved:
    """The certificate whose key signed the request."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Unproved:
    """Why it is not known who asks."""

    why: str


def requestor_of(
    request: Request, *, anchors: Sequence[Certificate], at: datetime
) -> Proved | Unproved:
    """Who signed `request`, judged at `at` by `anchors`: CAs, or requestors' own certificates."""
    signature = request.signature
    if signature is None:
        return Unproved("the request is not signed")
    if request.requestor is None:
        return Unproved("the signed request has no requestorName, which RFC 6960 4.1.2 requires")
    scheme = scheme_of(signature.algorithm)
    if scheme is None:
        return Unproved(f"the request is signed with {described(signature.algorithm)}")
    if scheme.weak:
        return Unproved(f"the request is signed with {scheme.name}, and {scheme.weak} is too weak")
    if len(signature.certificates) > MAX_SENT:
        sent_along = len(signature.certificates)
        return Unproved(f"{sent_along} certificates came with the request, more than {MAX_SENT}")
    sent = list(_readable(signature.certificates))
    named = [
        one
        for one in dict.fromkeys([*sent, *anchors])
        if one.has_readable_key and _bears(one, request.requestor)
    ]
    if not named:
        return Unproved("no certificate with the requestorName was sent or is trusted")
    why = f"the signature was not made by the key of {named[0].subject}"
    tbs = request.encode_tbs()
    for one in named:
        if scheme.verifies(one.public_key, signature.signature, tbs):
            why = _objection(one, anchors, sent, at)
            if not why:
                return Proved(one)
    return Unproved(why)


def _readable(certificates: Sequence[bytes]) -> Iterator[Certificate]:
    for data in certificates:
        try:
            yield Certificate(data)
        except Malformed:
            continue


def _bears(certificate: Certificate, name: bytes) -> bool:
    """True when `name`, a GeneralName in DER, is the subject or one of the subjectAltNames."""
    if name == tlv(_DIRECTORY_NAME, certificate.subject_der):
        return True
    try:
        found = certificate.extension(x509.SubjectAlternativeName.oid)
        if found is None:
            return False
        listed = found.value.public_bytes()
    except (Malformed, *UNREADABLE):
        return False
    return any(listed[one.head : one.end] == name for one in children(listed))


def _objection(
    certificate: Certificate, anchors: Sequence[Certificate], sent: list[Certificate], at: datetime
) -> str:
    """Why the holder of `certificate` may not ask, "" when it may."""
    if not certificate.in_date(at):  # an anchor is its own path, whatever its dates
        return f"{certificate.subject} is not in date at {at:%Y-%m-%dT%H:%M:%SZ}"
    try:
        if not _may_sign(certificate):
            return f"{certificate.subject} is not for signing: its key usage says otherwise"
        way = _way(certificate, anchors, sent, at)
        if way is None:
            return f"{certificate.subject}: no trusted path: no signatures lead to who may ask"
        path_to(certificate, anchors, intermediates=way, at=at)
    except (Untrusted, Malformed) as error:
        return error.message
    return ""


def _way(
    certificate: Certificate, anchors: Sequence[Certificate], sent: list[Certificate], at: datetime
) -> tuple[Certificate, ...] | None:
    """The certificates between `certificate` and an anchor by the fewest signatures, None when
    there is no way. Each pair is tried once, where the search for paths tries every order."""
    ways: dict[Certificate, tuple[Certificate, ...]] = {certificate: ()}
    queue = [certificate]
    for last in queue:
        if last in anchors or any(last.signed_by(anchor) for anchor in anchors):
            return ways[last]
        for issuer in sent:
            if issuer not in ways and issuer.in_date(at) and last.signed_by(issuer):
                ways[issuer] = (*ways[last], issuer)
                queue.append(issuer)
    return None


def _may_sign(certificate: Certificate) -> bool:
    """RFC 5280 4.2.1.3: digitalSignature or nonRepudiation, where there is a key usage."""
    found = certificate.extension(x509.KeyUsage.oid)
    if found is None or not isinstance(found.value, x509.KeyUsage):
        return found is None
    return found.value.digital_signature or found.value.content_commitment
