"""A CA with its ledger, and `holdfast responder` as an operator starts it, for tests from outside.

    world = a_world(folder)
    with world.responder("--max-age", "1h") as running:
        running.port, running.tree(), running.anonymous_kib()

What it logs goes to a file: a pipe that nobody reads would stop it.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.issue import Authority, Issued
from holdfast.seams import LedgerEntry
from holdfast.stores.index_txt import write_index
from support.pki import a_root, a_server, a_signer, private
from support.processes import HOLDFAST, START

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)
REVOKED_AT = NOW - timedelta(hours=2)


@dataclass
class World:
    """`good`, `revoked`: serials of the ledger, besides those of the certificates of these names;
    `awkward`: a good one whose request is base64 with both `//` and `+` in it."""

    folder: Path
    ca: Authority
    good_one: Issued
    revoked_one: Issued
    never: Issued
    good: set[int] = field(default_factory=set)
    revoked: set[int] = field(default_factory=set)
    awkward: int = 0

    @property
    def index(self) -> Path:
        return self.folder / "index.txt"

    def file(self, name: str) -> Path:
        return self.folder / name

    def entries(self) -> list[LedgerEntry]:
        end = NOW + timedelta(days=90)
        bad = RevocationReason.KEY_COMPROMISE
        return [
            *(LedgerEntry(serial, end) for serial in sorted(self.good)),
            *(LedgerEntry(serial, end, REVOKED_AT, bad) for serial in sorted(self.revoked)),
        ]

    def write(self) -> None:
        """Put the ledger in place at once, as a CA does."""
        new = self.index.with_suffix(".new")
        new.write_bytes(write_index(self.entries(), at=NOW))
        new.replace(self.index)

    def revoke(self, serial: int) -> None:
        self.good.discard(serial)
        self.revoked.add(serial)
        self.write()

    def certid(self, serial: int, hash_algorithm: str = "sha1") -> CertID:
        return CertID.of(serial, self.ca.certificate, hash_algorithm)

    def asks(self, *serials: int, hash_algorithm: str = "sha1") -> bytes:
        """The DER of a request for `serials`, without any extension."""
        asked = tuple(SingleRequest(self.certid(serial, hash_algorithm)) for serial in serials)
        return Request(asked).encode()

    @property
    def words(self) -> list[object]:
        """The delegated signer over the index file."""
        ca, signer = self.file("ca.pem"), self.file("signer.pem")
        return ["--ca", ca, "--signer", signer, "--index", self.index]

    @contextmanager
    def responder(self, *more: object, **wishes: object) -> Iterator[RunningResponder]:
        with a_responder(self.folder, *self.words, *more, **wishes) as started:  # type: ignore[arg-type]
            yield started


def a_world(folder: Path) -> World:
    ca = a_root(at=BEGIN)
    made = [a_server(ca, name, at=BEGIN) for name in ("good.test", "bad.test", "no.test")]
    world = World(folder, ca, *made)
    signer = a_signer(ca, at=BEGIN)
    (folder / "ca.pem").write_bytes(ca.issued.pem)
    private(folder / "both.pem", ca.issued.pem + ca.issued.key_pem())
    private(folder / "signer.pem", signer.pem + signer.key_pem())
    for name, issued in zip(("good", "revoked", "never"), made, strict=True):
        (folder / f"{name}.pem").write_bytes(issued.pem)
    world.awkward = _awkward(world)
    world.good = {made[0].certificate.serial, world.awkward, *range(0x1000, 0x1080)}
    world.revoked = {made[1].certificate.serial, *range(0x2000, 0x2040)}
    world.write()
    return world


def _awkward(world: World) -> int:
    for high in count(1):  # the serial's last octets fall on whole groups of base64
        serial = int.from_bytes(high.to_bytes(4) + b"\xff\xff\xff\xfb\xef\xbe\xfb\xef\xbe")
        text = base64.b64encode(world.asks(serial)).decode()
        if "//" in text and "+" in text and text.endswith("="):
            return serial
    raise AssertionError


class RunningResponder:
    """One `holdfast responder` and what can be seen of it from outside."""

    def __init__(self, child: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.child = child
        self.url = url
        self.log = log
        self.port = int(url.split(":")[2].split("/", maxsplit=1)[0])

    @property
    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def tree(self) -> list[int]:
        """Its process and all below it."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    after = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # it ended meanwhile
                if after[0] != "Z":
                    parents[int(entry.name)] = int(after[1])
        found = [self.child.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def anonymous_kib(self) -> int:
        """Memory that is its own alone, all processes together."""
        return sum(_status(pid, "RssAnon") for pid in self.tree())

    def descriptors(self) -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.tree())

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.child.wait(timeout=15)


@contextmanager
def a_responder(
    folder: Path,
    *words: object,
    environment: Mapping[str, str] | None = None,
    before: tuple[object, ...] = (),
    port: int = 0,
    within: float = START,
) -> Iterator[RunningResponder]:
    """`holdfast responder` with `words`, on a free port; `before`: words that start it."""
    log = folder / f"responder-{time.monotonic_ns()}.log"
    command = [*before, *HOLDFAST, "responder", *words, "--listen", f"127.0.0.1:{port}", "--json"]
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
    assert child.stdout is not None
    try:
        yield RunningResponder(child, _first_url(child, log, within), log)
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(timeout=10)
        child.stdout.close()


def _first_url(child: subprocess.Popen[bytes], log: Path, within: float) -> str:
    assert child.stdout is not None
    found, deadline = b"", time.monotonic() + within
    while b"}\n" not in found:
        ready, _, _ = select.select([child.stdout], [], [], max(deadline - time.monotonic(), 0))
        chunk = os.read(child.stdout.fileno(), 65536) if ready else b""
        if not chunk:
            child.kill()
            raise AssertionError(f"{child.args!r} did not start: {log.read_text()}")
        found += chunk
    told = json.loads(found)
    assert "url" in told, f"{child.args!r} did not start: {told}"
    return str(told["url"])


def _status(pid: int, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0)
