"""Files as they were before somebody's tool changed them, so that they can be put back.

Laws: what was there is copied before, what came of it is known by its hash after; it is put back
byte for byte, links as links, only while nobody else has changed it since and no other process has
it open.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded, write_atomic

MAX_FILE = 256 << 20  # bytes; a browser's database of certificates is a few hundred KiB
MAX_FILES = 50_000  # of a tree


class Keepsake:
    """What some files were, kept in `folder`, which `take` makes and `forget` removes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def taken(self) -> bool:
        return (self.folder / "files.json").exists()

    def take(self, paths: Iterable[Path], *, trees: Iterable[Path] = ()) -> None:
        """Keep what is at `paths`, links followed, and everything below `trees`, as it is now; call
        `seal` when it has been changed."""
        self.forget()
        for made in (self.folder.parent, self.folder):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        named, trees = [Path(os.path.realpath(path)) for path in paths], list(trees)
        files = {str(p): self._kept(p, i) for i, p in enumerate([*named, *_below(trees)])}
        self._write(
            {
                "files": files,
                "named": [str(path) for path in named],
                "trees": [str(tree) for tree in trees],
                "made": [name for path in named for name in _missing(path.parent)],
                "after": {},
            }
        )

    def seal(self) -> None:
        """Note what it has become."""
        held = self._read()
        self._write({**held, "after": _state(held)})

    def untouched(self) -> bool:
        """True when nobody changed anything since `seal`, and nobody else has a file open."""
        held = self._read()
        opened = {os.path.realpath(name) for name in held["named"]}
        return bool(_state(held) == held["after"]) and not _opened_by_others(opened)

    def restore(self) -> None:
        """Put everything back as it was when taken; what was not there is removed."""
        held = self._read()
        before: dict[str, dict[str, Any]] = held["files"]
        for name in _state(held):
            if name not in before:
                Path(name).unlink(missing_ok=True)
        for name, row in before.items():
            self._put_back(Path(name), row)
        for name in held["made"]:
            with contextlib.suppress(OSError):  # somebody put something else there
                os.rmdir(name)

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are kept beside, or it is not there
            self.folder.parent.rmdir()

    def _kept(self, path: Path, index: int) -> dict[str, Any]:
        if path.is_symlink():
            return {"link": os.readlink(path)}
        if not path.exists():
            return {}
        data = read_bounded(path, MAX_FILE)
        write_atomic(self.folder / f"{index}.kept", data, 0o600, fsync=False)
        return {"copy": f"{index}.kept", "mode": path.stat().st_mode & 0o7777}

    def _put_back(self, path: Path, row: dict[str, Any]) -> None:
        if "link" in row:
            if not path.is_symlink() or os.readlink(path) != row["link"]:
                path.unlink(missing_ok=True)
                path.symlink_to(row["link"])
        elif "copy" in row:
            kept = read_bounded(self.folder / row["copy"], MAX_FILE)
            if path.is_symlink():
                path.unlink()
            if _hash(path) != hashlib.sha256(kept).hexdigest():
                write_atomic(path, kept, row["mode"])
        else:
            path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        path = self.folder / "files.json"
        try:
            held = json.loads(read_bounded(path, MAX_FILE))
            if held["schema"] != 1:
                raise ValueError(f"schema {held['schema']}")
        except (ValueError, KeyError, TypeError) as error:
            raise OperatorError(
                f"{path}: spoiled: {error}", hint="take the folder away and untrust by hand"
            ) from error
        assert isinstance(held, dict)
        return held

    def _write(self, held: dict[str, Any]) -> None:
        text = json.dumps({**held, "schema": 1}, indent=1) + "\n"
        write_atomic(self.folder / "files.json", text.encode(), 0o600)


def _below(trees: Iterable[Path]) -> Iterator[Path]:
    """Every file and link, links not followed."""
    count = 0
    for tree in trees:
        for folder, _, names in os.walk(tree):
            for name in names:
                path = Path(folder, name)
                if path.is_symlink() or path.is_file():
                    yield path
                    count += 1
                if count > MAX_FILES:
                    raise OperatorError(f"{tree}: more than {MAX_FILES} files")


def _state(held: dict[str, Any]) -> dict[str, str | None]:
    """What is there now, by name: a hash, where a link leads, None for nothing."""
    named = map(Path, held["named"])
    return {str(path): _hash(path) for path in [*named, *_below(map(Path, held["trees"]))]}


def _hash(path: Path) -> str | None:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    if not path.exists():
        return None
    return hashlib.sha256(read_bounded(path, MAX_FILE)).hexdigest()


def _missing(folder: Path) -> list[str]:
    """The folders that must be made for `folder` to be there, the innermost first."""
    missing = []
    while not folder.exists():
        missing.append(str(folder))
        folder = folder.parent
    return missing


def _opened_by_others(paths: set[str]) -> bool:
    """Whether another process has one of `paths` open, as far as we may see (Linux)."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            opened = [os.readlink(entry.path) for entry in os.scandir(process / "fd")]
        except OSError:
            continue  # it ended, or it is another user's
        if paths & {*opened}:
            return True
    return False
