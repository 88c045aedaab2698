"""Answers signed here: a CA's ledger and its signer, as a Source and for a responder."""

from __future__ import annotations

import asyncio

from holdfast.errors import NotFound, PeerError, StoreError, Unavailable
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD, CertificateStatus, ResponseStatus, Revoked
from holdfast.plan.answering import Answer, Rules, answer, read_request, refusal
from holdfast.seams import Clock, Ledger


class Signing:
    """One CA's answers, signed when they are asked for.

    As a `Source` its responses are for the asking subject and signed by `signer`; they are not
    verified again (the signer is checked for each answer, which costs less).
    """

    def __init__(
        self, *, signer: Signer, ledger: Ledger, clock: Clock, rules: Rules | None = None
    ) -> None:
        self.signer = signer
        self._ledger = ledger
        self._clock = clock
        self._rules = rules or Rules()

    async def response(self, subject: Subject, /) -> Response:
        given = await self.answer(Request.build(subject.certid))
        match given.response_status:
            case ResponseStatus.successful:
                return Response.parse(given.der)
            case ResponseStatus.tryLater | ResponseStatus.internalError:
                raise Unavailable(given.why, failure="try-later")
            case ResponseStatus.unauthorized:
                raise NotFound(given.why)
            case _:
                raise PeerError(given.why)

    async def answer_bytes(self, data: bytes, /) -> Answer:
        """The answer to the request in `data`, whatever `data` is."""
        request = read_request(data)
        return request if isinstance(request, Answer) else await self.answer(request)

    async def answer(self, request: Request, /) -> Answer:
        """The answer to `request`; a ledger that cannot be read is tryLater, and says why."""
        ours = [
            single.certid
            for single in request.singles
            if single.certid.names(single.certid.serial, self.signer.issuer)
        ]
        try:
            if self._ledger.blocking:
                known = await asyncio.to_thread(self._known, ours)
            else:
                known = self._known(ours)
        except StoreError as error:
            return refusal(ResponseStatus.tryLater, error.message)
        return answer(
            request, known=known, signer=self.signer, rules=self._rules, at=self._clock.now()
        )

    def _known(self, certids: list[CertID]) -> dict[CertID, CertificateStatus | None]:
        known: dict[CertID, CertificateStatus | None] = {}
        for certid in certids:
            entry = self._ledger.entry(certid.serial)
            if entry is None:
                known[certid] = None
            elif entry.revoked_at is not None:
                known[certid] = Revoked(entry.revoked_at, entry.reason)
            else:
                known[certid] = GOOD
        return known
