"""Edits of a configuration's text: the only way in which setup changes one.

Laws: pure; whatever no edit names stays as it is, byte for byte; offsets count characters of the
text as it was before any edit. A file's bytes are decoded with `read_text`, so that any bytes
survive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """`new` in place of the characters from `start` up to `end`; `start == end` inserts."""

    start: int
    end: int
    new: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """`text` with `edits`, which must not overlap (`ValueError`); at one place, in their order."""
    parts, position = [], 0
    for edit in sorted(edits, key=lambda one: (one.start, one.end)):
        if not position <= edit.start <= edit.end <= len(text):
            raise ValueError(f"edits overlap or lie outside at {edit.start}")
        parts += [text[position : edit.start], edit.new]
        position = edit.end
    return "".join([*parts, text[position:]])


def read_text(data: bytes) -> str:
    """`data` as text; bytes that are no UTF-8 come back from `written` as they were."""
    return data.decode("utf-8", "surrogateescape")


def written(text: str) -> bytes:
    """The bytes of `text`."""
    return text.encode("utf-8", "surrogateescape")


def line_of(text: str, offset: int) -> int:
    """The line, counted from 1, in which `offset` lies."""
    return text.count("\n", 0, offset) + 1


def line_end_of(text: str) -> str:
    r"""How lines end in `text`: "\r\n" where most do, else "\n"."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
