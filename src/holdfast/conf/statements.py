"""Servers' configurations as words: what is said, not whether it is right.

Laws: pure; text that its server would refuse gives some words or none, never an error; a word is
what the server would see, quotes and escapes gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast.conf.apache import statements
from holdfast.conf.nginx import tokens

Statement = tuple[str, ...]

_SHELL = re.compile(
    r"""\s+|(?P<comment>\#.*)|(?P<word>(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\#])+)""",
)
_PIECE = re.compile(r"""("(?:\\.|[^"\\])*")|('[^']*')|\\(.)|([^"'\\]+)|(.)""", re.DOTALL)


def nginx_statements(text: str) -> Iterator[Statement]:
    """Directives with their arguments; the head of a block ends with "{", its end is ("}",)."""
    words: list[str] = []
    for token in tokens(text):
        match token.kind:
            case "word" | "quoted":
                words.append(token.value)
            case ";":
                if words:
                    yield tuple(words)
                words = []
            case "{" | "}":
                yield (*words, token.kind)
                words = []


def apache_statements(text: str) -> Iterator[Statement]:
    """Directives with their arguments; `<VirtualHost *:443>` is ("<VirtualHost", "*:443>")."""
    return statements(text)


def haproxy_statements(text: str) -> Iterator[Statement]:
    """The words of each line."""
    for line in text.splitlines():
        words = []
        for found in _SHELL.finditer(line):
            if found["comment"] is not None:
                break
            if found["word"] is not None:
                words.append(_unquoted(found["word"]))
        if words:
            yield tuple(words)


def _unquoted(word: str) -> str:
    def plain(found: re.Match[str]) -> str:
        double, single, escaped, bare, other = found.groups()
        if double is not None:
            return re.sub(r"\\(.)", r"\1", double[1:-1])
        if single is not None:
            return single[1:-1]
        return escaped or bare or other or ""

    return _PIECE.sub(plain, word)
