"""The keeper's decisions one by one; random histories are in tests/property/test_planner.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from holdfast.errors import DeliveryError, Malformed, NotFound, PeerError, Rejected, Unavailable
from holdfast.ocsp import freshness
from holdfast.ocsp.findings import Severity
from holdfast.ocsp.statuses import UNKNOWN, Revoked
from holdfast.ocsp.verify import examine
from holdfast.plan.entry import (
    STORE,
    Action,
    Alert,
    Deliver,
    Entry,
    Failure,
    Fetch,
    Given,
    Holder,
    Need,
    Rules,
    Withdraw,
)
from holdfast.plan.keeping import (
    IDLE,
    begun,
    demanded,
    fetch_due,
    outcome,
    plan,
    steps_of,
    supersedes,
)
from support.pki import AT
from support.staples import WEEK, a_desk

DESK = a_desk("x.test", serial=4711)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DOWN = Failure("connect", "refused")


def an_entry(**wishes: object) -> Entry:
    wishes.setdefault("holders", (Holder(name=STORE), Holder(name="web")))
    return Entry(name="x", subject=DESK.subject, **wishes)


def holding(staple, **wishes: object) -> Entry:
    """An entry whose holders all have `staple`."""
    holders = tuple(Holder(name=name, given=staple) for name in (STORE, "web"))
    return an_entry(staple=staple, holders=holders, **wishes)


def test_k1_what_has_nothing_is_fetched_first() -> None:
    entry = an_entry()
    assert plan([entry], AT).actions == (Fetch(entry.key),)


def test_a_fetched_staple_goes_to_every_holder_and_then_there_is_rest() -> None:
    entry = an_entry()
    fetch = Fetch(entry.key)
    staple = DESK.staple()
    entry = outcome(begun(entry, fetch, AT), fetch, staple, AT)
    made = plan([entry], AT)
    assert made.actions == (
        Deliver(entry.key, STORE, staple),
        Deliver(entry.key, "web", staple),
    )
    for action in made.actions:
        entry = outcome(begun(entry, action, AT), action, None, AT)
    assert entry.settled
    made = plan([entry], AT)
    assert made.actions == ()
    assert AT < made.wake_at <= AT + IDLE


def test_k20_nothing_is_planned_twice() -> None:
    entry = an_entry()
    entry = begun(entry, Fetch(entry.key), AT)
    assert plan([entry], AT).actions == ()
    assert demanded(entry).demanded is False, "the one under way serves too"


def test_k4_withdrawn_at_the_end_from_every_holder() -> None:
    staple = DESK.staple()
    entry = holding(staple)
    end = freshness.withdraw_at(staple)
    busy = begun(entry, Fetch(entry.key), AT)
    before = plan([busy], end - timedelta(microseconds=1))
    assert before.actions == ()
    assert before.wake_at == end
    withdrawals = [a for a in plan([busy], end).actions if isinstance(a, Withdraw)]
    assert [(w.holder, w.because) for w in withdrawals] == [(STORE, "ended"), ("web", "ended")]


def test_k4_a_holder_that_could_not_take_the_new_one_still_loses_the_old() -> None:
    old, new = DESK.staple(), DESK.staple(AT + 3 * timedelta(days=1))
    entry = replace(holding(old), staple=new)
    at = freshness.withdraw_at(old) - timedelta(seconds=1)
    deliver = Deliver(entry.key, "web", new)
    entry = outcome(begun(entry, deliver, at), deliver, Failure("delivery", "full"), at)
    ended = freshness.withdraw_at(old)
    steps = [a for a in plan([entry], ended).actions if isinstance(a, Withdraw)]
    assert Withdraw(entry.key, "web", "ended") in steps
    later = plan([entry], ended + timedelta(minutes=6)).actions
    assert deliver in later


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("x", failure="dns"),
        Unavailable("x", failure="timeout", retry_after=9.0),
        Malformed("OCSPResponse", "trailing bytes"),
        PeerError("x", failure="unauthorized"),
        NotFound("x"),
        DeliveryError("x"),
        Rejected(examine(DESK.response(), DESK.subject, at=AT + 30 * WEEK)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_k7_every_failure_is_classified_and_keeps_the_last_good(error: Exception) -> None:
    staple = DESK.staple()
    entry = holding(staple)
    at = freshness.refresh_at(staple)
    fetch = Fetch(entry.key)
    assert plan([entry], at).actions == (fetch,)
    failure = Failure.of(error)
    assert failure.kind in {
        *("dns", "timeout", "malformed", "not-found", "delivery", "response-expired"),
        "unauthorized",
    }
    entry = outcome(begun(entry, fetch, at), fetch, failure, at)
    made = plan([entry], at)
    assert made.actions == ()
    assert made.wake_at > at
    assert entry.staple is staple
    assert entry.last_failure is failure


def test_k8_retry_after_moves_the_next_try() -> None:
    entry = an_entry()
    fetch = Fetch(entry.key)
    entry = outcome(entry, fetch, Failure("try-later", "x", retry_after=1800.0), AT)
    assert fetch_due(entry, AT) == AT + timedelta(minutes=30)


def test_k10_a_replayed_answer_replaces_nothing_and_is_asked_for_again() -> None:
    new, old = DESK.staple(AT + HOUR), DESK.staple(AT)
    entry = holding(new)
    fetch = Fetch(entry.key)
    at = AT + 2 * HOUR
    entry = outcome(entry, fetch, old, at)
    assert entry.staple is new
    assert entry.unchanged == 1
    assert entry.failures == 0
    assert fetch_due(entry, at) > at


def test_k10_not_even_when_our_clock_was_set_back() -> None:
    new, old = DESK.staple(AT), DESK.staple(AT - HOUR)
    entry = outcome(holding(new), Fetch("x"), old, AT - HOUR)
    assert entry.staple is new


def test_k11_a_newer_revoked_replaces_good_at_once() -> None:
    entry = holding(DESK.staple())
    revoked = DESK.staple(AT + HOUR, status=Revoked(AT))
    at = AT + HOUR
    entry = outcome(entry, Fetch(entry.key), revoked, at)
    made = plan([entry], at)
    assert Deliver(entry.key, "web", revoked) in made.actions
    alerts = [a for a in made.actions if isinstance(a, Alert)]
    assert [(a.code, a.severity) for a in alerts] == [("revoked", Severity.FAULT)]


def test_k11_withhold_takes_the_good_one_away_and_keeps_the_proof_in_the_store() -> None:
    entry = holding(DESK.staple())
    revoked = DESK.staple(AT + HOUR, status=Revoked(AT))
    entry = outcome(entry, Fetch(entry.key), revoked, AT + HOUR)
    actions = plan([entry], AT + HOUR, Rules(on_revoked="withhold")).actions
    assert Withdraw(entry.key, "web", "revoked") in actions
    assert Deliver(entry.key, STORE, revoked) in actions


def test_k11_a_certificate_that_is_no_longer_on_hold_is_good_again() -> None:
    entry = holding(DESK.staple(status=Revoked(AT)))
    good = DESK.staple(AT + HOUR)
    assert outcome(entry, Fetch(entry.key), good, AT + HOUR).staple is good


def test_k5_what_stops_early_is_fetched_early() -> None:
    staple, early = DESK.staple(window=timedelta(minutes=10)), timedelta(minutes=5)
    entry = replace(holding(staple), answered_at=AT, early=early)
    assert fetch_due(entry, AT) == freshness.refresh_at(staple, early=early)


def test_k11_recheck_asks_between_refreshes() -> None:
    staple = DESK.staple()
    entry = replace(holding(staple), answered_at=AT)
    rules = Rules(recheck=timedelta(seconds=60))
    assert fetch_due(entry, AT, rules) == AT + timedelta(seconds=60)
    assert fetch_due(entry, AT) == freshness.refresh_at(staple)
    entry = outcome(entry, Fetch(entry.key), staple, AT + timedelta(seconds=60), rules)
    assert fetch_due(entry, AT, rules) == AT + timedelta(seconds=120)


def test_k12_unknown_keeps_the_last_good_and_alerts() -> None:
    staple = DESK.staple()
    entry = outcome(holding(staple), Fetch("x"), DESK.staple(AT + HOUR, status=UNKNOWN), AT + HOUR)
    assert entry.staple is staple
    made = plan([entry], AT + HOUR)
    assert [a.code for a in made.actions if isinstance(a, Alert)] == ["unknown"]
    assert not [a for a in made.actions if isinstance(a, Withdraw | Deliver)]


def test_k12_unknown_alone_is_never_delivered() -> None:
    entry = outcome(an_entry(), Fetch("x"), DESK.staple(status=UNKNOWN), AT)
    assert entry.staple is None
    assert not [a for a in plan([entry], AT).actions if isinstance(a, Deliver)]


def test_k17_without_a_responder_one_note_and_no_request() -> None:
    entry = an_entry(applicable=False)
    (alert,) = plan([entry], AT).actions
    assert isinstance(alert, Alert)
    assert (alert.code, alert.severity) == ("not-applicable", Severity.NOTE)
    assert plan([begun(entry, alert, AT)], AT).actions == ()


def test_k17_must_staple_without_a_responder_is_an_error() -> None:
    desk = a_desk("must.test", must_staple=True, responder_urls=())
    entry = Entry(name="must", subject=desk.subject, applicable=False)
    (alert,) = plan([entry], AT).actions
    assert isinstance(alert, Alert)
    assert (alert.code, alert.severity) == ("must-staple-without-responder", Severity.FAULT)


@pytest.mark.parametrize(
    ("need", "severities"),
    [
        (Need.LENIENT, ["NOTE", "WARNING"]),
        (Need.STRICT, ["NOTE", "WARNING", "FAULT"]),
        (Need.MUST, ["WARNING", "FAULT", "FATAL"]),
    ],
)
def test_k19_the_ladder_by_need(need: Need, severities: list[str]) -> None:
    staple = DESK.staple()
    entry = holding(staple, need=need, failures=3, last_failure=DOWN)
    entry = replace(entry, fetching=True)
    told = []
    for percent in (50, 67, 68, 81, 82, 91, 92):
        at = AT + WEEK * (percent / 100)
        for action in plan([entry], at).actions:
            assert isinstance(action, Alert)
            told.append(action.severity.name)
            entry = begun(entry, action, at)
    assert told == severities


def test_k19_without_a_failed_refresh_the_ladder_is_silent() -> None:
    """A responder may sign again late (R29): answers that are no newer count at the last rung."""
    entry = replace(holding(DESK.staple(), unchanged=5), fetching=True)
    assert plan([entry], AT + WEEK * 0.85).actions == ()
    (alert,) = plan([entry], AT + WEEK * 0.91).actions
    assert isinstance(alert, Alert)
    assert alert.code == "expiring-90"


def test_k23_a_clock_that_was_set_back_does_not_delay_the_next_try() -> None:
    entry = outcome(an_entry(), Fetch("x"), DOWN, AT)
    assert fetch_due(entry, AT) > AT
    back = AT - timedelta(days=100)
    assert fetch_due(entry, back) == back


def test_k23_a_staple_from_our_future_is_neither_delivered_nor_taken_away() -> None:
    staple = DESK.staple()
    entry = replace(holding(staple), fetching=True)
    assert plan([entry], AT - timedelta(days=1)).actions == ()
    fresh = replace(an_entry(staple=staple), fetching=True)
    assert plan([fresh], AT - timedelta(days=1)).actions == ()


def test_what_an_earlier_process_left_is_withdrawn_only_after_an_answer() -> None:
    entry = replace(an_entry(), fetching=True)
    assert plan([entry], AT).actions == ()
    failed = outcome(entry, Fetch("x"), DOWN, AT)
    withdrawals = [a for a in plan([failed], AT).actions if isinstance(a, Withdraw)]
    assert {w.because for w in withdrawals} == {"none-held"}


def test_a_delivery_that_fails_is_told_once_and_tried_again() -> None:
    staple = DESK.staple()
    entry = an_entry(staple=staple, holders=(Holder(name="web"),), answered_at=AT)
    deliver = Deliver(entry.key, "web", staple)
    assert plan([entry], AT).actions == (deliver,)
    entry = outcome(begun(entry, deliver, AT), deliver, Failure("delivery", "nginx -t"), AT)
    made = plan([entry], AT)
    (alert,) = made.actions
    assert isinstance(alert, Alert)
    assert (alert.code, alert.about) == ("deliver-failed", "web")
    entry = begun(entry, alert, AT)
    again = plan([entry], AT).wake_at
    assert AT < again <= AT + timedelta(minutes=5)
    assert plan([entry], again).actions == (deliver,)
    entry = outcome(begun(entry, deliver, again), deliver, None, again)
    assert entry.settled
    assert entry.told == frozenset()


def test_retired_entries_are_taken_from_every_holder_and_ask_nothing() -> None:
    entry = holding(DESK.staple(), retired=True)
    made = plan([entry], AT + WEEK * 0.7)
    assert [type(a) for a in made.actions] == [Withdraw, Withdraw]
    for action in made.actions:
        entry = outcome(begun(entry, action, AT), action, None, AT)
    assert all(holder.given is Given.NOTHING for holder in entry.holders)
    assert plan([entry], AT).actions == ()


def test_a_certificate_that_ended_is_not_asked_about() -> None:
    desk = a_desk("short.test", not_after=AT)
    entry = Entry(name="short", subject=desk.subject)
    (alert,) = plan([entry], AT).actions
    assert isinstance(alert, Alert)
    assert alert.code == "certificate-expired"


def test_a_certificate_of_tomorrow_is_asked_about_tomorrow() -> None:
    desk = a_desk("tomorrow.test", not_before=AT + HOUR)
    entry = Entry(name="tomorrow", subject=desk.subject)
    assert fetch_due(entry, AT) == AT + HOUR


def test_k24_refresh_now_goes_before_age_and_back_off() -> None:
    entry = outcome(holding(DESK.staple()), Fetch("x"), DOWN, AT)
    assert Fetch(entry.key) in plan([demanded(entry)], AT).actions


def test_order_of_what_supersedes() -> None:
    older, newer = DESK.staple(AT), DESK.staple(AT + HOUR)
    assert supersedes(newer, older)
    assert not supersedes(older, newer)
    assert not supersedes(older, older)
    revoked = DESK.staple(AT, status=Revoked(AT))
    assert supersedes(revoked, older)
    assert not supersedes(older, revoked)
    assert not supersedes(revoked, newer)
    assert supersedes(DESK.staple(AT, WEEK * 1.2), older)
    assert supersedes(DESK.staple(AT, produced_at=AT + HOUR), older)


def test_withdrawals_come_first() -> None:
    ended = holding(DESK.staple(AT - 2 * WEEK))
    other = Entry(name="y", subject=a_desk("y.test").subject)
    kinds = [type(action) for action in plan([other, ended], AT).actions]
    assert kinds[0] is Withdraw
    assert kinds == sorted(kinds, key=[Withdraw, Deliver, Fetch, Alert].index)


@pytest.mark.parametrize("wants", ["revoked", "nothing"])
def test_k11_a_delivery_that_waits_is_overtaken_by_what_cannot(wants: str) -> None:
    """nginx is reloaded every five minutes: a newer good waits for that, a revoked does not."""
    rules = Rules(on_revoked="staple" if wants == "revoked" else "withhold")
    holder = Holder(name="web", given=DESK.staple(), patient=True)
    newer, at = DESK.staple(AT + HOUR), AT + HOUR
    entry = replace(holding(newer), holders=(Holder(name=STORE, given=newer), holder))
    waiting = Deliver(entry.key, "web", newer)
    entry = begun(entry, waiting, at)
    assert not _for("web", entry, at, rules)
    revoked = DESK.staple(at + MINUTE, status=Revoked(at))
    entry = replace(entry, staple=revoked)
    (urgent,) = _for("web", entry, at + MINUTE, rules)
    assert isinstance(urgent, Deliver if wants == "revoked" else Withdraw)
    entry = begun(entry, urgent, at + MINUTE)
    assert not _for("web", entry, at + MINUTE, rules), "once"
    after = outcome(entry, waiting, Failure("delivery", "overtaken"), at + MINUTE, rules)
    assert after == entry, "what became of the one before says nothing"
    done = outcome(after, urgent, None, at + MINUTE, rules).holder("web")
    assert done is not None
    assert done.patient
    assert done.given == (revoked if wants == "revoked" else Given.NOTHING)
    plain = replace(holder, patient=False)
    entry = begun(replace(entry, holders=(plain,), staple=newer), waiting, at)
    assert not _for("web", replace(entry, staple=revoked), at, rules), "where calls may not overlap"


def _for(name: str, entry: Entry, at: datetime, rules: Rules) -> list[Action]:
    actions = steps_of(entry, at, rules).actions
    return [action for action in actions if getattr(action, "holder", None) == name]
