"""Ledger rows: what is to be said of a ledger's certificates, as far as it is signed ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from holdfast.ocsp.certid import serial_octets, serials_octets
from holdfast.plan.presigning import Wish, told
from holdfast.plan.rows import Row, Rows
from holdfast.plan.rules import Told
from holdfast.seams import Ledger, LedgerEntry

TOLD = 5000  # serials between two words of progress


class LedgerRows:
    """The rows of entries, by `wish`."""

    def __init__(self, wish: Wish) -> None:
        self._rules, self._ended = wish.rules, wish.ended
        self._plain = wish.rules.ca_revoked is None

    def row(self, entry: LedgerEntry, at: datetime) -> Row | None:
        """None when nothing is signed ahead for it."""
        if entry.not_after < at and not self._ended:
            return None
        if entry.revoked_at is not None and self._detailed(entry):
            return None  # RFC 6960 4.4.2, 4.4.5: what is told beside differs from one to the next
        status = told(entry.revoked_at, entry.reason, self._rules.ca_revoked)
        return serial_octets(entry.serial), status

    def rows(self, entries: Sequence[LedgerEntry], at: datetime) -> Rows:
        """Those of `entries` that have one, in half of the time."""
        good: list[int] = []
        others = entries
        if self._plain:
            ended = self._ended
            good = [
                one.serial
                for one in entries
                if one.revoked_at is None and (ended or one.not_after >= at)
            ]
            if len(good) == len(entries):
                return Rows(serials_octets(good))
            others = [one for one in entries if one.revoked_at is not None]
        rows = Rows(serials_octets(good))
        for row in (self.row(one, at) for one in others):
            if row is not None:
                rows.add(*row)
        return rows

    def _detailed(self, entry: LedgerEntry) -> bool:
        tell = self._rules.tell
        return (entry.invalidity_date is not None and Told.INVALIDITY_DATE in tell) or (
            entry.crl is not None and Told.CRL in tell
        )


class Listing:
    """The rows of `ledger`, some at a time, with a `pause` between; `without`: entries that have
    none. To be gone through once."""

    def __init__(
        self, ledger: Ledger, rows: LedgerRows, at: datetime, pause: Callable[[], None]
    ) -> None:
        self.without = 0
        self._ledger, self._rows, self._at, self._pause = ledger, rows, at, pause

    def __iter__(self) -> Iterator[Rows]:
        entries = iter(self._ledger.entries())
        while True:
            self._pause()
            several = list(islice(entries, TOLD))
            if not several:
                return
            rows = self._rows.rows(several, self._at)
            self.without += len(several) - len(rows)
            yield rows
