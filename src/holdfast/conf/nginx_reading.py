"""nginx's whole configuration: blocks with what is included in them, as nginx puts it together.

    reading = read("/etc/nginx/nginx.conf", MappingFiles(texts))
    reading.main.blocks                  # events, http ...; each knows what is in it

Laws: pure: texts come from a `Files`; included names are taken relative to the folder of the main
file, wherever the `include` stands (`ngx_conf_include`); what could not be included is kept as a
`Missing`, never passed over. The same file included twice is read twice, into two blocks.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.conf.nginx import Directive, Tree, parse

MAX_NESTED = 64  # blocks and files within each other; nginx itself ends at its open files
MAX_STATEMENTS = 1_000_000
WILD = frozenset("*?[")


class Files(Protocol):
    """Where texts come from. Names are absolute."""

    def text(self, name: str) -> str | None:
        """None when it cannot be read."""
        ...

    def matching(self, pattern: str) -> tuple[str, ...]:
        """The names that fit `pattern`, as glob(3) has it, in byte order."""
        ...


@dataclass(frozen=True, slots=True)
class MappingFiles:
    """Texts by name."""

    texts: Mapping[str, str]

    def text(self, name: str) -> str | None:
        return self.texts.get(name)

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.texts if fits(name, pattern)))


@dataclass(eq=False, slots=True)
class Block:
    """A block of the configuration, or the whole of it (`main`, without a directive).

    `file` is where it is opened, `depth` counts blocks and files around it. `statements`:
    everything directly in it, inner blocks' heads too.
    """

    file: str
    directive: Directive | None = None
    outer: Block | None = field(default=None, repr=False)
    depth: int = 0
    statements: list[Statement] = field(default_factory=list, repr=False)
    blocks: list[Block] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        return self.directive.name if self.directive is not None else "main"

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the blocks from `main` down to this."""
        names = []
        block: Block | None = self
        while block is not None:
            names.append(block.name)
            block = block.outer
        return tuple(reversed(names))

    def all(self, name: str) -> tuple[Statement, ...]:
        """The directives called `name` directly in it."""
        return tuple(one for one in self.statements if one.name == name)

    def effective(self, name: str) -> tuple[Statement, ...]:
        """Those called `name` that hold here: its own, else those of the nearest block above."""
        block: Block | None = self
        while block is not None:
            if found := block.all(name):
                return found
            block = block.outer
        return ()

    def value(self, name: str) -> str:
        """The first argument of the last that holds here, else ""."""
        found = self.effective(name)
        return found[-1].args[0] if found and found[-1].args else ""

    def within(self) -> Iterator[Block]:
        """It and every block in it."""
        waiting = [self]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += reversed(one.blocks)


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """A directive where it holds: in `block`, written in `file`. `via`: the include directives
    within the block that led there, outermost first."""

    directive: Directive
    file: str
    block: Block = field(repr=False)
    via: tuple[Statement, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return self.directive.name

    @property
    def args(self) -> tuple[str, ...]:
        return self.directive.args

    @property
    def key(self) -> tuple[str, int]:
        """Where it is written, which several statements share when a file is included twice."""
        return self.file, self.directive.start


@dataclass(frozen=True, slots=True)
class Missing:
    """An include that leads nowhere: `file` cannot be read, or is too deep."""

    statement: Statement
    file: str
    problem: str


@dataclass(slots=True)
class Reading:
    """`trees`: by the name of the file, in the order of reading."""

    main: Block
    trees: dict[str, Tree] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """What relative names of files are relative to."""
        return self.main.file.rpartition("/")[0]

    def full(self, name: str) -> str:
        """`name` as nginx opens it (`ngx_conf_full_name`)."""
        return name if name.startswith("/") else f"{self.folder}/{name}"

    def blocks(self, *names: str) -> Iterator[Block]:
        """All blocks that are called one of `names`."""
        return (block for block in self.main.within() if block.name in names)


def read(main: str, files: Files) -> Reading | None:
    """The configuration whose main file is `main` (absolute); None when that cannot be read."""
    reading = Reading(Block(main))
    reader = _Reader(reading, files)
    tree = reader.tree(main)
    if tree is None:
        return None
    reader.take(tree, main, reading.main, ())
    return reading


class _Reader:
    def __init__(self, reading: Reading, files: Files) -> None:
        self._reading = reading
        self._files = files
        self._left = MAX_STATEMENTS

    def tree(self, name: str) -> Tree | None:
        if name not in self._reading.trees:
            text = self._files.text(name)
            if text is None:
                return None
            self._reading.trees[name] = parse(text)
        return self._reading.trees[name]

    def take(
        self, tree: Tree | Directive, file: str, block: Block, via: tuple[Statement, ...]
    ) -> None:
        for directive in tree.directives:
            self._left -= 1
            statement = Statement(directive, file, block, via)
            block.statements.append(statement)
            if directive.inner is not None:
                inner = Block(file, directive, block, block.depth + len(via) + 1)
                block.blocks.append(inner)
                self.take(directive, file, inner, ())
            elif directive.name == "include" and directive.args:
                self._include(statement)

    def _include(self, statement: Statement) -> None:
        pattern = self._reading.full(statement.args[0])
        wild = not WILD.isdisjoint(pattern)
        depth = statement.block.depth + len(statement.via)
        for name in self._files.matching(pattern) if wild else (pattern,):
            if depth >= MAX_NESTED or self._left <= 0:
                self._missing(statement, name, "is included by itself, or much too often")
                continue
            tree = self.tree(name)
            if tree is None:
                self._missing(statement, name, "cannot be read")
                continue
            self.take(tree, name, statement.block, (*statement.via, statement))

    def _missing(self, statement: Statement, name: str, problem: str) -> None:
        self._reading.missing.append(Missing(statement, name, problem))


def fits(name: str, pattern: str) -> bool:
    """As glob(3) does: no wildcard matches a slash or a dot in front."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatch.fnmatchcase(part, one) and (one[:1] == "." or part[:1] != ".")
        for part, one in zip(parts, wanted, strict=True)
    )
