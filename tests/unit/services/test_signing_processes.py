"""Signing processes: in order, nobody waits for another, nothing is left of what was broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from holdfast.errors import Unavailable
from holdfast.ocsp.sign import Signer
from holdfast.pki import issue
from holdfast.plan.rows import Rows
from holdfast.plan.rules import Rules
from holdfast.services.signing_processes import SHORT, UNDER_WAY, Batch, SigningProcesses
from holdfast.services.signing_worker import STRETCH, Choose, Orders
from support.apart import apart
from support.clock import FakeClock

AT = datetime(2027, 3, 1, tzinfo=UTC)
CA = issue.root("Test", at=AT)
SIGNER = Signer(CA.certificate, CA.key, CA.certificate)


class Noted:
    """A shelf that notes in a file what is written: a line of serials, another of what is gone."""

    current = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(
        self, serials: Sequence[bytes], values: Sequence[bytes], gone: Sequence[bytes] = ()
    ) -> None:
        said = " ".join(
            serial.hex() for serial, value in zip(serials, values, strict=True) if serial in value
        )
        with self._path.open("a") as file:
            file.write(f"{said}|{' '.join(serial.hex() for serial in gone)}\n")

    def close(self) -> None: ...


def always() -> Choose:
    return lambda _at: SIGNER


def processes_for(path: Path, build: Callable[[], Choose] = always) -> SigningProcesses:
    orders = Orders(
        build=build,
        opened=partial(Noted, path),
        rules=Rules(),
        hash_algorithms=("sha1",),
        clock=FakeClock(AT),
    )
    return SigningProcesses(orders, count=2)


def rows(first: int, count: int = 5) -> Rows:
    return Rows([n.to_bytes(4, "big") for n in range(first, first + count)])


def noted(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def line(batch: Batch, skip: frozenset[bytes] = frozenset()) -> str:
    written = " ".join(serial.hex() for serial, _ in batch.rows if serial not in skip)
    return f"{written}|{' '.join(serial.hex() for serial in batch.gone if serial not in skip)}"


def test_batches_are_written_in_order_whoever_signs_them(tmp_path: Path) -> None:
    """A large one is signed long after the small one that follows it."""

    def work() -> None:
        path = tmp_path / "noted"
        processes = processes_for(path)
        batches = [Batch(rows(1000 * n, 900 if n % 2 else 3), AT, [b"%d" % n]) for n in range(1, 9)]
        done = list(processes.sign(batches))
        processes.close()
        assert done == [(len(batch.rows), batch) for batch in batches]
        assert noted(path) == [line(batch) for batch in batches]

    apart(work)


def test_a_process_has_its_next_batch_before_the_last_is_written(tmp_path: Path) -> None:
    """Else those that end together would wait for each other's commits. It is bounded."""

    def work() -> None:
        path = tmp_path / "noted"
        processes = processes_for(path)
        asked: list[int] = []
        before: list[int] = []

        def source() -> Iterator[Batch]:
            for n in range(20):
                asked.append(n)
                yield Batch(rows(1000 * n, 2 * STRETCH), AT)

        for n, _ in enumerate(processes.sign(source())):
            before.append(asked[-1] - n)
            assert len(noted(path)) >= n + 1
        processes.close()
        assert max(before) >= 2, "both had another"
        assert max(before) <= 2 * UNDER_WAY

    apart(work)


def test_what_was_broken_off_is_not_written_later(tmp_path: Path) -> None:
    def work() -> None:
        path = tmp_path / "noted"
        processes = processes_for(path)
        old = processes.sign(Batch(rows(1000 * n, 2000), AT, [b"x"]) for n in range(10))
        next(old)
        old.close()
        written = len(noted(path))
        assert 1 <= written < 10
        new = [Batch(rows(90_000 + 10 * n), AT) for n in range(4)]
        assert [count for count, _ in processes.sign(new)] == [5] * 4
        processes.close()
        assert noted(path)[written:] == [line(batch) for batch in new]

    apart(work)


def test_a_signer_that_fails_is_told_and_the_next_batches_are_signed(tmp_path: Path) -> None:
    """What was signed before is neither lost silently nor written to another's place."""

    def failing() -> Choose:
        def choose(_at: datetime) -> Signer:
            if not (tmp_path / "mended").exists():
                raise Unavailable("the token is away", hint="wait")
            return SIGNER

        return choose

    def work() -> None:
        path = tmp_path / "noted"
        processes = processes_for(path, failing)
        batches = [Batch(rows(10 * n), AT) for n in range(5)]
        with pytest.raises(Unavailable, match="token is away"):
            list(processes.sign(batches))
        assert noted(path) == []
        (tmp_path / "mended").touch()
        assert [count for count, _ in processes.sign(batches)] == [5] * 5
        assert not processes.broken
        processes.close()
        assert noted(path) == [line(batch) for batch in batches]

    apart(work)


def test_what_changed_since_is_asked_for_just_before_it_is_written(tmp_path: Path) -> None:
    def work() -> None:
        path = tmp_path / "noted"
        processes = processes_for(path)
        left = frozenset({rows(10).serials[2], rows(30).serials[0], b"g"})
        batches = [Batch(rows(10 * n), AT, [b"g"]) for n in range(5)]
        asked: list[Batch] = []

        def skip(batch: Batch) -> frozenset[bytes]:
            asked.append(batch)
            return left

        counts = [count for count, _ in processes.sign(batches, skip)]
        processes.close()
        assert counts == [5, 4, 5, 4, 5]
        assert noted(path) == [line(batch, left) for batch in batches]
        assert [one for n, one in enumerate(asked) if one not in asked[:n]] == batches

    apart(work)


def test_a_long_list_of_changes_is_told_to_a_process_that_reads(tmp_path: Path) -> None:
    """To one that signs it is not: its pipe would be full, and who sends would wait with it."""

    def work() -> None:
        path = tmp_path / "noted"
        processes = processes_for(path)
        batches = [Batch(rows(10_000 * n, 5000), AT) for n in range(12)]
        left = frozenset(serial for batch in batches for serial in batch.rows.serials[::2])
        assert len(left) // len(batches) > SHORT
        counts = [count for count, _ in processes.sign(batches, lambda _batch: left)]
        processes.close()
        assert counts == [2500] * 12
        assert noted(path) == [line(batch, left) for batch in batches]

    apart(work)


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    def killed() -> Choose:
        raise SystemExit(3)

    def work() -> None:
        processes = processes_for(tmp_path / "noted", killed)
        with pytest.raises(Unavailable, match="a signing process ended with code 3"):
            list(processes.sign([Batch(rows(1), AT), Batch(rows(20), AT)]))
        assert processes.broken
        processes.close()

    apart(work)
