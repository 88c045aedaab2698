"""R35: ledger, answer signed ahead and CRL about one serial: what differs, and which word wins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from holdfast.ocsp.statuses import GOOD, UNKNOWN, RevocationReason, Revoked
from holdfast.plan.agreement import Place, Word, disagreements, overrules, strictest

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LOST = Revoked(AT, RevocationReason.KEY_COMPROMISE)
HOLD = Revoked(AT - DAY, RevocationReason.CERTIFICATE_HOLD)
LEDGER, SHELF, CRL = Place.LEDGER, Place.SHELF, Place.CRL


def codes(*words: Word, not_after: datetime | None = None) -> list[str]:
    found = [
        disagreements(order, serial=0xAB, not_after=not_after) for order in permutations(words)
    ]
    told = {tuple(sorted(one.code for one in each)) for each in found}
    assert len(told) == 1  # the order of the places does not matter
    return list(told.pop())


def test_from_the_strictest_to_the_laxest() -> None:
    """R11: never issued is never good, whoever says so."""
    ladder = [
        Revoked(AT - DAY, RevocationReason.SUPERSEDED),
        LOST,
        Revoked(AT),
        HOLD,
        None,
        UNKNOWN,
        GOOD,
    ]
    for n, strict in enumerate(ladder):
        for lax in ladder[n:]:
            both = [Word(LEDGER, lax), Word(SHELF, strict)]
            assert strictest(both).certificate_status == strict
            assert strictest(both[::-1]).certificate_status == strict


def test_places_that_agree_are_not_told_of() -> None:
    assert codes(Word(LEDGER, GOOD), Word(SHELF, GOOD, AT), Word(CRL, GOOD, AT)) == []
    assert codes(Word(LEDGER, LOST), Word(SHELF, LOST, AT), Word(CRL, LOST, AT)) == []
    assert codes(Word(LEDGER, None), Word(CRL, GOOD, AT)) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((Word(LEDGER, GOOD), Word(SHELF, LOST)), "ledger-laxer"),
        ((Word(LEDGER, GOOD), Word(CRL, LOST, AT)), "ledger-laxer"),
        ((Word(LEDGER, None), Word(CRL, LOST, AT)), "ledger-laxer"),
        ((Word(LEDGER, LOST), Word(SHELF, GOOD)), "presigned-laxer"),
        ((Word(LEDGER, None), Word(SHELF, GOOD)), "presigned-laxer"),
        ((Word(LEDGER, LOST), Word(CRL, GOOD, AT + DAY)), "crl-laxer"),
        ((Word(LEDGER, LOST), Word(SHELF, HOLD)), "revocation-differs"),
    ],
)
def test_who_is_laxer_is_named(words: tuple[Word, ...], code: str) -> None:
    assert codes(*words) == [code]


def test_all_three_at_once() -> None:
    words = (Word(LEDGER, GOOD), Word(SHELF, GOOD), Word(CRL, LOST, AT))
    assert codes(*words) == ["ledger-laxer", "presigned-laxer"]
    assert strictest(words).certificate_status == LOST


def test_a_crl_is_not_held_to_what_it_could_not_know() -> None:
    """RFC 5280 3.3; and the red twins: a CRL made after, of a certificate that has not ended."""
    ledger = Word(LEDGER, LOST)
    assert codes(ledger, Word(CRL, GOOD, AT - DAY)) == []
    assert codes(ledger, Word(CRL, GOOD, AT + DAY)) == ["crl-laxer"]
    assert codes(ledger, Word(CRL, GOOD, AT + DAY), not_after=AT) == []
    assert codes(ledger, Word(CRL, GOOD, AT + DAY), not_after=AT + 2 * DAY) == ["crl-laxer"]


def test_unspecified_is_the_reason_that_a_crl_leaves_out() -> None:
    """RFC 5280 5.3.1; a fraction of a second is none either."""
    ledger = Revoked(AT + timedelta(microseconds=5), RevocationReason.UNSPECIFIED)
    assert codes(Word(LEDGER, ledger), Word(CRL, Revoked(AT), AT + DAY)) == []
    assert codes(Word(LEDGER, LOST), Word(CRL, Revoked(AT), AT + DAY)) == ["revocation-differs"]


def test_which_answer_signed_ahead_is_not_given() -> None:
    assert overrules([Word(LEDGER, LOST), Word(SHELF, GOOD)])
    assert overrules([Word(LEDGER, GOOD), Word(SHELF, GOOD), Word(CRL, LOST, AT)])
    assert overrules([Word(LEDGER, None), Word(SHELF, GOOD)])
    assert not overrules([Word(LEDGER, GOOD), Word(SHELF, LOST)])
    assert not overrules([Word(LEDGER, LOST), Word(SHELF, LOST)])
    assert not overrules([Word(LEDGER, LOST), Word(CRL, GOOD, AT + DAY)])


def test_a_message_says_who_what_and_how_to_mend_it() -> None:
    words = (Word(LEDGER, GOOD), Word(CRL, LOST, AT))
    (told,) = disagreements(words, serial=0xAB)
    assert told.message == (
        "serial ab: the CRL says revoked since 2026-11-20T12:00:00Z (keyCompromise),"
        " the ledger says good"
    )
    assert "holdfast ca revoke" in told.hint
    assert "revoked since 2026-11-20T12:00:00Z (keyCompromise) is answered" in told.hint
