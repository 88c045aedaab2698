"""The ledger's tables: made, brought up from each older version, refused when newer."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast.errors import StoreError
from holdfast.stores import sql_schema
from holdfast.stores.sql import SqlLedger
from holdfast.stores.sql_engine import Database
from support.pki import AT, a_root, a_server
from support.postgres import PostgreSQL

CA = a_root().certificate

# As released: the tables of version 1.
VERSION_1 = (
    "CREATE TABLE holdfast_schema (version INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE ca (id {id}, sha256 VARCHAR(64) NOT NULL UNIQUE, subject TEXT NOT NULL,"
    " certificate {bytes} NOT NULL, crl_number INTEGER NOT NULL)",
    "CREATE TABLE certificate (id {id}, ca_id INTEGER NOT NULL REFERENCES ca (id),"
    " serial VARCHAR(40) NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL,"
    " not_after BIGINT NOT NULL, issued_at BIGINT, certificate {bytes}, UNIQUE (ca_id, serial))",
    "CREATE TABLE revocation (certificate_id INTEGER NOT NULL PRIMARY KEY"
    " REFERENCES certificate (id), revoked_at BIGINT NOT NULL, reason INTEGER)",
    "INSERT INTO holdfast_schema VALUES (1)",
    "INSERT INTO certificate (ca_id, serial, subject, name, not_after) VALUES"
    " (1, 'a', '/CN=a', 'a', 1800000000), (1, 'b', '/CN=b', 'b', 1800000000)",
    "INSERT INTO revocation VALUES (2, 1700000000, 1)",
)
KINDS = {
    "sqlite": {"id": "INTEGER NOT NULL PRIMARY KEY", "bytes": "BLOB"},
    "postgresql": {"id": "SERIAL PRIMARY KEY", "bytes": "BYTEA"},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    server: PostgreSQL = request.getfixturevalue("postgres")
    return server.fresh()


def a_version_1(url: str) -> None:
    database = Database(url, must_exist=False)
    kinds = KINDS[database.engine.dialect.name]
    with database.writing() as connection:
        for number, statement in enumerate(VERSION_1):
            connection.exec_driver_sql(statement.format(**kinds))
            if number == 4:
                connection.execute(
                    sa.text("INSERT INTO ca VALUES (1, :sha, :subject, :der, 41)"),
                    {"sha": CA.sha256, "subject": CA.subject, "der": CA.der},
                )
    database.close()


def columns(url: str) -> dict[str, list[tuple[str, bool]]]:
    """(name, may be NULL) by table, and the names of indexes."""
    database = Database(url)
    with database.reading() as connection:
        seen = sa.inspect(connection)
        found = {
            table: sorted((c["name"], bool(c["nullable"])) for c in seen.get_columns(table))
            for table in seen.get_table_names()
        }
        found["indexes"] = sorted((str(i["name"]), False) for i in seen.get_indexes("certificate"))
    database.close()
    return found


def test_version_1_is_brought_up_and_loses_nothing(url: str) -> None:
    a_version_1(url)
    with SqlLedger.open(url, ca=CA) as ledger:
        good = [(entry.serial, entry.revoked_at is None) for entry in ledger.entries()]
        assert good == [(10, True), (11, False)]
        assert ledger.next_crl_number() == 42
        revision, entries = ledger.changes(0)
        assert [entry.serial for entry in entries] == [10, 11]
        ledger.revoke(10, at=AT)
        assert [entry.serial for entry in ledger.changes(revision)[1]] == [10]
    with SqlLedger.open(url, ca=CA) as again:
        assert again.entry(11) is not None


def test_what_is_brought_up_is_what_is_made_new(
    url: str, tmp_path: Path, postgres: PostgreSQL
) -> None:
    a_version_1(url)
    SqlLedger.create(url, ca=CA).close()
    new = postgres.fresh() if "postgresql" in url else f"sqlite:///{tmp_path}/new.sqlite"
    SqlLedger.create(new, ca=CA).close()
    made, grown = columns(new), columns(url)
    assert [name for name, _ in made["indexes"] if "change" in name] == ["certificate_change"]
    assert set(made["indexes"]) <= set(grown["indexes"])
    for table in ("holdfast_schema", "ca", "certificate", "revocation"):
        assert grown[table] == made[table]


@pytest.mark.parametrize("version", [0, sql_schema.SCHEMA_VERSION + 1])
def test_a_version_that_is_not_known_is_refused_and_left(url: str, version: int) -> None:
    SqlLedger.create(url, ca=CA).close()
    with Database(url).writing() as connection:
        connection.exec_driver_sql(f"UPDATE holdfast_schema SET version = {version}")
    for attempt in (SqlLedger.open, SqlLedger.create):
        with pytest.raises(StoreError, match=f"schema version {version}"):
            attempt(url, ca=CA)
    with Database(url).reading() as connection:
        assert connection.scalar(sa.text("SELECT version FROM holdfast_schema")) == version


def test_a_step_that_fails_leaves_the_older_version_whole(url: str) -> None:
    """All steps are one transaction: here the index is in the way of the last statement."""
    a_version_1(url)
    with Database(url).writing() as connection:
        connection.exec_driver_sql("CREATE INDEX certificate_revision ON certificate (serial)")
    before = columns(url)
    with pytest.raises(StoreError, match="certificate_revision"):
        SqlLedger.open(url, ca=CA)
    assert columns(url) == before
    with Database(url).writing() as connection:
        connection.exec_driver_sql("DROP INDEX certificate_revision")
    assert SqlLedger.open(url, ca=CA).entry(10) is not None


def test_a_reader_who_may_not_change_it_is_told(postgres: PostgreSQL) -> None:
    """And the red twin: once its owner brought it up, the reader reads."""
    url = postgres.fresh()
    a_version_1(url)
    postgres.run(
        url,
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    )
    theirs = url.replace("postgres@", "reader@")
    with pytest.raises(StoreError, match=r"must be owner|permission denied"):
        SqlLedger.open(theirs, ca=CA)
    SqlLedger.open(url, ca=CA).close()
    with SqlLedger.open(theirs, ca=CA) as reader:
        assert reader.entry(10) is not None
        with pytest.raises(StoreError, match="permission denied"):
            reader.revoke(10, at=AT)
    postgres.run(url, "DROP OWNED BY reader", "DROP ROLE reader")


def test_changes_come_in_the_order_of_their_revisions(url: str) -> None:
    ca = a_root()
    with SqlLedger.create(url, ca=CA) as ledger:
        for serial in (1, 2, 3):
            ledger.record(a_server(ca, serial=serial).certificate, at=AT)
        ledger.revoke(1, at=AT)
        revision, entries = ledger.changes(0)
        assert [(e.serial, e.revoked_at) for e in entries] == [(2, None), (3, None), (1, AT)]
        assert ledger.changes(revision) == (revision, ())
        ledger.unrevoke(1)
        assert [(e.serial, e.revoked_at) for e in ledger.changes(revision)[1]] == [(1, None)]
