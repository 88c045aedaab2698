"""What `seams.Ledger` promises, asked of every ledger there is.

A ledger under test is a `Kept`: the ledger, and a way to write into its medium as another process
would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.seams import Ledger, LedgerEntry
from holdfast.stores.index_txt import IndexTxt, write_index
from holdfast.stores.sql import SqlLedger
from support.pki import AT, a_root

END = datetime(2027, 1, 1, tzinfo=UTC)
REVOKED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    ledger: Ledger
    path: Path
    write: Callable[[Sequence[LedgerEntry]], None]


def an_index(folder: Path) -> Kept:
    path = folder / "index.txt"
    path.touch()

    def write(entries: Sequence[LedgerEntry]) -> None:
        beside = path.with_suffix(".new")  # as `openssl ca` does it
        beside.write_bytes(write_index(entries, at=AT))
        beside.replace(path)

    return Kept(IndexTxt(path), path, write)


def a_database(folder: Path) -> Kept:
    path = folder / "ledger.sqlite"
    ca = a_root().certificate
    SqlLedger.create(f"sqlite:///{path}", ca=ca).close()

    def write(entries: Sequence[LedgerEntry]) -> None:
        other = SqlLedger.open(str(path), ca=ca)
        for entry in entries:
            held = other.entry(entry.serial)
            if held is None:
                other.record_entry(entry)
            elif entry.revoked_at is not None and held.revoked_at is None:
                other.revoke(entry.serial, at=entry.revoked_at, reason=entry.reason)
            elif entry.revoked_at is None and held.revoked_at is not None:
                other.unrevoke(entry.serial)
        other.close()

    return Kept(SqlLedger.open(str(path)), path, write)


@pytest.fixture(params=[an_index, a_database])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    make: Callable[[Path], Kept] = request.param
    return make(tmp_path)


def test_an_empty_ledger_is_valid(kept: Kept) -> None:
    assert kept.ledger.entry(1) is None
    assert list(kept.ledger.entries()) == []


def test_a_serial_never_issued_is_none_and_never_good(kept: Kept) -> None:
    """R11."""
    kept.write([LedgerEntry(0x10, END)])
    assert kept.ledger.entry(0x1) is None
    assert kept.ledger.entry(0x100) is None


def test_each_entry_comes_back(kept: Kept) -> None:
    """R10."""
    entries = [
        LedgerEntry(1, END, subject="/CN=one"),
        LedgerEntry((1 << 159) - 1, END, subject="/CN=long"),
        LedgerEntry(0xABC, END, REVOKED, None, "/CN=without a reason"),
        *(
            LedgerEntry(0x1000 + reason.code, END, REVOKED, reason, f"/CN={reason.text}")
            for reason in RevocationReason
            # OpenSSL has no words for these two
            if reason.text not in ("privilegeWithdrawn", "aACompromise")
        ),
    ]
    kept.write(entries)
    assert list(kept.ledger.entries()) == entries
    for entry in entries:
        assert kept.ledger.entry(entry.serial) == entry


def test_what_another_process_wrote_is_seen_at_the_next_call(kept: Kept) -> None:
    """R32: no restart, no delay."""
    kept.write([LedgerEntry(7, END)])
    before = kept.ledger.entry(7)
    assert before is not None
    assert before.revoked_at is None
    kept.write([LedgerEntry(7, END, REVOKED, RevocationReason.SUPERSEDED)])
    after = kept.ledger.entry(7)
    assert after is not None
    assert (after.revoked_at, after.reason) == (REVOKED, RevocationReason.SUPERSEDED)
    kept.write([LedgerEntry(7, END)])
    again = kept.ledger.entry(7)
    assert again is not None
    assert again.revoked_at is None


def test_instants_are_aware_and_of_the_second(kept: Kept) -> None:
    far = datetime(2051, 12, 31, 23, 59, 59, tzinfo=UTC)
    kept.write([LedgerEntry(1, far), LedgerEntry(2, END, REVOKED)])
    one, two = kept.ledger.entries()
    assert one.not_after == far
    assert two.revoked_at == REVOKED
    assert one.not_after.utcoffset() is not None


def test_rubbish_in_its_place_is_a_store_error(kept: Kept) -> None:
    """And the red twin: the same ledger answered before."""
    kept.write([LedgerEntry(7, END)])
    assert kept.ledger.entry(7) is not None
    for beside in kept.path.parent.glob("*-wal"):
        beside.unlink()
    other = kept.path.with_suffix(".other")
    other.write_bytes(b"\x00\xff rubbish\tof\tno\tkind\n" * 200)
    other.replace(kept.path)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            kept.ledger.entry(7)
        assert str(kept.path) in caught.value.message
        assert caught.value.hint


def test_a_ledger_says_whether_it_blocks(kept: Kept) -> None:
    assert kept.ledger.blocking is True
