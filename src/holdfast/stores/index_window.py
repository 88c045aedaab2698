"""Window: the bytes of an open index.txt, a chunk at a time, and cut into whole lines.

Law: what is no longer there is `Moved`, never a shorter answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from holdfast.stores.index_lines import BadLine

BLOCK = 8192  # bytes: a digest of it takes less than a signature by far
CHUNK = 1 << 20  # bytes read at a time
MAX_LINE = 1 << 16  # bytes


class Moved(Exception):
    """The file is no longer what was read: read it again."""


class Window:
    """The bytes of an open file up to `end`, read a chunk at a time. `Moved` when they are gone."""

    def __init__(self, descriptor: int, end: int, *, block: int = BLOCK) -> None:
        self._descriptor = descriptor
        self.end = end
        self.block = block
        self._start = 0
        self._data = b""

    def take(self, start: int, size: int) -> bytes:
        size = min(size, self.end - start)
        at = start - self._start
        if at < 0 or at + size > len(self._data):
            self._data = os.pread(self._descriptor, max(size, CHUNK), start)
            self._start, at = start, 0
            if len(self._data) < size:
                raise Moved
        return self._data[at : at + size]

    def cut(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Whole lines from `start` to `stop`, about `block` bytes at a time, with their places."""
        while start < stop:
            data = self.take(start, min(self.block, stop - start))
            if start + len(data) < stop:
                whole = data.rfind(b"\n") + 1
                if not whole:
                    data = self.take(start, min(MAX_LINE, stop - start))
                    whole = data.find(b"\n") + 1 or len(data)
                    if start + whole < stop and data[whole - 1 : whole] != b"\n":
                        raise BadLine(f"longer than {MAX_LINE} bytes")
                data = data[:whole]
            yield start, data
            start += len(data)
