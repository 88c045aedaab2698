"""sources/presigned: what lies ready is given while it holds and is up to date (R32, R35)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest

from holdfast.errors import StoreError
from holdfast.ocsp.certid import CertID, ca_tag, serial_octets
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import (
    GOOD,
    UNKNOWN,
    CertificateStatus,
    ResponseStatus,
    RevocationReason,
    Revoked,
)
from holdfast.plan.answering import Answer, refusal
from holdfast.seams import HeldAnswer
from holdfast.sources.presigned import Presigned
from support.clock import START, FakeClock
from support.held import held_answer
from support.pki import a_root

CA = a_root("Presigned", at=START - timedelta(days=30))
OTHER = a_root("Another", at=START - timedelta(days=30))
NOW = int(START.timestamp())
REVOKED = Revoked(START, RevocationReason.KEY_COMPROMISE)
SERIAL = 0x0102030405


class Shelf:
    """An `AnswerShelf` in memory."""

    def __init__(self) -> None:
        self.generation = 1
        self.answers: dict[tuple[bytes, bytes], HeldAnswer] = {}
        self.broken = False
        self.compared_at: int | None = NOW

    def held_together(self, ca: bytes, serials: Sequence[bytes], /) -> list[HeldAnswer | None]:
        return [self.held(ca, serial) for serial in serials]

    def held(self, ca: bytes, serial: bytes, /) -> HeldAnswer | None:
        if self.broken:
            raise StoreError("the shelf: input/output error", hint="see the disk")
        return self.answers.get((ca, serial))

    def compared(self, ca: bytes) -> int | None:
        if self.broken:
            raise StoreError("the shelf: input/output error", hint="see the disk")
        return self.compared_at

    def put(
        self, said: CertificateStatus = GOOD, *, begins: int = 0, ends: int = 3600, **how: str
    ) -> HeldAnswer:
        """About `SERIAL`, by the hashes `how` names."""
        names = how.values() or ["sha1"]
        this_update, next_update = (
            START + timedelta(seconds=begins),
            START + timedelta(seconds=ends),
        )
        der = Signer(CA.certificate, CA.issued.key, CA.certificate).respond(
            [
                SingleResponse(
                    CertID.of(SERIAL, CA.certificate, name), said, this_update, next_update
                )
                for name in names
            ],
            produced_at=this_update,
        )
        held = held_answer(der, NOW + begins, NOW + ends)
        self.answers[ca_tag(CA.certificate), serial_octets(SERIAL)] = held
        return held


class Live:
    """Says tryLater, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def answer_now(self, data: bytes, /) -> Answer | None:
        self.asked += 1
        return refusal(ResponseStatus.tryLater, "live")

    async def answer_bytes(self, data: bytes, /) -> Answer:
        return refusal(ResponseStatus.tryLater, "live")


def presigned(shelf: Shelf, **how: object) -> Presigned:
    how.setdefault("clock", FakeClock())
    return Presigned(shelf, Live(), issuers=[CA.certificate], **how)  # type: ignore[arg-type]


def asked(serial: int = SERIAL, hash_algorithm: str = "sha1") -> bytes:
    return Request.build(CertID.of(serial, CA.certificate, hash_algorithm)).encode()


@pytest.mark.parametrize("said", [GOOD, REVOKED, UNKNOWN])
def test_what_lies_ready_is_given_with_what_it_says(said: CertificateStatus) -> None:
    shelf = Shelf()
    held = shelf.put(said)
    source = presigned(shelf)
    assert source.held_now(asked(), NOW) == (*held[:3], said.text, held.digest.hex())
    answer = source.answer_now(asked())
    assert answer is not None
    assert answer.der == held.der
    assert answer.singles[0].certificate_status == said
    assert asyncio.run(source.answer_bytes(asked())).der == held.der


def test_only_what_holds_is_given() -> None:
    shelf = Shelf()
    shelf.put(ends=60)
    source = presigned(shelf)
    assert source.held_now(asked(), NOW - 1) is None  # the clock went back: it has not begun
    assert source.held_now(asked(), NOW) is not None
    assert source.held_now(asked(), NOW + 59) is not None
    assert source.held_now(asked(), NOW + 60) is None


def test_what_is_not_there_is_signed_now() -> None:
    """R16, R19, R28: other serials, other hashes, nonces."""
    shelf = Shelf()
    shelf.put()
    source = presigned(shelf)
    nonced = Request.build(CertID.of(SERIAL, CA.certificate), nonce=bytes(16)).encode()
    for data in (asked(7), asked(SERIAL, "sha256"), nonced, b"", b"junk"):
        assert source.held_now(data, NOW) is None
        answer = source.answer_now(data)
        assert answer is not None
        assert answer.why == "live"


def test_one_answer_may_speak_by_two_hashes() -> None:
    """R28."""
    shelf = Shelf()
    held = shelf.put(REVOKED, one="sha1", two="sha256")
    source = presigned(shelf, hash_algorithms=("sha1", "sha256"))
    for name in ("sha1", "sha256"):
        assert source.held_now(asked(SERIAL, name), NOW) == (
            *held[:3],
            "revoked",
            held.digest.hex(),
        )


def test_of_several_requests_each_has_its_own() -> None:
    """With what is held, what is not, what nobody can read and nothing at all."""
    shelf = Shelf()
    held = shelf.put()
    source = presigned(shelf)
    several = [None, asked(), b"junk", asked(SERIAL + 1), asked(SERIAL, "sha256"), asked()]
    alone = [None if data is None else source.held_now(data, NOW) for data in several]
    assert source.held_together(several, NOW) == alone
    assert [one is None or one[0] == held.der for one in alone] == [True] * 6
    assert [one is not None for one in alone] == [False, True, False, False, False, True]


def test_an_answer_about_another_certificate_is_never_given() -> None:
    """Whatever lies under the key: the CertID that was asked has to stand in it."""
    shelf = Shelf()
    held = shelf.put()
    shelf.answers[ca_tag(CA.certificate), serial_octets(SERIAL + 1)] = held
    source = presigned(shelf)
    assert source.held_now(asked(SERIAL), NOW) is not None
    assert source.held_now(asked(SERIAL + 1), NOW) is None


def test_a_shelf_that_falls_behind_its_ledger_is_as_an_empty_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R32: without `presign` nothing revoked is good for longer than `within`."""
    shelf = Shelf()
    shelf.put()
    source = presigned(shelf, compared=shelf.compared, within=timedelta(seconds=30))
    before = source.generation
    assert source.held_now(asked(), NOW + 30) is not None
    assert source.generation == before
    with caplog.at_level(logging.ERROR):
        assert source.held_now(asked(), NOW + 31) is None
    assert source.generation != before  # what was kept of it is forgotten
    assert "holdfast presign" in caplog.text
    shelf.compared_at = NOW + 40
    assert source.held_now(asked(), NOW + 41) is not None
    shelf.compared_at = None
    assert source.held_now(asked(), NOW + 42) is None


def test_a_shelf_that_cannot_be_read_is_as_an_empty_one_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = Shelf()
    shelf.put()
    clock = FakeClock()
    source = presigned(shelf, clock=clock)
    shelf.broken = True
    with caplog.at_level(logging.ERROR):
        for _ in range(100):
            assert source.held_now(asked(), NOW) is None
    assert len(caplog.records) == 1
    assert "see the disk" in caplog.text
    shelf.broken = False
    assert source.held_now(asked(), NOW) is not None
