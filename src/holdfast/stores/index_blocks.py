"""An index.txt cut into blocks of whole lines, of which only digests stay in memory.

Laws: a block is what its digest says, so what changed between two versions of the file is found by
comparing, and only changed blocks are parsed; a change is worked out whole before any of it counts;
a line is given only after the digest of the block it stands in was checked. Memory is about 20
bytes a line: the lines themselves stay in the file, whose pages all processes share.
"""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from holdfast.errors import StoreError
from holdfast.seams import LedgerEntry
from holdfast.stores.index_lines import BadLine, entry_of, read_line, twice, utc_time
from holdfast.stores.index_window import MAX_LINE, Moved, Window

MAX_ADDED = 1 << 16  # keys beside the sorted ones, before all are sorted again

_DAY = (
    rb"\d\d(?:(?:0[1-9]|1[0-2])(?:0[1-9]|1\d|2[0-8])"
    rb"|(?:0[13-9]|1[0-2])(?:29|30)|(?:0[13578]|1[02])31)"
)
_TIME = _DAY + rb"(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ"
_REASON = rb"unspecified|keyCompromise|affiliationChanged|superseded|cessationOfOperation"
# A line as `openssl ca` writes nearly all. Others are read with more care.
_LINE = (
    rb"^(?:[VE]\t(?P<ends>" + _TIME + rb")\t"
    rb"|R\t(?P<ended>" + _TIME + rb")\t(?P<revoked>" + _TIME + rb"(?:,(?:" + _REASON + rb"))?))"
    rb"\t(?P<serial>[0-9A-Fa-f]{1,64})\t[^\t\n]*(?<!\\)\t(?P<subject>[^\t\n]*)\n"
)
_PLAIN = re.compile(_LINE, re.MULTILINE)
_PLAIN_SERIAL = re.compile(re.sub(rb"\(\?P<(?!serial)\w+>", b"(?:", _LINE), re.MULTILINE)
_LOW = (1 << 24) - 1  # of a packed key: the number of its block
_MIX = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio (Knuth, TAOCP 3, 6.4)
_MASK = (1 << 64) - 1


@dataclass(slots=True, eq=False)
class Block:
    """Whole lines at `offset`; `first`: a hash of the first of them; `keys`: of their serials."""

    number: int
    offset: int
    size: int
    digest: bytes
    first: int
    lines: int
    ended: bool
    keys: array[int]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the newer version: `kept`, or what stands in place of the blocks `replaced`."""

    start: int
    stop: int
    kept: Block | None = None
    replaced: Sequence[Block] = ()


@dataclass(slots=True)
class Layout:
    """One version of the file: its blocks in order, and where each serial stands."""

    blocks: list[Block] = field(default_factory=list)
    _by_number: dict[int, Block] = field(default_factory=dict)
    _sorted: array[int] = field(default_factory=lambda: array("Q"))
    _added: dict[int, list[int]] = field(default_factory=dict)
    _next: int = 0

    @property
    def end(self) -> int:
        return self.blocks[-1].offset + self.blocks[-1].size if self.blocks else 0

    @property
    def lines(self) -> int:
        return sum(block.lines for block in self.blocks)

    def candidates(self, serial: int) -> list[Block]:
        """The blocks that may have a line of `serial`: nearly always the one that has, or none."""
        key = _key(serial)
        return [block for block in self._with(key) if key in block.keys]

    def take(
        self, placed: list[tuple[Block, int]], added: list[tuple[int, int]], number: int
    ) -> bool:
        """Become `placed`, with `added` (key, number of the block) beside the sorted keys. False
        when these would be too many."""
        if not self._sorted or len(self._added) + len(added) > MAX_ADDED or number >= _LOW:
            return False
        for block, start in placed:
            block.offset = start
        self.blocks = [block for block, _ in placed]
        self._by_number = {block.number: block for block in self.blocks}
        self._next = number
        for key, taken in added:
            self._added.setdefault(key, []).append(taken)
        return True

    def _with(self, key: int) -> list[Block]:
        high, packed = key >> 24, self._sorted
        numbers = list(self._added.get(key, ()))
        at = bisect_left(packed, high << 24)
        while at < len(packed) and packed[at] >> 24 == high:
            numbers.append(packed[at] & _LOW)
            at += 1
        return [self._by_number[n] for n in dict.fromkeys(numbers) if n in self._by_number]


@dataclass(frozen=True, slots=True)
class Update:
    """The newer version, and how many serials of the older it has no more; `parsed`: lines."""

    layout: Layout
    lost: int
    parsed: int


def compare(layout: Layout, window: Window) -> list[Piece]:
    """What of `layout` is in the file still, and what stands there instead of the rest."""
    pieces: list[Piece] = []
    firsts: dict[int, int] = {}
    old, at, place = layout.blocks, 0, 0
    while at < len(old):
        block = old[at]
        if _is(block, window, place):
            pieces.append(Piece(place, place + block.size, block))
            at, place = at + 1, place + block.size
            continue
        firsts = firsts or {block.first: number for number, block in enumerate(old)}
        again, stop = _resumed(old, firsts, window, at, place)
        pieces.append(Piece(place, stop, replaced=old[at:again]))
        at, place = again, stop
    return _with_tail(pieces, place, window)


def appended(layout: Layout, window: Window) -> list[Piece] | None:
    """The same where the file only grew, as its last block tells; None where it did not."""
    if not layout.blocks or window.end <= layout.end:
        return None
    *head, last = layout.blocks
    if not _same(last, window, last.offset):
        return None
    pieces = [Piece(block.offset, block.offset + block.size, block) for block in head]
    return [*pieces, Piece(last.offset, window.end, replaced=(last,))]


def updated(
    layout: Layout,
    pieces: Sequence[Piece],
    window: Window,
    *,
    name: str,
    check: Callable[[int], None],
) -> Update:
    """What `layout` becomes by `pieces`; it is used up then.

    `StoreError` naming file and line when there is a line that cannot be read; and `check`, told
    how many serials would be lost, may raise. `layout` is then what it was.
    """
    placed: list[tuple[Block, int]] = []
    added: list[tuple[int, int]] = []
    before: set[int] = set()
    after: set[int] = set()
    number, parsed, doubled = layout._next, 0, False
    whole = not layout.blocks
    for piece in pieces:
        if piece.kept is not None:
            placed.append((piece.kept, piece.start))
            continue
        for block in piece.replaced:
            before.update(block.keys)
        spare = list(piece.replaced[::-1])  # their numbers are known to the index already
        for start, data in _fresh(window, piece, placed, name):
            known: frozenset[int] = frozenset()
            if spare:
                held = spare.pop()
                taken, known = held.number, frozenset(held.keys)
            else:
                taken, number = number, number + 1
            try:
                block = _block(taken, start, data)
            except BadLine as bad:
                raise _told(bad, data, placed, name) from None
            placed.append((block, start))
            parsed += block.lines
            if whole:
                continue
            reached = len(after)
            after.update(block.keys)
            doubled = doubled or len(after) - reached != len(block.keys)
            if len(added) <= MAX_ADDED:
                added += [(key, taken) for key in block.keys if key not in known]
    replaced = {id(block) for piece in pieces for block in piece.replaced}
    doubled = doubled or any(
        id(block) not in replaced and key in block.keys
        for key in after - before
        for block in layout._with(key)
    )
    if doubled:
        _refuse_doubled(placed, window, name)
    lost = len(before - after)
    if whole:
        packed = array("Q", sorted(_packed(placed)))
        if _may_be_doubled(packed, placed):
            _refuse_doubled(placed, window, name)
        check(lost)
        return Update(_anew(placed, packed), lost, parsed)
    check(lost)
    if layout.take(placed, added, number):
        return Update(layout, lost, parsed)
    return Update(_anew(placed, array("Q", sorted(_packed(placed)))), lost, parsed)


def find(layout: Layout, descriptor: int, serial: int) -> LedgerEntry | None:
    """The entry of `serial`, out of a block that is what it was; `Moved` if it is not."""
    for block in layout.candidates(serial):
        data = read(descriptor, block.offset, block.size, block.digest)
        for written in (b"\t%X\t" % serial, b"\t0%X\t" % serial):
            at = data.find(written)
            if at >= 0:
                entry = _read(data[data.rfind(b"\n", 0, at) + 1 : _end(data, at)])
                if entry is not None and entry.serial == serial:
                    return entry
        for entry in entries(data):
            if entry.serial == serial:
                return entry
    return None


def read(descriptor: int, offset: int, size: int, digest: bytes) -> bytes:
    """The lines of a block, proved; `Moved` when they are others now."""
    data = os.pread(descriptor, size, offset)
    if _digest(data) != digest:
        raise Moved
    return data


def entries(data: bytes) -> Iterator[LedgerEntry]:
    """Of each of the lines of a block."""
    text = data if data.endswith(b"\n") else data + b"\n"
    plain = _PLAIN.findall(text)
    if len(plain) == text.count(b"\n"):  # each match is one line, from its begin to its end
        for ends, ended, revoked, serial, subject in plain:
            shown = subject.removesuffix(b"\r").decode("utf-8", "replace")
            number, not_after = int(serial, 16), utc_time((ends or ended).decode())
            yield entry_of(number, not_after, revoked.decode(), shown)
        return
    for line in data.split(b"\n"):
        entry = _read(line)
        if entry is not None:
            yield entry


# -- below ------------------------------------------------------------------------------------


def _key(serial: int) -> int:
    return hash(serial) * _MIX & _MASK


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _end(data: bytes, at: int) -> int:
    stop = data.find(b"\n", at)
    return len(data) if stop < 0 else stop


def _read(line: bytes) -> LedgerEntry | None:
    try:
        return read_line(line)
    except BadLine:
        raise Moved from None  # it was read once: these are other bytes


def _block(number: int, start: int, data: bytes) -> Block:
    ended = data.endswith(b"\n")
    text = data if ended else data + b"\n"
    lines = text.count(b"\n")
    serials = _PLAIN_SERIAL.findall(text)
    if len(serials) == lines:  # each match is one line, from its begin to its end
        keys = array("Q", [hash(int(serial, 16)) * _MIX & _MASK for serial in serials])
    else:
        found = (read_line(line) for line in text.split(b"\n"))
        keys = array("Q", [_key(entry.serial) for entry in found if entry is not None])
    first = hash(data[: data.find(b"\n") + 1])
    return Block(number, start, len(data), _digest(data), first, lines, ended, keys)


def _is(block: Block, window: Window, place: int) -> bool:
    """Whether `block` stands at `place`, and whole: a line without an end may have got more."""
    if not block.ended and place + block.size != window.end:
        return False
    return _same(block, window, place)


def _same(block: Block, window: Window, place: int) -> bool:
    if place + block.size > window.end:
        return False
    return _digest(window.take(place, block.size)) == block.digest


def _resumed(
    old: Sequence[Block], firsts: dict[int, int], window: Window, at: int, place: int
) -> tuple[int, int]:
    """From which of `old` on, not before `at`, the file is as it was, and where; else its end."""
    start = place
    while start < window.end:
        data = window.take(start, window.block)
        whole = data.rfind(b"\n") + 1
        if not whole:
            data = window.take(start, MAX_LINE)
            whole = data.find(b"\n") + 1 or len(data)
        for line in _with_ends(data[:whole]):
            again = firsts.get(hash(line), -1)
            if again >= at and (again > at or start > place) and _is(old[again], window, start):
                return again, start
            start += len(line)
    return len(old), window.end


def _with_ends(data: bytes) -> list[bytes]:
    if b"\r" not in data:
        return data.splitlines(keepends=True)
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines


def _with_tail(pieces: list[Piece], place: int, window: Window) -> list[Piece]:
    if place == window.end:
        return pieces
    replaced: Sequence[Block] = ()
    if pieces and (kept := pieces[-1].kept) is not None and kept.size < window.block:
        place, replaced = pieces.pop().start, (kept,)  # or each append would make a block
    return [*pieces, Piece(place, window.end, replaced=replaced)]


def _fresh(
    window: Window, piece: Piece, placed: list[tuple[Block, int]], name: str
) -> Iterator[tuple[int, bytes]]:
    try:
        yield from window.cut(piece.start, piece.stop)
    except BadLine as bad:
        raise bad.told(name, _lines(placed) + 1) from None


def _told(bad: BadLine, data: bytes, placed: list[tuple[Block, int]], name: str) -> StoreError:
    """What is wrong with the first bad line of `data`, which follow on `placed`."""
    for number, line in enumerate(data.split(b"\n"), start=_lines(placed) + 1):
        try:
            read_line(line)
        except BadLine as found:
            return found.told(name, number)
    return bad.told(name, _lines(placed) + 1)


def _lines(placed: list[tuple[Block, int]]) -> int:
    return sum(block.lines for block, _ in placed)


def _packed(placed: list[tuple[Block, int]]) -> Iterator[int]:
    for number, (block, _) in enumerate(placed):
        for key in block.keys:
            yield key & ~_LOW | number


def _anew(placed: list[tuple[Block, int]], packed: array[int]) -> Layout:
    for number, (block, start) in enumerate(placed):
        block.number, block.offset = number, start
    blocks = [block for block, _ in placed]
    return Layout(blocks, dict(enumerate(blocks)), packed, {}, len(blocks))


def _may_be_doubled(packed: array[int], placed: list[tuple[Block, int]]) -> bool:
    """Whether one key stands twice. Two serials of one key are no more than likely the same."""
    for one, other in zip(packed, islice(packed, 1, None), strict=False):
        if one >> 24 == other >> 24:
            mine, theirs = (placed[both & _LOW][0].keys for both in (one, other))
            if len(set(mine) | set(theirs)) != len(mine) + (
                len(theirs) if mine is not theirs else 0
            ):
                return True
    return False


def _refuse_doubled(placed: list[tuple[Block, int]], window: Window, name: str) -> None:
    """`StoreError` naming two lines of one serial, if there are two indeed."""
    keys = array("Q", sorted(key for block, _ in placed for key in block.keys))
    twofold = {one for one, other in zip(keys, islice(keys, 1, None), strict=False) if one == other}
    seen: dict[int, int] = {}
    number = 0
    for block, start in placed:
        if not twofold.isdisjoint(block.keys):
            lines = window.take(start, block.size).split(b"\n")
            for within, line in enumerate(lines, start=1):
                entry = _read(line)
                if entry is None or _key(entry.serial) not in twofold:
                    continue
                if entry.serial in seen:
                    first = seen[entry.serial]
                    raise twice(entry.serial, name=name, number=number + within, first=first)
                seen[entry.serial] = number + within
        number += block.lines
