"""A `Ledger` that is the index.txt of `openssl ca`. The lines are in `index_lines`, the blocks that
the file is compared by in `index_blocks`.

Laws: the file is looked at (time of change, size, inode) at each question; a crowd that asks within
`BURST`, where nothing may block, is answered from one look. One that changed is
compared with what it was, and what is new in it alone is parsed; one that grew is read from its old
end. It is looked at once more when it has rested for `REST`, because a change within one tick of
the file system's clock does not show. While it is not as it should be, nothing is answered: a line
that cannot be read; serials that are gone, until it has rested, because it may be half written; a
file that changes while it is read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.errors import StoreError
from holdfast.net.clock import SystemClock
from holdfast.seams import Clock, LedgerEntry, Waits
from holdfast.stores.index_blocks import (
    Layout,
    Piece,
    appended,
    compare,
    entries,
    find,
    read,
    updated,
)
from holdfast.stores.index_lines import (
    ATTRIBUTES,
    MAX_INDEX,
    read_index,
    subject_line,
    write_index,
)
from holdfast.stores.index_window import BLOCK, Moved, Window

__all__ = ["ATTRIBUTES", "MAX_INDEX", "IndexTxt", "read_index", "subject_line", "write_index"]

REST = timedelta(seconds=2)  # the coarsest clock of a file system (FAT) ticks every two seconds
SHARE = 20  # a look at the whole of a file that grows takes one part of so many of the time
BURST = 0.001  # seconds; clocks of file systems tick in four, and a look costs a tenth of an answer
TRIES = 3  # to read a file that changes meanwhile
MAX_RECENT = 1 << 15  # entries that are kept ready; one takes about 500 bytes

Identity = tuple[int, int, int, int]


@dataclass(slots=True)
class Looks:
    """What was read: `whole` times all of it, `grown` times its end alone; `parsed` lines; and how
    long the last whole look took, in seconds."""

    whole: int = 0
    grown: int = 0
    parsed: int = 0
    seconds: float = 0.0


class IndexTxt:
    """The `Ledger` in the index.txt at `path`. It blocks when the file is to be looked through,
    and not while it is as it was. `block`: bytes that are compared at a time."""

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Clock | None = None, block: int = BLOCK
    ) -> None:
        self.path = Path(path)
        self.looks = Looks()
        self._name = str(self.path)
        self._clock = clock or SystemClock()
        self._block = block
        self._lock = threading.Lock()
        self._file: _Open | None = None
        self._seen: Identity | None = None
        self._rests_until = 0.0  # monotonic: the end of the burst that the last look serves
        self._again: float | None = None  # monotonic: when to look again at what has not changed
        self._layout = Layout()
        self._recent: dict[int, LedgerEntry] = {}
        self._trouble: StoreError | None = None

    @property
    def blocking(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return True  # somebody looks through it now
        try:
            return self._is_due(_identity(os.stat(self._name)))
        except OSError:
            return False  # told at once
        finally:
            self._lock.release()

    def entry_now(self, serial: int, /) -> LedgerEntry | Waits | None:
        """See `seams.entry_at_once`: one look at the file for both."""
        now = self._clock.monotonic()
        if now < self._rests_until:
            found = self._recent.get(serial)
            if found is not None:
                return found
        if not self._lock.acquire(blocking=False):
            return Waits.WAITS
        try:
            if self._trouble is None and not self._is_due(_identity(os.stat(self._name))):
                if self._again is None:
                    self._rests_until = now + BURST
                found = self._recent.get(serial)
                if found is not None:
                    return found
        except OSError:
            pass  # `entry` tells it
        finally:
            self._lock.release()
        return Waits.WAITS if self.blocking else self.entry(serial)

    def entry(self, serial: int, /) -> LedgerEntry | None:
        with self._lock:
            self._look()
            found = self._recent.get(serial)
            if found is not None:
                return found
            for _ in range(TRIES):
                assert self._file is not None
                try:
                    found = find(self._layout, self._file.descriptor, serial)
                except Moved:
                    self._look(whole=True)  # nobody could see that it changed
                    continue
                if found is not None:
                    if len(self._recent) >= MAX_RECENT:
                        self._recent.clear()
                    self._recent[serial] = found
                return found
            raise self._restless()

    def entries(self) -> Iterator[LedgerEntry]:
        """Every entry, in the order of the file, as it is when the first is asked for."""
        with self._lock:
            self._look()
            file = self._file  # stays open while it is read, also when another stands there
            assert file is not None
            listed = [(block.offset, block.size, block.digest) for block in self._layout.blocks]
        for offset, size, digest in listed:
            try:
                yield from entries(read(file.descriptor, offset, size, digest))
            except Moved:
                raise self._restless() from None

    def __len__(self) -> int:
        """Lines of the last version that was read."""
        return self._layout.lines

    # -- below ------------------------------------------------------------------------------

    def _look(self, *, whole: bool = False) -> None:
        """See to it that what is held is what the file says; the lock is held."""
        try:
            if whole or self._is_due(_identity(os.stat(self._name))):
                self._load(whole=whole)
        except OSError as error:
            self._forget()
            raise StoreError(
                f"cannot read {self.path}: {error.strerror or error}",
                hint="give the index.txt of the CA; an empty file is valid",
            ) from error
        if self._trouble is not None:
            raise self._trouble.with_traceback(None)

    def _is_due(self, seen: Identity) -> bool:
        if seen != self._seen:
            return True
        return self._again is not None and self._clock.monotonic() >= self._again

    def _forget(self) -> None:
        self._seen = self._again = self._file = self._trouble = None
        self._layout = Layout()
        self._recent = {}

    def _load(self, *, whole: bool) -> None:
        """Take what changed. What is wrong with the file is kept as `_trouble`."""
        due = self._again is not None and self._clock.monotonic() >= self._again
        whole = whole or due or self._seen is None or self._trouble is not None
        for _ in range(TRIES):
            file = _Open(self._name)
            seen = _identity(os.fstat(file.descriptor))
            self._trouble, self._rests_until = None, 0.0
            try:
                self._take(file, seen, whole=whole)
                return
            except Moved:
                whole = True
            except StoreError as error:
                self._trouble, self._seen = error, seen
                self._again = self._clock.monotonic() + REST.total_seconds()
                return
        self._trouble, self._seen = self._restless(), None

    def _take(self, file: _Open, seen: Identity, *, whole: bool) -> None:
        begun = self._clock.monotonic()
        window = Window(file.descriptor, seen[1], block=self._block)
        if window.end > MAX_INDEX:
            raise StoreError(f"{self.path}: larger than {MAX_INDEX} bytes")
        young = abs(self._clock.now() - datetime.fromtimestamp(seen[0] / 1e9, UTC)) < REST
        rest = REST.total_seconds()

        def check(lost: int) -> None:
            if _identity(os.fstat(file.descriptor)) != seen:
                raise Moved
            if lost and young:
                raise StoreError(
                    f"{self.path}: lost {lost} certificates just now, and may be half written",
                    hint=f"when it has rested for {rest:g} s, it is believed; put a new version"
                    " there by renaming",
                )

        grown: list[Piece] | None = None
        if not whole and self._seen is not None and seen[2:] == self._seen[2:]:
            grown = appended(self._layout, window)
        pieces = compare(self._layout, window) if grown is None else grown
        update = updated(self._layout, pieces, window, name=self._name, check=check)
        self._layout, self._file, self._seen = update.layout, file, seen
        self._recent = {} if update.parsed or update.lost else self._recent
        self.looks.parsed += update.parsed
        if grown is None:
            self.looks.whole += 1
            self.looks.seconds = self._clock.monotonic() - begun
            self._again = begun + rest if young else None
        else:
            self.looks.grown += 1
            again = begun + max(rest, SHARE * self.looks.seconds)
            self._again = again if self._again is None else min(self._again, again)

    def _restless(self) -> StoreError:
        return StoreError(
            f"{self.path}: changes while it is read",
            hint="put a new version there by renaming, as `openssl ca` does",
        )


class _Open:
    """A file that is open for as long as somebody holds this."""

    def __init__(self, name: str) -> None:
        self.descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def _identity(found: os.stat_result) -> Identity:
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
