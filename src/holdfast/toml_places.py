"""Where a key stands in a TOML text: for errors that name line and column.

`tomllib` tells no positions; this reads headers and keys only, of text that has parsed already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Step = str | int

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*(?:=|\.)")


def place_of(text: str, path: Sequence[Step]) -> tuple[int, int] | None:
    """(line, column), from 1, of the innermost step of `path` that can be found: the key itself,
    else the header of its table. `path` is as in ("certificate", 0, "chain")."""
    table: list[Step] = []
    counts: dict[tuple[Step, ...], int] = {}
    header: tuple[int, int] | None = None
    quoted = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quoted:  # inside a multi-line string
            quoted = "" if quoted in line else quoted
            continue
        if found := _HEADER.match(line):
            table = []
            for name in found[2].split("."):
                table.append(name.strip("\"' "))
                if tuple(table) in counts:  # the last one of that array of tables
                    table.append(counts[tuple(table)] - 1)
            if found[1] == "[[":
                if isinstance(table[-1], int):
                    del table[-1]
                counts[tuple(table)] = counts.get(tuple(table), 0) + 1
                table.append(counts[tuple(table)] - 1)
            if header is None and list(path[: len(table)]) == table[: len(path)]:
                header = (number, found.start(2) + 1)
            continue
        if (key := _KEY.match(line)) and [*table, key[1].strip("\"'")] == list(
            path[: len(table) + 1]
        ):
            return number, key.start(1) + 1
        for mark in ('"""', "'''"):
            if line.count(mark) == 1:
                quoted = mark
    return header
