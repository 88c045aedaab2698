"""nginx's configuration as text and tree: every character of the text is in exactly one token.

    tree = parse(text)
    dump(tree) == text                   # whatever the text is
    tree.problems                        # what nginx would refuse to read, by offset

Laws: pure and lossless; no text is an error: what nginx's own reader would refuse stands in
`problems`, and the tree holds what could be made out all the same. Words are what nginx sees,
quotes and escapes gone. The body of a `*_by_lua_block` is one token. Source: `ngx_conf_read_token`
of nginx's ngx_conf_file.c; for Lua the lexer of lua-nginx-module, which balances braces outside of
strings and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

MAX_DEPTH = 128  # nested blocks; a real configuration has five
LUA_BLOCK = "_by_lua_block"

Kind = Literal["space", "comment", "word", "quoted", ";", "{", "}", "lua", "broken"]

# nginx takes four characters for white space, and no others. A word may hold "}", "#" and quotes
# anywhere but in front, and "{" after "$".
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]++)
    |(?P<comment>\#[^\n]*+)
    |(?P<special>[;{}])
    |(?P<quoted>"(?:\\[\s\S]|[^"\\]++)*+"|'(?:\\[\s\S]|[^'\\]++)*+')
    |(?P<word>(?!["'])(?:\\[\s\S]|\$\{*+|[^ \t\r\n;{\\$]++)++)
    |(?P<broken>[\s\S]+)""",
    re.VERBOSE,
)
_LUA = re.compile(
    r"""--\[(=*)\[[\s\S]*?\]\1\] | --[^\n]* | \[(=*)\[[\s\S]*?\]\2\]
    | "(?:\\[\s\S]|[^"\\])*" | '(?:\\[\s\S]|[^'\\])*' | [{}]""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"""\\(["'\\trn])""")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}
_KINDS: dict[str, Kind] = {
    "space": "space",
    "comment": "comment",
    "word": "word",
    "quoted": "quoted",
    "broken": "broken",
    ";": ";",
    "{": "{",
    "}": "}",
}


class Token(NamedTuple):  # a tuple, because `nginx -T` prints millions of them
    """A piece of the text: `raw`, at `start`."""

    kind: Kind
    start: int
    raw: str

    @property
    def end(self) -> int:
        return self.start + len(self.raw)

    @property
    def value(self) -> str:
        """What nginx sees."""
        text = self.raw[1:-1] if self.kind == "quoted" else self.raw
        return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


@dataclass(frozen=True, slots=True)
class Directive:
    """`name args...;` or `name args... { inner }`.

    `head`: from the first word up to ";" or "{", which are missing where the text is broken, as may
    be `closing`. `inner` is None for a directive without a block.
    """

    head: tuple[Token, ...]
    inner: tuple[Node, ...] | None = None
    closing: Token | None = None

    @property
    def words(self) -> tuple[Token, ...]:
        return tuple(token for token in self.head if token.kind in ("word", "quoted"))

    @property
    def name(self) -> str:
        return self.head[0].value

    @property
    def args(self) -> tuple[str, ...]:
        return tuple(word.value for word in self.words[1:])

    @property
    def start(self) -> int:
        return self.head[0].start

    @property
    def end(self) -> int:
        if self.closing is not None:
            return self.closing.end
        last: Node = self.inner[-1] if self.inner else self.head[-1]
        return last.end

    @property
    def directives(self) -> Iterator[Directive]:
        """Those directly in its block."""
        return (node for node in self.inner or () if isinstance(node, Directive))


Node = Token | Directive


@dataclass(frozen=True, slots=True)
class Problem:
    """What nginx would refuse at `offset`, in its own words where it has some."""

    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole text."""

    text: str
    nodes: tuple[Node, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def directives(self) -> Iterator[Directive]:
        """Those outside of every block."""
        return (node for node in self.nodes if isinstance(node, Directive))


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`, which tile it. A "lua" token stands between the braces of its block; a
    "broken" one is the rest of a text whose quote, escape or Lua block does not end."""
    first: Token | None = None  # of the directive that is being read
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found is not None  # "broken" takes everything
        group = found.lastgroup or ""
        token = Token(_KINDS[found[0] if group == "special" else group], position, found[0])
        yield token
        position = token.end
        if token.kind in ("word", "quoted"):
            first = first or token
        elif token.kind == "{":
            if first is not None and first.value.endswith(LUA_BLOCK):
                body = _lua_body(text, position)
                if body:
                    yield Token(
                        "broken" if position + len(body) == len(text) else "lua", position, body
                    )
                position += len(body)
            first = None
        elif token.kind in (";", "}"):
            first = None


def parse(text: str) -> Tree:
    """The tree of `text`, whatever it is; see `Tree.problems`."""
    reader = _Reader()
    for token in tokens(text):
        reader.take(token)
    nodes = reader.finish(len(text))
    return Tree(text, nodes, tuple(reader.problems))


def dump(tree: Tree) -> str:
    """The text that `tree` was parsed from, put together from its tokens."""
    parts: list[str] = []
    for node in tree.nodes:
        _dump(node, parts)
    return "".join(parts)


def walk(tree: Tree) -> Iterator[Directive]:
    """Every directive, those in blocks after the block that they are in."""
    waiting = [*reversed([*tree.directives])]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += reversed([*one.directives])


class _Reader:
    """Makes the tree, token by token."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._above: list[tuple[tuple[Token, ...], list[Node]]] = []
        self._nodes: list[Node] = []
        self._head: list[Token] = []
        self._before: Kind = "space"

    def take(self, token: Token) -> None:
        if self._before == "quoted" and _clings(token):
            self._problem(token, f'unexpected "{token.raw[0]}" after a closing quote')
        self._before = token.kind
        match token.kind:
            case "word" | "quoted":
                self._head.append(token)
            case "space" | "comment":
                (self._head or self._nodes).append(token)
            case "lua":
                self._nodes.append(token)
            case ";":
                self._ended(token)
            case "{":
                self._opened(token)
            case "}":
                self._closed(token)
            case "broken":
                self._problem(token, "unexpected end of file: what begins here has no end")
                self._unended()
                self._nodes.append(token)

    def finish(self, end: int) -> tuple[Node, ...]:
        if self._head:
            self._problem(self._head[0], 'unexpected end of file, expecting ";" or "}"')
            self._unended()
        while self._above:
            head, outer = self._above.pop()
            self._problem(head[0], 'unexpected end of file, expecting "}" for this block')
            outer.append(Directive(head, tuple(self._nodes)))
            self._nodes = outer
        return tuple(self._nodes)

    def _ended(self, token: Token) -> None:
        if not self._head:
            self._problem(token, 'unexpected ";"')
            self._nodes.append(token)
            return
        self._head.append(token)
        self._unended()

    def _opened(self, token: Token) -> None:
        if not self._head or len(self._above) >= MAX_DEPTH:
            what = f"more than {MAX_DEPTH} nested blocks" if self._head else 'unexpected "{"'
            self._problem(token, what)
            self._unended()
            self._nodes.append(token)
            return
        self._above.append(((*self._head, token), self._nodes))
        self._nodes, self._head = [], []

    def _closed(self, token: Token) -> None:
        if self._head:
            self._problem(token, 'unexpected "}": the directive before it has no ";"')
            self._unended()
        if not self._above:
            self._problem(token, 'unexpected "}"')
            self._nodes.append(token)
            return
        head, outer = self._above.pop()
        outer.append(Directive(head, tuple(self._nodes), token))
        self._nodes = outer

    def _unended(self) -> None:
        if self._head:
            self._nodes.append(Directive(tuple(self._head)))
            self._head = []

    def _problem(self, token: Token, message: str) -> None:
        self.problems.append(Problem(token.start, message))


def _clings(token: Token) -> bool:
    """Whether nginx would refuse `token` directly after a closing quote."""
    return token.kind not in ("space", ";", "{") and not token.raw.startswith(")")


def _lua_body(text: str, start: int) -> str:
    """What stands between the braces; the rest of the text when they do not close."""
    depth = 1
    for found in _LUA.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return text[start : found.start()]
    return text[start:]


def _unescaped(found: re.Match[str]) -> str:
    return _CONTROLS.get(found[1], found[1])


def _dump(node: Node, parts: list[str]) -> None:
    if isinstance(node, Token):
        parts.append(node.raw)
        return
    parts += [token.raw for token in node.head]
    for inner in node.inner or ():
        _dump(inner, parts)
    if node.closing is not None:
        parts.append(node.closing.raw)
