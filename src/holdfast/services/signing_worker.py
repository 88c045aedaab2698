"""A signing process: what it is told through its pipe, and does.

Laws: it builds its own signer, and opens the shelf, after the fork (neither a token's session nor a
map survives one); what it signed is kept until it is told to write it, which it does between two
signatures of the next batch, so that no process waits for another; when its pipe ends, so does it.
"""

from __future__ import annotations

import gc
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import ioctl
from itertools import compress
from multiprocessing.connection import Connection
from termios import FIONREAD
from typing import NamedTuple, Protocol

from holdfast.errors import HoldfastError
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.single_extensions import archive_cutoff_extension
from holdfast.ocsp.template import Moment, Template
from holdfast.plan.presigning import window
from holdfast.plan.record import HEADER, SIZE, mask
from holdfast.plan.rows import GOOD_DER, Rows
from holdfast.plan.rules import Rules
from holdfast.seams import Clock

STRETCH = 128  # signatures between two looks at the pipe
NOTHING = bytes(4)

Choose = Callable[[datetime], Signer]
Build = Callable[[], Choose]
Kept = tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]]
"""Serials, the values that are to be held of them, and serials that are gone."""


class Written(Protocol):
    """A shelf that is written to."""

    @property
    def current(self) -> bool: ...
    def write(
        self, serials: Sequence[bytes], values: Sequence[bytes], gone: Sequence[bytes] = ()
    ) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How the processes sign, by what `build` gives each, and where they write."""

    build: Build
    opened: Callable[[], Written]
    rules: Rules
    hash_algorithms: tuple[str, ...]
    clock: Clock


class Sign(NamedTuple):
    """Sign `rows` by what the ledger said `at`; keep that, and what is `gone` beside it."""

    at: int
    rows: Rows
    gone: Sequence[bytes]


class Write(NamedTuple):
    """Write what was signed first of what is kept, without the serials to `skip`."""

    skip: frozenset[bytes]


class Forget(NamedTuple):
    """Leave what is being signed, and forget what was."""


class Signed(NamedTuple):
    """So many in so many seconds of signing."""

    signed: int
    seconds: float


class Committed(NamedTuple):
    """So many records."""

    written: int


class Forgotten(NamedTuple):
    """Nothing is kept or under way."""


Order = Sign | Write | Forget
Said = Signed | Committed | Forgotten | HoldfastError


def work(pipe: Connection, others: Sequence[Connection], orders: Orders) -> None:
    """What a process does until its pipe ends."""
    for other in others:
        other.close()  # else nobody would ever read the end of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gives the batches
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.disable()  # nothing here makes cycles, and looking for them copies what the fork shares
    one = _Signing(orders, pipe)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            one.obey(pipe.recv())


class _Signing:
    """What one process has."""

    def __init__(self, orders: Orders, pipe: Connection) -> None:
        self._orders = orders
        self._pipe = pipe
        self._choose: Choose | None = None
        self._template: Template | None = None
        self._shelf: Written | None = None
        self._kept: deque[Kept] = deque()

    def obey(self, order: Order) -> None:
        said: Said
        try:
            if isinstance(order, Sign):
                signed = self._sign(order)
                if signed is None:
                    return
                said = signed
            elif isinstance(order, Write):
                said = self._write(order)
            else:
                self._kept.clear()
                said = Forgotten()
        except HoldfastError as error:
            said = error
        self._pipe.send(said)

    def _sign(self, order: Sign) -> Signed | None:
        """None when all of it was to be forgotten."""
        made: list[bytes] = []
        spent = 0.0
        serials, otherwise = order.rows.serials, order.rows.otherwise
        if serials:
            moment, head = self._moment(order.at)
            for start in range(0, len(serials), STRETCH):
                began = time.monotonic()
                several = serials[start : start + STRETCH]
                made += moment.records(several, head, said=GOOD_DER, otherwise=otherwise)
                spent += time.monotonic() - began
                while self._told():
                    other = self._pipe.recv()
                    self.obey(other)
                    if isinstance(other, Forget):
                        return None
        self._kept.append((serials, made, order.gone))
        return Signed(len(made), spent)

    def _told(self) -> bool:
        """Whether something can be read, asked by one call of the kernel."""
        return ioctl(self._pipe.fileno(), FIONREAD, NOTHING) != NOTHING

    def _moment(self, at: int) -> tuple[Moment, Callable[[int, int], bytes]]:
        self._choose = self._choose or self._orders.build()
        now = self._orders.clock.now()
        signer = self._choose(now)
        template = self._template
        if template is None or template.signer is not signer:
            template = self._template = Template(signer, self._orders.hash_algorithms)
        listed = datetime.fromtimestamp(at, UTC)
        return moment(template, rules=self._orders.rules, at=listed, produced_at=now)

    def _write(self, order: Write) -> Committed:
        serials, values, gone = self._kept.popleft()
        if order.skip:
            left = [serial not in order.skip for serial in serials]
            serials, values = list(compress(serials, left)), list(compress(values, left))
            gone = [serial for serial in gone if serial not in order.skip]
        if self._shelf is not None and not self._shelf.current:
            self._shelf.close()
            self._shelf = None
        self._shelf = self._shelf or self._orders.opened()
        self._shelf.write(serials, values, gone)
        return Committed(len(serials))


def moment(
    template: Template, *, rules: Rules, at: datetime, produced_at: datetime
) -> tuple[Moment, Callable[[int, int], bytes]]:
    """What makes records by what the ledger said `at`: `moment.records(serials, head, ...)`."""
    this_update, next_update = window(template.signer, rules, at)
    cutoff = rules.cutoff(produced_at.replace(microsecond=0))
    extensions: tuple[Extension, ...] = ()
    if cutoff is not None:
        extensions = (archive_cutoff_extension(cutoff),)
    made = template.moment(
        produced_at=produced_at,
        this_update=this_update,
        next_update=next_update,
        single_extensions=extensions,
    )
    begins, ends = int(this_update.timestamp()), int(next_update.timestamp())
    hashes = mask(template.hash_algorithms)

    def head(status_at: int, length: int) -> bytes:
        return HEADER.pack(begins, ends, SIZE + status_at, length, hashes)

    return made, head
