"""R36: health signs and verifies, and what is wrong with one CA is told of that CA."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from holdfast.errors import StoreError, Unavailable
from holdfast.net.http_message import Request
from holdfast.ocsp.sign import Signer
from holdfast.seams import LedgerEntry
from holdfast.services.responder_health import Asked, Health
from support.clock import FakeClock
from support.pki import AT, a_key, a_root, a_signer


class Book:
    """A ledger that is empty, or cannot be read."""

    blocking = True

    def __init__(self, trouble: str = "") -> None:
        self.trouble = trouble

    def entry(self, serial: int, /) -> LedgerEntry | None:
        if self.trouble:
            raise StoreError(self.trouble)
        return None

    def entries(self):  # type: ignore[no-untyped-def]
        return iter(())


class Signs:
    """Signs with what it was given, and counts."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.made = 0

    async def __call__(self, job: Callable[[Signer], bytes]) -> tuple[Signer, bytes]:
        self.made += 1
        return self.signer, job(self.signer)


def a_delegate() -> Signer:
    ca = a_root()
    signer = a_signer(ca)
    return Signer(signer.certificate, signer.key, ca.certificate)


def problems(*asked: Asked, times: int = 1) -> dict[str, str]:
    async def ask() -> dict[str, str]:
        health = Health(asked, clock=FakeClock(AT))
        found = await asyncio.gather(*(health.problems() for _ in range(times)))
        return found[-1]

    return asyncio.run(ask())


def test_r36_a_ca_that_signs_is_healthy_and_a_crowd_costs_one_signature() -> None:
    signs = Signs(a_delegate())
    assert problems(Asked(name="one", sign=signs, ledger=Book()), times=50) == {"one": ""}
    assert signs.made == 1


def test_r36_a_key_that_does_not_fit_the_certificate_is_found_out() -> None:
    """The red twin: it signs, and nobody would believe it."""
    other = replace(a_delegate(), key=a_key("somebody else"))
    told = problems(Asked(name="one", sign=Signs(other)))["one"]
    assert told.startswith("what it signs does not verify")


def test_a_signer_that_has_ended_is_unhealthy() -> None:
    ca = a_root()
    ended = a_signer(ca, not_after=AT.replace(month=5))
    signer = Signer(ended.certificate, ended.key, ca.certificate)
    assert "not in date" in problems(Asked(name="one", sign=Signs(signer)))["one"]


def test_each_ca_is_told_of_its_own() -> None:
    async def busy(job: Callable[[Signer], bytes]) -> tuple[Signer, bytes]:
        raise Unavailable("the signer is busy")

    found = problems(
        Asked(name="good", sign=Signs(a_delegate()), ledger=Book()),
        Asked(name="ledger", ledger=Book("index.txt: line 3: nonsense")),
        Asked(name="busy", sign=busy),
        Asked(name="also", also=(lambda: "", lambda: "the store is old")),
    )
    assert found == {
        "good": "",
        "ledger": "index.txt: line 3: nonsense",
        "busy": "the signer is busy",
        "also": "the store is old",
    }


@pytest.mark.parametrize(("trouble", "status"), [("", 200), ("no ledger", 503)])
def test_the_page(trouble: str, status: int) -> None:
    async def ask() -> tuple[int, bytes]:
        health = Health([Asked(name="one", ledger=Book(trouble))], clock=FakeClock(AT))
        reply = await health.page(Request("GET", b"/healthz", [], b"", "1.1", "127.0.0.1"))
        return reply.status, reply.body

    found, body = asyncio.run(ask())
    assert found == status
    assert (b"one: no ledger" in body) is bool(trouble)
