"""Databases reached: URLs, deadlines, what is told when they fail, a server that crashes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast.errors import OperatorError, StoreError
from holdfast.pki.certificate import Certificate
from holdfast.stores.sql import SqlLedger
from holdfast.stores.sql_engine import Database
from support.pki import AT, a_root, a_server
from support.postgres import PostgreSQL


@pytest.fixture
def crashing() -> Iterator[PostgreSQL]:
    """A PostgreSQL of the test's own."""
    with PostgreSQL.running() as server:
        yield server


def test_a_server_that_is_killed_and_comes_back(crashing: PostgreSQL) -> None:
    """What was committed is there again; in between it is an error that names the place."""
    url = crashing.fresh()
    ca = a_root()
    leaf: Certificate = a_server(ca, serial=5).certificate
    with SqlLedger.create(url, ca=ca.certificate) as ledger:
        ledger.record(leaf, at=AT)
        assert ledger.entry(5) is not None
        crashing.kill()
        for _ in range(2):
            with pytest.raises(StoreError, match=r"127\.0\.0\.1") as caught:
                ledger.entry(5)
            assert "see that the server runs" in caught.value.hint
        crashing.start()
        assert ledger.entry(5) is not None


def test_a_password_is_not_told() -> None:
    database = Database("postgresql://me:secret@127.0.0.1:1/d")
    with pytest.raises(StoreError) as caught, database.reading():
        pass
    assert "secret" not in caught.value.message + caught.value.hint
    assert "me:***@127.0.0.1:1/d" in caught.value.message


@pytest.mark.parametrize("url", ["mysql://me:secret@h/d", "postgresql+asyncpg://h/d", "sqlite://"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(OperatorError) as caught:
        Database(url)
    assert "secret" not in caught.value.message
    assert "postgresql://" in caught.value.hint


def test_what_is_foreign_cannot_be_changed(tmp_path: Path, postgres: PostgreSQL) -> None:
    """And the red twin: what is ours can."""
    path = tmp_path / "foreign.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    url = postgres.fresh()
    postgres.run(url, "CREATE TABLE t (x INTEGER)")
    for place in (str(path), url):
        foreign = Database(place, foreign=True)
        with pytest.raises(StoreError, match=r"(?i)read-?\s?only"), foreign.reading() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        with Database(place).writing() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        with foreign.reading() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM t")) == 1
        foreign.close()


def test_an_endless_question_is_ended(tmp_path: Path, postgres: PostgreSQL) -> None:
    path = tmp_path / "foreign.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT count(*) FROM c"
    for place, told in ((str(path), "interrupted"), (postgres.fresh(), "statement timeout")):
        database = Database(place, foreign=True, patience=200)
        with pytest.raises(StoreError, match=told), database.reading() as connection:
            connection.execute(sa.text(endless))
        with database.reading() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
        database.close()
