"""Edits of nginx's files: directives put, changed and taken out, for chosen servers only.

Laws: pure; a line that also holds for a server that was not chosen is never touched (`shared` names
it); what is put stands after the certificates, indented and ended like its neighbours; of a line
from which all directives go nothing is left. Edits of the same place by several servers are one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from holdfast.conf.nginx import Directive
from holdfast.conf.nginx_reading import Block, Reading, Statement
from holdfast.conf.nginx_servers import Server
from holdfast.conf.text import Edit, line_end_of

_STEP = "    "
_AFTER = ("ssl_certificate_key", "ssl_certificate", "listen", "server_name")
_BARE = re.compile(r"""[^\s;{}"'\\$#]+""")
_BLANK = re.compile(r"[ \t]*")
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n)?")


@dataclass(slots=True)
class Edits:
    """What is to be done to the files of `reading` for the servers `chosen`, of `all_servers`."""

    reading: Reading
    all_servers: Collection[Server]
    chosen: Collection[Server]
    shared: list[Statement] = field(default_factory=list)
    _put: dict[Block, list[str]] = field(default_factory=dict)
    _changed: dict[str, set[Edit]] = field(default_factory=dict)
    _taken: dict[str, dict[int, Directive]] = field(default_factory=dict)

    def holds(self, server: Server, name: str, *args: str) -> bool:
        """Make `name args` hold in `server`; False when that would change others' lines."""
        own = server.block.all(name)
        if any(one.args == args for one in own) or (
            not own and any(one.args == args for one in server.block.effective(name))
        ):
            return True
        if not own:
            self.put(server, " ".join([name, *map(quoted, args)]) + ";")
            return True
        return self.change(own[-1], args)

    def put(self, server: Server, line: str) -> None:
        """`line` into the server's block."""
        lines = self._put.setdefault(server.block, [])
        if line not in lines:
            lines.append(line)

    def change(self, statement: Statement, args: tuple[str, ...]) -> bool:
        """Other arguments for `statement`."""
        if not self._mine(statement):
            return False
        words = statement.directive.words
        last = words[-1]
        start = words[1].start if len(words) > 1 else last.end
        text = " ".join(map(quoted, args))
        edit = Edit(start, last.end, text if len(words) > 1 else f" {text}")
        self._changed.setdefault(statement.file, set()).add(edit)
        return True

    def rename(self, statement: Statement, name: str) -> None:
        """`name` for the statement's own, whoever shares it: a name that nginx does not know."""
        word = statement.directive.words[0]
        self._changed.setdefault(statement.file, set()).add(Edit(word.start, word.end, name))

    def take(self, statement: Statement, *, whoever: bool = False) -> bool:
        """Take `statement` out. `whoever`: also where others share it, for it holds nowhere."""
        if not whoever and not self._mine(statement):
            return False
        self._taken.setdefault(statement.file, {})[statement.directive.start] = statement.directive
        return True

    def files(self) -> dict[str, tuple[Edit, ...]]:
        """The edits of each file that has some."""
        edits: dict[str, set[Edit]] = {file: set(some) for file, some in self._changed.items()}
        for file, taken in self._taken.items():
            text = self.reading.trees[file].text
            gone = edits.get(file, set())
            spans = [(one.start, one.end) for one in taken.values()]
            edits[file] = {
                edit for edit in gone if not any(s <= edit.start < e for s, e in spans)
            } | set(removals(text, taken.values()))
        for block, lines in self._put.items():
            text = self.reading.trees[block.file].text
            edits.setdefault(block.file, set()).add(insertion(text, block, lines))
        return {file: tuple(sorted(some)) for file, some in edits.items() if some}

    def _mine(self, statement: Statement) -> bool:
        """Whether only chosen servers have it."""
        for server in self.all_servers:
            if server in self.chosen:
                continue
            found = server.block.effective(statement.name)
            if any(one.key == statement.key for one in found):
                self.shared.append(statement)
                return False
        return True


def insertion(text: str, block: Block, lines: Iterable[str]) -> Edit:
    """`lines` into `block`, each on a line of its own where its neighbour has one."""
    after = _neighbour(block)
    assert block.directive is not None
    place = after.end if after is not None else block.directive.head[-1].end
    rest = _REST.match(text, place)
    begin = text.rfind("\n", 0, after.start if after is not None else block.directive.start) + 1
    indent = _BLANK.match(text, begin)
    assert rest is not None
    assert indent is not None
    alone = after is None or indent.end() == after.start
    if not alone or not rest[0].endswith("\n"):
        return Edit(place, place, "".join(f" {line}" for line in lines))
    margin = indent[0] if after is not None else indent[0] + _STEP
    end = line_end_of(text)
    return Edit(rest.end(), rest.end(), "".join(f"{margin}{line}{end}" for line in lines))


def _neighbour(block: Block) -> Directive | None:
    """The directive in the block's own text after which a line about its certificates goes."""
    whence = [one.via[0] for one in block.all("ssl_certificate") if one.via]
    own = [one for one in block.statements if not one.via and one.directive.inner is None]
    for name in _AFTER[:2]:
        if found := [one for one in own if one.name == name]:
            return found[-1].directive
    if whence:
        return whence[-1].directive
    for name in _AFTER[2:]:
        if found := [one for one in own if one.name == name]:
            return found[-1].directive
    return None


def removals(text: str, directives: Iterable[Directive]) -> tuple[Edit, ...]:
    """The directives out of `text`, with lines that hold nothing else."""
    spans = sorted((one.start, one.end) for one in directives)
    edits = []
    while spans:
        begin = text.rfind("\n", 0, spans[0][0]) + 1
        line = [spans.pop(0)]
        end = _line_end(text, line[-1][1])
        while spans and spans[0][0] < end:
            line.append(spans.pop(0))
            end = _line_end(text, line[-1][1])
        between = [begin, *(place for span in line for place in span), end]
        left = "".join(text[a:b] for a, b in zip(between[::2], between[1::2], strict=True))
        if not left.strip():
            edits.append(Edit(begin, end, ""))
            continue
        for start, stop in line:
            ahead = start
            while ahead > begin and text[ahead - 1] in " \t" and text[stop : stop + 1] in " \t\r\n":
                ahead -= 1
            edits.append(Edit(ahead if ahead > begin else start, stop, ""))
    return tuple(edits)


def _line_end(text: str, place: int) -> int:
    found = text.find("\n", place)
    return len(text) if found < 0 else found + 1


def quoted(word: str) -> str:
    """`word` as nginx reads it back."""
    if _BARE.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
