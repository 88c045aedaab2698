"""The two things that are never called a bare "status": response_status, what the responder says of
its own answer, and certificate_status, what it says of a certificate. RFC 6960 4.2.1, RFC 5280
5.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum


class ResponseStatus(IntEnum):
    """OCSPResponseStatus; the members' names are RFC 6960's."""

    successful = 0
    malformedRequest = 1
    internalError = 2
    tryLater = 3
    sigRequired = 5
    unauthorized = 6


class RevocationReason(Enum):
    """CRLReason (RFC 5280 5.3.1): the value is (name, code)."""

    UNSPECIFIED = ("unspecified", 0)
    KEY_COMPROMISE = ("keyCompromise", 1)
    CA_COMPROMISE = ("cACompromise", 2)
    AFFILIATION_CHANGED = ("affiliationChanged", 3)
    SUPERSEDED = ("superseded", 4)
    CESSATION_OF_OPERATION = ("cessationOfOperation", 5)
    CERTIFICATE_HOLD = ("certificateHold", 6)
    REMOVE_FROM_CRL = ("removeFromCRL", 8)
    PRIVILEGE_WITHDRAWN = ("privilegeWithdrawn", 9)
    AA_COMPROMISE = ("aACompromise", 10)

    @property
    def text(self) -> str:
        return self.value[0]

    @property
    def code(self) -> int:
        return self.value[1]

    @classmethod
    def by_code(cls, code: int) -> RevocationReason | None:
        return _REASON_BY_CODE.get(code)

    @classmethod
    def by_text(cls, text: str) -> RevocationReason | None:
        """Case does not matter: OpenSSL's index.txt writes "CACompromise"."""
        return _REASON_BY_TEXT.get(text.lower())


_REASON_BY_CODE = {reason.code: reason for reason in RevocationReason}
_REASON_BY_TEXT = {reason.text.lower(): reason for reason in RevocationReason}


@dataclass(frozen=True, slots=True)
class Good:
    text = "good"


@dataclass(frozen=True, slots=True)
class Revoked:
    """Revoked since `at`; `reason` None when not told."""

    at: datetime
    reason: RevocationReason | None = None
    text = "revoked"


@dataclass(frozen=True, slots=True)
class Unknown:
    text = "unknown"


CertificateStatus = Good | Revoked | Unknown
GOOD, UNKNOWN = Good(), Unknown()
