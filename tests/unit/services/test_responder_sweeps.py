"""R35: what the first worker finds too lax none gives any more; without a find nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from holdfast.net.clock import SystemClock
from holdfast.ocsp.certid import CertID, ca_tag, serial_octets
from holdfast.ocsp.response import SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD
from holdfast.seams import HeldAnswer, LedgerEntry
from holdfast.services.agreement import Agreement
from holdfast.services.responder_sweeps import DISAGREEMENTS, OVERRULINGS, Sweeps
from holdfast.services.responder_tally import Tallies
from support.held import held_answer
from support.pki import a_root

NOW = datetime.now(UTC).replace(microsecond=0)
CA = a_root(at=NOW - timedelta(days=1))
SERIAL = 0x1234
TAG, OCTETS = ca_tag(CA.certificate), serial_octets(SERIAL)


class Book:
    """A ledger of one certificate; counts how often all was gone through."""

    blocking = False

    def __init__(self, *, revoked: bool) -> None:
        self.revoked_at = NOW - timedelta(hours=1) if revoked else None
        self.swept = 0

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return LedgerEntry(SERIAL, NOW + timedelta(days=9), self.revoked_at)

    def entries(self) -> Iterator[LedgerEntry]:
        self.swept += 1
        yield LedgerEntry(SERIAL, NOW + timedelta(days=9), self.revoked_at)


class Good:
    """A shelf on which all is good."""

    generation = 1

    def held_together(self, ca: bytes, serials: Sequence[bytes], /) -> list[HeldAnswer | None]:
        return [self.held(ca, serial) for serial in serials]

    def held(self, ca: bytes, serial: bytes, /) -> HeldAnswer | None:
        signer = Signer(CA.certificate, CA.key, CA.certificate)
        end = NOW + timedelta(hours=9)
        single = SingleResponse(CertID.of(SERIAL, CA.certificate), GOOD, NOW, end)
        der = signer.respond([single], produced_at=NOW)
        return held_answer(der, int(NOW.timestamp()), int(end.timestamp()))


def run(*, revoked: bool) -> tuple[list[list[object]], list[int], Tallies]:
    """What each of two workers was told to give no more, how often each went through its ledger,
    and what was counted."""
    tallies = Tallies(extra=(OVERRULINGS,))
    told: list[list[object]] = [[], []]
    books = [Book(revoked=revoked), Book(revoked=revoked)]

    async def main() -> None:
        tasks = []
        for number in (0, 1):
            agreement = Agreement(
                books[number],
                ca=CA.certificate,
                clock=SystemClock(),
                shelf=Good(),
                delay=timedelta(0),
            )
            sweeps = Sweeps(
                [agreement], number=number, tally=tallies.tally(number), total=tallies.total
            )

            def overrule(
                tag: bytes, serials: frozenset[bytes] | None, number: int = number
            ) -> None:
                told[number].append((tag, serials))

            agreement.overrule = sweeps.overruling(overrule)
            tasks.append(asyncio.create_task(sweeps.run()))
        await asyncio.sleep(2.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    return told, [book.swept for book in books], tallies


def test_r35_what_the_first_finds_the_others_give_no_more_either() -> None:
    told, swept, tallies = run(revoked=True)
    assert told[0][0] == told[1][0] == (TAG, frozenset({OCTETS}))
    assert swept[1] == 1
    assert tallies.total()[DISAGREEMENTS] == 1, "of the first alone: not once for each worker"


def test_where_all_agrees_the_others_go_through_nothing() -> None:
    """The red twin."""
    told, swept, tallies = run(revoked=False)
    assert told == [[], []]
    assert swept[0] >= 1
    assert swept[1] == 0
    assert tallies.total()[DISAGREEMENTS] == 0
