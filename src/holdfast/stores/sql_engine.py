"""A database of SQLite or PostgreSQL: reached, read and written with deadlines.

Laws: a write is one transaction; in SQLite it takes the write lock first, so that two processes
cannot both win; readers see whatever was committed before they asked (no cache), also when another
file was put in the place of an SQLite database. A foreign database is only ever read: its file is
opened read-only, its transactions are READ ONLY. Every wait has an end. Passwords are not told.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from holdfast.errors import OperatorError, StoreError

PATIENCE = 10_000  # milliseconds to wait for another writer, and for one statement
CONNECT = 5  # seconds to reach a server
_STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock

_WRITES = {"holdfast_writes": True}
_READS = {"postgresql_readonly": True}  # other databases pass it over
_URL_HINT = (
    "write sqlite:///relative/path, sqlite:////absolute/path, the path alone, or"
    " postgresql://user@host/database"
)


class Database:
    """The database at `url`; `place` is what messages call it.

    `foreign`: it is not ours, and nothing of it is changed, its journal mode included. `patience`:
    milliseconds that a statement may take, or wait for another's lock.
    """

    def __init__(
        self,
        url: str,
        *,
        must_exist: bool = True,
        foreign: bool = False,
        patience: int = PATIENCE,
    ) -> None:
        parsed = _parsed(url)
        self._file: tuple[int, int] | None = None
        self._path: str | None = None
        if parsed.get_backend_name() == "sqlite":
            self._path = self.place = str(parsed.database)
            if must_exist and not Path(self._path).exists():
                raise StoreError(
                    f"{self.place}: there is no such " + ("database" if foreign else "ledger"),
                    hint="check the path" if foreign else "'holdfast ca init' makes one",
                )
            self.engine = _sqlite(parsed, foreign=foreign, patience=patience)
            self._hint = (
                f"{'it' if foreign else 'the ledger'} is an SQLite database; see that it is"
                " readable"
            )
        else:
            self.place = _shown(parsed)
            self.engine = _postgresql(parsed, patience)
            self._hint = (
                "see that the server runs, that this user may connect (pg_hba.conf, ~/.pgpass)"
                " and what its log says"
            )

    @property
    def is_file(self) -> bool:
        return self._path is not None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading; what goes wrong is a `StoreError`."""
        with self.told():
            if self._path is not None:
                found = os.stat(self._path)
                if self._file != (found.st_dev, found.st_ino):
                    self.engine.dispose()  # another file stands there now: a backup put back
                    self._file = (found.st_dev, found.st_ino)
            with self.engine.connect().execution_options(**_READS) as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction, committed at the end; what goes wrong is a `StoreError`."""
        with self.told(), self.engine.execution_options(**_WRITES).begin() as connection:
            yield connection

    @contextmanager
    def told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().replace("\n", "; ")
            raise StoreError(f"{self.place}: {reason}", hint=self._hint) from error

    def close(self) -> None:
        self.engine.dispose()


def lasting(url: str) -> str:
    """`url` as it can be written down for later, from wherever it is read and for whoever may:
    absolute, and without a password. `OperatorError` when it has one."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return os.path.abspath(str(parsed.database))
    if parsed.password is not None or "password" in parsed.query:
        raise OperatorError(
            f"{_shown(parsed)}: the password would be written down where others can read it",
            hint="leave it out: libpq takes it from ~/.pgpass, PGPASSFILE or a service file",
        )
    return parsed.render_as_string()


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url if "://" in url else f"sqlite:///{url}")
    except (SQLAlchemyError, ValueError) as error:
        raise OperatorError("that is not a database URL", hint=_URL_HINT) from error
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql")
    if parsed.drivername != "sqlite" or not parsed.database:
        raise OperatorError(
            f"{_shown(parsed)}: neither an SQLite file nor a PostgreSQL database",
            hint=_URL_HINT,
        )
    return parsed


def _shown(parsed: sa.URL) -> str:
    """The URL without a password, wherever it stands."""
    return parsed.difference_update_query(["password"]).render_as_string(hide_password=True)


def _postgresql(parsed: sa.URL, patience: int) -> sa.Engine:
    reach = {
        "connect_timeout": CONNECT,
        "tcp_user_timeout": PATIENCE,  # a host that is gone is noticed, not waited for
        "application_name": "holdfast",
    }
    try:
        engine = sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            # what the operator's URL says of these is heard
            connect_args={k: v for k, v in reach.items() if k not in parsed.query},
            pool_pre_ping=True,  # the server may have been restarted
            pool_timeout=PATIENCE / 1000,
        )
    except ModuleNotFoundError as error:
        raise OperatorError(
            "PostgreSQL needs the package psycopg", hint="pip install 'holdfast[responder]'"
        ) from error

    def on_connect(connection: Any, _: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SET statement_timeout = {patience}")
        connection.execute(f"SET lock_timeout = {patience}")
        connection.execute("SET TIME ZONE 'UTC'")
        connection.autocommit = False

    sa.event.listen(engine, "connect", on_connect)
    return engine


def _sqlite(parsed: sa.URL, *, foreign: bool, patience: int) -> sa.Engine:
    if foreign:
        path = quote(os.path.abspath(str(parsed.database)))

        def opened() -> sqlite3.Connection:
            return sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, timeout=patience / 1000, check_same_thread=False
            )

        def on_checkout(connection: Any, _record: Any, _proxy: Any) -> None:
            """A deadline for what is asked with this connection: SQLite has none of its own."""
            end = time.monotonic() + patience / 1000
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)

        engine = sa.create_engine("sqlite://", creator=opened, poolclass=sa.QueuePool)
        sa.event.listen(engine, "connect", _on_foreign)
        sa.event.listen(engine, "checkout", on_checkout)
        return engine
    engine = sa.create_engine(parsed)
    sa.event.listen(engine, "connect", _on_connect)
    sa.event.listen(engine, "begin", _on_begin)
    return engine


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


def _on_foreign(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA query_only = ON")
