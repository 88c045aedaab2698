"""A staple: a response that `verify` proved fit to be sent. No other module makes one.

A verified `revoked` is a staple too; policy decides whether it is sent (K11). Stores and stapled
servers accept only this type.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.statuses import CertificateStatus
from holdfast.pki.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Staple:
    """`single` is the SingleResponse that speaks of `subject`; `signer` made the signature.

    `verified_at` is the instant it was proved for: it says nothing of any other.
    """

    response: Response = field(repr=False)
    subject: Subject
    single: SingleResponse
    signer: Certificate
    verified_at: datetime

    @property
    def der(self) -> bytes:
        """The bytes a handshake carries."""
        return self.response.der

    @property
    def certid(self) -> CertID:
        """The store's key: the subject's SHA-1 CertID, whatever hash the response uses."""
        return self.subject.certid

    @property
    def certificate_status(self) -> CertificateStatus:
        return self.single.certificate_status

    @property
    def this_update(self) -> datetime:
        return self.single.this_update

    @property
    def next_update(self) -> datetime | None:
        return self.single.next_update

    @property
    def produced_at(self) -> datetime:
        assert self.response.basic is not None
        return self.response.basic.produced_at
