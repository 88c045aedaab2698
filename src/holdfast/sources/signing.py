"""Answers signed here: a CA's ledger and its signer, as a Source and for a responder."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from datetime import datetime, timedelta

from holdfast.errors import NotFound, PeerError, StoreError, Unavailable
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD, CertificateStatus, ResponseStatus, Revoked
from holdfast.plan.answering import Answer, Rules, answer, read_request, refusal
from holdfast.seams import Clock, Ledger

MAX_GIVEN = 10_000  # answers that are kept to be given again; one takes about 1 kB


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
        self._given: dict[Hashable, Answer] = {}

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
        """The answer to `request`; a ledger that cannot be read is tryLater, and says why.

        An answer without a nonce is given again, byte for byte, while the ledger says the same and
        no more than a hundredth of its window has passed: so that caches and If-None-Match work
        (R23), and a crowd costs one signature.
        """
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
        at = self._clock.now()
        asked = tuple((one.certid, one.certid.null_parameters) for one in request.singles)
        key = (asked, tuple(known.items()))
        held = self._given.get(key)
        if held is not None and not request.extensions and _still(held, at):
            return held
        given = answer(request, known=known, signer=self.signer, rules=self._rules, at=at)
        if given.response_status is ResponseStatus.successful and not request.extensions:
            if len(self._given) >= MAX_GIVEN:
                self._given.clear()
            self._given[key] = given
        return given

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


def _still(held: Answer, at: datetime) -> bool:
    """True while `held` is as good as new: a hundredth of its window, and never backwards."""
    if held.this_update is None or held.next_update is None or held.made_at is None:
        return False
    return timedelta(0) <= at - held.made_at < (held.next_update - held.this_update) / 100
