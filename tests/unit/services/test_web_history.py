"""What is remembered of checks: bounded in all, for each host and in bytes."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import OperatorError
from holdfast.services.web.history import MAX_DOCUMENT, Checked, History

AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def checked(number: int, host: str = "a.test:443", **more: Any) -> Checked:
    staple = {
        "position": 0,
        "sha256": f"{number:064x}",
        "certificate_status": "good",
        "this_update": "2026-06-01T00:00:00Z",
        "next_update": None,
        "valid": True,
    }
    document = {"target": host, "verdict": "good", "staples": [staple], "leaves": [], **more}
    at = AT + timedelta(milliseconds=number)
    return Checked(id=f"id-{host}-{number}", host=host, at=at, document=document)


def test_what_was_added_is_found_again() -> None:
    async def main() -> None:
        history = History(None, total=10, per_host=10)
        one = checked(7)
        await history.add(one)
        assert await history.find(one.id) == one
        assert await history.find("nothing") is None
        (point,) = await history.of(one.host)
        assert (point.staple, point.valid, point.next_update) == (f"{7:064x}", True, None)
        assert point.this_update == datetime(2026, 6, 1, tzinfo=UTC)
        history.close()

    asyncio.run(main())


def test_the_oldest_go_first_of_a_host_and_of_all() -> None:
    async def main() -> None:
        history = History(None, total=6, per_host=4)
        for number in range(5):
            await history.add(checked(number))
        kept = [point.id for point in await history.of("a.test:443")]
        assert kept == [f"id-a.test:443-{number}" for number in (4, 3, 2, 1)]
        for number in range(5, 9):
            await history.add(checked(number, "b.test:443"))
        assert len(await history.of("b.test:443")) == 4
        assert len(await history.of("a.test:443")) == 2
        history.close()

    asyncio.run(main())


def test_the_oldest_go_when_they_take_too_much_room() -> None:
    async def main() -> None:
        history = History(None, total=100, per_host=100, size=30_000)
        for number in range(10):
            noise = random.Random(number).randbytes(5_000).hex()  # compressed, 5,000 bytes again
            await history.add(checked(number, noise=noise))
        kept = [point.id for point in await history.of("a.test:443")]
        assert kept == [f"id-a.test:443-{number}" for number in (9, 8, 7, 6, 5)]
        history.close()

    asyncio.run(main())


def test_a_report_that_is_too_large_keeps_its_verdict_and_findings() -> None:
    async def main() -> None:
        history = History(None, total=6, per_host=4)
        findings = [{"code": "staple-missing", "message": "no"}] * 60
        large = checked(1, leaves=[{"names": ["x" * MAX_DOCUMENT]}], findings=findings)
        await history.add(large)
        found = await history.find(large.id)
        assert found is not None
        assert found.document["verdict"] == "good"
        assert len(found.document["findings"]) == 50
        assert "leaves" not in found.document
        assert found.document["too_large"] > MAX_DOCUMENT
        history.close()

    asyncio.run(main())


def test_a_file_that_is_no_history_is_told(tmp_path: Path) -> None:
    (tmp_path / "web.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(OperatorError) as caught:
        History(tmp_path, total=1, per_host=1)
    assert "web.sqlite: no history can be kept there" in caught.value.message
    assert "move the file away" in caught.value.hint


def test_a_history_of_another_version_is_not_written_to(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "web.sqlite") as db:
        db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(OperatorError, match="it is of version 9"):
        History(tmp_path, total=1, per_host=1)
