"""A CA's ledger in SQLite or PostgreSQL: what it issued, what it revoked, its CRL numbers.

Laws: every change is one transaction that counts up the CA's revision first, so that changes come
one after the other and each has its own number; readers see whatever was committed before they
asked. Tables and versions are in `sql_schema`, connections in `sql_engine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from holdfast.errors import NotFound, OperatorError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.certificate import Certificate
from holdfast.seams import LedgerEntry
from holdfast.stores import sql_schema
from holdfast.stores.sql_bulk import WORTH_COUNTING, Merged, compared, count, enter
from holdfast.stores.sql_engine import Database
from holdfast.stores.sql_schema import ca_table, certificate_table, revocation_table

PAGE = 1000  # rows fetched at a time

ENTRY = ("id", "revision", "serial", "not_after", "subject")
ISSUE = (*ENTRY, "name", "issued_at", "certificate")
_IDS = 40  # bits of a cursor that hold the id of a row; those above hold its revision


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

    def __init__(self, database: Database, *, ca_id: int, ca: Certificate) -> None:
        self._database = database
        self._ca_id = ca_id
        self.ca = ca

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return self._database.place

    @classmethod
    def create(cls, url: str, *, ca: Certificate) -> SqlLedger:
        """The ledger of `ca` at `url` (`sqlite:///path`, a path, `postgresql://...`), made if it
        is not there."""
        database = Database(url, must_exist=False)
        known = sa.select(ca_table.c.id).where(ca_table.c.sha256 == ca.sha256)
        with database.writing() as connection:
            sql_schema.ensure(connection, database)
            if connection.scalar(known) is None:
                connection.execute(
                    ca_table.insert().values(
                        sha256=ca.sha256, subject=ca.subject, certificate=ca.der
                    )
                )
            ca_id = connection.scalar(known)
        assert ca_id is not None
        return cls(database, ca_id=ca_id, ca=ca)

    @classmethod
    def open(cls, url: str, *, ca: Certificate | None = None) -> SqlLedger:
        """The ledger that is at `url`: that of `ca`, or of the only CA in it."""
        database = Database(url)
        sql_schema.opened(database)
        with database.reading() as connection:
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
                f"{database.place}: the ledger of {whose}{wanted}",
                hint="give the ledger and the certificate of one CA",
            )
        held = Certificate(rows[0].certificate)
        return cls(database, ca_id=rows[0].id, ca=ca or held)

    @classmethod
    def find(cls, url: str, *, ca: Certificate) -> SqlLedger | None:
        """The ledger of `ca` at `url`, None where there is none; nothing is made."""
        database = Database(url, must_exist=False)
        try:
            if database.is_file and not Path(database.place).exists():
                return None
            with database.reading() as connection:
                if not sa.inspect(connection).has_table(ca_table.name):
                    return None
                held = connection.scalars(sa.select(ca_table.c.certificate)).all()
        finally:
            database.close()
        return cls.open(url, ca=ca) if any(_same_ca(Certificate(d), ca) for d in held) else None

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> SqlLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the seam ---------------------------------------------------------------------------

    @property
    def blocking(self) -> bool:
        return True

    def entry(self, serial: int, /) -> LedgerEntry | None:
        with self._database.reading() as connection:
            row = connection.execute(_ONE_ENTRY, self._name_of(serial)).first()
        return None if row is None else _entry(row)

    def entries(self) -> Iterator[LedgerEntry]:
        return map(_entry, self._rows(ENTRY))

    # -- what changed -----------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The cursor that stands after the last change."""
        with self._database.reading() as connection:
            mine = sa.select(ca_table.c.revision).where(ca_table.c.id == self._ca_id)
            return (int(connection.scalar(mine) or 0) + 1 << _IDS) - 1

    def changes(self, since: int) -> tuple[int, tuple[LedgerEntry, ...]]:
        """At most `PAGE` entries that changed after the cursor `since`, in the order of their
        change, and the cursor to ask from the next time. 0: everything."""
        table = certificate_table.c
        revision, row_id = since >> _IDS, since & (1 << _IDS) - 1
        revised = _page(
            ENTRY,
            table.ca_id == self._ca_id,
            table.revision >= revision,
            sa.tuple_(table.revision, table.id) > sa.tuple_(revision, row_id),
            by=("revision", "id"),
        )
        with self._database.reading() as connection:
            rows = connection.execute(revised).all()
        reached = (rows[-1].revision << _IDS) + rows[-1].id if rows else since
        return reached, tuple(map(_entry, rows))

    # -- bookkeeping ------------------------------------------------------------------------

    def issues(self, *, name: str | None = None) -> Iterator[Issue]:
        """Everything issued, or what is called `name`, in the order it was."""
        called = () if name is None else (certificate_table.c.name == name,)
        return map(_issue, self._rows(ISSUE, *called))

    def issue_of(self, serial: int) -> Issue | None:
        with self._database.reading() as connection:
            row = connection.execute(_ONE_ISSUE, self._name_of(serial)).first()
        return None if row is None else _issue(row)

    def merge(self, entries: Iterable[LedgerEntry], *, dry_run: bool = False) -> Merged:
        """Enter what of `entries` is not here yet, and the revocations that are not; what is
        revoked here stays so. `PAGE` at a time, each a change: what was done before it was stopped
        is kept, and it can be done again."""
        done, rest, parts = Merged(), iter(entries), 0
        while part := list(islice(rest, PAGE)):
            if not dry_run and parts in WORTH_COUNTING:
                with self._database.writing() as connection:
                    count(connection)
            parts += 1
            if dry_run:
                with self._database.reading() as connection:
                    done += compared(connection, self._ca_id, part).told
                continue
            with self._changing() as (connection, revision):
                done += enter(connection, self._ca_id, revision, part)
        return done

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
        with self._changing() as (connection, revision):
            row = self._id_of(connection, serial)
            self._touch(connection, row, revision)
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
        with self._changing() as (connection, revision):
            row = self._id_of(connection, serial)
            self._touch(connection, row, revision)
            gone = connection.execute(
                revocation_table.delete().where(revocation_table.c.certificate_id == row)
            )
            if gone.rowcount == 0:
                raise OperatorError(f"serial {serial:x} is not revoked")

    def next_crl_number(self) -> int:
        """A number that no CRL had before (RFC 5280 5.2.3)."""
        with self._database.writing() as connection:
            mine = ca_table.c.id == self._ca_id
            connection.execute(
                ca_table.update().where(mine).values(crl_number=ca_table.c.crl_number + 1)
            )
            number = connection.scalar(sa.select(ca_table.c.crl_number).where(mine))
        return int(number or 0)

    # -- below ------------------------------------------------------------------------------

    def _rows(self, columns: Sequence[str], *conditions: sa.ColumnElement[bool]) -> Iterator[Any]:
        """All rows of this CA that meet `conditions`, a page at a time, by their ids."""
        table, last = certificate_table.c, 0
        while True:
            page = _page(
                columns, table.ca_id == self._ca_id, table.id > last, *conditions, by=("id",)
            )
            with self._database.reading() as connection:
                rows = connection.execute(page).all()
            yield from rows
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def _name_of(self, serial: int) -> dict[str, Any]:
        return {"of_ca": self._ca_id, "asked": _hex(serial)}

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
        with self._changing() as (connection, revision):
            try:
                made = connection.execute(
                    certificate_table.insert().values(
                        ca_id=self._ca_id, revision=revision, **values
                    )
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
    def _changing(self) -> Iterator[tuple[sa.Connection, int]]:
        """A transaction, and the revision that what it changes gets."""
        mine = ca_table.c.id == self._ca_id
        with self._database.writing() as connection:
            connection.execute(
                ca_table.update().where(mine).values(revision=ca_table.c.revision + 1)
            )
            revision = connection.scalar(sa.select(ca_table.c.revision).where(mine))
            yield connection, int(revision or 0)

    def _touch(self, connection: sa.Connection, row: int, revision: int) -> None:
        connection.execute(
            certificate_table.update()
            .where(certificate_table.c.id == row)
            .values(revision=revision)
        )


def _page(
    columns: Sequence[str], *conditions: sa.ColumnElement[bool], by: Sequence[str] = ()
) -> sa.Select[Any]:
    """`PAGE` certificates in the order of `by`, with what is known of their revocation. The page is
    taken first: or PostgreSQL may join all of both tables for it."""
    table = certificate_table.c
    page = (
        sa.select(*(table[name] for name in columns))
        .where(*conditions)
        .order_by(*(table[name] for name in by))
        .limit(PAGE)
        .subquery()
    )
    revoked = revocation_table.c
    return (
        sa.select(page, revoked.revoked_at, revoked.reason)
        .select_from(page.outerjoin(revocation_table, revoked.certificate_id == page.c.id))
        .order_by(*(page.c[name] for name in by))
    )


_NAMED = (
    certificate_table.c.ca_id == sa.bindparam("of_ca"),
    certificate_table.c.serial == sa.bindparam("asked"),
)
_ONE_ENTRY, _ONE_ISSUE = _page(ENTRY, *_NAMED), _page(ISSUE, *_NAMED)  # made once: asked often


def _same_ca(one: Certificate, other: Certificate) -> bool:
    return (one.subject_der, one.spki_der) == (other.subject_der, other.spki_der)


def _revocation(row: int, at: datetime, reason: RevocationReason | None) -> sa.Insert:
    return revocation_table.insert().values(
        certificate_id=row,
        revoked_at=_seconds(at),
        reason=None if reason is None else reason.code,
    )


def _entry(row: Any) -> LedgerEntry:
    serial, not_after, subject = row[2:5]  # as in ENTRY; by name it takes twice the time
    revoked_at, reason = row[-2:]
    return LedgerEntry(
        int(serial, 16),
        _instant(not_after),
        None if revoked_at is None else _instant(revoked_at),
        None if reason is None else RevocationReason.by_code(reason),
        subject,
    )


def _issue(row: Any) -> Issue:
    return Issue(
        _entry(row),
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
