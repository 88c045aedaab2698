"""What was checked: each check under its id, and how the staple of a host aged, in a small SQLite.

    STATE/web.sqlite   0600; without a folder it lives in memory

Laws: bounded in number, for each host, and in bytes, the oldest go first; a report is compressed,
and one that is too large is cut to its verdict and findings. What is read back was written by us.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.errors import OperatorError

FILE = "web.sqlite"
MAX_DOCUMENT = 256 * 1024  # bytes of JSON; two leaves with all their handshakes are under 20 KiB
VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS checks (
  id TEXT PRIMARY KEY, host TEXT NOT NULL, at INTEGER NOT NULL, verdict TEXT NOT NULL,
  staple TEXT, certificate_status TEXT, this_update TEXT, next_update TEXT, valid INTEGER,
  leaf TEXT, cut TEXT NOT NULL, document BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_host ON checks (host, at);
CREATE INDEX IF NOT EXISTS by_age ON checks (at);
"""

_INSERT = "INSERT OR REPLACE INTO checks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET_OF_HOST = (
    "DELETE FROM checks WHERE id IN (SELECT id FROM checks WHERE host = ? "
    "ORDER BY at DESC, id LIMIT -1 OFFSET ?)"
)
_FORGET = (
    "DELETE FROM checks WHERE id IN (SELECT id FROM ("
    "SELECT id, row_number() OVER latest AS number, sum(length(document)) OVER latest AS bytes "
    "FROM checks WINDOW latest AS (ORDER BY at DESC, id)) WHERE number > ? OR bytes > ?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One check that has ended. `document`: a report of holdfast.check/1. `cut`: why it was ended
    before everything was looked at, "" when it was not."""

    id: str
    host: str
    at: datetime
    document: dict[str, Any]
    cut: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One check in the history of a host; the staple's facts are None when there was none."""

    id: str
    at: datetime
    verdict: str
    staple: str | None
    certificate_status: str | None
    this_update: datetime | None
    next_update: datetime | None
    valid: bool
    leaf: str | None

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "at": _written(self.at),
            "verdict": self.verdict,
            "staple_sha256": self.staple,
            "certificate_status": self.certificate_status,
            "this_update": _written(self.this_update),
            "next_update": _written(self.next_update),
            "valid": self.valid,
            "leaf_sha256": self.leaf,
        }


class History:
    """The checks in the file of `folder`, or in memory when it is None; `size` in bytes."""

    def __init__(
        self, folder: Path | None, *, total: int, per_host: int, size: int = 64 << 20
    ) -> None:
        self._total, self._per_host, self._size = total, per_host, size
        self._lock = threading.Lock()
        path = ":memory:" if folder is None else str(folder / FILE)
        try:
            if folder is not None:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, timeout=5, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"it is of version {version}, not {VERSION}")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={VERSION}")
            self._db.commit()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OperatorError(
                f"{path}: no history can be kept there: {reason}",
                hint="name a folder that this user can write to, or move the file away: "
                "it holds nothing but earlier checks",
            ) from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    async def add(self, checked: Checked) -> None:
        await asyncio.to_thread(self._add, checked)

    async def find(self, identity: str) -> Checked | None:
        return await asyncio.to_thread(self._find, identity)

    async def of(self, host: str) -> tuple[Point, ...]:
        """The checks of `host`, the latest first."""
        return await asyncio.to_thread(self._of, host)

    def _add(self, checked: Checked) -> None:
        document = checked.document
        staple = first_staple(document)
        row = (
            checked.id,
            checked.host,
            int(checked.at.timestamp() * 1000),
            str(document.get("verdict")),
            *(staple.get(key) for key in ("sha256", "certificate_status")),
            *(staple.get(key) for key in ("this_update", "next_update")),
            int(bool(staple.get("valid"))),
            next((leaf.get("sha256") for leaf in document.get("leaves", ())), None),
            checked.cut,
            _packed(document),
        )
        with self._lock, self._db:
            self._db.execute(_INSERT, row)
            self._db.execute(_FORGET_OF_HOST, (checked.host, self._per_host))
            self._db.execute(_FORGET, (self._total, self._size))

    def _find(self, identity: str) -> Checked | None:
        with self._lock:
            row = self._db.execute(
                "SELECT host, at, cut, document FROM checks WHERE id = ?", (identity,)
            ).fetchone()
        if row is None:
            return None
        document = json.loads(zlib.decompress(row[3]))
        at = datetime.fromtimestamp(row[1] / 1000, UTC)
        return Checked(id=identity, host=row[0], at=at, document=document, cut=row[2])

    def _of(self, host: str) -> tuple[Point, ...]:
        with self._lock:
            rows = self._db.execute(
                "SELECT id, at, verdict, staple, certificate_status, this_update, next_update, "
                "valid, leaf FROM checks WHERE host = ? ORDER BY at DESC, id LIMIT ?",
                (host, self._per_host),
            ).fetchall()
        return tuple(
            Point(
                id=row[0],
                at=datetime.fromtimestamp(row[1] / 1000, UTC),
                verdict=row[2],
                staple=row[3],
                certificate_status=row[4],
                this_update=_read(row[5]),
                next_update=_read(row[6]),
                valid=bool(row[7]),
                leaf=row[8],
            )
            for row in rows
        )


def first_staple(document: dict[str, Any]) -> dict[str, Any]:
    """The leaf's staple that a report tells of first; empty when there is none."""
    staples = document.get("staples") or ()
    return next((staple for staple in staples if staple.get("position") == 0), {})


def _packed(document: dict[str, Any]) -> bytes:
    text = json.dumps(document).encode()
    if len(text) > MAX_DOCUMENT:
        told = ("target", "addresses", "servername", "verdict")
        short = {key: document[key] for key in told if key in document}
        findings = document.get("findings", [])[:50]
        text = json.dumps({**short, "findings": findings, "too_large": len(text)}).encode()
    return zlib.compress(text)


def _read(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")
