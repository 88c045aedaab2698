"""Many entries at once into a CA's ledger: what an index.txt has, or a revocation of thousands.

Laws: what is there is not changed but for revocations, and a revocation is never taken back here;
the statements are as many as there are kinds of change, not as there are rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holdfast.errors import OperatorError
from holdfast.seams import LedgerEntry
from holdfast.stores.sql_schema import certificate_table, revocation_table

WORTH_COUNTING = (0, 10, 100, 1000)  # parts after which the tables are another size


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """How many were `new`, `revoked` of those that were there, the `same`; and `kept` revoked
    here, though the other ledger does not have them so."""

    new: int = 0
    revoked: int = 0
    kept: int = 0
    same: int = 0

    def __add__(self, other: Merged) -> Merged:
        return Merged(
            new=self.new + other.new,
            revoked=self.revoked + other.revoked,
            kept=self.kept + other.kept,
            same=self.same + other.same,
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """What there is to do: entries to insert, and (id of the row, entry) to revoke."""

    new: list[LedgerEntry]
    revoked: list[tuple[int, LedgerEntry]]
    told: Merged


def compared(connection: sa.Connection, ca_id: int, entries: Sequence[LedgerEntry]) -> Compared:
    """`entries` against what the ledger of the CA `ca_id` has of their serials."""
    rows = {
        row.serial: row
        for row in connection.execute(
            sa.select(
                certificate_table.c.id,
                certificate_table.c.serial,
                revocation_table.c.revoked_at,
            )
            .select_from(certificate_table.outerjoin(revocation_table))
            .where(*_these(connection, ca_id, entries))
        )
    }
    new: list[LedgerEntry] = []
    revoked: list[tuple[int, LedgerEntry]] = []
    kept = same = 0
    for entry in entries:
        row = rows.get(f"{entry.serial:x}")
        if row is None:
            new.append(entry)
        elif entry.revoked_at is not None and row.revoked_at is None:
            revoked.append((row.id, entry))
        elif entry.revoked_at is None and row.revoked_at is not None:
            kept += 1
        else:
            same += 1
    return Compared(new, revoked, Merged(new=len(new), revoked=len(revoked), kept=kept, same=same))


def count(connection: sa.Connection) -> None:
    """Let PostgreSQL see how large the tables are: by its guess it would read all for each part.
    A user that does not own them is told so in the server's log, and no more."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE certificate, revocation")


def enter(
    connection: sa.Connection, ca_id: int, revision: int, entries: Sequence[LedgerEntry]
) -> Merged:
    """Do it, as the change `revision`, in the transaction of `connection`."""
    if len({entry.serial for entry in entries}) != len(entries):
        raise OperatorError(
            "one serial stands twice among what is to be entered",
            hint="a serial is never used twice (RFC 5280 4.1.2.2): take one of the two out",
        )
    if connection.dialect.name == "postgresql":
        # a plan for any thousand serials is one for none: it compares each with every row
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
    found = compared(connection, ca_id, entries)
    if found.new:
        connection.execute(
            certificate_table.insert(), [_row(ca_id, revision, entry) for entry in found.new]
        )
    gone = [entry for entry in found.new if entry.revoked_at is not None]
    ids = [row_id for row_id, _ in found.revoked]
    if ids:
        connection.execute(
            certificate_table.update()
            .where(certificate_table.c.id.in_(ids))
            .values(revision=revision)
        )
    rows = [_revocation(row_id, entry) for row_id, entry in found.revoked]
    if gone:
        by_serial = {
            row.serial: row.id
            for row in connection.execute(
                sa.select(certificate_table.c.serial, certificate_table.c.id).where(
                    *_these(connection, ca_id, gone)
                )
            )
        }
        rows += [_revocation(by_serial[f"{entry.serial:x}"], entry) for entry in gone]
    if rows:
        connection.execute(revocation_table.insert(), rows)
    return found.told


def _these(
    connection: sa.Connection, ca_id: int, entries: Sequence[LedgerEntry]
) -> tuple[sa.ColumnElement[bool], ...]:
    table = certificate_table.c
    serials = [f"{entry.serial:x}" for entry in entries]
    if connection.dialect.name == "postgresql":
        # as one array: of a thousand parameters it would compare each with every row
        among = table.serial == sa.any_(sa.literal(serials, sa.ARRAY(sa.Text)))
    else:
        among = table.serial.in_(serials)
    return table.ca_id == ca_id, among


def _row(ca_id: int, revision: int, entry: LedgerEntry) -> dict[str, Any]:
    return {
        "ca_id": ca_id,
        "revision": revision,
        "serial": f"{entry.serial:x}",
        "subject": entry.subject,
        "not_after": _seconds(entry.not_after),
    }


def _revocation(row_id: int, entry: LedgerEntry) -> dict[str, Any]:
    assert entry.revoked_at is not None
    return {
        "certificate_id": row_id,
        "revoked_at": _seconds(entry.revoked_at),
        "reason": None if entry.reason is None else entry.reason.code,
    }


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
