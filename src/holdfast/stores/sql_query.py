"""A `Ledger` that is an operator's own query over a database of another CA's software.

Laws: the database is only read (`sql_engine`, foreign); the serial is a bound parameter and never
part of the text; every statement has a deadline; a row that cannot be understood in full (a status
that is not mapped, a revocation without its time, two rows for one serial) is a `StoreError`, never
a guess. No row: the CA never issued it.

    query = "SELECT status, revokedDate, revokedReason FROM t WHERE serial = :serial"
    serial = "hex"
    digits = 36
    [columns]
    certificate_status = "status"
    revoked_at = "revokedDate"
    reason = "revokedReason"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Meta, Struct
from sqlalchemy.exc import SQLAlchemyError

from holdfast.errors import OperatorError, StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.certificate import Certificate
from holdfast.seams import LedgerEntry
from holdfast.stores.sql_engine import PATIENCE, Database

LISTING = 10 * 60_000  # milliseconds that reading everything may take
PAGE = 1000  # rows fetched at a time
_HINT = "see 'An existing database' in docs/how-to/responder-ledgers.md"


class Columns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the query calls each; case does not matter."""

    certificate_status: str = "certificate_status"
    revoked_at: str = "revoked_at"
    reason: str = "reason"
    not_after: str = "not_after"
    subject: str = "subject"
    serial: str = "serial"


class Statuses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The values of certificate_status; any other makes the answer tryLater."""

    good: tuple[str | int, ...] = ("good",)
    revoked: tuple[str | int, ...] = ("revoked",)


class QuerySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator says of the database. `every`: a query for all rows, without a parameter;
    `digits`: to how many hexadecimal digits serials are filled up with zeros; `instants`: what
    numbers in the columns of instants count."""

    query: str
    every: str = ""
    serial: Literal["hex", "HEX", "decimal"] = "hex"
    digits: Annotated[int, Meta(ge=1, le=64)] = 1
    instants: Literal["seconds", "milliseconds"] = "seconds"
    columns: Columns = Columns()
    certificate_status: Statuses = Statuses()

    @classmethod
    def parse(cls, data: bytes, *, name: str) -> QuerySettings:
        """The settings in the TOML `data` of the file `name`; `OperatorError` otherwise."""
        try:
            found = msgspec.convert(tomllib.loads(data.decode()), cls)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OperatorError(f"{name}: not TOML: {error}", hint=_HINT) from error
        except msgspec.ValidationError as error:
            raise OperatorError(f"{name}: {error}", hint=_HINT) from error
        for key, text, wanted in (
            ("query", found.query, {"serial"}),
            ("every", found.every, set[str]()),
        ):
            if text or key == "query":
                _check(text, wanted, f"{name}: {key}")
        return found


class SqlQuery:
    """Implements `Ledger` by `settings` over the database at `url`, for the certificates of `ca`.

    Without `every` it cannot list, and `entries` says so.
    """

    def __init__(
        self, url: str, settings: QuerySettings, *, ca: Certificate, patience: int = PATIENCE
    ) -> None:
        self._database = Database(url, foreign=True, patience=patience)
        self._listing = Database(url, foreign=True, patience=LISTING)
        self._settings = settings
        self._ca = ca
        self._one = sa.text(settings.query)
        said = settings.certificate_status
        self._revoked = {str(value): False for value in said.good}
        self._revoked |= {str(value): True for value in said.revoked}

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return self._database.place

    @property
    def blocking(self) -> bool:
        return True

    def entry(self, serial: int, /) -> LedgerEntry | None:
        with self._database.reading() as connection:
            found = connection.execute(self._one, {"serial": self._written(serial)})
            rows = found.mappings().fetchmany(2)
        if len(rows) > 1:
            raise self._bad(
                f"more than one row for serial {serial:x}",
                "let the query ask for this CA alone, as by its issuer's name",
            )
        return self._entry(rows[0], serial) if rows else None

    def entries(self) -> Iterator[LedgerEntry]:
        if not self._settings.every:
            raise self._bad(
                "the query asks for one serial and cannot list", 'add every = "SELECT ..."'
            )
        with self._listing.reading() as connection:
            streamed = connection.execution_options(yield_per=PAGE)
            for row in streamed.execute(sa.text(self._settings.every)).mappings():
                yield self._entry(row, None)

    def close(self) -> None:
        self._database.close()
        self._listing.close()

    # -- below ------------------------------------------------------------------------------

    def _written(self, serial: int) -> str:
        match self._settings.serial:
            case "decimal":
                return str(serial)
            case "hex":
                return f"{serial:x}".zfill(self._settings.digits)
            case "HEX":
                return f"{serial:X}".zfill(self._settings.digits)

    def _entry(self, row: Mapping[Any, Any], serial: int | None) -> LedgerEntry:
        values = {str(name).lower(): value for name, value in row.items()}
        columns = self._settings.columns
        if serial is None:
            serial = self._serial(values, columns.serial)
        name = columns.certificate_status.lower()
        if name not in values:
            raise self._bad(
                f"the query gives no column {columns.certificate_status!r} (it gives "
                f"{', '.join(values)})",
                "name the columns in [columns]",
            )
        said = str(values[name]).strip()
        if said not in self._revoked:
            raise self._bad(
                f"serial {serial:x} has the status {said!r}, which is not mapped",
                "say in [certificate_status] what it means: good or revoked",
            )
        not_after = self._ca.not_after  # no certificate outlives its CA
        if values.get(columns.not_after.lower()) is not None:
            not_after = self._instant(values[columns.not_after.lower()], columns.not_after, serial)
        subject = str(values.get(columns.subject.lower()) or "")
        if not self._revoked[said]:
            return LedgerEntry(serial, not_after, subject=subject)
        return LedgerEntry(
            serial,
            not_after,
            self._instant(values.get(columns.revoked_at.lower()), columns.revoked_at, serial),
            self._reason(values.get(columns.reason.lower()), serial),
            subject,
        )

    def _serial(self, values: Mapping[str, Any], column: str) -> int:
        text = str(values.get(column.lower(), "")).strip()
        try:
            return int(text, 10 if self._settings.serial == "decimal" else 16)
        except ValueError:
            raise self._bad(
                f"{text!r} in the column {column!r} is no serial ({self._settings.serial})",
                "name the column in [columns], and how it is written by serial =",
            ) from None

    def _instant(self, value: object, column: str, serial: int) -> datetime:
        try:
            match value:
                case datetime():
                    at = value
                case int() | float() | Decimal() if not isinstance(value, bool):
                    thousandth = self._settings.instants == "milliseconds"
                    at = datetime.fromtimestamp(int(value) // (1000 if thousandth else 1), UTC)
                case str():
                    at = datetime.fromisoformat(value.strip())
                case _:
                    raise ValueError
        except (ValueError, OverflowError, OSError):
            raise self._bad(
                f"serial {serial:x} has {value!r} in the column {column!r}, which is no instant",
                "name the column in [columns]; instants are timestamps in UTC, ISO 8601 text or"
                " numbers (instants = seconds or milliseconds)",
            ) from None
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return at.replace(microsecond=0)

    def _reason(self, value: object, serial: int) -> RevocationReason | None:
        text = "" if value is None else str(value).strip()
        if not text or text.startswith("-"):  # EJBCA has -1 where there is none
            return None
        found = (
            RevocationReason.by_code(int(text))
            if text.isascii() and text.isdigit()
            else RevocationReason.by_text(text)
        )
        if found is None:
            raise self._bad(
                f"serial {serial:x} has the reason {text!r}, which is no CRLReason",
                "let the query give the code or name of RFC 5280 5.3.1, or NULL",
            )
        return found

    def _bad(self, message: str, hint: str) -> StoreError:
        return StoreError(f"{self._database.place}: {message}", hint=hint)


def _check(text: str, wanted: set[str], what: str) -> None:
    """One SELECT with the parameters `wanted` and no other."""
    if "".join(text.split(maxsplit=1)[:1]).upper() not in ("SELECT", "WITH"):
        raise OperatorError(f"{what}: does not begin with SELECT", hint="nothing but reads is done")
    try:
        found = set(sa.text(text).compile().params)
    except SQLAlchemyError as error:
        raise OperatorError(f"{what}: {error}", hint=_HINT) from error
    if found != wanted:
        has = ", ".join(f":{name}" for name in sorted(found)) or "none"
        needs = ":serial, not in quotes, and no other" if wanted else "none"
        raise OperatorError(
            f"{what}: has the parameters {has}; it takes {needs}",
            hint='write ... WHERE serial = :serial; a colon in a text is written "\\\\:"',
        )
