"""Databases of other CAs' software, in SQLite and PostgreSQL: the tables as these make them (what
an answer needs of them), what an operator would write to ask them, and rows put in.

Let's Encrypt's boulder: sa/db/.../certificateStatus. EJBCA: CertificateData, whose instants are
milliseconds, serials decimal text, and status 20 (active), 21 (notified about expiry), 40 (revoked)
and 60 (archived: then the reason tells, -1 where there is none).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

import sqlalchemy as sa

from holdfast.seams import LedgerEntry
from holdfast.stores.sql_engine import Database

BOULDER = """
query = '''
SELECT status, revokedDate, revokedReason, notAfter
FROM certificateStatus WHERE serial = :serial'''
every = "SELECT * FROM certificateStatus ORDER BY id"
digits = 36

[columns]
certificate_status = "status"
revoked_at = "revokedDate"
reason = "revokedReason"
not_after = "notAfter"
"""

EJBCA = """
query = '''
SELECT CASE WHEN status = 40 OR (status = 60 AND revocationReason <> -1) THEN 'revoked'
            WHEN status IN (20, 21, 60) THEN 'good' ELSE 'status ' || status END AS state,
       revocationDate, revocationReason, expireDate, subjectDN
FROM CertificateData WHERE issuerDN = 'CN=Test Root' AND serialNumber = :serial'''
every = '''
SELECT CASE WHEN status = 40 OR (status = 60 AND revocationReason <> -1) THEN 'revoked'
            WHEN status IN (20, 21, 60) THEN 'good' ELSE 'status ' || status END AS state,
       revocationDate, revocationReason, expireDate, subjectDN, serialNumber
FROM CertificateData WHERE issuerDN = 'CN=Test Root' ORDER BY updateTime'''
serial = "decimal"
instants = "milliseconds"

[columns]
certificate_status = "state"
revoked_at = "revocationDate"
reason = "revocationReason"
not_after = "expireDate"
subject = "subjectDN"
serial = "serialNumber"
"""

TABLES = {
    BOULDER: "CREATE TABLE IF NOT EXISTS certificateStatus (id BIGINT PRIMARY KEY, serial"
    " VARCHAR(255) NOT NULL UNIQUE, status VARCHAR(255) NOT NULL, revokedDate TIMESTAMP NOT NULL,"
    " revokedReason INTEGER NOT NULL, notAfter TIMESTAMP, isExpired BOOLEAN DEFAULT FALSE)",
    EJBCA: "CREATE TABLE IF NOT EXISTS CertificateData (fingerprint VARCHAR(250) PRIMARY KEY,"
    " issuerDN VARCHAR(250) NOT NULL, subjectDN VARCHAR(400) NOT NULL, serialNumber VARCHAR(250)"
    " NOT NULL, status INTEGER NOT NULL, revocationDate BIGINT NOT NULL, revocationReason INTEGER"
    " NOT NULL, expireDate BIGINT NOT NULL, updateTime BIGINT NOT NULL)",
}


def fill(url: str, kind: str, entries: Sequence[LedgerEntry]) -> None:
    """Make the rows of `entries` all that is in the table of `kind`."""
    database = Database(url, must_exist=False)
    with database.writing() as connection:
        connection.exec_driver_sql(TABLES[kind])
        connection.exec_driver_sql(f"DELETE FROM {TABLES[kind].split()[5]}")
        for number, entry in enumerate(entries):
            put = _boulder if kind == BOULDER else _ejbca
            put(connection, number, entry)
    database.close()


def _boulder(connection: sa.Connection, number: int, entry: LedgerEntry) -> None:
    never = "1970-01-01 00:00:00"
    revoked = entry.revoked_at
    connection.execute(
        sa.text(
            "INSERT INTO certificateStatus (id, serial, status, revokedDate, revokedReason,"
            " notAfter) VALUES (:id, :serial, :status, :at, :reason, :end)"
        ),
        {
            "id": number,
            "serial": f"{entry.serial:036x}",
            "status": "good" if revoked is None else "revoked",
            "at": never if revoked is None else f"{revoked.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            "reason": 0 if entry.reason is None else entry.reason.code,
            "end": f"{entry.not_after:%Y-%m-%d %H:%M:%S}",
        },
    )


def _ejbca(connection: sa.Connection, number: int, entry: LedgerEntry) -> None:
    revoked = entry.revoked_at
    connection.execute(
        sa.text(
            "INSERT INTO CertificateData VALUES (:print, 'CN=Test Root', :subject, :serial,"
            " :status, :at, :reason, :end, :updated)"
        ),
        {
            "print": f"{number:040x}",
            "subject": entry.subject,
            "serial": str(entry.serial),
            "status": 20 if revoked is None else 40,
            "at": -1 if revoked is None else int(revoked.timestamp()) * 1000 + 123,
            "reason": -1 if entry.reason is None else entry.reason.code,
            "end": int(entry.not_after.timestamp()) * 1000,
            "updated": number,
        },
    )
