r"""haproxy.cfg: lines of words in sections, as HAProxy 2.6 reads them, and the text as it was.

Laws: pure; lossless, `dump(parse(text)) == text` for any text; text that HAProxy would refuse is
parsed all the same, as far as it can be. The words are those of `parse_line` in `src/tools.c`
(configuration manual 2.2 to 2.4), asked of the program itself in the tests: `\` with a space, `\`,
`"`, `'`, `#`, `t`, `n`, `r` and `xNN` are escapes, `\$` only within double quotes, and only there
are variables filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

SECTIONS = frozenset(
    {
        "global", "defaults", "frontend", "listen", "backend", "peers", "resolvers", "userlist",
        "mailers", "cache", "program", "http-errors", "ring", "log-forward", "fcgi-app",
        "crt-store", "traces", "log-profile", "acme",
    }
)  # fmt: skip
_BLANK = " \t\v\f"
_ESCAPED = {" ": " ", "\\": "\\", "#": "#", "'": "'", '"': '"', "t": "\t", "n": "\n", "r": "\r"}
_HEX = re.compile(r"x([0-9A-Fa-f]{2})")
_VARIABLE = re.compile(
    r"\$(?:\{([A-Za-z_.][A-Za-z0-9_.]*)(\[\*\])?(?:-([^}]*))?\}|([A-Za-z_.][A-Za-z0-9_.]*))"
)
_EVERY_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")


@dataclass(frozen=True, slots=True)
class Variable:
    """`"${NAME-default}"`; `raw` is how it is written, `several` with `[*]`."""

    name: str
    raw: str
    default: str | None = None
    several: bool = False


Part = str | Variable


@dataclass(frozen=True, slots=True)
class Word:
    """One word; `start` and `end` count characters of the whole text, quotes included."""

    parts: tuple[Part, ...]
    start: int
    end: int

    @property
    def text(self) -> str:
        """Quotes and escapes gone, variables as they are written."""
        return "".join(part if isinstance(part, str) else part.raw for part in self.parts)

    def filled(self, environment: Mapping[str, str]) -> str:
        """The same with variables filled in; one that is not set is nothing, as to HAProxy."""
        return "".join(
            part if isinstance(part, str) else environment.get(part.name, part.default or "")
            for part in self.parts
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(part for part in self.parts if isinstance(part, Variable))


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `start`: where it begins in the text; `raw`: all of it, its end included.

    `condition`: None, or the innermost `.if` branch that it stands in. `broken`: a quote is left
    open, so that HAProxy refuses the file.
    """

    number: int
    start: int
    raw: str
    words: tuple[Word, ...] = ()
    condition: Branch | None = None
    broken: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words)

    @property
    def indent(self) -> str:
        return self.raw[: len(self.raw) - len(self.raw.lstrip(_BLANK))]

    @property
    def end(self) -> int:
        """Where what the line says ends: before a comment, trailing blanks and its end."""
        return self.words[-1].end if self.words else self.start

    @property
    def after(self) -> int:
        """Where the next line begins."""
        return self.start + len(self.raw)


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of `.if`: its own condition ("" for `.else`), those before it which must not hold,
    and the branch that all of it stands in."""

    condition: str
    after: tuple[str, ...] = ()
    inside: Branch | None = None

    def taken(self, holds: Callable[[str], bool]) -> bool:
        """Whether its lines count, as `holds` says of conditions."""
        return (
            (self.inside is None or self.inside.taken(holds))
            and not any(holds(one) for one in self.after)
            and (self.condition == "" or holds(self.condition))
        )


@dataclass(frozen=True, slots=True)
class Section:
    """`head` begins it (None before the first); `lines` do not hold `head`."""

    kind: str
    name: str
    head: Line | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """A file's lines, and the same by section."""

    lines: tuple[Line, ...]
    sections: tuple[Section, ...]

    def of(self, *kinds: str) -> Iterator[Section]:
        return (section for section in self.sections if section.kind in kinds)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition of an `.if` or `.elif`, once each."""
        found: dict[str, None] = {}
        for line in self.lines:
            branch = line.condition
            while branch is not None:
                found |= dict.fromkeys(one for one in (branch.condition, *branch.after) if one)
                branch = branch.inside
        return tuple(found)


def dump(configuration: Configuration) -> str:
    """The text that was parsed."""
    return "".join(line.raw for line in configuration.lines)


def parse(text: str) -> Configuration:
    lines: list[Line] = []
    sections: list[tuple[Line | None, list[Line]]] = [(None, [])]
    branch: Branch | None = None
    for line in split(text):
        said = line.words[0].text if line.words else ""
        if said in {".if", ".elif", ".else", ".endif"}:
            branch = _branched(branch, said, line)
        placed = Line(line.number, line.start, line.raw, line.words, branch, line.broken)
        lines.append(placed)
        if said in SECTIONS:
            sections.append((placed, []))
        else:
            sections[-1][1].append(placed)
    return Configuration(
        tuple(lines), tuple(_section(head, held) for head, held in sections if head or held)
    )


def split(text: str) -> Iterator[Line]:
    """The lines of `text`, without sections and conditions."""
    for number, found in enumerate(_EVERY_LINE.finditer(text), 1):
        words, broken = _words(found[0], found.start())
        yield Line(number, found.start(), found[0], words, None, broken)


def _section(head: Line | None, held: list[Line]) -> Section:
    if head is None:
        return Section("", "", None, tuple(held))
    name = head.words[1].text if len(head.words) > 1 else ""
    return Section(head.words[0].text, name, head, tuple(held))


def _branched(branch: Branch | None, said: str, line: Line) -> Branch | None:
    written = line.raw[line.words[0].end - line.start : line.end - line.start]
    condition = written.strip()  # with its quotes, as `haproxy -cc` takes it
    if said == ".if":
        return Branch(condition or "0", (), branch)  # the empty condition is false
    if branch is None:
        return None  # HAProxy refuses it
    if said == ".endif":
        return branch.inside
    before = (*branch.after, branch.condition) if branch.condition else branch.after
    return Branch(condition or "0" if said == ".elif" else "", before, branch.inside)


def _words(raw: str, offset: int) -> tuple[tuple[Word, ...], bool]:
    """The words of one line; whether a quote is left open."""
    words: list[Word] = []
    parts: list[Part] = []
    plain: list[str] = []
    quote, begun, at, length = "", -1, 0, len(raw)

    def put(character: str) -> None:
        nonlocal begun
        plain.append(character)
        begun = at if begun < 0 else begun

    def ended() -> None:
        nonlocal begun
        if begun >= 0:
            if plain:
                parts.append("".join(plain))
            words.append(Word(tuple(parts), offset + begun, offset + at))
        parts.clear()
        plain.clear()
        begun = -1

    while at < length:
        here = raw[at]
        if here in "\n\r\0" or (here == "#" and not quote):
            break
        if here in _BLANK and not quote:
            ended()
            at += 1
        elif here in "\"'" and quote in ("", here):
            begun = at if begun < 0 else begun
            quote = "" if quote else here
            at += 1
        elif here == "\\" and quote != "'":
            after, size = _escape(raw, at, quote)
            put(after)
            at += size
        elif here == "$" and quote == '"' and (found := _VARIABLE.match(raw, at)) is not None:
            begun = at if begun < 0 else begun
            if plain:
                parts.append("".join(plain))
                plain.clear()
            name, several, default, bare = found.groups()
            parts.append(Variable(name or bare, found[0], default, several is not None))
            at = found.end()
        else:
            put(here)
            at += 1
    ended()
    return tuple(words), bool(quote)


def _escape(raw: str, at: int, quote: str) -> tuple[str, int]:
    """What the backslash at `at` stands for, and how many characters say so."""
    after = raw[at + 1 : at + 2]
    if after in _ESCAPED and after:
        return _ESCAPED[after], 2
    if after == "$" and quote == '"':
        return "$", 2
    found = _HEX.match(raw, at + 1)
    if found is not None:
        byte = int(found[1], 16)
        return chr(byte if byte < 0x80 else 0xDC00 + byte), 4  # as `conf.text.read_text` has it
    return "\\", 1
