"""How an index.txt is followed: what a change costs, and that no torn write is ever believed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.seams import LedgerEntry
from holdfast.stores.index_txt import ATTRIBUTES, REST, IndexTxt, read_index, subject_line
from support.clock import FakeClock
from support.pki import a_root, a_server, written
from support.processes import ran

END = "301231235959Z"
COUNT = 5000
A_BLOCK = 200  # lines; more than stand in one


def good(serial: int) -> str:
    return f"V\t{END}\t\t{serial:08X}\tunknown\t/CN=host-{serial}.test\n"


def revoked(serial: int) -> str:
    return f"R\t{END}\t260102030405Z,superseded\t{serial:08X}\tunknown\t/CN=host-{serial}.test\n"


def many() -> list[str]:
    return [good(serial) for serial in range(1, COUNT + 1)]


def renamed(path: Path, text: str) -> None:
    beside = path.with_name("index.txt.new")
    beside.write_text(text)
    beside.replace(path)


def is_revoked(entry: LedgerEntry | None) -> bool:
    assert entry is not None
    return entry.revoked_at is not None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.txt"


def test_an_appended_line_is_read_alone(path: Path) -> None:
    path.write_text("".join(many()))
    ledger = IndexTxt(path)
    assert ledger.entry(COUNT + 1) is None
    assert (ledger.looks.whole, ledger.looks.parsed) == (1, COUNT)
    for serial in range(COUNT + 1, COUNT + 11):
        with path.open("a") as file:
            file.write(good(serial))
        assert ledger.entry(serial) is not None
    assert (ledger.looks.whole, ledger.looks.grown) == (1, 10)
    assert ledger.looks.parsed - COUNT < 10 * A_BLOCK
    assert len(ledger) == COUNT + 10


@pytest.mark.parametrize("which", [1, COUNT // 2, COUNT])
def test_a_changed_line_is_found_by_comparing(path: Path, which: int) -> None:
    """R32."""
    lines = many()
    path.write_text("".join(lines))
    ledger = IndexTxt(path)
    assert not is_revoked(ledger.entry(which))
    lines[which - 1] = revoked(which)
    renamed(path, "".join(lines))
    assert is_revoked(ledger.entry(which))
    assert not is_revoked(ledger.entry(which % COUNT + 1))
    assert ledger.looks.parsed - COUNT < A_BLOCK


def test_a_line_that_grew_is_not_taken_for_an_appended_one(path: Path) -> None:
    """In place, the same file, longer than before: what changed in it may stand anywhere."""
    lines = many()
    path.write_text("".join(lines))
    ledger = IndexTxt(path)
    assert not is_revoked(ledger.entry(7))
    lines[6] = revoked(7)
    path.write_text("".join(lines))
    assert is_revoked(ledger.entry(7))


def test_a_change_that_does_not_show_is_seen_where_it_is_asked_for(path: Path) -> None:
    """Same inode, size and time of change. Another serial in the place of one that was held."""
    text = "".join(many())
    path.write_text(text)
    clock = FakeClock()
    at = clock.now().timestamp()
    os.utime(path, (at, at))
    ledger = IndexTxt(path, clock=clock)
    assert ledger.entry(9) is not None
    in_place(path, text.replace(good(8), good(8).replace("V\t3", "E\t2")))
    os.utime(path, (at, at))
    entry = ledger.entry(8)
    assert entry is not None
    assert entry.not_after.year == 2020
    in_place(path, text.replace(good(9), good(9).replace("V\t3", "E\t2")))
    os.utime(path, (at, at))
    clock.advance(REST)  # 9 is held ready: the look after the rest finds it
    entry = ledger.entry(9)
    assert entry is not None
    assert entry.not_after.year == 2020


def in_place(path: Path, text: str, upto: int | None = None) -> None:
    with path.open("r+b") as file:
        file.write(text.encode()[:upto])


def test_openssl_revokes_and_a_block_is_parsed(tmp_path: Path) -> None:
    """R32, with the program that makes these files."""
    ca, key = written(a_root(), tmp_path, "ca")
    leaf = a_server(a_root(), "www.example")
    (tmp_path / "leaf.pem").write_bytes(leaf.pem)
    serial = leaf.certificate.serial
    path = tmp_path / "index.txt"
    line = f"V\t{END}\t\t{serial:040X}\tunknown\t{subject_line(leaf.certificate)}\n"
    path.write_text("".join(many()[:2000]) + line + "".join(many()[2000:]))
    (tmp_path / "index.txt.attr").write_bytes(ATTRIBUTES)
    config = tmp_path / "openssl.cnf"
    config.write_text(f"[ca]\ndefault_ca = d\n[d]\ndatabase = {path}\ndefault_md = sha256\n")
    ledger = IndexTxt(path)
    assert not is_revoked(ledger.entry(serial))
    before = ledger.looks.parsed
    command = ["openssl", "ca", "-config", config, "-cert", ca, "-keyfile", key]
    done = ran([*command, "-revoke", tmp_path / "leaf.pem", "-crl_reason", "keyCompromise"])
    assert done.returncode == 0, done.stderr
    assert is_revoked(ledger.entry(serial))
    assert ledger.looks.parsed - before < A_BLOCK


# -- torn writes ------------------------------------------------------------------------------


OLD = "".join(good(serial) for serial in (0xA1, 0xA2, 0xA3, 0xA4, 0xA5))
NEW = OLD.replace(good(0xA2), revoked(0xA2)).replace(good(0xA4), revoked(0xA4)) + good(0xA6)


def torn_overwrites() -> Iterator[bytes]:
    """What stands there while NEW is written over OLD, byte after byte."""
    old, new = OLD.encode(), NEW.encode()
    for cut in range(len(new)):
        yield new[:cut] + old[cut:]


def torn_rewrites() -> Iterator[bytes]:
    """The same when OLD is cut to nothing first, as by `cp`."""
    for cut in range(len(NEW)):
        yield NEW.encode()[:cut]


@pytest.mark.parametrize("torn", [torn_overwrites, torn_rewrites])
@pytest.mark.parametrize("block", [64, 8192])
def test_a_torn_write_is_never_answered_from_wrongly(path: Path, torn: object, block: int) -> None:
    """R11: a certificate whose line is not there yet is not one that was never issued."""
    assert callable(torn)
    old, new = (read_index(text.encode()) for text in (OLD, NEW))
    answered = 0
    for there in torn():
        clock = FakeClock()
        now = clock.now().timestamp()
        path.write_text(OLD)
        os.utime(path, (now - 60, now - 60))
        ledger = IndexTxt(path, clock=clock, block=block)
        assert ledger.entry(0xA2) == old[0xA2]
        path.write_bytes(there)
        os.utime(path, (now, now))
        for serial in old:
            try:
                entry = ledger.entry(serial)
            except StoreError:
                continue
            answered += 1
            wanted = (old[serial], new[serial])
            assert entry is not None
            assert (entry.revoked_at, entry.not_after) in [
                (one.revoked_at, one.not_after) for one in wanted
            ]
        path.write_text(NEW)
        os.utime(path, (now + 1, now + 1))
        assert all(ledger.entry(serial) == new[serial] for serial in new)
    assert answered > 0  # or the test could not fail


def test_lost_lines_are_believed_when_the_file_rests(path: Path) -> None:
    """The red twin: an operator may take lines out; until it rests, everything is tryLater."""
    clock = FakeClock()
    path.write_text(OLD)
    now = clock.now().timestamp()
    os.utime(path, (now - 60, now - 60))
    ledger = IndexTxt(path, clock=clock)
    assert ledger.entry(0xA1) is not None
    renamed(path, OLD.replace(good(0xA3), ""))
    os.utime(path, (now, now))
    for _ in range(2):
        with pytest.raises(StoreError, match="lost 1 certificates just now"):
            ledger.entry(0xA1)
    clock.advance(REST / 2)
    with pytest.raises(StoreError, match="lost 1"):
        ledger.entry(0xA1)
    clock.advance(REST)
    assert ledger.entry(0xA1) is not None
    assert ledger.entry(0xA3) is None


@pytest.mark.parametrize("cut", range(1, len(good(0xA6))))
def test_a_half_written_last_line(path: Path, cut: int) -> None:
    path.write_text(OLD)
    ledger = IndexTxt(path, block=64)
    assert ledger.entry(0xA6) is None
    with path.open("a") as file:
        file.write(good(0xA6)[:-cut])
    if good(0xA6)[:-cut].count("\t") == 5:
        assert ledger.entry(0xA6) is not None  # all that counts of it is there
    else:
        with pytest.raises(StoreError, match=r"index\.txt:6: "):
            ledger.entry(0xA1)
    with path.open("a") as file:
        file.write(good(0xA6)[-cut:] + good(0xA7))
    assert ledger.entry(0xA6) == read_index(good(0xA6).encode())[0xA6]
    assert ledger.entry(0xA7) is not None


def test_a_listing_goes_on_with_the_file_that_it_began_with(path: Path) -> None:
    path.write_text("".join(many()))
    ledger = IndexTxt(path)
    listing = ledger.entries()
    next(listing)
    renamed(path, revoked(1))
    os.utime(path, (1, 1))
    assert is_revoked(ledger.entry(1))
    assert sum(1 for _ in listing) == COUNT - 1
    listing = ledger.entries()
    assert sum(1 for _ in listing) == 1


def test_a_listing_of_a_file_that_changes_in_its_place_ends(path: Path) -> None:
    """The red twin: half of one version and half of another would be neither."""
    path.write_text("".join(many()))
    listing = IndexTxt(path).entries()
    next(listing)
    path.write_text(revoked(1) * 3)
    with pytest.raises(StoreError, match="changes while it is read"):
        list(listing)


def test_it_blocks_only_while_it_has_to_be_looked_through(path: Path) -> None:
    clock = FakeClock(datetime(2026, 11, 2, tzinfo=UTC))
    path.write_text(OLD)
    os.utime(path, (1, 1))
    ledger = IndexTxt(path, clock=clock)
    assert ledger.blocking is True
    ledger.entry(1)
    assert ledger.blocking is False
    renamed(path, NEW)
    assert ledger.blocking is True
    ledger.entry(1)
    assert ledger.blocking is False
    path.unlink()
    assert ledger.blocking is False  # told at once
    with pytest.raises(StoreError, match="cannot read"):
        ledger.entry(1)


def test_nobody_sees_a_revocation_undone_while_another_writes(path: Path) -> None:
    """Threads ask while versions are renamed into place, each with one more revoked."""
    lines = many()[:300]
    path.write_text("".join(lines))
    ledger = IndexTxt(path, block=512)
    done = 0
    wrong: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            known = done
            if known and not is_revoked(ledger.entry(known)):
                wrong.append(known)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for serial in range(1, 201):
        lines[serial - 1] = revoked(serial)
        renamed(path, "".join(lines))
        done = serial
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(is_revoked(entry) for entry in ledger.entries()) == 200


def test_memory_does_not_grow_with_what_is_asked(path: Path) -> None:
    """What is kept ready is bounded, and given up when the file changes."""
    path.write_text("".join(many()))
    ledger = IndexTxt(path)
    for serial in range(1, 501):
        ledger.entry(serial)
    assert len(ledger._recent) == 500
    lines = many()
    lines[0] = revoked(1)
    renamed(path, "".join(lines))
    assert is_revoked(ledger.entry(1))
    assert len(ledger._recent) == 1
    assert ledger.entry(COUNT) is not None


def test_a_future_time_of_change_is_no_reason_to_wait(path: Path) -> None:
    clock = FakeClock()
    path.write_text(OLD)
    ledger = IndexTxt(path, clock=clock)
    assert ledger.entry(0xA1) is not None
    ahead = (clock.now() + timedelta(days=1)).timestamp()
    renamed(path, OLD.replace(good(0xA3), ""))
    os.utime(path, (ahead, ahead))
    assert ledger.entry(0xA3) is None
