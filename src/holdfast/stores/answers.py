"""Answers: the file of responses that were signed ahead, read by every process that serves them.

One LMDB file for several CAs; LMDB is a tree in a memory map, so that reading neither copies nor
locks, and a commit is there for every process at once. Laws: a read sees every commit before it;
the transaction of an event loop's reads is kept until the next commit, and for a second at most, so
that no old page is pinned for long; whatever is wrong with the file is a `StoreError`; a file that
was put in the place of another is noticed within `LOOK_EVERY`; one process opens a file once, after
it was forked. The form of the file has a number, and another number is refused. Written by
`answers_filling`.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock, get_ident
from time import monotonic
from typing import Any

from holdfast.errors import StoreError
from holdfast.plan.record import DIGEST_AT, SIZE, TIMES
from holdfast.seams import HeldAnswer
from holdfast.stores.answers_commits import Commits
from holdfast.stores.lmdb_package import lmdb

FORM = b"holdfast answers 2"
FORM_KEY = b"form"
MARK_KEY = b"ca "  # before a CA's tag: its mark, so that two CAs of one tag are told apart
COMPARED_KEY = b"compared "  # before a CA's tag: when the ledger was last compared
ANSWERS = b"answers "  # before a CA's tag: the name of its database

MAX_SHELF = 1 << 38  # bytes of address space, not of disk: 700 million responses
MAX_CAS = 256
MAX_READERS = 1022  # transactions at one time; one a process
LOOK_EVERY = 1.0  # seconds between two looks whether another file stands there
KEPT_FOR = 1.0  # seconds for which a transaction of reads is kept: beginning one costs a read

_Kept = tuple[int, int, Callable[..., Any], Any]
"""The last commit that a transaction sees, its thread, its `get`, itself."""

_times = TIMES.unpack_from
_made = tuple.__new__  # a NamedTuple made so costs half
_LITTLE = 16 << 20  # bytes; a commit of 10,000 answers may need as many
_ROOM = (
    "make room on that file system; what was committed before is kept, and signing goes on there"
)
_HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "the limit on the size of files is too low (ulimit -f, LimitFSIZE=)",
    errno.EACCES: "readers too need to write the file beside it that ends in -lock: run as the "
    "user who fills it, or give a common group write access to both",
    errno.ENOMEM: "the limit on address space is too low (ulimit -v, LimitAS=): the file is mapped",
    errno.EIO: "the disk is full, or broken",
    errno.EROFS: "the file system is mounted read-only",
}
_DAMAGED = "take the file and its -lock away; `holdfast presign` fills a new one"


class Answers:
    """The `AnswerShelf` in the file at `path`. `keep_for`: seconds for which the transaction of an
    event loop's reads is kept."""

    def __init__(self, path: str | os.PathLike[str], *, keep_for: float = KEPT_FOR) -> None:
        self.path = Path(path)
        self._keep_for = keep_for
        self._env: Any = None
        self._last: Callable[[], int] = _never
        self._file: tuple[int, int] | None = None
        self._opened = 0
        self._looked = float("-inf")
        self._answers: dict[bytes, Any] = {}
        self._absent: tuple[int, set[bytes]] = (0, set())
        self._kept: _Kept | None = None
        self._dropping: asyncio.TimerHandle | None = None
        self._lock = RLock()  # a process may open the file once, and threads read it too

    def held(self, ca: bytes, serial: bytes, /) -> HeldAnswer | None:
        return self.held_together(ca, (serial,))[0]

    def held_together(self, ca: bytes, serials: Sequence[bytes], /) -> list[HeldAnswer | None]:
        try:
            with self._lock:
                env = self._current()
                answers = None if env is None else self._answers.get(ca) or self._found(ca)
                if answers is None:
                    return [None] * len(serials)
                kept, number = self._kept, self._last()
                if kept is None or kept[0] != number or kept[1] != get_ident():
                    kept = self._reading(env, number)
                get = kept[2]
                values = [get(serial, None, answers) for serial in serials]
        except lmdb.Error as error:
            raise trouble(self.path, error) from error
        return [
            None
            if value is None
            else _made(HeldAnswer, (value[SIZE:], *_times(value), value[DIGEST_AT:SIZE]))
            for value in values
        ]

    @property
    def generation(self) -> int:
        try:
            if self._env is None or monotonic() - self._looked >= LOOK_EVERY:
                with self._lock:
                    if self._looked_again() is None:
                        return self._opened << 48
            return self._opened << 48 | self._last()
        except lmdb.Error as error:
            raise trouble(self.path, error) from error

    def compared(self, ca: bytes) -> int | None:
        """When, in seconds since 1970, all that is held of this CA was last as its ledger had it;
        None when that is not known. A shelf that nobody follows falls behind its ledger."""
        try:
            with self._lock:
                env = self._current()
                if env is None:
                    return None
                with env.begin() as transaction:
                    value = transaction.get(COMPARED_KEY + ca)
        except lmdb.Error as error:
            raise trouble(self.path, error) from error
        return None if value is None else int.from_bytes(value, "big")

    def count(self, ca: bytes) -> int:
        """How many responses are held of this CA."""
        try:
            with self._lock:
                env = self._current()
                answers = None if env is None else self._answers.get(ca) or self._found(ca)
                if answers is None:
                    return 0
                with env.begin() as transaction:
                    return int(transaction.stat(answers)["entries"])
        except lmdb.Error as error:
            raise trouble(self.path, error) from error

    def close(self) -> None:
        with self._lock:
            self._drop()
            if self._env is not None:
                self._env.close()
            self._env, self._last, self._file, self._answers = None, _never, None, {}

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- below ------------------------------------------------------------------------------

    def _current(self) -> Any:
        """The open file, None while there is none."""
        if self._env is not None and monotonic() - self._looked < LOOK_EVERY:
            return self._env
        return self._looked_again()

    def _looked_again(self) -> Any:
        now = monotonic()
        try:
            seen = os.stat(self.path)
        except FileNotFoundError:
            self.close()
            return None
        except OSError as error:
            raise trouble(self.path, error) from error
        if self._file != (seen.st_dev, seen.st_ino):
            self.close()
            self._env = opened(self.path, readonly=True) if seen.st_size else None
            if self._env is None:
                return None  # in the making
            self._last = Commits(self.path, self._env).last
            self._file = seen.st_dev, seen.st_ino
            self._opened += 1
            self._absent = (0, set())
        self._looked = now
        return self._env

    def _reading(self, env: Any, number: int) -> _Kept:
        """A transaction that sees the last commit, `number`. Outside of the event loop nobody would
        end one that is kept, and threads may not share it: there each read has its own."""
        transaction = env.begin()
        begun = number, get_ident(), transaction.get, transaction
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return begun  # ends when it is forgotten
        self._drop()
        self._kept = begun
        self._dropping = loop.call_later(self._keep_for, self._drop)
        return begun

    def _drop(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, None
            if kept is not None:
                kept[3].abort()
            if self._dropping is not None and kept is not None and kept[1] == get_ident():
                self._dropping.cancel()  # only by the thread of its loop
                self._dropping = None

    def _found(self, ca: bytes) -> Any:
        """The CA's database, None when it has none; asked again only after a commit."""
        last = _last(self._env)
        if self._absent[0] != last:
            self._absent = (last, set())
        if ca in self._absent[1]:
            return None
        with suppress(lmdb.NotFoundError):
            found = self._answers[ca] = self._env.open_db(ANSWERS + ca.hex().encode(), create=False)
            self._drop()  # a transaction knows no database that was opened after it began
            return found
        self._absent[1].add(ca)
        return None


def opened(path: Path, *, readonly: bool, limit: int = MAX_SHELF) -> Any:
    """The LMDB environment in the file `path`, held to our form and to its own length. None when
    it is `readonly` and nothing was written yet."""
    try:
        env = lmdb.open(
            str(path),
            subdir=False,
            readonly=readonly,
            create=not readonly,
            map_size=limit,
            max_dbs=MAX_CAS,
            max_readers=MAX_READERS,
            readahead=False,  # serials are asked at random
            mode=0o664,  # what it holds is public; a group may share it (the umask decides)
        )
    except lmdb.Error as error:
        raise trouble(path, error) from error
    try:
        if os.stat(path).st_size < length(env):
            raise StoreError(f"{path}: shorter than what it says it holds", hint=_DAMAGED)
        if not readonly:
            _begun(env)
        form, entries = _form(env)
        if form is None and not entries:
            env.close()
            return None
        if form != FORM:
            raise _foreign(path, form)
    except BaseException as error:
        env.close()
        if isinstance(error, lmdb.Error | OSError):
            raise trouble(path, error) from error
        raise
    return env


def length(env: Any) -> int:
    """The bytes that the file must have. A shorter one would end a reader by SIGBUS."""
    return int((env.info()["last_pgno"] + 1) * env.stat()["psize"])


def _begun(env: Any) -> None:
    """Write the form into a new file."""
    if _form(env) == (None, 0):
        with env.begin(write=True) as transaction:
            transaction.put(FORM_KEY, FORM)


def _form(env: Any) -> tuple[bytes | None, int]:
    """The form that the file says it has, and how many keys stand beside it."""
    with env.begin() as transaction:
        return transaction.get(FORM_KEY), env.stat()["entries"]


def _foreign(path: Path, form: bytes | None) -> StoreError:
    if form is not None and form.startswith(FORM.rpartition(b" ")[0]):
        return StoreError(
            f"{path}: answers of another form ({form.decode(errors='replace')!r}), where this "
            f"holdfast knows {FORM.decode()!r}",
            hint="use the holdfast that wrote it, or " + _DAMAGED,
        )
    return StoreError(
        f"{path}: an LMDB file of something else, not answers of holdfast",
        hint="name another file; nothing was changed",
    )


def _never() -> int:
    """The last commit to a file that is not there."""
    return 0


def _last(env: Any) -> int:
    """The number of the last commit."""
    with env.begin() as transaction:
        return int(transaction.id())


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What LMDB and the system say of `path`, as a `StoreError`."""
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise trouble(path, error) from error


def trouble(path: Path, error: Exception) -> StoreError:
    """What is wrong with the file at `path`, and what to do."""
    code = error.errno if isinstance(error, OSError) else _code(error)
    if code == errno.EIO and _full(path):
        code = errno.ENOSPC
    match error:
        case lmdb.MapFullError():
            return StoreError(
                f"{path}: the answers are full, at their limit",
                hint="give a larger --max-size; what was committed before is kept",
            )
        case lmdb.ReadersFullError():
            return StoreError(
                f"{path}: {MAX_READERS} readers at one time", hint="run fewer worker processes"
            )
        case lmdb.InvalidError() | lmdb.VersionMismatchError() | lmdb.CorruptedError():
            return StoreError(f"{path}: not an LMDB file, or a damaged one", hint=_DAMAGED)
        case lmdb.PageNotFoundError() | lmdb.PanicError():
            return StoreError(f"{path}: damaged ({error})", hint=_DAMAGED)
        case _:
            reason = os.strerror(code) if code else str(error)
            return StoreError(
                f"{path}: {reason}", hint=_HINTS.get(code or 0, "see that the disk works")
            )


def _full(path: Path) -> bool:
    """Whether the disk is full: where a write could be done in part, LMDB calls it broken."""
    with suppress(OSError):
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize < _LITTLE
    return False


def _code(error: Exception) -> int | None:
    """The system's number in an error of LMDB, which gives it as words."""
    return next((code for code in _HINTS if os.strerror(code) in str(error)), None)
