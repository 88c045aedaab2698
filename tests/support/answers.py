"""Answers of a test CA for one certificate, and the same verified into staples.

response = an_answer(issuing, server)                    # good, fresh at AT
staple = a_staple(issuing, server, Revoked(AT))          # verified
"""

from __future__ import annotations

from datetime import datetime, timedelta

from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import GOOD, CertificateStatus
from holdfast.ocsp.verify import verify
from holdfast.pki.issue import Authority, Issued
from support.pki import AT

WINDOW = timedelta(days=4)


def a_subject(ca: Authority, issued: Issued) -> Subject:
    return Subject.of(issued.certificate, ca.certificate)


def an_answer(
    ca: Authority,
    issued: Issued,
    certificate_status: CertificateStatus = GOOD,
    *,
    at: datetime = AT,
    window: timedelta | None = WINDOW,
    signer: Issued | None = None,
    serial: int | None = None,
    hash_algorithm: str = "sha1",
) -> bytes:
    """A response for `issued`, made an hour before `at`. `serial`: about another certificate.
    `signer` None: the CA itself signs."""
    begin = at - timedelta(hours=1)
    single = SingleResponse(
        CertID.of(serial or issued.certificate.serial, ca.certificate, hash_algorithm),
        certificate_status,
        begin,
        None if window is None else begin + window,
    )
    who = signer or ca
    return Signer(who.certificate, who.key, ca.certificate).respond([single], produced_at=begin)


def a_staple(
    ca: Authority,
    issued: Issued,
    certificate_status: CertificateStatus = GOOD,
    *,
    at: datetime = AT,
    window: timedelta | None = WINDOW,
    signer: Issued | None = None,
) -> Staple:
    """The same, verified at `at`."""
    answer = an_answer(ca, issued, certificate_status, at=at, window=window, signer=signer)
    return verify(Response.parse(answer), a_subject(ca, issued), at=at)
