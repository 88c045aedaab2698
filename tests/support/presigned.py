"""A CA with an index.txt of many serials, and `holdfast presign` over it as an operator runs it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from holdfast.ocsp.certid import Subject, ca_tag, serial_octets
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import RevocationReason
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.verify import examine
from holdfast.pki.issue import Authority
from holdfast.seams import LedgerEntry
from holdfast.stores.answers import Answers
from holdfast.stores.index_txt import write_index
from support.pki import a_root, private
from support.processes import HOLDFAST, ran

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)
END = NOW + timedelta(days=300)


@dataclass
class Presigned:
    """`entries`: what the ledger is to say, by serial; `write` writes it."""

    folder: Path
    ca: Authority
    entries: dict[int, LedgerEntry] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "answers.lmdb"

    @property
    def index(self) -> Path:
        return self.folder / "index.txt"

    def issue(self, serials: Iterable[int], *, ends: datetime = END) -> None:
        self.entries |= {serial: LedgerEntry(serial, ends) for serial in serials}

    def revoke(self, serial: int, at: datetime = NOW) -> None:
        self.entries[serial] = LedgerEntry(serial, END, at, RevocationReason.KEY_COMPROMISE)

    def write(self) -> None:
        beside = self.index.with_suffix(".new")
        beside.write_bytes(write_index(self.entries.values(), at=NOW))
        os.replace(beside, self.index)

    def command(self, *words: object, ledger: tuple[object, ...] = ()) -> list[str]:
        asked = ledger or ("--index", self.index)
        line = (*HOLDFAST, "presign", "--ca", self.folder / "both.pem", *asked)
        return [str(word) for word in (*line, "--store", self.store, *words)]

    def sign(self, *words: object, **also: Any) -> dict[str, Any]:
        """Run it once; what it counted."""
        done = ran([*self.command(*words, **also), "--json"], timeout=60)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["cas"][0]
        return found

    def judged(self, shelf: Answers, serial: int, at: datetime | None = None) -> Verdict | None:
        """What a client makes of the stored answer about `serial`, None when there is none."""
        held = shelf.held(ca_tag(self.ca.certificate), serial_octets(serial))
        if held is None:
            return None
        subject = Subject(serial, self.ca.certificate)
        return examine(Response.parse(held.der), subject, at=at or datetime.now(UTC))

    def count(self, shelf: Answers) -> int:
        return shelf.count(ca_tag(self.ca.certificate))

    def says(self, shelf: Answers, serial: int) -> str:
        """ "good", "revoked", "none", or why it does not verify."""
        verdict = self.judged(shelf, serial)
        if verdict is None:
            return "none"
        if not verdict.valid or verdict.certificate_status is None:
            return str(verdict.worst)
        return verdict.certificate_status.text


def a_presigned(folder: Path, count: int = 0) -> Presigned:
    world = Presigned(folder, a_root(at=BEGIN))
    private(folder / "both.pem", world.ca.issued.pem + world.ca.issued.key_pem())
    world.issue(0x5000_0000_0000 + 0x1_0001 * n for n in range(count))
    world.write()
    return world


def soon(true: Callable[[], bool], within: float = 20.0) -> float:
    """Wait until `true()`; how many seconds that took. Fails after `within`."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within, "not in time"
        time.sleep(0.02)
    return time.monotonic() - began
