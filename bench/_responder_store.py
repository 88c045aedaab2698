"""The store of the responder's benchmark: filled by `presign` itself, on all cores.

Serials are as public CAs have them, 16 octets spread over the whole range, and are computed rather
than kept: ten million of them cost no memory. A store that stands there already is used again, and
is signed anew when its answers are about to be due.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import overload

from holdfast.net.clock import SystemClock
from holdfast.ocsp.certid import ca_tag
from holdfast.ocsp.sign import Signer
from holdfast.pki import keys, pem
from holdfast.plan.presigning import Wish
from holdfast.plan.record import mask
from holdfast.plan.rules import Rules
from holdfast.seams import LedgerEntry
from holdfast.services.presign import Presigner
from holdfast.services.signing_processes import SigningProcesses
from holdfast.services.signing_worker import Orders
from holdfast.stores.answers import Answers
from holdfast.stores.answers_filling import Filling

RULES = Rules(validity=timedelta(days=7))
LEFT = 3600  # seconds that a store found there must still hold
_FIRST = 0x01  # the first octet of each serial
_SPAN = 1 << 120  # of the other fifteen


class Serials(Sequence[bytes]):
    """`count` of them, in order, the same each time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._step = _SPAN // count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        roll = int.from_bytes(blake2b(b"%d" % index, digest_size=15).digest(), "big")
        return b"%c%b" % (_FIRST, (index * self._step + roll % self._step).to_bytes(15, "big"))


@dataclass(frozen=True, slots=True)
class Listed:
    """The ledger: each of `serials` is good."""

    serials: Serials
    ends: datetime

    @property
    def blocking(self) -> bool:
        return False

    def entry(self, serial: int, /) -> LedgerEntry | None:
        raise NotImplementedError(serial)  # signing ahead goes through all of it

    def entries(self) -> Iterator[LedgerEntry]:
        for serial in self.serials:
            yield LedgerEntry(int.from_bytes(serial, "big"), self.ends, subject="/CN=bench")


def fill(folder: Path, store: Path, serials: Serials) -> float:
    """Have `store` hold an answer of each, signed by the CA in `folder`; the seconds it took, 0
    when they were there."""
    ca = pem.certificates((folder / "ca.pem").read_bytes(), name="ca.pem")[0]
    key = keys.load((folder / "ca.key").read_bytes(), name="ca.key")
    if _filled(store, ca_tag(ca), serials):
        return 0.0
    signer, clock = Signer(ca, key, ca), SystemClock()
    opened = partial(Filling, store, ca=ca)

    def choose(_at: datetime) -> Signer:
        return signer

    orders = Orders(
        build=lambda: choose,
        opened=partial(opened, locked=False),
        rules=RULES,
        hash_algorithms=("sha1",),
        clock=clock,
    )
    processes = SigningProcesses(orders, count=len(os.sched_getaffinity(0)) + 1)
    presigner = Presigner(
        ledger=Listed(serials, datetime.now(UTC) + timedelta(days=90)),
        opened=opened,
        processes=processes,
        choose=choose,
        wish=Wish(rules=RULES, hashes=mask(["sha1"])),
        clock=clock,
        progress=_Bar() if len(serials) >= 1_000_000 else lambda _done, _total: None,
    )
    began = time.perf_counter()
    try:
        presigner.run()
    finally:
        presigner.close()
        processes.close()
    taken = time.perf_counter() - began
    if not _filled(store, ca_tag(ca), serials):
        raise SystemExit(f"{store} does not hold {len(serials)} answers that are in date")
    return taken


def _filled(store: Path, tag: bytes, serials: Serials) -> bool:
    soon = time.time() + LEFT
    with Answers(store) as answers:
        if answers.count(tag) != len(serials) or answers.compared(tag) is None:
            return False
        few = (answers.held(tag, serials[one]) for one in (0, len(serials) // 2, len(serials) - 1))
        return all(held is not None and held.next_update > soon for held in few)


class _Bar:
    """Tells how far it is, on standard error, once a second."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = done, now
        if now - self._told < 1 and done < total:
            return
        self._told = now
        rate = (done - self._first) / max(now - self._began, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        blocks = "#" * (40 * done // total)
        line = f"\rsigning [{blocks:<40}] {done:,} of {total:,}, {rate:,.0f}/s{left}   "
        print(line, end="\n" if done == total else "", file=sys.stderr, flush=True)
