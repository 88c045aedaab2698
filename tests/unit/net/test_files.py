"""net/files: bounded reads, atomic writes (K3)."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded, require_private, write_atomic


def test_reads_whole(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert read_bounded(tmp_path / "f", 3) == b"abc"


def test_reads_no_more_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abcd")
    with pytest.raises(OperatorError, match="larger than 3 bytes"):
        read_bounded(tmp_path / "f", 3)
    with pytest.raises(OperatorError, match="larger than"):
        read_bounded("/dev/zero", 1000)


def test_reads_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    threading.Timer(0.05, lambda: (os.write(writing, b"late"), os.close(writing))).start()
    assert read_bounded(f"/dev/fd/{reading}", 100) == b"late"
    os.close(reading)


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing", "No such file"), (".", "directory"), ("a\0b", "null"), ("f/x", "Not a dir")],
)
def test_unreadable_names_the_file(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(OperatorError, match=f"(?i)cannot read .*{said}"):
        read_bounded(f"{tmp_path}/{name}", 10)


def test_k3_write_replaces_whole_with_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o644)
    old_umask = os.umask(0o077)
    try:
        write_atomic(path, b"new", 0o640)
    finally:
        os.umask(old_umask)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["f"]


def test_k3_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    (tmp_path / "d").mkdir()
    with pytest.raises(OperatorError, match="cannot write"):
        write_atomic(tmp_path / "d", b"new")
    with pytest.raises(OperatorError, match=r"cannot write .*No such file"):
        write_atomic(tmp_path / "nowhere" / "f", b"new")
    with pytest.raises(TypeError):
        write_atomic(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["d", "f"]


def test_write_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new", fsync=False)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("mode", "group", "fine"),
    [
        (0o600, False, True),
        (0o400, False, True),
        (0o640, False, False),
        (0o640, True, True),
        (0o644, True, False),
        (0o604, False, False),
    ],
)
def test_private_files(tmp_path: Path, mode: int, group: bool, fine: bool) -> None:
    path = tmp_path / "key"
    path.touch()
    path.chmod(mode)
    if fine:
        require_private(path, group=group)
    else:
        with pytest.raises(OperatorError, match=f"{mode:04o}") as caught:
            require_private(path, group=group)
        assert caught.value.hint.startswith("chmod 6")


def test_private_missing_is_silent(tmp_path: Path) -> None:
    require_private(tmp_path / "missing")
