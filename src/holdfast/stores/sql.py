"""A CA's ledger in SQLite: what it issued, what it revoked, its CRL numbers.

Laws: every change is one transaction that takes the write lock first, so that two processes cannot
both win; readers see whatever was committed before they asked (WAL, no cache), also when another
file was put in its place; serials are kept as hexadecimal text, because they have up to 160 bits,
and instants as seconds since 1970. A database whose schema version is not ours is refused, never
changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from holdfast.errors import NotFound, OperatorError, StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.certificate import Certificate
from holdfast.seams import LedgerEntry

SCHEMA_VERSION = 1
PAGE = 1000  # rows fetched at a time
PATIENCE = 10_000  # milliseconds to wait for another writer

_META = sa.MetaData()

schema_table = sa.Table(
    "holdfast_schema",
    _META,
    sa.Column("version", sa.Integer, primary_key=True),
)
ca_table = sa.Table(
    "ca",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("crl_number", sa.Integer, nullable=False, default=0),
)
certificate_table = sa.Table(
    "certificate",
    _META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ca_id", sa.ForeignKey("ca.id"), nullable=False),
    sa.Column("serial", sa.String(40), nullable=False),  # lower-case hex, no leading zeros
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, default=""),  # what `holdfast ca` calls it
    sa.Column("not_after", sa.BigInteger, nullable=False),
    sa.Column("issued_at", sa.BigInteger),
    sa.Column("certificate", sa.LargeBinary),  # DER; NULL when only the serial is known
    sa.UniqueConstraint("ca_id", "serial"),
)
revocation_table = sa.Table(
    "revocation",
    _META,
    sa.Column("certificate_id", sa.ForeignKey("certificate.id"), primary_key=True),
    sa.Column("revoked_at", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Integer),  # CRLReason; NULL when not told
)

_ENTRY = sa.select(
    certificate_table.c.serial,
    certificate_table.c.not_after,
    revocation_table.c.revoked_at,
    revocation_table.c.reason,
    certificate_table.c.subject,
    certificate_table.c.name,
    certificate_table.c.issued_at,
    certificate_table.c.certificate,
).select_from(certificate_table.outerjoin(revocation_table))


@dataclass(frozen=True, slots=True)
class Issue:
    """One row in full. `name` is what `holdfast ca` calls it; `certificate` None when only the
    serial is known (it came from an index.txt)."""

    entry: LedgerEntry
    name: str
    issued_at: datetime | None
    certificate: Certificate | None


class SqlLedger:
    """The `Ledger` of one CA in a database, and its bookkeeping. Made by `create` and `open`."""

    def __init__(self, engine: sa.Engine, *, ca_id: int, ca: Certificate, place: str) -> None:
        self._engine = engine
        self._ca_id = ca_id
        self.ca = ca
        self.place = place
        self._file: tuple[int, int] | None = None

    @classmethod
    def create(cls, url: str, *, ca: Certificate) -> SqlLedger:
        """The ledger of `ca` at `url` (`sqlite:///path` or a path), made if it is not there."""
        engine, place = _engine(url, must_exist=False)
        with _told(place), engine.execution_options(**_WRITES).begin() as connection:
            _META.create_all(connection)
            if connection.scalar(sa.select(schema_table.c.version)) is None:
                connection.execute(schema_table.insert().values(version=SCHEMA_VERSION))
            _check_version(connection, place)
            known = sa.select(ca_table.c.id).where(ca_table.c.sha256 == ca.sha256)
            if connection.scalar(known) is None:
                connection.execute(
                    ca_table.insert().values(
                        sha256=ca.sha256, subject=ca.subject, certificate=ca.der
                    )
                )
            ca_id = connection.scalar(known)
        assert ca_id is not None
        return cls(engine, ca_id=ca_id, ca=ca, place=place)

    @classmethod
    def open(cls, url: str, *, ca: Certificate | None = None) -> SqlLedger:
        """The ledger that is at `url`: that of `ca`, or of the only CA in it."""
        engine, place = _engine(url, must_exist=True)
        with _told(place), engine.connect() as connection:
            if not sa.inspect(connection).has_table(schema_table.name):
                raise StoreError(f"{place}: is no holdfast ledger", hint="see 'holdfast ca init'")
            _check_version(connection, place)
            rows = connection.execute(
                sa.select(ca_table.c.id, ca_table.c.sha256, ca_table.c.certificate)
            ).all()
        if ca is not None:
            # a renewed CA certificate has the same name and key, and the same ledger
            rows = [row for row in rows if row.sha256 == ca.sha256] or [
                row for row in rows if _same_ca(Certificate(row.certificate), ca)
            ]
        if len(rows) != 1:
            whose = "no CA" if not rows else f"{len(rows)} CAs"
            wanted = "" if ca is None else f", {ca.subject} not among them"
            raise OperatorError(
                f"{place}: the ledger of {whose}{wanted}",
                hint="give the ledger and the certificate of one CA",
            )
        held = Certificate(rows[0].certificate)
        return cls(engine, ca_id=rows[0].id, ca=ca or held, place=place)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> SqlLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the seam ---------------------------------------------------------------------------

    @property
    def blocking(self) -> bool:
        return True

    def entry(self, serial: int, /) -> LedgerEntry | None:
        found = self.issue_of(serial)
        return None if found is None else found.entry

    def entries(self) -> Iterator[LedgerEntry]:
        return (issue.entry for issue in self.issues())

    # -- bookkeeping ------------------------------------------------------------------------

    def issues(self) -> Iterator[Issue]:
        """Everything issued, in the order it was."""
        last = 0
        identified = _ENTRY.add_columns(certificate_table.c.id).limit(PAGE)
        while True:
            page = identified.where(
                certificate_table.c.ca_id == self._ca_id, certificate_table.c.id > last
            ).order_by(certificate_table.c.id)
            with self._reading() as connection:
                rows = connection.execute(page).all()
            yield from map(_issue, rows)
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def issue_of(self, serial: int) -> Issue | None:
        with self._reading() as connection:
            row = connection.execute(_ENTRY.where(*self._named(serial))).first()
        return None if row is None else _issue(row)

    def record(
        self, certificate: Certificate, *, at: datetime, name: str = "", subject: str = ""
    ) -> None:
        """Enter what was issued at the instant `at`. `OperatorError` when the serial is taken."""
        self._insert(
            serial=_hex(certificate.serial),
            subject=subject or certificate.subject,
            name=name,
            not_after=_seconds(certificate.not_after),
            issued_at=_seconds(at),
            certificate=certificate.der,
        )

    def record_entry(self, entry: LedgerEntry) -> None:
        """Enter what is known of a certificate that another ledger issued (an index.txt line)."""
        self._insert(
            revocation=entry if entry.revoked_at is not None else None,
            serial=_hex(entry.serial),
            subject=entry.subject,
            not_after=_seconds(entry.not_after),
        )

    def revoke(self, serial: int, *, at: datetime, reason: RevocationReason | None = None) -> None:
        """Enter a revocation. `NotFound` when the serial was never issued, `OperatorError` when it
        is revoked already."""
        with self._writing() as connection:
            row = self._id_of(connection, serial)
            try:
                connection.execute(_revocation(row, at, reason))
            except IntegrityError as error:
                raise OperatorError(
                    f"serial {serial:x} is revoked already",
                    hint="to change the reason, unrevoke it first",
                ) from error

    def unrevoke(self, serial: int) -> None:
        """Take a revocation back. `NotFound` when the serial was never issued, `OperatorError`
        when it is not revoked."""
        with self._writing() as connection:
            row = self._id_of(connection, serial)
            gone = connection.execute(
                revocation_table.delete().where(revocation_table.c.certificate_id == row)
            )
            if gone.rowcount == 0:
                raise OperatorError(f"serial {serial:x} is not revoked")

    def next_crl_number(self) -> int:
        """A number that no CRL had before (RFC 5280 5.2.3)."""
        with self._writing() as connection:
            mine = ca_table.c.id == self._ca_id
            connection.execute(
                ca_table.update().where(mine).values(crl_number=ca_table.c.crl_number + 1)
            )
            number = connection.scalar(sa.select(ca_table.c.crl_number).where(mine))
        return int(number or 0)

    # -- below ------------------------------------------------------------------------------

    def _named(self, serial: int) -> tuple[sa.ColumnElement[bool], ...]:
        table = certificate_table.c
        return table.ca_id == self._ca_id, table.serial == _hex(serial)

    def _id_of(self, connection: sa.Connection, serial: int) -> int:
        row: int | None = connection.scalar(
            sa.select(certificate_table.c.id).where(*self._named(serial))
        )
        if row is None:
            raise NotFound(
                f"{self.place}: {self.ca.subject} never issued serial {serial:x}",
                hint="`holdfast ca list` shows what it issued",
            )
        return row

    def _insert(self, *, revocation: LedgerEntry | None = None, **values: Any) -> None:
        with self._writing() as connection:
            try:
                made = connection.execute(
                    certificate_table.insert().values(ca_id=self._ca_id, **values)
                )
            except IntegrityError as error:
                raise OperatorError(
                    f"{self.place}: serial {values['serial']} is taken",
                    hint="a serial is never used twice (RFC 5280 4.1.2.2)",
                ) from error
            if revocation is not None and revocation.revoked_at is not None:
                key = made.inserted_primary_key
                assert key is not None
                connection.execute(_revocation(key[0], revocation.revoked_at, revocation.reason))

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _told(self.place):
            found = os.stat(self.place)
            if self._file != (found.st_dev, found.st_ino):
                self._engine.dispose()  # another file stands there now: a backup put back
                self._file = (found.st_dev, found.st_ino)
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with _told(self.place), self._engine.execution_options(**_WRITES).begin() as connection:
            yield connection


def _engine(url: str, *, must_exist: bool) -> tuple[sa.Engine, str]:
    """The engine for `url`, and what to call it in messages."""
    try:
        parsed = sa.make_url(url if "://" in url else f"sqlite:///{url}")
    except SQLAlchemyError as error:
        raise OperatorError(f"{url!r} is not a database URL", hint=_URL_HINT) from error
    if parsed.drivername != "sqlite" or not parsed.database:
        raise OperatorError(
            f"{parsed.render_as_string(hide_password=True)}: not an SQLite file", hint=_URL_HINT
        )
    place = parsed.database
    if must_exist and not Path(place).exists():
        raise StoreError(f"{place}: there is no such ledger", hint="'holdfast ca init' makes one")
    engine = sa.create_engine(parsed)
    sa.event.listen(engine, "connect", _on_connect)
    sa.event.listen(engine, "begin", _on_begin)
    return engine, place


_WRITES = {"holdfast_writes": True}
_URL_HINT = "write sqlite:///relative/path, sqlite:////absolute/path, or the path alone"


def _on_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun in _on_begin
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {PATIENCE}")
    cursor.execute("PRAGMA journal_mode = WAL")  # kept in the file; readers never wait
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _on_begin(connection: sa.Connection) -> None:
    # A read that turns into a write would fail at once when another process wrote in between.
    writes = connection.get_execution_options().get("holdfast_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        raise StoreError(
            f"{place}: {reason}", hint="the ledger is an SQLite database; see that it is readable"
        ) from error


def _check_version(connection: sa.Connection, place: str) -> None:
    version = connection.scalar(sa.select(schema_table.c.version))
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{place}: a ledger of schema version {version}, this holdfast knows {SCHEMA_VERSION}",
            hint="use the holdfast that wrote it, or a newer one",
        )


def _same_ca(one: Certificate, other: Certificate) -> bool:
    return (one.subject_der, one.spki_der) == (other.subject_der, other.spki_der)


def _revocation(row: int, at: datetime, reason: RevocationReason | None) -> sa.Insert:
    return revocation_table.insert().values(
        certificate_id=row,
        revoked_at=_seconds(at),
        reason=None if reason is None else reason.code,
    )


def _issue(row: Any) -> Issue:
    revoked_at = None if row.revoked_at is None else _instant(row.revoked_at)
    reason = None if row.reason is None else RevocationReason.by_code(row.reason)
    return Issue(
        LedgerEntry(int(row.serial, 16), _instant(row.not_after), revoked_at, reason, row.subject),
        row.name,
        None if row.issued_at is None else _instant(row.issued_at),
        None if row.certificate is None else Certificate(row.certificate),
    )


def _hex(serial: int) -> str:
    return f"{serial:x}"


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
