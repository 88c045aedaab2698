"""What a server was not told of, as files. K27."""

from __future__ import annotations

import stat
from pathlib import Path

from holdfast.servers.owed import Owed
from support.staples import a_desk

X = a_desk("x.test", serial=1).subject.certid
Y = a_desk("y.test", serial=2).subject.certid


def test_noted_for_one_server_until_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "owed"
    Owed("web", folder=folder).add(X, "x.test")
    again, other = Owed("web", folder=folder), Owed("mail", folder=folder)
    assert X in again
    assert Y not in again
    assert X not in other
    assert [(debt.certid, debt.name) for debt in again.noted()] == [(X, "x.test")]
    assert not list(other.noted())
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]
    again.discard(X)
    again.discard(X)
    assert X not in Owed("web", folder=folder)


def test_without_a_folder_it_is_known_here_only() -> None:
    owed = Owed("web")
    owed.add(X, "x.test")
    assert X in owed
    assert not list(owed.noted())
    owed.discard(X)
    assert X not in owed


def test_what_cannot_be_noted_hinders_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    owed = Owed("web", folder=tmp_path / "file" / "owed")
    owed.add(X, "x.test")
    assert X in owed
    owed.discard(X)
    assert X not in owed


def test_garbage_is_passed_over(tmp_path: Path) -> None:
    owed = Owed("web", folder=tmp_path)
    owed.add(X, "x.test")
    for number, text in enumerate(("", "{}", "[]", '{"server": "web", "serial": 7}', "\xff")):
        (tmp_path / f"{number}.json").write_text(text, encoding="latin-1")
    assert [debt.certid for debt in owed.noted()] == [X]
