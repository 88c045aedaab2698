"""Sorted rows: in memory and in files, the same."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import StoreError
from holdfast.plan.rows import GOOD_DER, Rows
from holdfast.services.sorted_rows import SortedRows
from support.apart import apart

SERIALS = st.binary(min_size=1, max_size=20) | st.sampled_from([b"\x01", b"\x01\x00", b"\x02"])
SAID = st.just(GOOD_DER) | st.binary(max_size=3).map(b"\xa1".__add__)
ROWS = st.lists(st.tuples(SERIALS, SAID), max_size=200)


@given(ROWS, st.integers(1, 50))
def test_sorted_in_runs_as_in_memory(rows: list[tuple[bytes, bytes]], length: int) -> None:
    """Each serial once, with the last in order of what is said: revoked (0xa1), not good (0x80)."""
    expected = sorted(dict(sorted(rows)).items())
    for run in (1, 7, 1000):
        listed = SortedRows(parted(rows, length), Path("/tmp"), run=run)
        assert list(listed) == expected
        assert list(listed) == expected
        assert len(listed) == len(rows)
        shares: list[int] = []

        def share(left: int, shares: list[int] = shares) -> int:
            shares.append(left)
            return length

        drained = list(listed.drained(share))
        assert [row for part in drained for row in part] == expected
        assert all(len(part) == length for part in drained[:-1])
        assert shares[0] == len(rows)
        assert shares[-1] == len(rows) - len(expected), "less those of one serial"
        listed.close()


def parted(rows: list[tuple[bytes, bytes]], length: int) -> Iterator[Rows]:
    return (Rows.of(rows[start : start + length]) for start in range(0, len(rows), length))


def test_nothing_is_left_beside_the_shelf(tmp_path: Path) -> None:
    listed = SortedRows((Rows([bytes([n])]) for n in range(100)), tmp_path, run=10)
    assert list(tmp_path.iterdir()) == []
    listed.close()


def test_no_room_is_told_with_the_place(tmp_path: Path) -> None:
    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        rows = (Rows([n.to_bytes(8, "big")]) for n in range(1000))
        with pytest.raises(StoreError, match="no room to sort") as raised:
            SortedRows(rows, tmp_path, run=500)
        assert str(tmp_path) in raised.value.message
        assert raised.value.hint

    apart(full)
