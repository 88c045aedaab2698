"""What `seams.Ledger` promises, asked of every ledger there is.

A ledger under test is a `Kept`: the ledger, a way to write into its medium as another process
would, and what its medium has room for of an entry (a CRL: nothing of what is not revoked).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.ocsp.single_extensions import CrlID
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.issue import Revocation
from holdfast.seams import Ledger, LedgerEntry
from holdfast.stores.crl import CrlLedger
from holdfast.stores.index_txt import IndexTxt, write_index
from holdfast.stores.sql import SqlLedger
from holdfast.stores.sql_query import QuerySettings, SqlQuery
from support.clock import FakeClock
from support.foreign import BOULDER, EJBCA, fill
from support.pki import AT, a_root
from support.postgres import PostgreSQL

END = datetime(2027, 1, 1, tzinfo=UTC)
REVOKED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    ledger: Ledger
    place: str
    spoil: Callable[[], None]
    write: Callable[[Sequence[LedgerEntry]], None]
    holds: Callable[[LedgerEntry], LedgerEntry | None] = lambda entry: entry

    def held(self, *entries: LedgerEntry) -> list[LedgerEntry]:
        return [held for held in map(self.holds, entries) if held is not None]


def spoiling(path: Path) -> Callable[[], None]:
    def spoil() -> None:
        for beside in path.parent.glob("*-wal"):
            beside.unlink()
        other = path.with_suffix(".other")
        other.write_bytes(b"\x00\xff rubbish\tof\tno\tkind\n" * 200)
        other.replace(path)

    return spoil


def an_index(folder: Path) -> Kept:
    path = folder / "index.txt"
    path.touch()

    def write(entries: Sequence[LedgerEntry]) -> None:
        beside = path.with_suffix(".new")  # as `openssl ca` does it
        beside.write_bytes(write_index(entries, at=AT))
        beside.replace(path)

    return Kept(IndexTxt(path), str(path), spoiling(path), write)


def a_database(folder: Path) -> Kept:
    path = folder / "ledger.sqlite"
    SqlLedger.create(f"sqlite:///{path}", ca=a_root().certificate).close()
    return Kept(SqlLedger.open(str(path)), str(path), spoiling(path), writing(str(path)))


def a_server(postgres: PostgreSQL) -> Kept:
    url = postgres.fresh()
    SqlLedger.create(url, ca=a_root().certificate).close()

    def spoil() -> None:
        postgres.run(url, "ALTER TABLE certificate RENAME COLUMN serial TO rubbish")

    return Kept(SqlLedger.open(url), url, spoil, writing(url))


def writing(url: str) -> Callable[[Sequence[LedgerEntry]], None]:
    def write(entries: Sequence[LedgerEntry]) -> None:
        other = SqlLedger.open(url, ca=a_root().certificate)
        for entry in entries:
            held = other.entry(entry.serial)
            if held is None:
                other.record_entry(entry)
            elif entry.revoked_at is not None and held.revoked_at is None:
                other.revoke(entry.serial, at=entry.revoked_at, reason=entry.reason)
            elif entry.revoked_at is None and held.revoked_at is not None:
                other.unrevoke(entry.serial)
        other.close()

    return write


def boulders(folder: Path) -> Kept:
    """An operator's query over another CA's database."""
    path = folder / "boulder.db"
    fill(str(path), BOULDER, [])
    told = QuerySettings.parse(BOULDER.encode(), name="boulder.toml")

    def holds(entry: LedgerEntry) -> LedgerEntry | None:
        if entry.revoked_at is None:
            return entry._replace(subject="")
        return entry._replace(subject="", reason=entry.reason or RevocationReason.UNSPECIFIED)

    ledger = SqlQuery(str(path), told, ca=a_root().certificate)
    return Kept(ledger, str(path), spoiling(path), partial(fill, str(path), BOULDER), holds)


def ejbcas(postgres: PostgreSQL) -> Kept:
    url = postgres.fresh()
    fill(url, EJBCA, [])
    told = QuerySettings.parse(EJBCA.encode(), name="ejbca.toml")

    def spoil() -> None:
        postgres.run(url, "ALTER TABLE CertificateData RENAME COLUMN status TO rubbish")

    ledger = SqlQuery(url, told, ca=a_root().certificate)
    return Kept(ledger, ledger.place, spoil, partial(fill, url, EJBCA))


def a_crl(folder: Path) -> Kept:
    path = folder / "ca.crl"
    ca = a_root()
    numbers = count(1)
    newest = 0

    def write(entries: Sequence[LedgerEntry]) -> None:
        revoked = [
            Revocation(e.serial, e.revoked_at, None if e.reason is None else e.reason.code)
            for e in entries
            if e.revoked_at is not None
        ]
        nonlocal newest
        newest = next(numbers)
        der = ca.crl(revoked, this_update=AT, next_update=AT + timedelta(days=1), number=newest)
        beside = path.with_suffix(".new")
        beside.write_bytes(der)
        beside.replace(path)

    def holds(entry: LedgerEntry) -> LedgerEntry | None:
        if entry.revoked_at is None:
            return None
        reason = entry.reason
        if reason is RevocationReason.REMOVE_FROM_CRL:
            reason = None
        listed = CrlID(None, newest, AT)  # R12
        end = ca.certificate.not_after
        return entry._replace(not_after=end, subject="", reason=reason, crl=listed)

    write([])
    ledger = CrlLedger([path], ca=ca.certificate, clock=FakeClock(AT))
    return Kept(ledger, str(path), spoiling(path), write, holds)


@pytest.fixture(params=[an_index, a_database, a_server, boulders, ejbcas, a_crl])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    make = request.param
    medium = request.getfixturevalue("postgres") if make in (a_server, ejbcas) else tmp_path
    made: Kept = make(medium)
    return made


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
    assert list(kept.ledger.entries()) == kept.held(*entries)
    for entry in entries:
        assert kept.ledger.entry(entry.serial) == kept.holds(entry)


def test_what_another_process_wrote_is_seen_at_the_next_call(kept: Kept) -> None:
    """R32: no restart, no delay."""
    free = LedgerEntry(7, END)
    revoked = LedgerEntry(7, END, REVOKED, RevocationReason.SUPERSEDED)
    for entry in (free, revoked, free):
        kept.write([entry])
        assert kept.ledger.entry(7) == kept.holds(entry)
    assert kept.holds(revoked) is not None


def test_instants_are_aware_and_of_the_second(kept: Kept) -> None:
    far = datetime(2051, 12, 31, 23, 59, 59, tzinfo=UTC)
    entries = [LedgerEntry(1, far), LedgerEntry(2, END, REVOKED)]
    kept.write(entries)
    found = list(kept.ledger.entries())
    assert found == kept.held(*entries)
    assert found[-1].revoked_at == REVOKED
    assert all(entry.not_after.utcoffset() is not None for entry in found)


def test_rubbish_in_its_place_is_a_store_error(kept: Kept) -> None:
    """And the red twin: the same ledger answered before."""
    kept.write([LedgerEntry(7, END, REVOKED)])
    assert kept.ledger.entry(7) is not None
    kept.spoil()
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            kept.ledger.entry(7)
        assert kept.place in caught.value.message
        assert caught.value.hint


def test_a_ledger_says_whether_it_blocks(kept: Kept) -> None:
    """It may answer at once, as an index.txt does that has not changed; what changed it reads."""
    kept.write([LedgerEntry(7, END, REVOKED)])
    assert kept.ledger.blocking is True
    assert kept.ledger.entry(7) is not None
    assert isinstance(kept.ledger.blocking, bool)
