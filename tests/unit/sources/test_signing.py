"""Answers signed here: the ledger's word becomes a response, and its failure tryLater."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from holdfast.errors import NotFound, Unavailable
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import ResponseStatus, RevocationReason, Revoked
from holdfast.ocsp.verify import examine
from holdfast.plan.answering import Rules
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.ledgers import BrokenLedger, TwoEntries
from support.pki import AT, a_root

CA = a_root()
SIGNER = Signer(CA.certificate, CA.key, CA.certificate)


def signing(ledger: TwoEntries) -> Signing:
    return Signing(signer=SIGNER, ledger=ledger, clock=FakeClock(AT))


@pytest.mark.parametrize("blocking", [False, True])
def test_the_ledgers_word_is_signed(blocking: bool) -> None:
    source = signing(TwoEntries(blocking=blocking))
    good = asyncio.run(source.response(Subject(1, CA.certificate)))
    assert examine(good, Subject(1, CA.certificate), at=AT).good
    gone = asyncio.run(source.response(Subject(2, CA.certificate)))
    told = examine(gone, Subject(2, CA.certificate), at=AT).certificate_status
    assert told == Revoked(AT - timedelta(days=1), RevocationReason.SUPERSEDED)


def test_a_serial_never_issued_is_not_found() -> None:
    """R11."""
    with pytest.raises(NotFound, match="never issued"):
        asyncio.run(signing(TwoEntries()).response(Subject(3, CA.certificate)))


def test_another_cas_certificate_is_not_found() -> None:
    with pytest.raises(NotFound, match="another issuer"):
        asyncio.run(signing(TwoEntries()).response(Subject(1, a_root("Another").certificate)))


def test_a_ledger_that_cannot_be_read_is_try_later_never_good() -> None:
    source = signing(BrokenLedger())
    with pytest.raises(Unavailable, match=r"index\.txt:3"):
        asyncio.run(source.response(Subject(1, CA.certificate)))
    asked = Request.build(Subject(1, CA.certificate).certid)
    given = asyncio.run(source.answer_bytes(asked.encode()))
    assert given.response_status is ResponseStatus.tryLater


def test_garbage_is_malformed_request() -> None:
    """R5."""
    given = asyncio.run(signing(TwoEntries()).answer_bytes(b"garbage"))
    assert given.response_status is ResponseStatus.malformedRequest


def test_an_answer_is_given_again_until_it_ages_or_the_ledger_changes() -> None:
    """R19, R23, R32: the same bytes, so that an ETag means something; never across a revocation,
    never for a nonce."""
    ledger, clock = TwoEntries(), FakeClock(AT)
    rules = Rules(validity=timedelta(hours=10))
    source = Signing(signer=SIGNER, ledger=ledger, clock=clock, rules=rules)

    def asked(nonce: bytes | None = None) -> bytes:
        request = Request.build(Subject(1, CA.certificate).certid, nonce=nonce)
        return asyncio.run(source.answer(request)).der

    first = asked()
    clock.advance(timedelta(minutes=5))
    assert asked() == first
    assert asked(b"n" * 16) != asked(b"n" * 16)
    clock.advance(timedelta(minutes=1))
    second = asked()
    assert second != first
    ledger.rows[1] = ledger.rows[1]._replace(revoked_at=AT)
    third = asked()
    assert third != second
    assert not examine(Response.parse(third), Subject(1, CA.certificate), at=clock.now()).good
    clock.jump(timedelta(days=-1))
    assert asked() not in (first, second, third)
