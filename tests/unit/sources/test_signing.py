"""Answers signed here: the ledger's word becomes a response, and its failure tryLater."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from holdfast.errors import NotFound, StoreError, Unavailable
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import ResponseStatus, RevocationReason, Revoked
from holdfast.ocsp.verify import examine
from holdfast.seams import LedgerEntry
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.pki import AT, a_root

CA = a_root()
SIGNER = Signer(CA.certificate, CA.key, CA.certificate)


class TwoEntries:
    """1 is good, 2 is revoked."""

    def __init__(self, *, blocking: bool = False) -> None:
        self.blocking = blocking
        end = AT + timedelta(days=90)
        self.rows = {
            1: LedgerEntry(1, end),
            2: LedgerEntry(2, end, AT - timedelta(days=1), RevocationReason.SUPERSEDED),
        }

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return self.rows.get(serial)

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(self.rows.values())


class BrokenLedger(TwoEntries):
    def entry(self, serial: int, /) -> LedgerEntry | None:
        raise StoreError("index.txt:3: no serial")


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
