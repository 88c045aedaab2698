"""The agenda: keys by instant (K26)."""

from __future__ import annotations

from datetime import timedelta

from holdfast.services.agenda import REPLACED_AT_ONCE, Agenda
from support.pki import AT

MINUTE = timedelta(minutes=1)


def test_keys_come_due_in_order_and_once() -> None:
    agenda = Agenda()
    for key, minutes in (("c", 3), ("a", 1), ("b", 2)):
        agenda.put(key, AT + minutes * MINUTE)
    assert agenda.next == AT + MINUTE
    assert agenda.due(AT) == []
    assert agenda.due(AT + 2 * MINUTE) == ["a", "b"]
    assert agenda.due(AT + 2 * MINUTE) == []
    assert agenda.next == AT + 3 * MINUTE


def test_putting_again_replaces_earlier_or_later() -> None:
    agenda = Agenda()
    agenda.put("a", AT + MINUTE)
    agenda.put("a", AT + 5 * MINUTE)
    assert agenda.due(AT + 2 * MINUTE) == []
    agenda.put("a", AT)
    assert agenda.due(AT) == ["a"]
    assert agenda.due(AT + 9 * MINUTE) == []


def test_a_dropped_key_never_comes() -> None:
    agenda = Agenda()
    agenda.put("a", AT)
    agenda.drop("a")
    assert agenda.next is None
    assert agenda.due(AT + MINUTE) == []


def test_k23_everything_is_looked_at_when_the_clock_was_set() -> None:
    agenda = Agenda()
    agenda.put("a", AT + 500 * MINUTE)
    agenda.put("b", AT + 600 * MINUTE)
    agenda.everything_at(AT)
    assert sorted(agenda.due(AT)) == ["a", "b"]


def test_one_look_passes_over_a_bounded_number_of_instants_that_were_put_off() -> None:
    """K26: a hundred thousand of them in one hour are not one planning step."""
    agenda = Agenda()
    many = 10 * REPLACED_AT_ONCE
    for number in range(many):
        agenda.put(f"{number}", AT)
        agenda.put(f"{number}", AT + MINUTE)
    looks = 0
    while agenda.next == AT:  # of one that was put off: looked at early, for nothing
        assert agenda.due(AT, 16) == []
        looks += 1
    assert 4 < looks <= 10
    assert agenda.next == AT + MINUTE
    assert len(agenda.due(AT + MINUTE)) == many
