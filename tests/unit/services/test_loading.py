"""What a store holds, proved again: also by a keeper whose clock is behind (K3, K23)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from holdfast.ocsp.policy import STRICT
from holdfast.ocsp.response import Response
from holdfast.plan.entry import Entry
from holdfast.plan.keeping import wanted
from holdfast.seams import Store
from holdfast.services.loading import loaded
from holdfast.stores.memory import MemoryStore
from support.clock import FakeClock
from support.pki import AT
from support.staples import a_desk

YEAR = timedelta(days=365)
X = a_desk("x.test", serial=1)


class Holding(MemoryStore):
    """A store with anything in it."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response

    async def load(self, certid: object, /) -> Response:
        return self.response


def taken_up(response: Response, clock: FakeClock) -> Entry:
    store: Store = Holding(response)
    entry = Entry(name="x.test", subject=X.subject)
    (found,) = asyncio.run(loaded([entry], store=store, clock=clock, policy=STRICT))
    return found


def test_k23_signed_after_our_now_is_held_and_not_sent() -> None:
    clock = FakeClock(AT - YEAR)
    entry = taken_up(X.response(AT), clock)
    assert entry.staple is not None
    assert wanted(entry, clock.now()) is None
    assert wanted(entry, AT) is entry.staple


@pytest.mark.parametrize("clock", [AT, AT - YEAR])
def test_k3_what_is_badly_signed_is_held_by_no_clock(clock: object) -> None:
    der = X.response(AT).der
    spoilt = Response.parse(der[:-3] + bytes(byte ^ 1 for byte in der[-3:]))
    assert taken_up(spoilt, FakeClock(clock)).staple is None  # type: ignore[arg-type]


def test_k4_what_has_ended_is_not_held() -> None:
    assert taken_up(X.response(AT), FakeClock(AT + YEAR)).staple is None
