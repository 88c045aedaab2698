"""What a responder says to a request: the decision, pure. Section R, RFC 6960 2.1 to 2.7, RFC 9654.

Laws: one SingleResponse for each CertID asked, in order, the CertID echoed (R2); a serial never
issued is never good (R11); where the CA's key is in other hands nothing is (R14); error responses
carry no bytes (R4); an answer ends before its signer and its issuer do (R15, R30).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from holdfast.errors import Malformed
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import EXTENDED_REVOKE, NONCE, Extension, find
from holdfast.ocsp.request import Request
from holdfast.ocsp.request_extensions import (
    acceptable_responses,
    not_understood,
    preferred_algorithms,
)
from holdfast.ocsp.requestor import Proved, Unproved, requestor_of
from holdfast.ocsp.response import BASIC, SingleResponse, error_response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.single_extensions import (
    CrlID,
    archive_cutoff_extension,
    crl_extension,
    invalidity_date_extension,
)
from holdfast.ocsp.statuses import UNKNOWN, CertificateStatus, Good, ResponseStatus, Revoked
from holdfast.pki.certificate import Certificate
from holdfast.plan.rules import (
    DEFAULT_VALIDITY,
    NEVER_ISSUED,
    NeverIssued,
    Nonces,
    OtherIssuers,
    Rules,
    SignedRequests,
    Told,
    compromised,
)

__all__ = [
    "DEFAULT_VALIDITY",
    "NEVER_ISSUED",
    "Answer",
    "Detail",
    "Held",
    "NeverIssued",
    "Nonces",
    "OtherIssuers",
    "Rules",
    "Signed",
    "SignedRequests",
    "Told",
    "answer",
    "objection",
    "read_request",
    "refusal",
    "window",
]


class Answer(NamedTuple):
    """`der`: what is sent. Times are None for an error; `nonced` answers are never cached (R19).

    `why` is for the log: why an error was answered. `requestor`: who proved to be asking, "" when
    nobody was asked to (R7).
    """

    der: bytes
    response_status: ResponseStatus
    this_update: datetime | None = None
    next_update: datetime | None = None
    nonced: bool = False
    singles: tuple[SingleResponse, ...] = ()
    why: str = ""
    made_at: datetime | None = None
    requestor: str = ""


Held = tuple[bytes, int, int, str, str]
"""An answer about one certificate that was signed ahead: its octets, thisUpdate and nextUpdate as
epoch seconds, the certificate_status that it tells, and its SHA-256 in hex."""

Signed = tuple[bytes, int, int, str, bool, str]
"""An answer about one certificate in octets, its thisUpdate and nextUpdate as epoch seconds, the
certificate_status that it tells, whether it is nonced, and its SHA-256 in hex, which the audit and
the ETag have in common."""


class Detail(NamedTuple):
    """What a ledger may know of a revoked certificate beside time and reason (R12)."""

    invalidity_date: datetime | None = None
    crl: CrlID | None = None


_EXTENDED_REVOKE = Extension(EXTENDED_REVOKE, False, b"\x05\x00")
_NO_DETAIL = Detail()


def refusal(response_status: ResponseStatus, why: str) -> Answer:
    """An error response (R4) and the reason for the log."""
    return Answer(error_response(response_status), response_status, why=why)


def read_request(data: bytes) -> Request | Answer:
    """The request in `data`, or the error to answer (R5, R6, R8, R16)."""
    try:
        request = Request.parse(data)
        if not request.extensions and not any(one.extensions for one in request.singles):
            return request
        _ = request.nonce
        accepted = acceptable_responses(request.extensions)
        preferred_algorithms(request.extensions)
    except Malformed as error:
        return refusal(ResponseStatus.malformedRequest, error.message)
    oid = not_understood(request)
    if oid:
        return refusal(
            ResponseStatus.malformedRequest, f"critical extension {oid} is not understood there"
        )
    if accepted is not None and BASIC not in accepted:
        # RFC 6960 4.4.3: every client takes basic responses; of another type there is none.
        return refusal(
            ResponseStatus.unauthorized, "the client does not accept basic responses (RFC 6960)"
        )
    return request


def objection(request: Request, *, rules: Rules, at: datetime) -> Answer | Certificate | None:
    """R7: the error to answer, or the certificate of who proved to be asking; None when nobody has
    to prove anything."""
    mode = rules.signed_requests
    if mode is SignedRequests.IGNORED:
        return None
    if request.signature is None:
        if mode is SignedRequests.VERIFIED:
            return None
        return refusal(ResponseStatus.sigRequired, "the request is not signed, and has to be")
    match requestor_of(request, anchors=rules.requestors, at=at):
        case Unproved(why):
            return refusal(ResponseStatus.unauthorized, why)
        case Proved(certificate):
            return certificate


def answer(
    request: Request,
    *,
    known: Mapping[CertID, CertificateStatus | None],
    signer: Signer,
    rules: Rules,
    at: datetime,
    details: Mapping[CertID, Detail] | None = None,
) -> Answer:
    """The signed answer to `request` at the instant `at`.

    `known`: what the ledger says of each CertID asked, None for a serial never issued. A CertID of
    another issuer is not in it. `details`: what more the ledger says of some of them.
    """
    asking = objection(request, rules=rules, at=at)
    if isinstance(asking, Answer):
        return asking
    why = signer.objection(at)
    if why:
        return refusal(ResponseStatus.tryLater, why)
    now = at.astimezone(UTC).replace(microsecond=0)
    this_update, next_update = window(signer, rules=rules, at=at)
    if next_update <= this_update:
        return refusal(
            ResponseStatus.tryLater,
            f"{signer.certificate.subject} or its issuer ends at {next_update}",
        )
    singles: list[SingleResponse] = []
    extended = False
    for asked in request.singles:
        told = _told(asked.certid, known, rules)
        if isinstance(told, Answer):
            return told
        extended = extended or told is NEVER_ISSUED
        detail = _NO_DETAIL if details is None else details.get(asked.certid, _NO_DETAIL)
        extensions = _single_extensions(told, detail, rules, now)
        singles.append(SingleResponse(asked.certid, told, this_update, next_update, extensions))
    nonce = find(request.extensions, NONCE) if rules.nonces is Nonces.ECHOED else None
    of_response = ((Extension(NONCE, False, nonce.value),) if nonce else ()) + (
        (_EXTENDED_REVOKE,) if extended else ()
    )
    return Answer(
        signer.respond(singles, produced_at=at, extensions=of_response),
        ResponseStatus.successful,
        this_update,
        next_update,
        nonce is not None,
        tuple(singles),
        made_at=at,
        requestor="" if asking is None else asking.subject,
    )


def window(signer: Signer, *, rules: Rules, at: datetime) -> tuple[datetime, datetime]:
    """(thisUpdate, nextUpdate) of what `signer` signs at `at`; no window where the second is not
    after the first (R15, R30)."""
    now = at.astimezone(UTC).replace(microsecond=0)
    ends = signer.certificate.not_after
    if not signer.is_issuer:  # what the issuer delegates ends with it (V2)
        ends = min(ends, signer.issuer.not_after)
    return max(now - rules.backdate, signer.certificate.not_before), min(now + rules.validity, ends)


def _told(
    certid: CertID, known: Mapping[CertID, CertificateStatus | None], rules: Rules
) -> CertificateStatus | Answer:
    """What is said of `certid`, or the error that the whole request is answered with."""
    if certid not in known:
        if rules.other_issuers is OtherIssuers.UNKNOWN:
            return UNKNOWN
        return refusal(ResponseStatus.unauthorized, "a CertID of another issuer")
    found = known[certid]
    if found is None:
        if rules.ca_revoked is not None:  # whoever has the key may have issued it
            return NEVER_ISSUED
        match rules.never_issued:
            case NeverIssued.UNAUTHORIZED:
                return refusal(
                    ResponseStatus.unauthorized, f"serial {certid.serial:x} never issued"
                )
            case NeverIssued.UNKNOWN:
                return UNKNOWN
            case NeverIssued.REVOKED:
                return NEVER_ISSUED
    if rules.ca_revoked is None:
        return found
    return compromised(found if isinstance(found, Revoked) else None, rules.ca_revoked)


def _single_extensions(
    told: CertificateStatus, detail: Detail, rules: Rules, produced_at: datetime
) -> tuple[Extension, ...]:
    """R12. RFC 6960 2.2: of a serial never issued neither CRL nor entry extensions are told."""
    found: list[Extension] = []
    match told:
        case Revoked() if told is not NEVER_ISSUED:
            if detail.crl is not None and Told.CRL in rules.tell:
                found.append(crl_extension(detail.crl))
            if detail.invalidity_date is not None and Told.INVALIDITY_DATE in rules.tell:
                found.append(invalidity_date_extension(detail.invalidity_date))
        case Good():
            pass
        case _:
            return ()
    cutoff = rules.cutoff(produced_at)
    if cutoff is not None:
        found.append(archive_cutoff_extension(cutoff))
    return tuple(found)
