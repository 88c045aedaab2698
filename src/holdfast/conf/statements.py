"""Servers' configurations as words: what is said, not whether it is right.

Laws: pure; text that its server would refuse gives some words or none, never an error; a word is
what the server would see, quotes and escapes gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Statement = tuple[str, ...]

_NGINX = re.compile(r"""\s+|\#[^\n]*|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([{};])|([^\s;{}]+)""")
_SHELL = re.compile(
    r"""\s+|(?P<comment>\#.*)|(?P<word>(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\#])+)""",
)
_PIECE = re.compile(r"""("(?:\\.|[^"\\])*")|('[^']*')|\\(.)|([^"'\\]+)|(.)""", re.DOTALL)
_APACHE = re.compile(r"""\s+|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|(\S+)""")


def nginx_statements(text: str) -> Iterator[Statement]:
    """Directives with their arguments; the head of a block ends with "{", its end is ("}",)."""
    words: list[str] = []
    for found in _NGINX.finditer(text):
        double, single, special, bare = found.groups()
        if special == ";":
            if words:
                yield tuple(words)
            words = []
        elif special is not None:
            yield (*words, special)
            words = []
        else:
            quoted = double if double is not None else single
            if quoted is not None:
                words.append(re.sub(r"\\(.)", r"\1", quoted))
            elif bare is not None:
                words.append(bare)


def apache_statements(text: str) -> Iterator[Statement]:
    """Directives with their arguments; `<VirtualHost *:443>` is ("<VirtualHost", "*:443>")."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if line.lstrip().startswith("#"):
            continue
        words = []
        for double, single, bare in _APACHE.findall(line):
            if double or single:
                words.append(re.sub(r"\\([\"'\\])", r"\1", double or single))
            elif bare:
                words.append(bare)
        if words:
            yield tuple(words)


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
