"""Filling: one CA's part of the file of answers, written by one process at a time.

Laws: what one `write` takes is committed whole or not at all, and durable when it returns, so a
kill at any instant loses no more than that; serials come in rising order, so that pages are filled
to their end; a second process that would fill the part of the same CA is refused, because the
older of two views of a ledger could win.
"""

from __future__ import annotations

import fcntl
import os
from bisect import bisect
from collections.abc import Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from holdfast.errors import OperatorError, StoreError
from holdfast.ocsp.certid import ca_mark, ca_tag
from holdfast.pki.certificate import Certificate
from holdfast.plan import record
from holdfast.plan.record import Record
from holdfast.stores.answers import (
    ANSWERS,
    COMPARED_KEY,
    MARK_KEY,
    MAX_SHELF,
    length,
    opened,
    told,
    trouble,
)
from holdfast.stores.lmdb_package import lmdb


class Filling:
    """What is held of `ca` in the file at `path`, open for writing; made if it is not there."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ca: Certificate,
        limit: int = MAX_SHELF,
        locked: bool = True,
    ) -> None:
        """`locked`: take the right to fill this part; without, another who has it lends it."""
        self.path = Path(path)
        self.ca = ca_tag(ca)
        self._lock = _locked(self.path, self.ca) if locked else BytesIO()
        try:
            self._env = opened(self.path, readonly=False, limit=limit)
            try:
                with told(self.path):
                    self._env.reader_check()  # what a killed reader pinned is free again
                    self._answers = self._claimed(ca)
                    self._file = _identity(self.path)
            except BaseException:
                self._env.close()
                raise
        except BaseException:
            self._lock.close()
            raise

    @property
    def current(self) -> bool:
        """Whether the file that is open is the one that stands there."""
        try:
            return self._file == _identity(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise trouble(self.path, error) from error

    def close(self) -> None:
        self._env.close()
        self._lock.close()

    def __enter__(self) -> Filling:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def count(self) -> int:
        with told(self.path), self._env.begin() as transaction:
            return int(transaction.stat(self._answers)["entries"])

    def records(self, after: bytes | None, limit: int) -> list[Record]:
        """At most `limit` records whose serials come after `after`, in order."""
        with (
            told(self.path),
            self._env.begin(self._answers, buffers=True) as transaction,
            transaction.cursor() as cursor,
        ):
            if after is None:
                there = cursor.first()
            else:
                there = cursor.set_range(after)
                if there and bytes(cursor.key()) == after:
                    there = cursor.next()
            if not there:
                return []
            return [
                record.read(bytes(key), value) for key, value in islice(cursor.iternext(), limit)
            ]

    def one(self, serial: bytes) -> Record | None:
        with told(self.path), self._env.begin(self._answers) as transaction:
            value = transaction.get(serial)
        return None if value is None else record.read(serial, value)

    def write(
        self, serials: Sequence[bytes], values: Sequence[bytes], gone: Sequence[bytes] = ()
    ) -> None:
        """Hold the values of `serials`, which rise, and drop what is `gone`."""
        with told(self.path):
            with self._env.begin(self._answers, write=True) as transaction:
                for serial in gone:
                    transaction.delete(serial)
                with transaction.cursor() as cursor:
                    last = bytes(cursor.key()) if cursor.last() else b""
                    answers, within = zip(serials, values, strict=True), bisect(serials, last)
                    # appending fills every page; serials from within are put where they belong
                    _, put = cursor.putmulti(islice(answers, within))
                    _, appended = cursor.putmulti(answers, append=True)
                    if put + appended != len(serials):
                        raise StoreError(f"{self.path}: serials out of order")
            self._lengthened()

    def compared(self, at: int) -> None:
        """Note that at the instant `at` everything held was as the ledger had it."""
        with told(self.path):
            with self._env.begin(write=True) as transaction:
                transaction.put(COMPARED_KEY + self.ca, at.to_bytes(8, "big"))
            self._lengthened()

    def _lengthened(self) -> None:
        """Pages taken and given back within one transaction are never written: without this the
        file could be shorter than its map says, which readers take for damage."""
        needed = length(self._env)
        if os.stat(self.path).st_size < needed:
            os.truncate(self.path, needed)

    def _claimed(self, ca: Certificate) -> Any:
        mark = ca_mark(ca)
        with self._env.begin(write=True) as transaction:
            held = transaction.get(MARK_KEY + self.ca)
            if held is not None and held != mark:
                raise OperatorError(
                    f"{self.path}: holds answers of another CA whose tag is that of {ca.subject}",
                    hint="give each of the two a file of its own",
                )
            if held is None:
                transaction.put(MARK_KEY + self.ca, mark)
            try:
                return self._env.open_db(ANSWERS + self.ca.hex().encode(), txn=transaction)
            except lmdb.DbsFullError as error:
                raise OperatorError(
                    f"{self.path}: too many CAs for one file", hint="begin another file"
                ) from error


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _locked(path: Path, tag: bytes) -> BinaryIO:
    """The right to fill one CA's part; it ends with the process."""
    beside = path.with_name(f"{path.name}-{tag.hex()}")
    if not path.parent.is_dir():
        raise StoreError(
            f"{path}: there is no folder {path.parent}",
            hint="make it, for the user who signs ahead and the one who answers",
        )
    with told(beside):
        lock = open(beside, "ab")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise OperatorError(
                f"{path}: another `holdfast presign` fills it for the same CA",
                hint="let that one end, or stop it; two would overwrite one another",
            ) from None
        except BaseException:
            lock.close()
            raise
    return lock
