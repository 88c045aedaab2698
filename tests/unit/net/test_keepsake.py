"""Files put back as they were: bytes, modes, links, and what was not there."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.net.keepsake import Keepsake


def a_tree(folder: Path) -> Path:
    tree = folder / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "one").write_bytes(b"one")
    (tree / "below" / "two").write_bytes(b"two")
    (tree / "link").symlink_to("one")
    (tree / "dangling").symlink_to("nowhere")
    return tree


def state(tree: Path) -> dict[str, str | bytes]:
    return {
        str(p.relative_to(tree)): str(p.readlink()) if p.is_symlink() else p.read_bytes()
        for p in tree.rglob("*")
        if p.is_symlink() or p.is_file()
    }


def test_what_is_kept_is_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Keepsake(tmp_path / "trusted" / "kept").take([])
    finally:
        os.umask(before)
    for folder in (tmp_path / "trusted", tmp_path / "trusted" / "kept"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_tree_comes_back_links_and_all(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    before = state(tree)
    kept = Keepsake(tmp_path / "kept" / "x")
    kept.take([], trees=[tree])
    (tree / "one").unlink()
    (tree / "one").symlink_to("below/two")
    (tree / "link").unlink()
    (tree / "link").write_bytes(b"a file now")
    (tree / "new").write_bytes(b"new")
    (tree / "below" / "two").write_bytes(b"changed")
    (tree / "dangling").unlink()
    kept.seal()
    assert kept.untouched()
    kept.restore()
    assert state(tree) == before
    kept.forget()
    assert not (tmp_path / "kept").exists()


def test_one_change_by_another_is_noticed(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    kept = Keepsake(tmp_path / "kept")
    kept.take([], trees=[tree])
    kept.seal()
    assert kept.untouched()
    (tree / "link").unlink()
    (tree / "link").symlink_to("below/two")
    assert not kept.untouched()


def test_a_file_that_somebody_has_open_is_not_put_back(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "database"
    path.write_bytes(b"before")
    kept = Keepsake(tmp_path / "kept")
    kept.take([path])
    path.write_bytes(b"after")
    kept.seal()
    with path.open("rb") as file, subprocess.Popen(["sleep", "60"], stdin=file) as holder:
        assert not kept.untouched()
        holder.terminate()
    assert kept.untouched()


def test_modes_come_back_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(0o640)
    kept = Keepsake(tmp_path / "kept")
    kept.take([path])
    path.unlink()
    path.write_bytes(b"after")
    kept.seal()
    kept.restore()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"before", 0o640)
