"""The keeper's decisions: what to do now for each certificate, and when to look again.

Laws: pure, the instant is `at`; a staple is wanted by its holders only while it is current, and
never past `withdraw_at` (K4); a failure of any kind keeps the last good one (K7); nothing older
replaces what is held (K10), a newer revoked does at once (K11), unknown never does (K12); at most
one fetch per certificate and one action per holder are under way (K20); whatever failed is tried
again at an instant later than the failure, so that a loop of plan, act, outcome comes to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import assert_never

from holdfast.ocsp import freshness
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked, Unknown
from holdfast.ocsp.window import SKEW
from holdfast.plan.alarms import ABOUT_THE_STAPLE, alarm_instants, alarms
from holdfast.plan.entry import (
    STORE,
    Action,
    Alert,
    Because,
    Deliver,
    Entry,
    Failure,
    Fetch,
    Given,
    Holder,
    Plan,
    Rules,
    Withdraw,
)
from holdfast.plan.slots import replace

IDLE = timedelta(hours=12)  # the longest time between two looks at an entry
CLOCK_TOLERANCE = timedelta(minutes=1)  # further back than this, the clock was set (K23)
DELIVER_RETRY = timedelta(minutes=5)  # the longest pause between tries to deliver,
WITHDRAW_RETRY = timedelta(seconds=30)  # and to take a staple away

USUAL_RULES = Rules()
NOTHING_TOLD: frozenset[str] = frozenset()


def plan(entries: Iterable[Entry], at: datetime, rules: Rules = USUAL_RULES) -> Plan:
    """What is to be done for `entries` at `at`, withdrawals first, and the next instant of note."""
    actions: list[Action] = []
    wake_at = at + IDLE
    for entry in entries:
        steps = steps_of(entry, at, rules)
        actions += steps.actions
        wake_at = min(wake_at, steps.wake_at)
    return Plan(tuple(sorted(actions, key=_importance)), wake_at)


def steps_of(entry: Entry, at: datetime, rules: Rules = USUAL_RULES) -> Plan:
    """The plan for one entry."""
    actions: list[Action] = []
    instants: list[datetime] = [at + IDLE]
    for holder in entry.holders:
        step, looks = _holder_step(entry, holder, at, rules)
        actions += [step] if step is not None else []
        instants += looks
    due = fetch_due(entry, at, rules)
    if due is not None and due <= at:
        actions.append(Fetch(entry.key))
    elif due is not None:
        instants.append(due)
    if entry.staple is not None:
        instants.append(freshness.withdraw_at(entry.staple, rules.freshness))
    actions += alarms(entry, at, rules)
    instants += alarm_instants(entry, rules)
    return Plan(tuple(actions), min(instant for instant in instants if instant > at))


def begun(entry: Entry, action: Action, at: datetime) -> Entry:
    """`entry` with `action` under way: it is not planned again before its `outcome`."""
    match action:
        case Fetch():
            return replace(entry, fetching=True, demanded=False, tried_at=at)
        case Deliver() | Withdraw():
            holder = entry.holder(action.holder)
            if holder is None:
                return entry
            giving = action.staple if isinstance(action, Deliver) else None
            return entry.with_holder(replace(holder, busy=True, giving=giving, tried_at=at))
        case Alert():
            return replace(entry, told=entry.told | {action.told})
        case _:
            assert_never(action)


def outcome(
    entry: Entry,
    action: Action,
    result: Staple | Failure | None,
    at: datetime,
    rules: Rules = USUAL_RULES,
) -> Entry:
    """`entry` after `action` ended at `at`. `result`: what was fetched, None for any other action
    that worked, or why it did not."""
    match action:
        case Fetch():
            entry = replace(entry, fetching=False, tried_at=at)
            match result:
                case Staple():
                    return _answered(entry, result, at, rules)
                case Failure():
                    return _failed(entry, result, at, rules)
                case None:
                    return entry
                case _:
                    assert_never(result)
        case Deliver() | Withdraw():
            holder = entry.holder(action.holder)
            if holder is None:  # the settings changed meanwhile
                return entry
            assert not isinstance(result, Staple)
            if isinstance(action, Deliver) and holder.busy and holder.giving is not action.staple:
                return entry  # it was overtaken
            return _held(entry, action, holder, result, at)
        case Alert():
            return entry
        case _:
            assert_never(action)


def demanded(entry: Entry) -> Entry:
    """`entry` to be fetched now, whatever its age and its failures (K24)."""
    return entry if entry.fetching else replace(entry, demanded=True)  # one under way serves too


def wanted(entry: Entry, at: datetime, rules: Rules = USUAL_RULES) -> Staple | None:
    """The staple that `entry`'s servers shall send at `at`; None: none at all."""
    staple = kept(entry, at, rules)
    if staple is None or not isinstance(staple.certificate_status, Revoked):
        return staple
    return staple if rules.on_revoked == "staple" else None


def kept(entry: Entry, at: datetime, rules: Rules = USUAL_RULES) -> Staple | None:
    """The staple that is worth keeping at `at`, whatever it says."""
    staple = entry.staple
    if staple is None or entry.retired or not _current(staple, at, rules):
        return None
    return staple


def fetch_due(entry: Entry, at: datetime, rules: Rules = USUAL_RULES) -> datetime | None:
    """When the responder is to be asked next; None while it is not to be asked at all."""
    leaf = entry.subject.leaf
    if entry.retired or entry.fetching or not entry.applicable:
        return None
    if leaf is not None and at >= leaf.not_after:
        return None
    if entry.demanded:
        return at
    staple = kept(entry, at, rules)
    due = at
    if staple is not None:
        due = freshness.refresh_at(staple, rules.freshness, early=entry.early, key=entry.key)
        if rules.recheck is not None:
            last = entry.answered_at or staple.verified_at
            due = min(due, _unless_set_back(last + rules.recheck, last, at))
    if leaf is not None:
        due = max(due, leaf.not_before)
    if entry.next_try is not None:
        due = max(due, _unless_set_back(entry.next_try, entry.tried_at, at))
    return due


def supersedes(candidate: Staple, held: Staple) -> bool:
    """True when `candidate` says something newer than `held`; of two made at once, the one that
    says revoked, then the one that lasts longer (K10, K11)."""
    new = (candidate.this_update, candidate.produced_at)
    old = (held.this_update, held.produced_at)
    if new != old:
        return new > old
    revoked = isinstance(candidate.certificate_status, Revoked)
    if revoked != isinstance(held.certificate_status, Revoked):
        return revoked
    return freshness.end_of(candidate) > freshness.end_of(held)


def _current(staple: Staple, at: datetime, rules: Rules) -> bool:
    return staple.this_update - SKEW <= at < freshness.withdraw_at(staple, rules.freshness)


def _holder_step(
    entry: Entry, holder: Holder, at: datetime, rules: Rules
) -> tuple[Deliver | Withdraw | None, list[datetime]]:
    """(what to do for `holder` now, when to look at it again)."""
    staple = kept(entry, at, rules) if holder.name == STORE else wanted(entry, at, rules)
    if holder.busy and not _overtakes(staple, holder):
        return None, []
    instants: list[datetime] = []
    if staple is not None:
        if holder.has(staple):
            return None, []
        due = _due(holder.next_deliver, holder, at)
        if due <= at:
            return Deliver(entry.key, holder.name, staple), []
        instants.append(due)
    because = _why_withdrawn(entry, holder, at, rules)
    if because is not None:
        due = _due(holder.next_withdraw, holder, at)
        if due <= at:
            return Withdraw(entry.key, holder.name, because), instants
        instants.append(due)
    if isinstance(holder.given, Staple):
        instants.append(freshness.withdraw_at(holder.given, rules.freshness))
    return None, instants


def _overtakes(staple: Staple | None, holder: Holder) -> bool:
    """True when what is wanted now cannot wait until `holder` has taken what it is being given: a
    revoked one, or none (K11)."""
    if not holder.patient or holder.giving is None:
        return False
    if staple is None:
        return True
    return isinstance(staple.certificate_status, Revoked) and not isinstance(
        holder.giving.certificate_status, Revoked
    )


def _due(instant: datetime | None, holder: Holder, at: datetime) -> datetime:
    return at if instant is None else _unless_set_back(instant, holder.tried_at, at)


def _why_withdrawn(entry: Entry, holder: Holder, at: datetime, rules: Rules) -> Because | None:
    """Why `holder` is to hold nothing, or None when it may be left as it is."""
    given, staple = holder.given, entry.staple
    if given is Given.NOTHING:
        return None
    if entry.retired:
        return "retired"
    if isinstance(given, Staple) and at >= freshness.withdraw_at(given, rules.freshness):
        return "ended"  # also while a newer one cannot be delivered
    if staple is None:
        # An earlier process may have left a good one there: the first answer decides.
        unasked = not entry.applicable or (entry.failures == 0 and entry.answered_at is None)
        return None if unasked else "none-held"
    if at < staple.this_update - SKEW:
        return None  # our clock was set back; what was signed later is none the worse (K23)
    if at >= freshness.withdraw_at(staple, rules.freshness):
        return "ended"
    withheld = isinstance(staple.certificate_status, Revoked) and rules.on_revoked == "withhold"
    return "revoked" if withheld and holder.name != STORE else None


def _answered(entry: Entry, staple: Staple, at: datetime, rules: Rules) -> Entry:
    held = entry.staple
    if held is not None and at >= freshness.withdraw_at(held, rules.freshness):
        held = None
    if isinstance(staple.certificate_status, Unknown):
        message = "the responder does not know this certificate"
        hint = "ask the CA; a certificate issued a moment ago may not have reached its responder"
        return _failed(entry, Failure("unknown", message, hint), at, rules)
    if not _current(staple, at, rules):
        message = f"the response is not to be held: it ends at {freshness.end_of(staple)}"
        return _failed(entry, Failure("ending", message), at, rules)
    if held is not None and not supersedes(staple, held):
        same = replace(entry, failures=0, unchanged=entry.unchanged + 1, last_failure=None)
        return replace(same, answered_at=at, next_try=_next_poll(held, at, rules))
    return replace(
        entry,
        staple=staple,
        failures=0,
        unchanged=0,
        last_failure=None,
        answered_at=at,
        next_try=_next_poll(staple, at, rules),
        told=_without(entry.told, ABOUT_THE_STAPLE.__contains__),
    )


def _without(told: frozenset[str], which: Callable[[str], bool]) -> frozenset[str]:
    """`told` without some; of a hundred thousand entries nearly all share the one empty set."""
    return frozenset(one for one in told if not which(one)) or NOTHING_TOLD if told else told


def _failed(entry: Entry, failure: Failure, at: datetime, rules: Rules) -> Entry:
    failures = entry.failures + 1
    wait = freshness.backoff(
        entry.key,
        failures,
        at=at,
        staple=kept(entry, at, rules),
        retry_after=failure.retry_after,
        freshness=rules.freshness,
    )
    return replace(entry, failures=failures, last_failure=failure, next_try=at + wait)


def _held(
    entry: Entry, action: Deliver | Withdraw, holder: Holder, failure: Failure | None, at: datetime
) -> Entry:
    """`entry` after `action` on `holder`."""
    match action, failure:
        case Deliver(), None:
            about = f":{holder.name or 'store'}"
            told = _without(entry.told, lambda told: told.endswith(about))
            well = Holder(
                name=holder.name, given=action.staple, given_at=at, patient=holder.patient
            )
            after = entry.with_holder(well)
            return after if told is entry.told else replace(after, told=told)
        case Withdraw(), None:
            empty = replace(
                holder, given=Given.NOTHING, given_at=at, busy=False, next_withdraw=None
            )
            if holder.failing == "withdraw":  # a failed delivery goes on waiting for its turn
                empty = replace(empty, failing="", failures=0, last_failure=None)
            return replace(
                entry.with_holder(empty), told=entry.told - {f"withdraw-failed:{holder.name}"}
            )
        case _, Failure():
            return _holder_failed(entry, action, holder, failure, at)
        case _:
            raise AssertionError(action, failure)


def _holder_failed(
    entry: Entry, action: Deliver | Withdraw, holder: Holder, failure: Failure, at: datetime
) -> Entry:
    failures = holder.failures + 1
    wait = freshness.backoff(
        f"{entry.key}/{holder.name}", failures, at=at, retry_after=failure.retry_after
    )
    ill = replace(
        holder, busy=False, giving=None, failures=failures, last_failure=failure, tried_at=at
    )
    if isinstance(action, Withdraw):
        again = at + min(wait, WITHDRAW_RETRY)
        return entry.with_holder(replace(ill, failing="withdraw", next_withdraw=again))
    again = at + min(wait, DELIVER_RETRY)
    # It may have taken the staple before it failed, or still have the one before.
    before = Given.UNSURE if holder.given is Given.NOTHING else holder.given
    return entry.with_holder(replace(ill, failing="deliver", next_deliver=again, given=before))


def _next_poll(staple: Staple, at: datetime, rules: Rules) -> datetime:
    wait = freshness.poll_after(staple, at, rules.freshness)
    return at + (wait if rules.recheck is None else min(wait, rules.recheck))


def _unless_set_back(instant: datetime, noted_at: datetime | None, at: datetime) -> datetime:
    """`instant`, or `at` when the clock was set back to before it was noted: then it means
    nothing any more (K23)."""
    set_back = noted_at is not None and at < noted_at - CLOCK_TOLERANCE
    return at if set_back else instant


_ORDER: dict[type[Action], int] = {Withdraw: 0, Deliver: 1, Fetch: 2, Alert: 3}


def _importance(action: Action) -> int:
    return _ORDER[type(action)]
