"""What a responder says to a request: the decision, pure. Section R, RFC 6960 2.1 to 2.6, RFC 9654.

Laws: one SingleResponse for each CertID asked, in order, the CertID echoed (R2); a serial never
issued is never good (R11); error responses carry no bytes (R4); an answer ends before its signer
does (R15, R30).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from holdfast.errors import Malformed
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import EXTENDED_REVOKE, KNOWN, NONCE, Extension, find
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import SingleResponse, error_response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import (
    UNKNOWN,
    CertificateStatus,
    ResponseStatus,
    RevocationReason,
    Revoked,
)

DEFAULT_VALIDITY = timedelta(hours=12)  # CA/Browser Forum 4.9.10: 8 h to 10 d


class NeverIssued(Enum):
    """What is said of a serial that the CA never issued (R11)."""

    UNAUTHORIZED = "unauthorized"  # RFC 9919 3.2.2, the default
    UNKNOWN = "unknown"
    REVOKED = "revoked"  # RFC 6960 4.4.8: extended revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A responder's settings. `backdate`: how far thisUpdate lies before now, for slow clocks."""

    validity: timedelta = DEFAULT_VALIDITY
    backdate: timedelta = timedelta(0)
    never_issued: NeverIssued = NeverIssued.UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class Answer:
    """`der`: what is sent. Times are None for an error; `nonced` answers are never cached (R19).

    `why` is for the log: why an error was answered.
    """

    der: bytes
    response_status: ResponseStatus
    this_update: datetime | None = None
    next_update: datetime | None = None
    nonced: bool = False
    singles: tuple[SingleResponse, ...] = ()
    why: str = ""
    made_at: datetime | None = None


NEVER_ISSUED = Revoked(datetime(1970, 1, 1, tzinfo=UTC), RevocationReason.CERTIFICATE_HOLD)
_EXTENDED_REVOKE = Extension(EXTENDED_REVOKE, False, b"\x05\x00")


def refusal(response_status: ResponseStatus, why: str) -> Answer:
    """An error response (R4) and the reason for the log."""
    return Answer(error_response(response_status), response_status, why=why)


def read_request(data: bytes) -> Request | Answer:
    """The request in `data`, or the error to answer (R5, R6, R16)."""
    try:
        request = Request.parse(data)
        _ = request.nonce
    except Malformed as error:
        return refusal(ResponseStatus.malformedRequest, error.message)
    every = (*request.extensions, *(e for single in request.singles for e in single.extensions))
    for extension in every:
        if extension.critical and extension.oid not in KNOWN:
            return refusal(
                ResponseStatus.malformedRequest, f"critical extension {extension.oid} is not known"
            )
    return request


def answer(
    request: Request,
    *,
    known: Mapping[CertID, CertificateStatus | None],
    signer: Signer,
    rules: Rules,
    at: datetime,
) -> Answer:
    """The signed answer to `request` at the instant `at`.

    `known`: what the ledger says of each CertID asked, None for a serial never issued. A CertID of
    another issuer is not in it, and the whole request is then `unauthorized`.
    """
    objection = signer.objection(at)
    if objection:
        return refusal(ResponseStatus.tryLater, objection)
    this_update = at.astimezone(UTC).replace(microsecond=0)
    next_update = min(this_update + rules.validity, signer.certificate.not_after)
    this_update = max(this_update - rules.backdate, signer.certificate.not_before)
    singles: list[SingleResponse] = []
    extended = False
    for asked in request.singles:
        if asked.certid not in known:
            return refusal(ResponseStatus.unauthorized, "a CertID of another issuer")
        certificate_status = known[asked.certid]
        if certificate_status is None:
            match rules.never_issued:
                case NeverIssued.UNAUTHORIZED:
                    return refusal(
                        ResponseStatus.unauthorized, f"serial {asked.certid.serial:x} never issued"
                    )
                case NeverIssued.UNKNOWN:
                    certificate_status = UNKNOWN
                case NeverIssued.REVOKED:
                    certificate_status, extended = NEVER_ISSUED, True
        singles.append(SingleResponse(asked.certid, certificate_status, this_update, next_update))
    nonce = find(request.extensions, NONCE)
    extensions = ((Extension(NONCE, False, nonce.value),) if nonce else ()) + (
        (_EXTENDED_REVOKE,) if extended else ()
    )
    der = signer.respond(singles, produced_at=at, extensions=extensions)
    return Answer(
        der,
        ResponseStatus.successful,
        this_update,
        next_update,
        nonce is not None,
        tuple(singles),
        made_at=at,
    )
