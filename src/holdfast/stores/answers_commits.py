"""The number of the last commit to an LMDB file, read from where LMDB itself reads it.

A responder asks before each reply whether what it kept is still true, and a transaction costs more
than all else it does then. LMDB writes the number into one of its two meta pages, by turns, as the
last act of a commit, and readers take the larger. Law: the place is used only when what stands
there is what LMDB says of the same file; otherwise a transaction is asked. mdb.c, MDB_meta.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

_TXNID = 16 + 4 + 4 + 8 + 8 + 2 * 48 + 8  # page header, magic, version, address, size, two trees,
#                                           the last page


class Commits:
    """Of the file at `path`, which `env` has open."""

    def __init__(self, path: Path, env: Any) -> None:
        self._env = env
        self._map: mmap.mmap | None = None
        self.numbers: tuple[memoryview, int, int] | None = None
        page = env.stat()["psize"]
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(file, 2 * page, mmap.MAP_SHARED, mmap.PROT_READ)
        except (OSError, ValueError):
            return
        finally:
            os.close(file)
        view = memoryview(self._map).cast("Q")
        first, second = _TXNID // 8, (page + _TXNID) // 8
        for _ in range(3):  # somebody may commit between the two looks
            if max(view[first], view[second]) == env.info()["last_txnid"]:
                self.numbers = view, first, second
                return

    def last(self) -> int:
        """Sees every commit made before."""
        if self.numbers is None:
            with self._env.begin() as transaction:
                return int(transaction.id())
        view, first, second = self.numbers
        one, other = view[first], view[second]
        return one if one > other else other
