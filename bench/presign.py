"""Signing ahead, against `openssl speed` on all cores; a store's size, and how fast it opens.

For ECDSA P-256 and RSA-2048, signed by the CA itself. By turns: `openssl speed -multi` with as many
processes as there are cores, and the presigner from a ledger that is in memory to a store on disk,
every batch committed, in a process of its own; signatures a second of the wall clock. Each run of
ours is held against the mean of the peer's before and after it, and the median of these ratios
counts: on shared machines either varies by a tenth from one run to the next, and what is near in
time varies together. At least 0.65 for P-256 and 0.88 for RSA-2048. Beside it, without a bound, the
whole command over an index.txt, start-up and reading included.

The store of `--serials` responses is made without signing (each is a response of the right form and
size); a new process opens it and reads 100 at random: under a second, start of Python not counted,
and under 450 bytes a response.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bench.timing import Row, report
from holdfast.net.clock import SystemClock
from holdfast.ocsp.certid import ca_tag, serial_octets
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.template import Template
from holdfast.pki import issue
from holdfast.pki.issue import Authority
from holdfast.plan.presigning import Wish
from holdfast.plan.record import mask
from holdfast.plan.rows import GOOD_DER
from holdfast.plan.rules import Rules
from holdfast.seams import LedgerEntry
from holdfast.services.presign import Presigner
from holdfast.services.signing_processes import SigningProcesses
from holdfast.services.signing_worker import Orders, moment
from holdfast.stores.answers_filling import Filling
from holdfast.stores.index_txt import write_index

NOW = datetime.now(UTC)
END = NOW + timedelta(days=300)
KINDS = {"ecdsa-p256": ("ecdsap256", 0.65), "rsa-2048": ("rsa2048", 0.88)}
MOST_BYTES, MOST_SECONDS = 450, 1.0
COMMANDS = 3  # runs of the whole command
CORES = len(os.sched_getaffinity(0))

OPENS = """
import sys, time
from holdfast.stores.answers import Answers
tag, serials = bytes.fromhex(sys.argv[2]), [bytes.fromhex(word) for word in sys.argv[3:]]
began = time.perf_counter()
shelf = Answers(sys.argv[1])
assert all(shelf.held(tag, serial) is not None for serial in serials)
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, slots=True)
class InMemory:
    """A ledger that costs nothing to read."""

    listed: Sequence[LedgerEntry]

    @property
    def blocking(self) -> bool:
        return False

    def entry(self, serial: int, /) -> LedgerEntry | None:
        return next((one for one in self.listed if one.serial == serial), None)

    def entries(self) -> Iterator[LedgerEntry]:
        return iter(self.listed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=15, help="how often each is run")
    parser.add_argument("--short", action="store_true", help="few signatures and a small store")
    parser.add_argument("--serials", type=int, help="responses in the store (default 10,000,000)")
    options = parser.parse_args()
    seconds, rounds = (2, min(7, options.rounds)) if options.short else (5, options.rounds)
    serials = options.serials or (200_000 if options.short else 10_000_000)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            rows += signing(kind, Path(folder), seconds=seconds, rounds=rounds)
        rows += opening(Path(folder), serials)
    title = f"presign: {CORES} cores, signatures a second, medians of {rounds}"
    return report(title, rows, as_json=options.json)


def signing(kind: str, folder: Path, *, seconds: int, rounds: int) -> list[Row]:
    name, least = KINDS[kind]
    count = int(openssl(name, 1) * 0.7 * seconds)
    ca, entries = listed(kind, count)
    pem = folder / "both.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(ca.issued.pem + ca.issued.key_pem())
    index = folder / "index.txt"
    index.write_bytes(write_index(entries, at=NOW))
    peers, ours, ratios = [openssl(name, seconds)], [], []
    for turn in range(rounds):
        shown(f"{kind}: {turn + 1} of {rounds}")
        ours.append(anew(presigned, kind, count, folder / f"{kind}.lmdb"))
        peers.append(openssl(name, seconds))
        ratios.append(ours[-1] / statistics.mean(peers[-2:]))
    shown(f"{kind}: ratios from {min(ratios):.2f} to {max(ratios):.2f}\n")
    whole = statistics.median(commanded(folder, count) for _ in range(COMMANDS))
    peer = statistics.median(peers)
    return [
        Row(f"{kind}, openssl speed on all cores", peer, "/s"),
        Row(
            f"{kind}, presign",
            statistics.median(ours),
            "/s",
            statistics.median(ratios),
            least=least,
        ),
        Row(f"{kind}, the whole command over index.txt", whole, "/s", whole / peer),
    ]


def shown(text: str) -> None:
    """How far it is, for who looks on."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def openssl(name: str, seconds: int) -> float:
    """Signatures a second by as many processes as cores, by the wall clock."""
    command = ["openssl", "speed", "-elapsed", "-mr", "-seconds", str(seconds)]
    said = subprocess.run(
        [*command, "-multi", str(CORES), name], capture_output=True, check=True, text=True
    ).stdout
    # +F2:0:2048:signatures a second:... for RSA, +F4:0:256:... for ECDSA
    line = next(line for line in reversed(said.splitlines()) if line.startswith(("+F2", "+F4")))
    return float(line.split(":")[3])


def anew(run: Callable[..., float], *words: object) -> float:
    """What `run` returns in a process of its own, as the command has it: in one that has done much
    before, those forked from it find the holes in its memory, and copy a page for each."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as one:
        return one.submit(run, *words).result()


def listed(kind: str, count: int) -> tuple[Authority, list[LedgerEntry]]:
    """A CA, and a ledger of so many that are good."""
    ca = issue.root(f"Bench {kind}", key_type=kind, at=NOW - timedelta(days=30))
    draw = random.Random(kind)
    return ca, [LedgerEntry(draw.getrandbits(127), END, subject="/CN=bench") for _ in range(count)]


def presigned(kind: str, count: int, store: Path) -> float:
    """Signatures a second, from a ledger in memory to a new store."""
    ca, entries = listed(kind, count)
    away(store)
    signer, rules, clock = Signer(ca.certificate, ca.key, ca.certificate), Rules(), SystemClock()
    opened = partial(Filling, store, ca=ca.certificate)

    def choose(_at: datetime) -> Signer:
        return signer

    orders = Orders(
        build=lambda: choose,
        opened=partial(opened, locked=False),
        rules=rules,
        hash_algorithms=("sha1",),
        clock=clock,
    )
    processes = SigningProcesses(orders, count=CORES + 1)
    presigner = Presigner(
        ledger=InMemory(entries),
        opened=opened,
        processes=processes,
        choose=choose,
        wish=Wish(rules=rules, hashes=mask(["sha1"])),
        clock=clock,
    )
    began = time.perf_counter()
    tally = presigner.run()
    taken = time.perf_counter() - began
    presigner.close()
    processes.close()
    if tally.signed != len(entries):
        raise SystemExit(f"{tally.signed} of {len(entries)} were signed")
    return tally.signed / taken


def commanded(folder: Path, count: int) -> float:
    """The same of the whole command."""
    store = folder / "command.lmdb"
    away(store)
    words = ["--ca", "both.pem", "--index", "index.txt", "--store", str(store), "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.cli.main", "presign", *words],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    taken = time.perf_counter() - began
    if json.loads(done.stdout)["cas"][0]["signed"] != count:
        raise SystemExit("not all were signed")
    return count / taken


def opening(folder: Path, serials: int) -> list[Row]:
    """A store of so many responses: its size, and how long it takes to open and read."""
    ca = issue.root("Bench Store", at=NOW - timedelta(days=30))
    store = folder / "many.lmdb"
    draw = random.Random(serials)
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    sample = serial_octets(1 << 126)
    at = NOW
    made, head = moment(Template(signer), rules=Rules(), at=at, produced_at=at)
    [value] = made.records([sample], head, said=GOOD_DER)
    front, _, end = value.partition(sample)
    step = ((1 << 127) - (1 << 126)) // serials
    asked: list[str] = []
    with Filling(store, ca=ca.certificate) as filling:
        for start in range(0, serials, 10_000):
            keys = [
                serial_octets((1 << 126) + step * n)
                for n in range(start, min(start + 10_000, serials))
            ]
            filling.write(keys, [front + key + end for key in keys])
            if draw.random() < 2e6 / serials or not asked:
                asked.append(draw.choice(keys).hex())
    size = store.stat().st_size / serials
    tag = ca_tag(ca.certificate).hex()
    words = [sys.executable, "-c", OPENS, str(store), tag, *asked[:100]]
    seconds = statistics.median(
        float(subprocess.run(words, capture_output=True, check=True).stdout) for _ in range(5)
    )
    many = f"{serials:,} responses"
    return [
        Row(f"{many}, bytes each", size, "B", size / MOST_BYTES, most=1.0),
        Row(f"{many}, opened and read", seconds * 1e3, "ms", seconds / MOST_SECONDS, most=1.0),
    ]


def away(store: Path) -> None:
    for path in store.parent.glob(f"{store.name}*"):
        path.unlink()


if __name__ == "__main__":
    sys.exit(main())
