"""The tables of a CA's ledger, and how an older ledger becomes one of today.

Laws: the version stands in one row; a ledger of an older version is brought up in one transaction,
step by step, under a lock; a newer one is refused and never changed. Serials are kept as
hexadecimal text, because they have up to 160 bits, and instants as seconds since 1970. A step, once
released, is never edited: the tables here are what all steps together lead to.
"""

from __future__ import annotations

import sqlalchemy as sa

from holdfast.errors import StoreError
from holdfast.stores.sql_engine import Database

SCHEMA_VERSION = 3
_LOCK = 0x686F6C64  # "hold": one that creates or migrates at a time

META = sa.MetaData()
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up INTEGER alone

schema_table = sa.Table(
    "holdfast_schema",
    META,
    sa.Column("version", sa.Integer, primary_key=True),
)
ca_table = sa.Table(
    "ca",
    META,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("crl_number", sa.BigInteger, nullable=False, default=0),
    # of the last change; each change counts it up first, and so waits for the change before it
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
)
certificate_table = sa.Table(
    "certificate",
    META,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("ca_id", sa.ForeignKey("ca.id"), nullable=False),
    sa.Column("serial", sa.String(40), nullable=False),  # lower-case hex, no leading zeros
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, default=""),  # what `holdfast ca` calls it
    sa.Column("not_after", sa.BigInteger, nullable=False),
    sa.Column("issued_at", sa.BigInteger),
    sa.Column("certificate", sa.LargeBinary),  # DER; NULL when only the serial is known
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.UniqueConstraint("ca_id", "serial"),
    sa.Index("certificate_change", "ca_id", "revision", "id"),
)
revocation_table = sa.Table(
    "revocation",
    META,
    sa.Column("certificate_id", sa.ForeignKey("certificate.id"), primary_key=True),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Integer),  # CRLReason; NULL when not told
)

STEPS: dict[int, tuple[str, ...]] = {
    # What changed since a revision can be asked without reading a ledger of millions of rows.
    1: (
        "ALTER TABLE ca ADD COLUMN revision BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE certificate ADD COLUMN revision BIGINT NOT NULL DEFAULT 0",
        "UPDATE certificate SET revision = id",
        "UPDATE ca SET revision = COALESCE("
        "(SELECT MAX(id) FROM certificate WHERE certificate.ca_id = ca.id), 0)",
        "CREATE INDEX certificate_revision ON certificate (ca_id, revision)",
    ),
    # One change may be of a million rows: they are read page by page.
    2: (
        "DROP INDEX certificate_revision",
        "CREATE INDEX certificate_change ON certificate (ca_id, revision, id)",
    ),
}
"""The statements that make version n + 1 of version n, in both databases' SQL."""


def ensure(connection: sa.Connection, database: Database) -> None:
    """Make the tables in `database`, or bring them up to today; within a writing transaction."""
    _lock(connection)
    META.create_all(connection)
    if _version(connection) is None:
        connection.execute(schema_table.insert().values(version=SCHEMA_VERSION))
    _bring_up(connection, database)


def opened(database: Database) -> None:
    """Bring the ledger in `database` up to today if it is older; `StoreError` when it is no
    ledger, is of a newer holdfast, or may not be changed by this user."""
    with database.reading() as connection:
        if not sa.inspect(connection).has_table(schema_table.name):
            raise StoreError(
                f"{database.place}: is no holdfast ledger", hint="see 'holdfast ca init'"
            )
        version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    with database.writing() as connection:
        _lock(connection)
        _bring_up(connection, database)


def _bring_up(connection: sa.Connection, database: Database) -> None:
    version = _version(connection)
    if version is None or not min(STEPS) <= version <= SCHEMA_VERSION:
        raise StoreError(
            f"{database.place}: a ledger of schema version {version}, this holdfast knows"
            f" {SCHEMA_VERSION}",
            hint="use the holdfast that wrote it, or a newer one",
        )
    for step in range(version, SCHEMA_VERSION):
        for statement in STEPS[step]:
            connection.exec_driver_sql(statement)
        connection.execute(schema_table.update().values(version=step + 1))


def _version(connection: sa.Connection) -> int | None:
    found: int | None = connection.scalar(sa.select(schema_table.c.version))
    return found


def _lock(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        # millions of rows take longer than an answer may
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
