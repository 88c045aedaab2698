"""Sorted rows: in memory and in files, the same."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import StoreError
from holdfast.services.sorted_rows import SortedRows
from support.apart import apart


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=3)), max_size=200))
def test_sorted_in_runs_as_in_memory(rows: list[tuple[bytes, bytes]]) -> None:
    for run in (1, 7, 1000):
        listed = SortedRows(iter(rows), Path("/tmp"), run=run)
        assert list(listed) == sorted(rows)
        assert list(listed) == sorted(rows)
        assert len(listed) == len(rows)
        listed.close()


def test_nothing_is_left_beside_the_shelf(tmp_path: Path) -> None:
    listed = SortedRows(((bytes([n]), b"") for n in range(100)), tmp_path, run=10)
    assert list(tmp_path.iterdir()) == []
    listed.close()


def test_no_room_is_told_with_the_place(tmp_path: Path) -> None:
    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        rows = ((n.to_bytes(8, "big"), b"\x80\x00") for n in range(1000))
        with pytest.raises(StoreError, match="no room to sort") as raised:
            SortedRows(rows, tmp_path, run=500)
        assert str(tmp_path) in raised.value.message
        assert raised.value.hint

    apart(full)
