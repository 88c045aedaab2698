"""Staples for tests: signed by a private CA and proved by `verify`, with chosen times and status.

desk = a_desk()                         # a root that signs for itself, one server certificate
staple = desk.staple(this_update=T, window=timedelta(days=7))
desk.response(...)                      # the same, unproved
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import GOOD, CertificateStatus
from holdfast.ocsp.verify import verify
from holdfast.pki.issue import Authority, Issued
from support.pki import AT, a_root, a_server

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Desk:
    """A CA at its counter: `subject` is what it answers for, `signer` what it signs with."""

    ca: Authority
    server: Issued
    subject: Subject
    signer: Signer

    def response(
        self,
        this_update: datetime = AT,
        window: timedelta | None = WEEK,
        status: CertificateStatus = GOOD,
        *,
        produced_at: datetime | None = None,
    ) -> Response:
        next_update = None if window is None else this_update + window
        single = SingleResponse(
            self.subject.certid, status, this_update=this_update, next_update=next_update
        )
        der = self.signer.respond([single], produced_at=produced_at or this_update)
        return Response.parse(der)

    def staple(
        self,
        this_update: datetime = AT,
        window: timedelta | None = WEEK,
        status: CertificateStatus = GOOD,
        *,
        produced_at: datetime | None = None,
    ) -> Staple:
        """Proved at its own thisUpdate."""
        response = self.response(this_update, window, status, produced_at=produced_at)
        return verify(response, self.subject, at=this_update)


def a_desk(
    *names: str, signer: Issued | None = None, ca: Authority | None = None, **wishes: object
) -> Desk:
    """`signer`: a delegated one, of the same `ca`. `wishes` go to the server certificate."""
    ca = ca or a_root()
    wishes.setdefault("responder_urls", ("http://ocsp.test/",))
    server = a_server(ca, *names, **wishes)
    who = signer or ca.issued
    return Desk(
        ca,
        server,
        Subject.of(server.certificate, ca.certificate),
        Signer(certificate=who.certificate, key=who.key, issuer=ca.certificate),
    )
