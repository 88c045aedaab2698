"""Servers' configurations as words: what is said, not whether it is right.

Laws: pure; text that its server would refuse gives some words or none, never an error; a word is
what the server would see, quotes and escapes gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.conf.apache import statements
from holdfast.conf.haproxy import split
from holdfast.conf.nginx import tokens

Statement = tuple[str, ...]


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
    return (line.texts for line in split(text) if line.words)
