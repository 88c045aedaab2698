"""A ledger asked where nothing may block says what `entry` says, or that it waits (R32)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.seams import Waits, entry_at_once
from holdfast.stores.index_txt import IndexTxt
from support.clock import FakeClock
from support.ledgers import TwoEntries
from support.pki import AT

GOOD = "V\t301231235959Z\t\t0A\tunknown\t/CN=a\n"
GONE = "R\t301231235959Z\t260101000000Z\t0A\tunknown\t/CN=a\n"


def test_r32_a_changed_index_waits_and_is_never_what_it_was(tmp_path: Path) -> None:
    """The revocation is not seen at once, but the old word is never said again."""
    path, clock = tmp_path / "index.txt", FakeClock(AT)
    path.write_text(GOOD)
    ledger = IndexTxt(path, clock=clock)
    ask = entry_at_once(ledger)
    assert ask(10) is Waits.WAITS  # nothing was read yet
    assert ledger.entry(10) is not None
    clock.advance(timedelta(seconds=3))
    ledger.entry(10)
    assert ask(10) == ledger.entry(10)
    assert ask(11) is None
    new = tmp_path / "new"
    new.write_text(GONE)
    new.replace(path)
    clock.advance(timedelta(milliseconds=2))  # past the burst that one look serves
    assert ask(10) is Waits.WAITS
    told = ledger.entry(10)
    assert told is not None
    assert told.revoked_at is not None
    assert ask(10) in (told, Waits.WAITS)


def test_an_index_that_cannot_be_read_is_told_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "index.txt"
    path.write_text(GOOD)
    ledger = IndexTxt(path)
    ledger.entry(10)
    path.unlink()
    with pytest.raises(StoreError, match="cannot read"):
        entry_at_once(ledger)(10)


def test_a_ledger_without_a_cheaper_way_is_asked_whether_it_blocks() -> None:
    assert entry_at_once(TwoEntries())(1) == TwoEntries().entry(1)
    assert entry_at_once(TwoEntries())(3) is None
    assert entry_at_once(TwoEntries(blocking=True))(1) is Waits.WAITS
