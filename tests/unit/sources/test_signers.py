"""Several signers of one CA: who signs when, and that a rollover leaves no gap (R15, R30)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from holdfast.errors import OperatorError
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.ocsp.verify import examine
from holdfast.pki.issue import Authority
from holdfast.plan.answering import Answer, Rules
from holdfast.sources.signers import SETTLED, Signers
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.ledgers import TwoEntries
from support.pki import AT, a_root, a_signer

CA = a_root()
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
VALIDITY = timedelta(hours=12)


def signer(name: str, begin: datetime, end: datetime, ca: Authority = CA) -> Signer:
    made = a_signer(ca, name, not_before=begin, not_after=end)
    return Signer(made.certificate, made.key, ca.certificate)


OLD = signer("Old", AT - 20 * DAY, AT + 10 * DAY)
NEW = signer("New", AT, AT + 30 * DAY)
BOTH = Signers(OLD, NEW)


@pytest.mark.parametrize(
    ("after", "who"),
    [
        (timedelta(seconds=-1), OLD),
        (timedelta(0), OLD),  # the new one is in date, but not for slow clocks
        (SETTLED - timedelta(seconds=1), OLD),
        (SETTLED, NEW),
        (10 * DAY, NEW),
        (10 * DAY + timedelta(seconds=1), NEW),
        (30 * DAY, NEW),  # alone: its answers get short, but there are some
    ],
)
def test_r15_the_new_signer_takes_over_when_slow_clocks_know_it(
    after: timedelta, who: Signer
) -> None:
    choice = BOTH.choose(AT + after, VALIDITY)
    assert choice.signer is who
    assert choice.objection == ""
    assert choice.since <= AT + after < choice.until


def test_r15_a_choice_holds_as_long_as_it_says_and_is_another_after() -> None:
    at, seen = AT - 30 * DAY, []
    for _ in range(20):
        choice = BOTH.choose(at, VALIDITY)
        nearly = min(choice.until - timedelta(microseconds=1), AT + 40 * DAY)
        late = BOTH.choose(nearly, VALIDITY)
        assert (late.signer, bool(late.objection)) == (choice.signer, bool(choice.objection))
        seen.append("" if choice.objection else choice.signer.certificate.subject)
        if choice.until > AT + 40 * DAY:
            break
        at = choice.until
    told = [name for name, before in zip(seen, ["?", *seen], strict=False) if name != before]
    assert told == ["", "CN=Old", "CN=New", ""]


def test_r30_a_new_signer_does_not_wait_where_the_old_one_would_cut_answers_short() -> None:
    ending = signer("Ending", AT - 20 * DAY, AT + HOUR)
    assert Signers(ending, NEW).choose(AT, VALIDITY).signer is NEW
    lasting = signer("Lasting", AT - 20 * DAY, AT + VALIDITY)
    assert Signers(lasting, NEW).choose(AT, VALIDITY).signer is lasting


def test_nobody_is_fit_and_why_is_said() -> None:
    choice = BOTH.choose(AT + 31 * DAY, VALIDITY)
    assert "is not in date" in choice.objection
    stranger = a_root("Stranger")
    unfit = Signer(stranger.certificate, stranger.key, CA.certificate)
    assert "was not issued by" in Signers(unfit).choose(AT, VALIDITY).objection
    assert Signers(unfit, NEW).choose(AT, VALIDITY).signer is NEW


def test_signers_of_two_cas_are_refused() -> None:
    other = a_root("Another")
    with pytest.raises(OperatorError, match="is of CN=Another, not of CN=Test Root"):
        Signers(OLD, Signer(other.certificate, other.key, other.certificate))
    several = Signers(OLD)
    with pytest.raises(OperatorError, match="is of CN=Another"):
        several.replace([Signer(other.certificate, other.key, other.certificate)])
    assert several.all == (OLD,)
    with pytest.raises(OperatorError, match="no signer"):
        several.replace([])


def test_r15_r30_through_a_rollover_every_answer_is_good_until_its_end() -> None:
    """Each answer of thirty days, asked every six hours over a rollover, verifies at once and at
    its nextUpdate, never outlives its signer, and both signers gave some. The old answers stay
    valid after the new signer took over."""
    clock = FakeClock(AT - DAY)
    told: list[str] = []
    signing = Signing(
        signer=Signers(OLD, NEW),
        ledger=TwoEntries(),
        clock=clock,
        rules=Rules(validity=VALIDITY),
        audit=lambda _, who: told.append(who.certificate.subject),
    )
    subject = Subject(1, CA.certificate)
    given: list[Answer] = []
    while clock.now() < AT + 29 * DAY:
        answer = signing.answer_now(Request.build(subject.certid).encode())
        assert answer is not None
        assert answer.next_update is not None
        given.append(answer)
        clock.advance(timedelta(hours=6))
    for answer, who in zip(given, told, strict=True):
        assert answer.this_update is not None
        assert answer.next_update is not None
        end = (OLD if who == "CN=Old" else NEW).certificate.not_after
        assert answer.next_update <= end
        response = Response.parse(answer.der)
        for at in (answer.this_update, answer.next_update - timedelta(seconds=1)):
            assert examine(response, subject, at=at).good
    assert set(told) == {"CN=Old", "CN=New"}
    assert told == sorted(told, reverse=True)  # one change, and none back


def test_r15_after_the_last_signers_end_there_is_no_answer() -> None:
    """The red twin of the rollover: without a new signer it is tryLater, never a dead answer."""
    clock = FakeClock(OLD.certificate.not_after + timedelta(seconds=1))
    signing = Signing(signer=Signers(OLD), ledger=TwoEntries(), clock=clock)
    asked = Request.build(Subject(1, CA.certificate).certid).encode()
    given = signing.answer_now(asked)
    assert given is not None
    assert given.response_status is ResponseStatus.tryLater
    assert "is not in date" in given.why


def test_a_signer_that_was_taken_away_is_heard_no_more() -> None:
    """Not even by the answers it gave, which are otherwise given again."""
    signers, clock = Signers(OLD), FakeClock(AT)
    signing = Signing(signer=signers, ledger=TwoEntries(), clock=clock)
    asked = Request.build(Subject(1, CA.certificate).certid)
    first = asyncio.run(signing.answer(asked))
    assert asyncio.run(signing.answer(asked)) == first
    signers.replace([NEW])
    second = asyncio.run(signing.answer(asked))
    assert second.der != first.der
    assert signing.signer is NEW
