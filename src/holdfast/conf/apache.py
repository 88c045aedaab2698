"""Apache's configuration files as a tree: directives, sections, comments and blank lines.

Laws: pure and lossless: `dump(parse(text)) == text` for every text, and every part knows where it
lies. Tolerant: what Apache would refuse still gives a tree, and `flaws` says what it would refuse,
and where. A section that is never closed ends where the one around it does; an end that closes
nothing is a `Stray`.

Lines, words and quotes are as httpd's ap_cfg_getline, ap_getword_conf and ap_build_config read
them: only a newline ends a line; a backslash right before it joins the next line on, in comments
too; a word ends at white space, or at the quote that it began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SPACE = " \t\n\v\f\r"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as Apache sees it, quotes and escapes gone, variables not yet filled in; it was
    written from `start` up to `end`, quotes included."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Plain:
    """Blank lines and comments: text that says nothing to Apache."""

    raw: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.raw)


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its line or lines, white space and line end included."""

    raw: str
    start: int
    name: Word
    arguments: tuple[Word, ...]

    @property
    def end(self) -> int:
        return self.start + len(self.raw)


@dataclass(frozen=True, slots=True)
class Stray:
    """The end of a section that was never begun."""

    raw: str
    start: int
    name: str

    @property
    def end(self) -> int:
        return self.start + len(self.raw)


@dataclass(frozen=True, slots=True)
class Section:
    """`<VirtualHost *:443>` and all up to its end. `raw` is the first line, `close` the last one,
    "" when it is never closed. `name` is without the bracket."""

    raw: str
    start: int
    name: Word
    arguments: tuple[Word, ...]
    body: tuple[Node, ...]
    inner_end: int
    """Where its body ends."""
    close: str

    @property
    def inner(self) -> int:
        """Where its body begins."""
        return self.start + len(self.raw)

    @property
    def end(self) -> int:
        return self.inner_end + len(self.close)

    @property
    def closed(self) -> bool:
        return bool(self.close)


Node = Plain | Directive | Stray | Section


@dataclass(frozen=True, slots=True)
class Flaw:
    """What Apache would refuse about the form of a file."""

    offset: int
    message: str


def parse(text: str) -> tuple[Node, ...]:
    """The tree of a file."""
    open_: list[_Open] = [_Open("", 0, Word("", 0, 0), ())]
    for line in _lines(text):
        words = line.words()
        if not words:
            open_[-1].add(Plain(line.raw, line.start))
        elif words[0].text.startswith("</"):
            _end(open_, line)
        elif words[0].text.startswith("<"):
            first = words[0]
            name = Word(first.text[1:].rstrip(">"), first.start + 1, first.end)
            open_.append(_Open(line.raw, line.start, name, _head(words[1:])))
        else:
            open_[-1].add(Directive(line.raw, line.start, words[0], tuple(words[1:])))
    while len(open_) > 1:
        open_[-2].add(open_.pop().closed(""))
    return tuple(open_[0].body)


def statements(text: str) -> Iterator[tuple[str, ...]]:
    """The words of each line; `<VirtualHost *:443>` is ("<VirtualHost", "*:443>")."""
    for line in _lines(text):
        if words := line.words():
            yield tuple(word.text for word in words)


def dump(nodes: Iterable[Node]) -> str:
    """The text that they came from."""
    return "".join(_raws(nodes))


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Every node, a section before what is in it."""
    waiting = [iter(nodes)]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            continue
        yield node
        if isinstance(node, Section):
            waiting.append(iter(node.body))


def flaws(nodes: Iterable[Node]) -> tuple[Flaw, ...]:
    """The sections that do not begin and end as they should."""
    found = []
    for node in walk(nodes):
        if isinstance(node, Stray):
            found.append(Flaw(node.start, f"</{node.name}> ends a section that was not begun"))
        elif isinstance(node, Section) and not node.closed:
            found.append(Flaw(node.start, f"<{node.name.text}> is not ended"))
    return tuple(found)


def _raws(nodes: Iterable[Node]) -> Iterator[str]:
    waiting: list[Iterator[Node]] = [iter(nodes)]
    closing: list[str] = []
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            if closing:
                yield closing.pop()
            continue
        yield node.raw
        if isinstance(node, Section):
            waiting.append(iter(node.body))
            closing.append(node.close)


# -- lines -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """A line with those that it continues on. `pieces`: what is left of it without backslashes
    and line ends, each with its place in the text."""

    raw: str
    start: int
    pieces: tuple[tuple[str, int], ...]

    def words(self) -> list[Word]:
        """None for comments and blank lines."""
        joined = "".join(piece for piece, _ in self.pieces)
        if not (joined and (bare := joined.lstrip(SPACE))) or bare.startswith("#"):
            return []
        return [
            Word(text, self._place(start), self._place(end - 1) + 1)
            for text, start, end in _words(joined)
        ]

    def _place(self, offset: int) -> int:
        """Where the character at `offset` of the joined line stands in the text."""
        for piece, start in self.pieces:
            if offset < len(piece):
                return start + offset
            offset -= len(piece)
        raise AssertionError("beyond the line")


def _lines(text: str) -> Iterator[_Line]:
    position = 0
    while position < len(text):
        start, pieces = position, []
        while True:
            newline = text.find("\n", position)
            end = len(text) if newline < 0 else newline + 1
            stripped = end if newline < 0 else newline
            if newline >= 0 and text[position:stripped].endswith("\r"):
                stripped -= 1
            goes_on = newline >= 0 and text[position:stripped].endswith("\\")
            pieces.append((text[position : stripped - goes_on], position))
            position = end
            if not goes_on or position == len(text):
                break
        yield _Line(text[start:position], start, tuple(pieces))


def _words(line: str) -> Iterator[tuple[str, int, int]]:
    position = 0
    while True:
        while position < len(line) and line[position] in SPACE:
            position += 1
        if position == len(line):
            return
        start = position
        quote = line[start] if line[start] in "\"'" else ""
        if quote:
            position += 1
            while position < len(line) and line[position] != quote:
                escaped = line[position] == "\\" and line[position + 1 : position + 2]
                position += 2 if escaped and escaped in (quote, "\\") else 1
            text = line[start + 1 : position]
            position = min(position + 1, len(line))
        else:
            while position < len(line) and line[position] not in SPACE:
                position += 1
            text = line[start:position]
        yield _unescaped(text, quote), start, position


def _unescaped(text: str, quote: str) -> str:
    if "\\" not in text:
        return text
    plain, position = [], 0
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] in ("\\", quote or "\\"):
            position += 1
        plain.append(text[position : position + 1])
        position += 1
    return "".join(plain)


# -- sections ----------------------------------------------------------------------------------


class _Open:
    """A section that is being read."""

    def __init__(self, raw: str, start: int, name: Word, arguments: tuple[Word, ...]) -> None:
        self.name = name
        self.body: list[Node] = []
        self._raw, self._start, self._arguments = raw, start, arguments

    def add(self, node: Node) -> None:
        self.body.append(node)

    def closed(self, close: str) -> Section:
        end = self.body[-1].end if self.body else self._start + len(self._raw)
        body = tuple(self.body)
        return Section(self._raw, self._start, self.name, self._arguments, body, end, close)


def _end(open_: list[_Open], line: _Line) -> None:
    """An end closes the nearest section of its name, and those in it that were left open."""
    said = "".join(piece for piece, _ in line.pieces).strip(SPACE)
    name = said[2:-1] if said.endswith(">") else said[2:]
    wanted = name.lower()
    at = len(open_) - 1
    while at and not (said.endswith(">") and open_[at].name.text.lower() == wanted):
        at -= 1
    if not at:
        open_[-1].add(Stray(line.raw, line.start, name))
        return
    while len(open_) - 1 > at:
        open_[-2].add(open_.pop().closed(""))
    open_[-2].add(open_.pop().closed(line.raw))


def _head(words: list[Word]) -> tuple[Word, ...]:
    """The arguments of a section, up to its bracket, which is the last one on the line."""
    for number in range(len(words) - 1, -1, -1):
        word = words[number]
        if ">" in word.text:
            text = word.text[: word.text.rindex(">")]
            last = (Word(text, word.start, word.end),) if text else ()
            return (*words[:number], *last)
    return tuple(words)
