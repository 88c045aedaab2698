"""However an index.txt changes: what is held by comparing is what a whole read makes of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import StoreError
from holdfast.seams import Ledger, LedgerEntry
from holdfast.stores.index_txt import IndexTxt, read_index
from support.clock import FakeClock
from support.depth import examples

END = "301231235959Z"
SERIALS = st.integers(0, 11)
SUBJECTS = st.sampled_from(["/CN=a", "/CN=a\\\tb", "/CN=\\xC3\\xA4", "", "/CN=" + "long" * 20])
GOOD = st.builds(lambda n, who: f"V\t{END}\t\t{n:02X}\tunknown\t{who}", SERIALS, SUBJECTS)
REVOKED = st.builds(
    lambda n, why, who: f"R\t{END}\t260102030405Z{why}\t{n:X}\tunknown\t{who}",
    SERIALS,
    st.sampled_from(["", ",superseded", ",keyTime,20260101000000Z"]),
    SUBJECTS,
)
ODD = st.sampled_from(
    (
        *("", "# a comment", "\t\t\t", "V\t30123", "E\t200101000000Z\t\t0D\tunknown\t/CN=e\r"),
        "E\t260229000000Z\t\t0C\tunknown\t/CN=no such day",
        f"V\t{END}\t\t0E\tfile\\\tname\t/CN=f",
    )
)
LINES = st.lists(st.one_of(GOOD, GOOD, REVOKED, ODD), max_size=14)
BLOCKS = st.sampled_from([1, 64, 200, 8192])


@st.composite
def changed(draw: st.DrawFn, before: list[str]) -> list[str]:
    """Lines taken out, put in, exchanged, moved or appended."""
    lines = list(before)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines)))
        match draw(st.sampled_from(["put", "take", "change", "append", "cut", "turn", "grow"])):
            case "put":
                lines[at:at] = draw(LINES)
            case "take":
                del lines[at : at + draw(st.integers(1, 4))]
            case "change":
                lines[at : at + 1] = [draw(st.one_of(GOOD, REVOKED))]
            case "append":
                lines += draw(LINES)
            case "cut":
                del lines[at:]
            case "grow":
                lines[-1:] = [line + draw(st.sampled_from("x\t")) for line in lines[-1:]]
            case "turn":
                lines = lines[at:] + lines[:at]
    return lines


@examples(100, slow=2000)
def test_comparing_is_reading_the_whole(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(st.data())
    def law(data: st.DataObject) -> None:
        one_history(data)

    law()


def one_history(data: st.DataObject) -> None:
    block = data.draw(BLOCKS)
    lines = data.draw(LINES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.txt"
        put(path, lines, data, 0)
        ledger = IndexTxt(path, clock=FakeClock(), block=block)
        assert said(ledger) == said(IndexTxt(path, clock=FakeClock()))
        for turn in range(1, data.draw(st.integers(2, 6))):
            lines = data.draw(changed(lines))
            put(path, lines, data, turn)
            assert said(ledger) == said(IndexTxt(path, clock=FakeClock(), block=block))
            assert said(ledger)[0] == plainly(path)


def put(path: Path, lines: list[str], data: st.DataObject, turn: int) -> None:
    """In place or by renaming, with an end of the last line or without."""
    text = "\n".join(lines) + data.draw(st.sampled_from(["\n", "\n", ""]))
    if data.draw(st.booleans()):
        path.write_bytes(text.encode())
    else:
        beside = path.with_name("index.txt.new")
        beside.write_bytes(text.encode())
        beside.replace(path)
    os.utime(path, ns=(turn, turn))  # an instant of its own, long ago


def said(ledger: Ledger) -> tuple[list[LedgerEntry] | None, str]:
    """What it says of all and of each; or of what it complains."""
    try:
        every = list(ledger.entries())
        by_serial = {entry.serial: entry for entry in every}
        for serial in range(17):
            assert ledger.entry(serial) == by_serial.get(serial)
    except StoreError as error:
        return None, error.message
    return every, ""


def plainly(path: Path) -> list[LedgerEntry] | None:
    try:
        return list(read_index(path.read_bytes()).values())
    except StoreError:
        return None
