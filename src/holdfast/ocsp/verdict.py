"""A verdict: every finding about one response for one subject at one instant, and their sum."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import Finding, Severity, worst
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.statuses import CertificateStatus, Good
from holdfast.pki.certificate import Certificate

SignerRole = Literal["issuer", "delegate", "trusted"]

ABOUT_THE_CERTIFICATE = frozenset({"response-revoked", "response-unknown"})


class Verdict(NamedTuple):
    """`response` is None when the bytes did not parse; `single` is the one that decides.

    `signer` is the certificate whose key made the signature, authorised or not.
    """

    response: Response | None
    subject: Subject
    at: datetime
    findings: tuple[Finding, ...]
    single: SingleResponse | None = None
    signer: Certificate | None = None
    signer_role: SignerRole | None = None

    @property
    def valid(self) -> bool:
        """Authentic, for this certificate, and current, whatever the certificate_status."""
        if self.single is None or self.signer is None:
            return False
        return not self.findings or all(
            found.severity < Severity.FAULT or found.code in ABOUT_THE_CERTIFICATE
            for found in self.findings
        )

    @property
    def certificate_status(self) -> CertificateStatus | None:
        return None if self.single is None else self.single.certificate_status

    @property
    def good(self) -> bool:
        """Valid, and the certificate is good."""
        return self.valid and isinstance(self.certificate_status, Good)

    @property
    def worst(self) -> Finding | None:
        return worst(self.findings)

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(found.code for found in self.findings)
