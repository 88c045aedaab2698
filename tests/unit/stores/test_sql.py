"""The SQLite ledger: bookkeeping, several CAs and processes, refusals."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from holdfast.errors import NotFound, OperatorError, StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.certificate import Certificate
from holdfast.stores.sql import SqlLedger
from support.pki import AT, a_root, a_server


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    return SqlLedger.create(f"sqlite:///{tmp_path}/l.sqlite", ca=a_root().certificate)


@pytest.fixture
def leaf() -> Certificate:
    return a_server(a_root(), "www.example").certificate


def test_what_is_recorded_comes_back_whole(ledger: SqlLedger, leaf: Certificate) -> None:
    ledger.record(leaf, at=AT, name="www")
    (issue,) = ledger.issues()
    assert (issue.certificate, issue.name, issue.issued_at) == (leaf, "www", AT)
    assert issue.entry.not_after == leaf.not_after
    assert issue.entry.subject == leaf.subject
    assert ledger.issue_of(leaf.serial) == issue


def test_a_serial_is_never_used_twice(ledger: SqlLedger, leaf: Certificate) -> None:
    ledger.record(leaf, at=AT)
    with pytest.raises(OperatorError, match="is taken"):
        ledger.record(leaf, at=AT)


def test_revoking_and_unrevoking(ledger: SqlLedger, leaf: Certificate) -> None:
    ledger.record(leaf, at=AT)
    ledger.revoke(leaf.serial, at=AT, reason=RevocationReason.CERTIFICATE_HOLD)
    with pytest.raises(OperatorError, match="revoked already"):
        ledger.revoke(leaf.serial, at=AT)
    entry = ledger.entry(leaf.serial)
    assert entry is not None
    assert (entry.revoked_at, entry.reason) == (AT, RevocationReason.CERTIFICATE_HOLD)
    ledger.unrevoke(leaf.serial)
    with pytest.raises(OperatorError, match="not revoked"):
        ledger.unrevoke(leaf.serial)


def test_what_was_never_issued_cannot_be_revoked(ledger: SqlLedger) -> None:
    with pytest.raises(NotFound, match="never issued serial ff"):
        ledger.revoke(255, at=AT)
    with pytest.raises(NotFound, match="never issued"):
        ledger.unrevoke(255)


def test_two_cas_share_a_database_and_see_only_their_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.sqlite"
    one, two = a_root("One"), a_root("Two")
    mine = SqlLedger.create(url, ca=one.certificate)
    theirs = SqlLedger.create(url, ca=two.certificate)
    mine.record(a_server(one, serial=5).certificate, at=AT)
    assert mine.entry(5) is not None
    assert theirs.entry(5) is None
    assert list(theirs.entries()) == []
    with pytest.raises(OperatorError, match="2 CAs"):
        SqlLedger.open(url)
    assert SqlLedger.open(url, ca=one.certificate).entry(5) is not None
    with pytest.raises(OperatorError, match="CN=Three not among them"):
        SqlLedger.open(url, ca=a_root("Three").certificate)


def test_a_renewed_ca_certificate_finds_its_ledger(ledger: SqlLedger, leaf: Certificate) -> None:
    ledger.record(leaf, at=AT)
    renewed = a_root(serial=99).certificate
    assert renewed != ledger.ca
    assert SqlLedger.open(ledger.place, ca=renewed).entry(leaf.serial) is not None


def test_crl_numbers_rise(ledger: SqlLedger) -> None:
    assert [ledger.next_crl_number() for _ in range(3)] == [1, 2, 3]


def test_many_writers_lose_nothing(ledger: SqlLedger) -> None:
    ca = a_root()
    minted = [a_server(ca, serial=100 + i).certificate for i in range(24)]

    def work(part: list[Certificate]) -> None:
        other = SqlLedger.open(ledger.place)
        for certificate in part:
            other.record(certificate, at=AT)
            other.revoke(certificate.serial, at=AT)
        other.close()

    threads = [threading.Thread(target=work, args=(minted[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(entry.revoked_at is not None for entry in ledger.entries()) == 24


def test_more_than_a_page(ledger: SqlLedger) -> None:
    with sqlite3.connect(ledger.place) as raw:
        raw.executemany(
            "insert into certificate (ca_id, serial, subject, name, not_after)"
            " values (1, ?, '', '', 0)",
            [(f"{i:x}",) for i in range(1, 2502)],
        )
    assert [entry.serial for entry in ledger.entries()] == list(range(1, 2502))


def test_a_missing_file_and_a_foreign_database_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such ledger"):
        SqlLedger.open(str(tmp_path / "none.sqlite"))
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect(tmp_path / "other.sqlite") as raw:
        raw.execute("create table t (x)")
    with pytest.raises(StoreError, match="is no holdfast ledger"):
        SqlLedger.open(str(tmp_path / "other.sqlite"))


def test_another_schema_version_is_refused(ledger: SqlLedger) -> None:
    with sqlite3.connect(ledger.place) as raw:
        raw.execute("update holdfast_schema set version = 99")
    with pytest.raises(StoreError, match="schema version 99"):
        SqlLedger.open(ledger.place)
    with pytest.raises(StoreError, match="schema version 99"):
        SqlLedger.create(ledger.place, ca=ledger.ca)


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "://"])
def test_other_urls_are_the_operators_to_mend(url: str) -> None:
    with pytest.raises(OperatorError):
        SqlLedger.open(url)
