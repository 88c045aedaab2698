"""Files changed all together or not at all, and taken back without loss of what others wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.setup.transaction import PENDING, Transactions
from holdfast.setup.words import Change

BEFORE, AFTER = b"one\ntwo\nthree\n", b"one\nours\ntwo\nthree\n"


@pytest.fixture
def made(tmp_path: Path) -> Transactions:
    return Transactions(tmp_path / "state" / "nginx")


def a_file(folder: Path, name: str = "site", data: bytes = BEFORE) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def apply(made: Transactions, *changes: Change) -> None:
    made.begin(changes, running=True)
    assert len(list(made.write(changes))) == len(changes)


def off(made: Transactions) -> None:
    changes = made.changes_back()
    apply(made, *changes)
    made.commit()
    made.forget()


def test_mode_is_kept_and_links_are_followed(made: Transactions, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    path.chmod(0o640)
    link = tmp_path / "enabled"
    link.symlink_to("site")
    apply(made, Change(link, BEFORE, AFTER))
    made.commit()
    assert (link.is_symlink(), path.read_bytes()) == (True, AFTER)
    assert path.stat().st_mode & 0o777 == 0o640
    off(made)
    assert (link.is_symlink(), path.read_bytes()) == (True, BEFORE)
    assert path.stat().st_mode & 0o777 == 0o640
    assert not made.made()
    assert not made.changes_back()


def test_changed_just_now_is_refused(made: Transactions, tmp_path: Path) -> None:
    path = a_file(tmp_path, data=b"somebody's\n")
    with pytest.raises(OperatorError, match="somebody changed it just now"):
        made.begin([Change(path, BEFORE, AFTER)], running=True)
    assert (made.pending, path.read_bytes()) == (False, b"somebody's\n")


def test_killed_between_two_files(made: Transactions, tmp_path: Path) -> None:
    one, two = a_file(tmp_path, "one"), a_file(tmp_path, "two")
    new = tmp_path / "new"
    changes = [Change(new, None, AFTER), Change(one, BEFORE, AFTER), Change(two, BEFORE, AFTER)]
    made.begin(changes, running=True)
    steps = made.write(changes)
    next(steps)
    next(steps)
    again = Transactions(made.folder)
    assert (again.pending, again.was_running, one.read_bytes()) == (True, True, AFTER)
    assert again.roll_back() == []
    assert (one.read_bytes(), two.read_bytes()) == (BEFORE, BEFORE)
    assert (new.exists(), again.pending) == (False, False)


def test_rolling_back_leaves_what_somebody_else_wrote(made: Transactions, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    apply(made, Change(path, BEFORE, AFTER))
    path.write_bytes(AFTER.replace(b"ours", b"theirs"))
    (left,) = made.roll_back()
    assert (left.path, path.read_bytes()) == (str(path), b"one\ntheirs\ntwo\nthree\n")
    assert "same lines" in left.why
    assert made.pending


def test_off_after_an_edit_elsewhere_and_of_the_same_lines(
    made: Transactions, tmp_path: Path
) -> None:
    path = a_file(tmp_path)
    apply(made, Change(path, BEFORE, AFTER))
    made.commit()
    path.write_bytes(AFTER.replace(b"ours", b"theirs"))
    with pytest.raises(OperatorError, match="same lines"):
        made.changes_back()
    path.write_bytes(AFTER + b"theirs\n")
    off(made)
    assert path.read_bytes() == BEFORE + b"theirs\n"


def test_a_link_and_the_file_behind_it_in_one(made: Transactions, tmp_path: Path) -> None:
    """As when a module is enabled and its file edited: also when killed before the link is made."""
    path = a_file(tmp_path, "available")
    link = tmp_path / "enabled"
    changes = [Change(link, None, None, link="available"), Change(link, BEFORE, AFTER)]
    made.begin(changes, running=True)
    assert made.roll_back() == []
    assert (os.path.lexists(link), path.read_bytes()) == (False, BEFORE)
    apply(made, *changes)
    made.commit()
    assert (link.readlink(), path.read_bytes()) == (Path("available"), AFTER)
    off(made)
    assert (os.path.lexists(link), path.read_bytes()) == (False, BEFORE)


def test_a_spoiled_journal_says_where_the_files_are(made: Transactions, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    apply(made, Change(path, BEFORE, AFTER))
    (made.folder / PENDING / "journal.json").write_bytes(b"{")
    with pytest.raises(OperatorError, match="spoiled"):
        made.roll_back()
    assert (made.folder / PENDING / "000.before").read_bytes() == BEFORE
