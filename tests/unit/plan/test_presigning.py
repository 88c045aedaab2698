"""What is signed ahead and when again: R15, R29, R30, R32; of two entries the one that revokes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import OperatorError, Unavailable
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import GOOD, encode_certificate_status
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import ResponseStatus, RevocationReason, Revoked
from holdfast.plan.answering import answer
from holdfast.plan.presigning import (
    Need,
    Step,
    Wish,
    compare,
    limit,
    refuse_hasty,
    strictest,
    told,
    window,
)
from holdfast.plan.record import HEADER, SIZE, Record, mask, read
from holdfast.plan.rows import GOOD_DER
from holdfast.plan.rules import Rules
from support.pki import AT, a_root, a_signer

HOUR, DAY = 3600, 86400
NOW = 1_780_000_000
WISH = Wish(rules=Rules(), hashes=mask(["sha1"]))
REVOKED_DER = told(datetime(2026, 5, 1, tzinfo=UTC), RevocationReason.KEY_COMPROMISE, None)


def a_record(serial: int, age: int = 0, validity: int = 12 * HOUR, **wishes: object) -> Record:
    made = NOW - age
    record = Record(bytes([serial]), made, made + validity, mask(["sha1"]), GOOD_DER)
    return record._replace(**wishes)  # type: ignore[arg-type]


def needs(rows: list[int], records: list[Record], wish: Wish = WISH, **also: int) -> list[str]:
    steps = compare([(bytes([n]), GOOD_DER) for n in rows], records, wish=wish, at=NOW, **also)
    return [f"{step.need.value} {step.serial[0]}" for step in steps]


@pytest.mark.parametrize(
    ("validity", "wanted"),
    [
        (8 * HOUR, 4 * HOUR),
        (12 * HOUR, 6 * HOUR),
        (16 * HOUR - 2, 8 * HOUR - 1),
        (16 * HOUR, 8 * HOUR),
        (24 * HOUR, 16 * HOUR),
        (3 * DAY, 3 * DAY - 8 * HOUR),
        (7 * DAY, 4 * DAY),
        (10 * DAY, 4 * DAY),
    ],
)
def test_r29_the_last_moment(validity: int, wanted: int) -> None:
    """CA/Browser Forum 4.9.10: half of it under 16 h, else 8 h before the end, at most 4 d old."""
    assert limit(NOW, NOW + validity) == NOW + wanted


@given(st.integers(60, 10 * DAY), st.integers(0, 2 * DAY))
def test_r29_is_kept_by_whoever_looks_once_in_the_time_that_was_told(
    validity: int, ahead: int
) -> None:
    wish = Wish(rules=Rules(), hashes=1, ahead=timedelta(seconds=ahead))
    due, last = wish.due(NOW, NOW + validity), limit(NOW, NOW + validity)
    assert NOW < due <= last < NOW + validity
    assert due <= last - min(ahead, (last - NOW) // 2)


def test_r29_due_a_moment_before_and_after() -> None:
    """Of 12 hours half, less the hour ahead: at five hours."""
    assert needs([1], [a_record(1, 5 * HOUR - 1)]) == ["keep 1"]
    assert needs([1], [a_record(1, 5 * HOUR)]) == ["old 1"]
    assert needs([1], [a_record(1, 4 * DAY - HOUR - 1, 7 * DAY)]) == ["keep 1"]
    assert needs([1], [a_record(1, 4 * DAY - HOUR, 7 * DAY)]) == ["old 1"]


def test_r32_what_the_ledger_says_otherwise_is_wrong_however_new_it_is() -> None:
    [step] = compare([(b"\x01", REVOKED_DER)], [a_record(1)], wish=WISH, at=NOW)
    assert step == Step(Need.WRONG, b"\x01", REVOKED_DER, step.due)
    unrevoked = a_record(1, certificate_status=REVOKED_DER)
    assert needs([1], [unrevoked]) == ["wrong 1"]
    other_reason = a_record(
        1, certificate_status=told(datetime(2026, 5, 1, tzinfo=UTC), None, None)
    )
    [step] = compare([(b"\x01", REVOKED_DER)], [other_reason], wish=WISH, at=NOW)
    assert step.need is Need.WRONG


def test_what_left_the_ledger_is_gone_and_what_came_is_missing() -> None:
    held = [a_record(1), a_record(3), a_record(5), a_record(9)]
    assert needs([2, 3, 7], held) == [
        "gone 1",
        "missing 2",
        "keep 3",
        "gone 5",
        "missing 7",
        "gone 9",
    ]
    assert needs([], held) == ["gone 1", "gone 3", "gone 5", "gone 9"]
    assert needs([4], []) == ["missing 4"]


def test_other_hashes_and_answers_of_the_future_are_signed_again() -> None:
    """R28; and a clock that was set back."""
    assert needs([1], [a_record(1, hashes=mask(["sha1", "sha256"]))]) == ["old 1"]
    assert needs([1], [a_record(1, -1)]) == ["old 1"]


def test_all_anew_are_those_from_before() -> None:
    anew = Wish(rules=Rules(), hashes=1, since=NOW - 10)
    assert needs([1, 2], [a_record(1, 11), a_record(2, 10)], anew) == ["old 1", "keep 2"]
    assert needs([1], [a_record(1, 11)], anew, ends=NOW) == ["old 1"]


def test_r15_signing_for_age_alone_ends_where_the_signer_does() -> None:
    """An answer that holds until its signer ends gains nothing by another; a wrong one does."""
    old = a_record(1, 7 * HOUR, 8 * HOUR)
    assert needs([1], [old], ends=NOW + HOUR) == ["keep 1"]
    assert needs([1], [old], ends=NOW + HOUR + 1) == ["old 1"]
    wrong = old._replace(certificate_status=REVOKED_DER)
    assert needs([1], [wrong], ends=NOW + HOUR) == ["wrong 1"]


def test_of_two_entries_of_one_serial_the_one_that_revokes_counts() -> None:
    rows = sorted([(b"\x01", GOOD_DER), (b"\x01", REVOKED_DER), (b"\x02", GOOD_DER)])
    assert list(strictest(rows)) == [(b"\x01", REVOKED_DER), (b"\x02", GOOD_DER)]
    assert list(strictest([])) == []


@given(
    st.dictionaries(st.integers(0, 60), st.booleans()),
    st.dictionaries(st.integers(0, 60), st.tuples(st.booleans(), st.integers(0, 13 * HOUR))),
)
def test_each_serial_of_either_comes_once_with_what_it_needs(
    ledger: dict[int, bool], shelf: dict[int, tuple[bool, int]]
) -> None:
    def said(revoked: bool) -> bytes:
        return REVOKED_DER if revoked else GOOD_DER

    rows = sorted((bytes([n]), said(revoked)) for n, revoked in ledger.items())
    records = [
        a_record(n, age, certificate_status=said(revoked))
        for n, (revoked, age) in sorted(shelf.items())
    ]
    steps = list(compare(rows, records, wish=WISH, at=NOW))
    assert [step.serial[0] for step in steps] == sorted({*ledger, *shelf})
    for step in steps:
        n = step.serial[0]
        match step.need:
            case Need.GONE:
                assert n not in ledger
            case Need.MISSING:
                assert n not in shelf
            case Need.WRONG:
                assert ledger[n] != shelf[n][0]
            case Need.OLD:
                assert ledger[n] == shelf[n][0]
                assert shelf[n][1] >= 5 * HOUR
            case Need.KEEP:
                assert ledger[n] == shelf[n][0]
                assert shelf[n][1] < 5 * HOUR


def test_r14_a_lost_ca_key_revokes_what_is_signed_ahead_too() -> None:
    lost = Revoked(datetime(2026, 1, 1, tzinfo=UTC), RevocationReason.CA_COMPROMISE)
    assert told(None, None, lost) == encode_certificate_status(lost)
    assert told(None, None, None) == encode_certificate_status(GOOD)
    assert told(lost.at, lost.reason, None) == encode_certificate_status(lost)


CA = a_root()
DELEGATE = a_signer(CA)


@pytest.mark.parametrize("who", [CA, DELEGATE], ids=["issuer", "delegate"])
@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=4000)),
    st.timedeltas(timedelta(0), timedelta(days=4000)),
    st.datetimes(
        DELEGATE.certificate.not_before.replace(tzinfo=None),
        DELEGATE.certificate.not_after.replace(tzinfo=None) - timedelta(seconds=2),
        timezones=st.just(UTC),
    ),
)
def test_r15_r30_the_window_is_that_of_an_answer_signed_live(
    who: object, validity: timedelta, backdate: timedelta, at: datetime
) -> None:
    signer = Signer(who.certificate, who.key, CA.certificate)  # type: ignore[attr-defined]
    rules = Rules(validity=validity, backdate=backdate)
    certid = CertID.of(5, CA.certificate)
    live = answer(Request.build(certid), known={certid: GOOD}, signer=signer, rules=rules, at=at)
    if live.response_status is ResponseStatus.successful:
        assert window(signer, rules, at) == (live.this_update, live.next_update)
        assert window(signer, rules, at)[1] <= signer.certificate.not_after
    else:
        with pytest.raises(Unavailable):
            window(signer, rules, at)


def test_a_signer_that_has_ended_has_no_window() -> None:
    signer = Signer(DELEGATE.certificate, DELEGATE.key, CA.certificate)
    with pytest.raises(Unavailable, match="ends at"):
        window(signer, Rules(), DELEGATE.certificate.not_after + timedelta(seconds=1))
    assert window(signer, Rules(), AT)[0] == AT


def test_answers_that_would_be_due_as_soon_as_they_are_signed_are_refused() -> None:
    refuse_hasty(Rules(validity=timedelta(hours=12), backdate=timedelta(hours=1)))
    refuse_hasty(Rules(validity=timedelta(minutes=10)))
    with pytest.raises(OperatorError, match="as soon as they are signed"):
        refuse_hasty(Rules(validity=timedelta(hours=2), backdate=timedelta(hours=6)))


def test_a_record_is_read_from_what_it_says_itself() -> None:
    response = b"\x30\x82" + REVOKED_DER + b"rest"
    header = HEADER.pack(NOW, NOW + 5, SIZE + 2, len(REVOKED_DER), mask(["sha256", "sha1"]))
    value = header + bytes(32) + response
    assert read(b"\x07", value) == Record(b"\x07", NOW, NOW + 5, 3, REVOKED_DER)
    with pytest.raises(KeyError):
        mask(["md5"])
