"""A circuit for each responder, round any source (K8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from holdfast.errors import HoldfastError, PeerError, Unavailable
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.plan.circuit import PAUSE, TRIP
from holdfast.sources.circuit import Circuits
from support.clock import FakeClock
from support.pki import AT
from support.staples import a_desk

X = a_desk("x.test", serial=1)
HERE = replace(X.subject, responder_urls=("http://a.test/ocsp",))
THERE = replace(X.subject, responder_urls=("http://b.test/",))


@dataclass
class Sick:
    """A source that fails as it is told, or answers."""

    error: HoldfastError | None
    asked: list[str] = field(default_factory=list)

    async def response(self, subject: Subject, /) -> Response:
        self.asked.append(subject.responder_urls[0])
        if self.error is not None:
            raise self.error
        return X.response()


def kinds(circuits: Circuits, subject: Subject, times: int) -> list[str]:
    async def ask() -> list[str]:
        found = []
        for _ in range(times):
            try:
                await circuits.response(subject)
                found.append("answer")
            except (Unavailable, PeerError) as error:
                found.append(error.failure)
        return found

    return asyncio.run(ask())


def test_k8_down_it_is_spared_and_another_is_not() -> None:
    clock, sick = FakeClock(AT), Sick(Unavailable("no", failure="timeout"))
    circuits = Circuits(sick, clock=clock)
    assert kinds(circuits, HERE, TRIP + 3) == ["timeout"] * TRIP + ["circuit-open"] * 3
    assert kinds(circuits, THERE, 1) == ["timeout"]
    clock.advance(PAUSE)
    assert kinds(circuits, HERE, 2) == ["timeout", "circuit-open"]
    sick.error = None
    clock.advance(PAUSE)
    assert kinds(circuits, HERE, 3) == ["answer"] * 3


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("later", failure="try-later"),
        Unavailable("no", failure="http-4xx"),
        PeerError("who?", failure="unauthorized"),
    ],
    ids=["try-later", "http-4xx", "unauthorized"],
)
def test_k7_what_shows_that_somebody_answers_opens_nothing(error: HoldfastError) -> None:
    sick = Sick(error)
    said = kinds(Circuits(sick, clock=FakeClock(AT)), HERE, 3 * TRIP)
    assert "circuit-open" not in said
    assert len(sick.asked) == 3 * TRIP
