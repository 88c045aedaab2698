"""Ledgers of a few lines: two certificates, and one that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from holdfast.errors import StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.seams import LedgerEntry
from support.pki import AT


class TwoEntries:
    """1 is good, 2 is revoked."""

    def __init__(self, *, blocking: bool = False) -> None:
        self.blocking = blocking
        end = AT + timedelta(days=90)
        self.rows = {
            1: LedgerEntry(1, end),
            2: LedgerEntry(2, end, AT - timedelta(days=1), RevocationReason.SUPERSEDED),
        }

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return self.rows.get(serial)

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(self.rows.values())


class BrokenLedger(TwoEntries):
    def entry(self, serial: int, /) -> LedgerEntry | None:
        raise StoreError("index.txt:3: no serial")
