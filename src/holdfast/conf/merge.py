"""Taking an edit back from a text that somebody has edited since.

Laws: pure; where nobody has, what comes back is the original, byte for byte; what others wrote
stays; where the two cannot be told apart nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher, unified_diff


def taken_back(before: str, after: str, current: str) -> str | None:
    """`current` without what made `after` of `before`; None where that was changed since."""
    if current == after:
        return before
    was, made, now = (text.splitlines(keepends=True) for text in (before, after, current))
    where = _places(made, now)
    result: list[str] = []
    position = 0  # in `now`
    for tag, start, end, made_start, made_end in _opcodes(was, made):
        if tag == "equal":
            continue
        edge = _gap(made_start, len(made), where, len(now))
        places = [where.get(line) for line in range(made_start, made_end)]
        if made_start == made_end:
            first = last = edge
        else:
            first = places[0]
            last = None if first is None else first + len(places)
            if first is None or places != list(range(first, first + len(places))):
                return None
        if first is None or last is None or first < position:
            return None
        result += [*now[position:first], *was[start:end]]
        position = last
    return "".join([*result, *now[position:]])


def _opcodes(before: list[str], after: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return list(SequenceMatcher(None, before, after, autojunk=False).get_opcodes())


def _places(made: list[str], now: list[str]) -> dict[int, int]:
    """Where the lines of `made` stand in `now`."""
    found: dict[int, int] = {}
    for start, place, size in SequenceMatcher(
        None, made, now, autojunk=False
    ).get_matching_blocks():
        found |= {start + step: place + step for step in range(size)}
    return found


def _gap(line: int, count: int, where: dict[int, int], end: int) -> int | None:
    """The place in `now` of what stood between `line` - 1 and `line` of `made`, if they are both
    there and side by side."""
    above = -1 if line == 0 else where.get(line - 1)
    below = end if line == count else where.get(line)
    return below if above is not None and below is not None and below == above + 1 else None


def difference(path: str, before: str | None, after: str | None) -> str:
    """A unified diff of one file; None: there is no such file. The lines end in LF."""
    was, made = ((text or "").splitlines(keepends=True) for text in (before, after))
    old, new = (path if text is not None else "/dev/null" for text in (before, after))
    lines = []
    for line in unified_diff(was, made, old, new):
        whole = line.endswith("\n")
        lines.append(line.rstrip("\r\n") + "\n")
        if not whole:
            lines.append("\\ No newline at end of file\n")
    return "".join(lines)
