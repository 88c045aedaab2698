"""An operator's own query: other CAs' tables, and everything that must not be guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.errors import OperatorError, StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.seams import LedgerEntry
from holdfast.stores.sql_query import QuerySettings, SqlQuery
from support.foreign import BOULDER, EJBCA, fill
from support.pki import AT, a_root
from support.postgres import PostgreSQL

CA = a_root().certificate
END = datetime(2027, 1, 1, tzinfo=UTC)
GOOD = LedgerEntry(10, END)
BAD = LedgerEntry(0xABCDEF, END, AT, RevocationReason.KEY_COMPROMISE)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/foreign.db"
    server: PostgreSQL = request.getfixturevalue("postgres")
    return server.fresh()


def settings(text: str) -> QuerySettings:
    return QuerySettings.parse(text.encode(), name="query.toml")


def a_query(url: str, text: str, **wishes: int) -> SqlQuery:
    return SqlQuery(url, settings(text), ca=CA, **wishes)


@pytest.mark.parametrize("kind", [BOULDER, EJBCA], ids=["boulder", "ejbca"])
def test_the_tables_of_other_cas(url: str, kind: str) -> None:
    """R10, R11."""
    fill(url, kind, [GOOD, BAD])
    ledger = a_query(url, kind)
    assert ledger.entry(10) == GOOD
    assert ledger.entry(0xABCDEF) == BAD
    assert ledger.entry(11) is None
    assert list(ledger.entries()) == [GOOD, BAD]
    fill(url, kind, [BAD])
    assert ledger.entry(10) is None  # R32: at once
    ledger.close()


def test_a_status_that_is_not_mapped_is_never_a_guess(url: str, postgres: PostgreSQL) -> None:
    fill(url, EJBCA, [GOOD])
    if "postgresql" in url:
        postgres.run(url, "UPDATE CertificateData SET status = 50")
    else:
        import sqlite3

        with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
            raw.execute("UPDATE CertificateData SET status = 50")
    with pytest.raises(StoreError, match="serial a has the status 'status 50'") as caught:
        a_query(url, EJBCA).entry(10)
    assert "[certificate_status]" in caught.value.hint


BARE = """
query = "SELECT {} WHERE :serial = '7'"
[certificate_status]
good = [20, "ok"]
revoked = [40]
"""


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("20 AS certificate_status", ""),
        ("'ok' AS CERTIFICATE_STATUS", ""),
        ("40 AS certificate_status, '2026-01-02T03:04:05Z' AS revoked_at, NULL AS reason", ""),
        ("40 AS certificate_status, 1700000000 AS revoked_at, 'superseded' AS reason", ""),
        ("40 AS certificate_status", "None in the column 'revoked_at'"),
        ("40 AS certificate_status, 'soon' AS revoked_at", "'soon' in the column"),
        ("40 AS certificate_status, 1700000000 AS revoked_at, 7 AS reason", "the reason '7'"),
        ("NULL AS certificate_status", "the status 'None'"),
        ("20 AS state", "no column 'certificate_status'.*it gives state"),
    ],
)
def test_each_row_is_understood_in_full_or_refused(tmp_path: Path, columns: str, told: str) -> None:
    (tmp_path / "x.db").touch()
    ledger = a_query(str(tmp_path / "x.db"), BARE.format(columns))
    if not told:
        assert ledger.entry(7) is not None
        assert ledger.entry(8) is None
        return
    with pytest.raises(StoreError, match=told):
        ledger.entry(7)


def test_two_rows_for_one_serial_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    two = "query = \"SELECT 'good' AS certificate_status WHERE :serial <> ''" + (
        " UNION ALL SELECT 'good'\""
    )
    with pytest.raises(StoreError, match="more than one row for serial 7"):
        a_query(str(tmp_path / "x.db"), two).entry(7)


def test_without_every_it_cannot_list(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    ledger = a_query(str(tmp_path / "x.db"), BARE.format("20 AS certificate_status"))
    with pytest.raises(StoreError, match="cannot list"):
        next(ledger.entries())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("query = 1", "Expected `str`"),
        ("", "missing required field `query`"),
        ("query = ", "not TOML"),
        ('query = "DELETE FROM t WHERE serial = :serial"', "does not begin with SELECT"),
        ('query = "SELECT 1"', "has the parameters none"),
        ('query = "SELECT 1 WHERE x = :serial AND y = :other"', ":other, :serial"),
        ('query = "SELECT 1 WHERE x = :serial"\nevery = "SELECT :serial"', "it takes none"),
        ('query = "SELECT 1 WHERE x = :serial"\nstatus = "x"', "unknown field `status`"),
        ('query = "SELECT 1 WHERE x = :serial"\nserial = "octal"', "Invalid enum value"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(text: str, told: str) -> None:
    with pytest.raises(OperatorError, match=told) as caught:
        settings(text)
    assert "query.toml" in caught.value.message


def test_the_database_is_not_changed_by_a_query_that_writes(postgres: PostgreSQL) -> None:
    """The red twin: the same statement, as its owner, writes."""
    url = postgres.fresh()
    postgres.run(url, "CREATE TABLE t (serial TEXT)")
    write = (
        "WITH gone AS (INSERT INTO t VALUES ({}) RETURNING 'good' AS certificate_status)"
        " SELECT * FROM gone"
    )
    ledger = a_query(url, f'query = "{write.format(":serial")}"')
    with pytest.raises(StoreError, match="read-only transaction"):
        ledger.entry(7)
    postgres.run(url, write.format("'7'"))
    counted = 'query = "SELECT count(*) AS certificate_status FROM t WHERE serial = :serial"'
    assert a_query(url, counted + "\n[certificate_status]\ngood = [1]").entry(7) is not None


def test_a_second_statement_is_refused(url: str, tmp_path: Path) -> None:
    fill(url, BOULDER, [GOOD])
    sneaky = "SELECT status AS certificate_status FROM certificateStatus WHERE serial = :serial"
    ledger = a_query(url, f'query = "{sneaky}; SELECT 1"\ndigits = 36')
    with pytest.raises(StoreError, match=r"(?i)one statement|multiple commands"):
        ledger.entry(10)
    assert a_query(url, f'query = "{sneaky}"\ndigits = 36').entry(10) is not None


def test_a_slow_query_has_an_end(postgres: PostgreSQL) -> None:
    slow = "query = \"SELECT 'good' AS certificate_status, pg_sleep(60) WHERE :serial = '7'\""
    with pytest.raises(StoreError, match="statement timeout"):
        a_query(postgres.fresh(), slow, patience=200).entry(7)
