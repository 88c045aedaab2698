"""A responder's rules: what the operator decides of its answers. Section R.

Laws: the defaults are the safe ones of RFC 9919; a rule that cannot be kept, or that would have the
responder believe anybody, is refused when the rules are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from holdfast.errors import OperatorError
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.pki.certificate import Certificate

DEFAULT_VALIDITY = timedelta(hours=12)  # CA/Browser Forum 4.9.10: 8 h to 10 d
MAX_RETENTION = timedelta(days=36525)  # a hundred years: no certificate's time is longer
CA_REASONS = (RevocationReason.CA_COMPROMISE, RevocationReason.KEY_COMPROMISE)


class NeverIssued(Enum):
    """What is said of a serial that the CA never issued (R11)."""

    UNAUTHORIZED = "unauthorized"  # RFC 9919 3.2.2, the default
    UNKNOWN = "unknown"
    REVOKED = "revoked"  # RFC 6960 4.4.8: extended revoked


class OtherIssuers(Enum):
    """What is said of a CertID of a CA that is not served (R2)."""

    UNAUTHORIZED = "unauthorized"  # of the whole request; RFC 9919 3.2.2, the default
    UNKNOWN = "unknown"  # of that CertID; RFC 6960 2.2


class SignedRequests(Enum):
    """What a signature on a request is worth (R7)."""

    IGNORED = "ignored"  # the default: whoever asks is answered
    VERIFIED = "verified"  # a signature that is there must prove who asks
    REQUIRED = "required"  # and one must be there: sigRequired (RFC 6960 2.3)


class Nonces(Enum):
    """What becomes of a nonce of 1 to 128 octets (R17, R18)."""

    ECHOED = "echoed"
    IGNORED = "ignored"  # as who answers from what was signed before must do (RFC 9919 3.2.1)


class Told(Enum):
    """What may be told of a revoked certificate beside time and reason (R12), where the ledger
    knows it. Not told by default: RFC 9919 3.2.1 wants answers short."""

    CRL = "crl"  # RFC 6960 4.4.2: the CRL that it is on
    INVALIDITY_DATE = "invalidity-date"  # RFC 6960 4.4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A responder's settings. `backdate`: how far thisUpdate lies before now, for slow clocks.

    `requestors`: the CAs, or the certificates themselves, of those who may sign requests.
    `archive_cutoff` (R12): for how long what is known of ended certificates is kept, counted back
    from producedAt, or since when, as ETSI EN 319 411-2 has it with the CA's notBefore.
    `ca_revoked` (R14): the CA's key is in other hands since then; nothing is good any more.
    """

    validity: timedelta = DEFAULT_VALIDITY
    backdate: timedelta = timedelta(0)
    never_issued: NeverIssued = NeverIssued.UNAUTHORIZED
    other_issuers: OtherIssuers = OtherIssuers.UNAUTHORIZED
    signed_requests: SignedRequests = SignedRequests.IGNORED
    requestors: tuple[Certificate, ...] = ()
    nonces: Nonces = Nonces.ECHOED
    archive_cutoff: timedelta | datetime | None = None
    tell: frozenset[Told] = frozenset()
    ca_revoked: Revoked | None = None

    def __post_init__(self) -> None:
        if self.validity <= timedelta(0) or self.backdate < timedelta(0):
            raise OperatorError(
                f"answers that hold for {self.validity}, dated back by {self.backdate}",
                hint="give a validity above zero (8 h to 10 d) and a backdate of zero or more",
            )
        if self.signed_requests is not SignedRequests.IGNORED and not self.requestors:
            raise OperatorError(
                f"signed requests are to be {self.signed_requests.value}, and nobody is trusted",
                hint="name the CA certificates, or the certificates, of those who sign requests",
            )
        _refuse_cutoff(self.archive_cutoff)
        if self.ca_revoked is not None and self.ca_revoked.reason not in CA_REASONS:
            raise OperatorError(
                "a CA whose key is in other hands is revoked for cACompromise or keyCompromise",
                hint="give one of the two, and since when",
            )

    @property
    def shelf_may_answer(self) -> bool:
        """False when no request may be answered from what was signed before: each has to prove who
        asks, or what was good then is not any more."""
        return self.signed_requests is not SignedRequests.REQUIRED and self.ca_revoked is None

    def cutoff(self, produced_at: datetime) -> datetime | None:
        """The archive cutoff of a response made at `produced_at` (RFC 6960 4.4.4)."""
        if isinstance(self.archive_cutoff, timedelta):
            return produced_at - self.archive_cutoff
        return self.archive_cutoff


def _refuse_cutoff(cutoff: timedelta | datetime | None) -> None:
    if isinstance(cutoff, timedelta) and not timedelta(0) < cutoff <= MAX_RETENTION:
        raise OperatorError(
            f"an archive cutoff of {cutoff}",
            hint="give how long ended certificates are answered for: above zero, to 100 years",
        )
    if isinstance(cutoff, datetime) and cutoff.tzinfo is None:
        raise OperatorError(
            f"an archive cutoff without a time zone: {cutoff}", hint="write it with Z for UTC"
        )


NEVER_ISSUED = Revoked(datetime(1970, 1, 1, tzinfo=UTC), RevocationReason.CERTIFICATE_HOLD)
"""RFC 6960 2.2: what is said of a serial never issued that is told as revoked."""


def compromised(told: Revoked | None, ca_revoked: Revoked) -> Revoked:
    """What is said of a certificate whose CA's key is in other hands (RFC 6960 2.7).

    `told`: its own revocation. The earlier date counts; a hold, which might be lifted, ends.
    """
    if told is None:
        return ca_revoked
    reason = told.reason
    if reason in (None, RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL):
        reason = ca_revoked.reason
    return Revoked(min(told.at, ca_revoked.at), reason)
