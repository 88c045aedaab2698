"""A responder that is down is asked once in a while, and by all again when it answers (K8)."""

from __future__ import annotations

from datetime import timedelta

from holdfast.plan.circuit import CLOSED, PAUSE, TRIP
from support.pki import AT

SECOND = timedelta(seconds=1)


def test_k8_open_after_some_failures_in_a_row() -> None:
    circuit = CLOSED
    for _ in range(TRIP):
        assert circuit.lets_through(AT)
        circuit = circuit.failed(AT)
    assert circuit.is_open
    assert not circuit.lets_through(AT + PAUSE - SECOND)
    assert circuit.lets_through(AT + PAUSE)


def test_k8_open_it_lets_one_through_at_a_time() -> None:
    circuit = CLOSED
    for _ in range(TRIP):
        circuit = circuit.failed(AT)
    circuit = circuit.asked(AT + PAUSE)
    assert not circuit.lets_through(AT + PAUSE)
    assert circuit.lets_through(AT + 2 * PAUSE)
    assert circuit.failed(AT + 2 * PAUSE).is_open


def test_closed_it_notes_nothing() -> None:
    assert CLOSED.asked(AT) == CLOSED
    assert CLOSED.lets_through(AT)


def test_k23_a_clock_set_back_opens_no_longer_pause() -> None:
    circuit = CLOSED
    for _ in range(TRIP):
        circuit = circuit.failed(AT)
    assert circuit.lets_through(AT - timedelta(days=365))
