"""A crt-list of HAProxy: `file [bind options] SNI filters`, a certificate a line.

Laws: pure; lossless, `dump(parse(text)) == text`. Its grammar is its own (`crtlist_parse_line`):
no quotes, no escapes, no variables, and a comment only where `#` is the first character of the
line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.conf.text import Edit

_EVERY_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_TOKEN = re.compile(r"[\[\]]|[^\s\[\]]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `file` is "" where the line says nothing. Offsets count characters of the text.

    `file_end`: where the file's name ends; `bracket`: where `]` stands, None without brackets.
    `broken`: HAProxy refuses the line.
    """

    number: int
    start: int
    raw: str
    file: str = ""
    file_end: int = 0
    options: tuple[str, ...] = ()
    bracket: int | None = None
    filters: tuple[str, ...] = ()
    broken: bool = False

    def option(self, name: str) -> str | None:
        """The word after `name` among the options; None when it is not there."""
        if name not in self.options:
            return None
        following = self.options[self.options.index(name) + 1 :]
        return following[0] if following else ""


def parse(text: str) -> tuple[Entry, ...]:
    return tuple(_entries(text))


def dump(entries: Iterable[Entry]) -> str:
    """The text that was parsed."""
    return "".join(entry.raw for entry in entries)


def with_option(entry: Entry, *words: str) -> Edit:
    """`words` among the options of `entry`, which has a file."""
    said = " ".join(words)
    if entry.bracket is None:
        return Edit(entry.file_end, entry.file_end, f" [{said}]")
    glue = " " if entry.options else ""
    return Edit(entry.bracket, entry.bracket, f"{glue}{said}")


def without_option(entry: Entry, name: str) -> Edit | None:
    """`entry` without the option `name` and its value; None when it has none."""
    start = entry.file_end - entry.start
    found = re.compile(rf"(?<=[\s\[]){re.escape(name)}(?:\s+[^\s\]]+)?").search(entry.raw, start)
    if entry.bracket is None or name not in entry.options or found is None:
        return None
    if len(entry.options) <= 2:  # nothing else is in the brackets
        opened = entry.raw.index("[", start)
        blanks = len(entry.raw[start:opened]) - len(entry.raw[start:opened].rstrip())
        return Edit(entry.start + opened - blanks, entry.bracket + 1, "")
    begin, end = found.span()
    if entry.raw[begin - 1] == "[":
        end += len(entry.raw[end:]) - len(entry.raw[end:].lstrip())
    else:
        begin = len(entry.raw[:begin].rstrip())
    return Edit(entry.start + begin, entry.start + end, "")


def _entries(text: str) -> Iterator[Entry]:
    for number, line in enumerate(_EVERY_LINE.finditer(text), 1):
        raw, start = line[0], line.start()
        if raw.startswith("#"):
            yield Entry(number, start, raw)
            continue
        yield _entry(number, start, raw)


def _entry(number: int, start: int, raw: str) -> Entry:
    file, file_end = "", start
    options: list[str] = []
    filters: list[str] = []
    bracket: int | None = None
    state, broken = "before", False
    for token in _TOKEN.finditer(raw):
        word = token[0]
        if word == "[":
            broken = broken or state != "before" or not file
            state = "within"
        elif word == "]":
            broken = broken or state != "within"
            state, bracket = "after", start + token.start()
        elif not file:
            file, file_end = word, start + token.end()
        elif state == "within":
            options.append(word)
        else:
            filters.append(word)
    return Entry(
        number, start, raw, file, file_end, tuple(options), bracket, tuple(filters), broken
    )
