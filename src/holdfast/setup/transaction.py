"""Changes of files that are all made, or all taken back, whatever happens between.

    STATE/setup/NAME/pending/    begun and not ended: journal.json, and each file as it was
    STATE/setup/NAME/done-0007/  made: what `--off` takes back, the newest first

Laws: what a file held is on disk, and durable, before the file is touched; a file is replaced
whole, with its owner and mode, behind its symbolic links; what somebody else has written since is
never thrown away; a run that was killed is taken back by the next.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec

from holdfast.conf.merge import taken_back
from holdfast.conf.text import read_text, written
from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded, sync_directory, trouble, write_atomic
from holdfast.setup.words import Change

JOURNAL = "journal.json"
PENDING = "pending"
PRIVATE = 0o600
OURS = {".ocsp", ".issuer"}  # made by setup, and renewed by the keeper: nobody's own words


class _Row(msgspec.Struct, frozen=True):
    """One change. `before` and `after`: the files of the journal that hold them, None: no file."""

    path: str
    before: str | None
    after: str | None
    mode: int
    link: str | None = None
    unlink: bool = False


class _Journal(msgspec.Struct, frozen=True):
    """`running`: whether the server ran when it began."""

    running: bool
    rows: list[_Row]


class Left(msgspec.Struct, frozen=True):
    """A file that could not be taken back, and why."""

    path: str
    why: str


class Transactions:
    """The changes that were made of one server's configuration, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def pending(self) -> bool:
        """True when a run was begun and did not end."""
        return (self.folder / PENDING / JOURNAL).exists()

    @property
    def was_running(self) -> bool:
        """Whether the server ran when what is pending was begun."""
        return self._journal(self.folder / PENDING).running

    def made(self) -> list[Path]:
        """What `take_back` can take, the newest first."""
        return sorted(self.folder.glob("done-*"), reverse=True)

    def begin(self, changes: Sequence[Change], *, running: bool) -> None:
        """Keep what the files hold now. `OperatorError` when one is not as its change expects, or
        cannot be written, and then nothing has happened."""
        changes = _behind_new_links(changes)
        for change in changes:
            _refuse_unwritable(change)
        making = self.folder / f"{PENDING}.new"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(mode=0o700)
            rows = [_kept(making, number, change) for number, change in enumerate(changes)]
            journal = msgspec.json.encode(_Journal(running, rows))
            write_atomic(making / JOURNAL, journal, PRIVATE)
            os.replace(making, self.folder / PENDING)
            sync_directory(self.folder)
        except OSError as error:
            raise trouble("cannot keep the files as they are, in", self.folder, error) from error

    def write(self, changes: Sequence[Change]) -> Iterator[Change]:
        """Make the changes that were begun, in their order; each is told once it is made."""
        for change, behind in zip(changes, _behind_new_links(changes), strict=True):
            _make(behind)
            yield change

    def commit(self) -> None:
        """They stay."""
        numbers = [int(path.name.partition("-")[2]) for path in self.made()]
        target = self.folder / f"done-{max(numbers, default=0) + 1:04}"
        try:
            os.replace(self.folder / PENDING, target)
            sync_directory(self.folder)
        except OSError as error:
            raise trouble("cannot keep the record of the changes, in", target, error) from error

    def roll_back(self) -> list[Left]:
        """Take back what is pending; what is left, where somebody else wrote meanwhile."""
        return self._undo(self.folder / PENDING)

    def changes_back(self) -> list[Change]:
        """What takes back all that was made; `OperatorError` where somebody's later edit of the
        same lines is in the way."""
        files: dict[str, tuple[bytes | None, int]] = {}
        links: list[Change] = []
        for record in self.made():
            for row, before, after in reversed(self._rows(record)):
                path = Path(row.path)
                if row.link is not None:
                    if path.is_symlink() and os.readlink(path) == row.link:
                        links.append(Change(path, None, None, link=row.link, unlink=True))
                    continue
                now = files[row.path][0] if row.path in files else _read(path)
                back = _back(path, before, after, now)
                if isinstance(back, str):
                    raise OperatorError(
                        f"{path}: {back}", hint=f"how it was before: {record / (row.before or '')}"
                    )
                files[row.path] = (back, row.mode)
        changes = [
            Change(Path(path), now, back, mode)
            for path, (back, mode) in files.items()
            if (now := _read(Path(path))) != back
        ]
        return [*changes, *links]

    def forget(self) -> None:
        """Nothing is there to be taken back any more."""
        for record in [*self.made(), self.folder / PENDING]:
            self._drop(record)

    def _undo(self, record: Path) -> list[Left]:
        left = []
        for row, before, after in reversed(self._rows(record)):
            try:
                why = _undone(row, before, after)
            except HoldfastError as error:
                why = error.message
            if why:
                left.append(Left(row.path, why))
        if not left:
            self._drop(record)
        return left

    def _drop(self, record: Path) -> None:
        ended = self.folder / "ended"
        shutil.rmtree(ended, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.replace(record, ended)
        shutil.rmtree(ended, ignore_errors=True)

    def _rows(self, record: Path) -> list[tuple[_Row, bytes | None, bytes | None]]:
        return [
            (
                row,
                None if row.before is None else read_bounded(record / row.before),
                None if row.after is None else read_bounded(record / row.after),
            )
            for row in self._journal(record).rows
        ]

    def _journal(self, record: Path) -> _Journal:
        try:
            return msgspec.json.decode(read_bounded(record / JOURNAL), type=_Journal)
        except msgspec.MsgspecError as error:
            raise OperatorError(
                f"{record / JOURNAL}: spoiled: {error}",
                hint="the files as they were lie beside it; put them back by hand",
            ) from error


def _kept(folder: Path, number: int, change: Change) -> _Row:
    names = []
    for what, data in (("before", change.before), ("after", change.after)):
        name = None if data is None else f"{number:03}.{what}"
        if name is not None and data is not None:
            write_atomic(folder / name, data, PRIVATE)
        names.append(name)
    path = os.path.abspath(change.path)
    return _Row(path, names[0], names[1], change.mode, change.link, change.unlink)


def _behind_new_links(changes: Sequence[Change]) -> list[Change]:
    """`changes`, with the files meant by paths that are links only once these are made."""
    links = {
        change.path: Path(os.path.normpath(change.path.parent / change.link))
        for change in changes
        if change.link is not None and not change.unlink
    }
    return [
        change
        if change.link is not None or change.path not in links
        else replace(change, path=links[change.path])
        for change in changes
    ]


def _refuse_unwritable(change: Change) -> None:
    path = change.path
    if change.link is None and _read(path) != change.before:
        raise OperatorError(
            f"{path}: somebody changed it just now", hint="nothing was changed; run it again"
        )
    folder = Path(os.path.realpath(path)).parent
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise OperatorError(
            f"{path}: cannot be written, {folder} is not this user's to write",
            hint="run it as root, or as the user whose file it is",
        )


def _make(change: Change) -> None:
    if change.link is not None:
        _link(change.path, change.link, there=not change.unlink)
    else:
        _put(change.path, change.after, change.mode)


def _link(path: Path, target: str, *, there: bool) -> None:
    """See to it that the link is there, or is not; what else stands in its place is left."""
    try:
        is_it = path.is_symlink() and os.readlink(path) == target
        if there and not is_it:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            os.symlink(target, path)
        elif is_it and not there:
            path.unlink()
    except OSError as error:
        raise trouble("cannot change the link", path, error) from error


def _undone(row: _Row, before: bytes | None, after: bytes | None) -> str:
    """Take one change back; why it was not, or ""."""
    path = Path(row.path)
    if row.link is not None:
        _link(path, row.link, there=row.unlink)
        return ""
    now = _read(path)
    back = _back(path, before, after, now)
    if isinstance(back, str):
        return back
    if back != now:
        _put(path, back, row.mode)
    return ""


def _back(
    path: Path, before: bytes | None, after: bytes | None, now: bytes | None
) -> bytes | str | None:
    """What a file becomes when a change is taken back; a str says why it cannot be."""
    if now in (before, after) or (before is None and path.suffix in OURS):
        return before
    if now is None:
        return "it is gone"
    if before is None or after is None:
        return "somebody has written it since" if after is None else "somebody changed it since"
    found = taken_back(read_text(before), read_text(after), read_text(now))
    return "somebody changed the same lines since" if found is None else written(found)


def _read(path: Path) -> bytes | None:
    return read_bounded(path) if os.path.exists(path) else None


def _put(path: Path, data: bytes | None, mode: int) -> None:
    """`data` into the file behind `path`, with the owner and mode it has; None: no file."""
    try:
        if data is None:
            path.unlink(missing_ok=True)
            sync_directory(path.parent)
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        told = target.stat() if target.exists() else None
    except OSError as error:
        raise trouble("cannot write", path, error) from error
    if told is None:
        write_atomic(path, data, mode)
    else:
        write_atomic(path, data, told.st_mode & 0o7777, owner=(told.st_uid, told.st_gid))


def folder_of(state: Path, kind: str, *, config: str = "") -> Path:
    """Where the changes of a server are kept: one folder for each main configuration."""
    mark = sha256(config.encode()).hexdigest()[:8] if config else ""
    return state / "setup" / (f"{kind}-{mark}" if mark else kind)
