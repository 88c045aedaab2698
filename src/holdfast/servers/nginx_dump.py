"""What `nginx -T` prints: the whole configuration as nginx read it, looked at, not judged.

Laws: pure; text that nginx accepted is the only text that comes here, so what cannot be read is
passed over.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from holdfast.conf.nginx import tokens

_FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
_SPECIAL = frozenset("{};")
_WILD = frozenset("*?[")
MAX_DEPTH = 64


@dataclass(slots=True)
class Block:
    """A block of the configuration with what is included in it: directives and inner blocks."""

    name: str
    directives: list[tuple[str, ...]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The first argument of each directive called `name`."""
        return [words[1] for words in self.directives if words[0] == name and len(words) > 1]


@dataclass(frozen=True, slots=True)
class Place:
    """A block that includes a file: how many certificates it has, in itself or from above."""

    block: str
    certificates: tuple[str, ...]


class Dump:
    """The parsed output of `nginx -T`."""

    def __init__(self, text: str) -> None:
        self.files = _files(text)
        first = next(iter(self.files), "")
        self._folder = PurePosixPath(first).parent
        self._names: dict[str, list[str]] = {}
        for file in self.files:
            folder, _, name = file.rpartition("/")
            self._names.setdefault(folder, []).append(name)
        self.root = Block("main")
        self._included: dict[str, list[tuple[Block, ...]]] = {}
        if first:
            self._read(first, self.root, (), 0)

    @property
    def pid(self) -> str | None:
        """The argument of `pid`, if there is one."""
        return next(iter(self.root.all("pid")), None)

    def places(self, path: str) -> list[Place]:
        """The blocks that include the file at `path`."""
        found = []
        for stack in self._included.get(path, []):
            named = (block.all("ssl_certificate") for block in reversed(stack))
            found.append(Place(stack[-1].name, tuple(next(filter(None, named), []))))
        return found

    def _read(self, file: str, block: Block, above: tuple[Block, ...], depth: int) -> None:
        stack = [*above, block]
        floor = len(stack)
        words: list[str] = []
        for word, bare in _tokens(self.files.get(file, "")):
            if not (bare and word in _SPECIAL):
                words.append(word)
            elif word == "{":
                inner = Block(words[0] if words else "")
                stack[-1].blocks.append(inner)
                stack.append(inner)
                words = []
            elif word == "}":
                if len(stack) > floor:
                    stack.pop()
                words = []
            elif words:
                self._directive(tuple(words), stack, depth)
                words = []

    def _directive(self, words: tuple[str, ...], stack: list[Block], depth: int) -> None:
        stack[-1].directives.append(words)
        if words[0] != "include" or len(words) < 2 or depth >= MAX_DEPTH:
            return
        for file in self._matching(words[1]):
            self._included.setdefault(file, []).append(tuple(stack))
            self._read(file, stack[-1], tuple(stack[:-1]), depth + 1)

    def _matching(self, pattern: str) -> Iterable[str]:
        whole = str(self._folder / pattern)
        if whole in self.files:
            return [whole]
        folder, _, last = whole.rpartition("/")
        if _WILD.isdisjoint(whole):
            return []
        if _WILD.isdisjoint(folder):
            fits = re.compile(fnmatch.translate(last)).match
            names = self._names.get(folder, [])
            dots = last.startswith(".")
            return [f"{folder}/{n}" for n in names if fits(n) and (dots or n[0] != ".")]
        return [file for file in self.files if _fits(file, whole)]


def _files(text: str) -> dict[str, str]:
    """The text of each file, in the order in which nginx read them."""
    parts = _FILE.split(text)
    files: dict[str, str] = {}
    for name, content in zip(parts[1::2], parts[2::2], strict=True):
        files.setdefault(name, content)
    return files


def _fits(file: str, pattern: str) -> bool:
    """As glob(3) does: no wildcard matches a slash or a dot in front."""
    parts, wanted = PurePosixPath(file).parts, PurePosixPath(pattern).parts
    return len(parts) == len(wanted) and all(
        PurePosixPath(part).match(one) and (one[:1] == "." or part[:1] != ".")
        for part, one in zip(parts[1:], wanted[1:], strict=True)
    )


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """(word, whether it stands without quotes)."""
    for token in tokens(text):
        if token.kind == "quoted":
            yield token.value, False
        elif token.kind == "word" or token.kind in _SPECIAL:
            yield token.value, True
