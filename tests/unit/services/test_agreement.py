"""R35: the stricter answer wins at once, and a disagreement that lasts is told, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from holdfast.errors import StoreError
from holdfast.ocsp.certid import CertID, ca_tag, serial_octets
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import (
    GOOD,
    CertificateStatus,
    ResponseStatus,
    RevocationReason,
    Revoked,
)
from holdfast.pki.issue import Revocation
from holdfast.plan.answering import Answer
from holdfast.seams import HeldAnswer, LedgerEntry
from holdfast.services.agreement import Agreement
from holdfast.sources.presigned import Presigned
from holdfast.sources.signing import Signing
from holdfast.stores.crl import CrlLedger
from support.clock import FakeClock
from support.held import held_answer
from support.pki import AT, a_root

CA = a_root()
TAG = ca_tag(CA.certificate)
END = AT + timedelta(days=90)
BEFORE = AT - timedelta(hours=2)
DELAY = timedelta(minutes=5)
LOST = Revoked(BEFORE, RevocationReason.KEY_COMPROMISE)


@dataclass
class Book:
    """A ledger in memory; `broken`: it cannot be read."""

    rows: dict[int, LedgerEntry] = field(default_factory=dict)
    blocking: bool = False
    broken: bool = False

    def entry(self, serial: int, /) -> LedgerEntry | None:
        if self.broken:
            raise StoreError("the book is shut")
        return self.rows.get(serial)

    def entries(self) -> Iterator[LedgerEntry]:
        if self.broken:
            raise StoreError("the book is shut")
        return iter(list(self.rows.values()))

    def put(self, serial: int, status: CertificateStatus) -> None:
        at, reason = (status.at, status.reason) if isinstance(status, Revoked) else (None, None)
        self.rows[serial] = LedgerEntry(serial, END, at, reason)


@dataclass
class Ready:
    """An `AnswerShelf` in memory, of real responses."""

    answers: dict[bytes, HeldAnswer] = field(default_factory=dict)
    generation: int = 0

    def held_together(self, ca: bytes, serials: Sequence[bytes], /) -> list[HeldAnswer | None]:
        return [self.held(ca, serial) for serial in serials]

    def held(self, ca: bytes, serial: bytes, /) -> HeldAnswer | None:
        return self.answers.get(serial) if ca == TAG else None

    def put(self, serial: int, status: CertificateStatus, *, at: datetime = AT) -> None:
        until = at + timedelta(hours=12)
        single = SingleResponse(CertID.of(serial, CA.certificate), status, at, until)
        signer = Signer(CA.certificate, CA.key, CA.certificate)
        der = signer.respond([single], produced_at=at)
        window = int(at.timestamp()), int(until.timestamp())
        self.answers[serial_octets(serial)] = held_answer(der, *window)
        self.generation += 1


class World:
    """One CA with a ledger, a shelf and a CRL in a file, and who compares them."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(AT)
        self.book, self.ready = Book(), Ready()
        self.path = folder / "ca.crl"
        self.number = 0
        self.publish()
        self.lists = CrlLedger([self.path], ca=CA.certificate, clock=self.clock)
        self.agreement = Agreement(
            self.book,
            ca=CA.certificate,
            clock=self.clock,
            crl=self.lists,
            shelf=self.ready,
            delay=DELAY,
        )
        signer = Signer(CA.certificate, CA.key, CA.certificate)
        live = Signing(signer=signer, ledger=self.agreement, clock=self.clock)
        self.presigned = Presigned(self.ready, live, issuers=[CA.certificate], clock=self.clock)
        self.agreement.overrule = self.presigned.overrule

    def publish(self, *serials: int, days: int = 1) -> None:
        self.number += 1
        rows = [Revocation(serial, LOST.at, 1) for serial in serials]
        crl = CA.crl(
            rows,
            this_update=AT - timedelta(hours=1),
            next_update=AT + timedelta(days=days),
            number=self.number,
        )
        beside = self.path.with_suffix(".new")
        beside.write_bytes(crl)
        beside.replace(self.path)

    def said(self, serial: int) -> CertificateStatus | None:
        entry = self.agreement.entry(serial)
        if entry is None:
            return None
        return GOOD if entry.revoked_at is None else Revoked(entry.revoked_at, entry.reason)

    def answered(self, serial: int) -> CertificateStatus | None:
        """What a client is told, from the shelf or signed when asked."""
        request = Request.build(CertID.of(serial, CA.certificate)).encode()
        given: Answer = asyncio.run(self.presigned.answer_bytes(request))
        if given.response_status is not ResponseStatus.successful:
            return None
        basic = Response.parse(given.der).basic
        assert basic is not None
        return basic.singles[0].certificate_status

    def sweep(self) -> int:
        return asyncio.run(self.agreement.sweep())

    def swept(self) -> list[str]:
        """The codes that the log got."""
        with capture_logs() as logs:
            self.sweep()
        return [str(line["code"]) for line in logs if "code" in line]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_where_all_agree_the_ledgers_own_entry_is_given(world: World) -> None:
    for serial, status in ((1, GOOD), (2, LOST)):
        world.book.put(serial, status)
        world.ready.put(serial, status)
    world.publish(2)
    for serial in (1, 2):
        assert world.agreement.entry(serial) is world.book.rows[serial]
    assert world.said(3) is None
    assert world.agreement.cases() == {}


@pytest.mark.parametrize("held", [GOOD, None])
def test_what_the_crl_lists_is_revoked_whatever_the_ledger_says(
    world: World, held: CertificateStatus | None
) -> None:
    """And the red twin: before it was listed, the ledger's word was given."""
    if held is not None:
        world.book.put(7, held)
    assert world.said(7) == held
    world.publish(7)
    assert world.said(7) == LOST
    assert [one.code for one in world.agreement.cases()[7]] == ["ledger-laxer"]
    assert [entry.serial for entry in world.agreement.entries()] == [7]


def test_a_ledger_put_back_from_an_old_copy_undoes_no_revocation(world: World) -> None:
    world.book.put(7, GOOD)
    world.ready.put(7, LOST)
    assert world.said(7) == LOST
    world.clock.advance(timedelta(days=2))  # the answer has ended, what it told has not
    assert world.said(7) == LOST


def test_an_answer_signed_ahead_that_is_too_lax_is_not_given(world: World) -> None:
    """R32, R35. The red twin: until somebody compared, it was."""
    world.book.put(7, GOOD)
    world.ready.put(7, GOOD)
    assert world.answered(7) == GOOD
    before = world.presigned.generation
    world.publish(7)
    assert world.answered(7) == GOOD
    assert world.swept() == []  # it has not lasted yet
    assert world.answered(7) == LOST
    assert world.presigned.generation != before  # what was kept of it is kept no more
    world.ready.put(7, LOST)
    world.book.put(7, LOST)
    world.swept()
    assert world.agreement.cases() == {}
    assert world.answered(7) == LOST


def test_never_issued_and_yet_signed_ahead(world: World) -> None:
    """R11."""
    world.ready.put(7, GOOD)
    assert world.answered(7) == GOOD
    assert world.said(7) is None
    assert world.answered(7) is None
    assert [one.code for one in world.agreement.cases()[7]] == ["presigned-laxer"]


def test_what_lasts_longer_than_the_delay_is_told_once(world: World) -> None:
    world.book.put(7, GOOD)
    world.publish(7)
    assert world.swept() == []
    assert world.agreement.disagreements == 0
    world.clock.advance(DELAY)
    assert world.swept() == ["ledger-laxer"]
    assert (world.agreement.disagreements, world.agreement.found["ledger-laxer"]) == (1, 1)
    world.clock.advance(DELAY)
    assert world.swept() == []
    world.book.put(7, LOST)
    with capture_logs() as logs:
        world.sweep()
    assert [line["event"] for line in logs] == ["places agree again"]
    assert world.agreement.disagreements == 0


def test_what_a_short_while_mends_is_never_told(world: World) -> None:
    """The red twin of the one that lasts: a revocation on its way from place to place."""
    world.book.put(7, LOST)
    world.ready.put(7, GOOD)
    world.publish(7)
    assert world.swept() == []
    world.ready.put(7, LOST)
    world.clock.advance(DELAY)
    assert world.swept() == []
    assert not world.agreement.found


def test_a_crl_that_lost_an_entry(world: World) -> None:
    world.book.put(7, LOST)
    assert world.swept() == []
    world.clock.advance(DELAY)
    assert world.swept() == ["crl-laxer"]
    assert world.said(7) == LOST


def test_a_crl_that_cannot_be_read_any_more_takes_nothing_back(world: World) -> None:
    world.book.put(7, GOOD)
    world.book.put(8, GOOD)
    world.publish(7)
    assert world.said(7) == LOST
    world.path.write_bytes(b"rubbish")
    with capture_logs() as logs:
        assert world.said(7) == LOST
        assert world.said(8) == GOOD  # the ledger alone
        world.sweep()
        assert world.said(7) == LOST
    assert "cannot be compared" in {line["event"] for line in logs}


def test_a_ledger_that_cannot_be_read_is_not_good(world: World) -> None:
    world.book.put(7, GOOD)
    world.book.broken = True
    with pytest.raises(StoreError):
        world.agreement.entry(7)
    with capture_logs() as logs:
        assert world.sweep() == 0
    assert [line["event"] for line in logs] == ["cannot be compared"]
    assert world.answered(7) is None


def test_thousands_at_once_are_counted_and_not_all_written_down(world: World) -> None:
    for serial in range(1, 3001):
        world.book.put(serial, GOOD)
        world.ready.put(serial, GOOD) if serial <= 100 else None
    world.publish(*range(1, 2001))
    world.swept()
    world.clock.advance(DELAY)
    assert len(world.swept()) <= 10
    assert world.agreement.disagreements == 2000
    assert world.agreement.found["ledger-laxer"] == 2000
    assert world.agreement.found["presigned-laxer"] == 100
    assert world.answered(50) == LOST
    assert world.said(2500) == GOOD


def test_it_blocks_when_one_of_them_does(world: World) -> None:
    assert world.agreement.blocking  # the CRL was not read yet
    world.agreement.entry(1)
    assert not world.agreement.blocking
    world.book.blocking = True
    assert world.agreement.blocking
    world.book.blocking = False
    world.publish(1)
    assert world.agreement.blocking
