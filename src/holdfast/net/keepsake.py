"""Files as they were before somebody's tool changed them, so that they can be put back.

Laws: what was there is copied before, what came of it is known by its hash after; it is put back
byte for byte only while nobody else has changed it since and no other process has it open.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded, write_atomic

MAX_FILE = 256 << 20  # bytes; a browser's database of certificates is a few hundred KiB


class Keepsake:
    """What some files were, kept in `folder`, which is made by `take` and gone after `restore`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def taken(self) -> bool:
        return (self.folder / "files.json").exists()

    def take(self, paths: Iterable[Path]) -> None:
        """Copy what is at `paths` now; call `seal` when they have been changed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, dict[str, object]] = {}
        for index, path in enumerate(paths):
            row: dict[str, object] = {"copy": None, "after": None, "made": _missing(path.parent)}
            if path.exists():
                row["copy"] = f"{index}.kept"
                row["mode"] = path.stat().st_mode & 0o7777
                write_atomic(self.folder / f"{index}.kept", read_bounded(path, MAX_FILE), 0o600)
            files[str(path)] = row
        self._write(files)

    def seal(self) -> None:
        """Note what the files have become."""
        files = self._files()
        for name, row in files.items():
            row["after"] = _hash(Path(name))
        self._write(files)

    def untouched(self) -> bool:
        """True when nobody changed the files since `seal`, and nobody else has them open."""
        files = self._files()
        return all(
            _hash(Path(name)) == row["after"] for name, row in files.items()
        ) and not _opened_by_others({os.path.realpath(name) for name in files})

    def restore(self) -> None:
        """Put the files back as they were when taken; those that were not there are removed."""
        for name, row in self._files().items():
            path = Path(name)
            copy, mode = row["copy"], row.get("mode", 0o644)
            if isinstance(copy, str) and isinstance(mode, int):
                kept = read_bounded(self.folder / copy, MAX_FILE)
                if _hash(path) != hashlib.sha256(kept).hexdigest():
                    write_atomic(path, kept, mode)
                continue
            path.unlink(missing_ok=True)
            made = row["made"]
            for folder in made if isinstance(made, list) else []:
                with contextlib.suppress(OSError):  # somebody put something else there
                    os.rmdir(str(folder))

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are kept beside
            self.folder.parent.rmdir()

    def _files(self) -> dict[str, dict[str, object]]:
        path = self.folder / "files.json"
        try:
            files = json.loads(read_bounded(path, 1 << 20))["files"]
            if not isinstance(files, dict):
                raise TypeError("files is no table")
            return files
        except (ValueError, KeyError, TypeError) as error:
            raise OperatorError(
                f"{path}: spoiled: {error}", hint="take the folder away and untrust by hand"
            ) from error

    def _write(self, files: dict[str, dict[str, object]]) -> None:
        text = json.dumps({"schema": 1, "files": files}, indent=2) + "\n"
        write_atomic(self.folder / "files.json", text.encode(), 0o600)


def _hash(path: Path) -> str | None:
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
