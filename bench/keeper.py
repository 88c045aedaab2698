"""A keeper of many certificates (K26): 1,000 beside 100,000, each in a process of its own.

A first process mints the certificates (one key, signed one by one, a file each in one folder) and
the state of a keeper that was stopped: one staple each, in files. A second reads the folder as a
keeper's first start does, and remembers what it read. A third starts a keeper on all that, with one
server and a responder in memory, and measures, from the instant it was started itself: the first
delivery, the last, the longest time that the loop was held, the longest planning step, the peak of
memory; then the clock is moved past every refresh and all are fetched, saved and delivered once
more. The cost of one certificate is the processor's time for both.

`--short` is 200 beside 2,000; its times are no measure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.timing import Row, report
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.staple import Staple
from holdfast.pki import issue, keys
from holdfast.pki.certificate import Certificate
from holdfast.pki.tlv import elements, tlv
from holdfast.services.inventory import CertificateFiles, Inventory
from holdfast.services.keeper import Keeper
from holdfast.services.remembered import remembered_inventory
from holdfast.sources.layered import Limited
from holdfast.stores.files import FileStore

AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
URLS = tuple(f"http://ocsp{n}.example.test/" for n in range(4))
SLICES = 25
LOOK = 0.004  # seconds between two looks; at 0.001 looking took a sixteenth of all time
SETTLED = 0.3  # seconds: the clock looks five times in a second


class MovedClock:
    """Implements `Clock`: the real one, `moved` by hand."""

    def __init__(self, start: datetime) -> None:
        self.moved = start - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.moved

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, instant: datetime, /) -> None:
        await asyncio.sleep(min(max((instant - self.now()).total_seconds(), 0), 0.2))


@dataclass
class Minting:
    """Implements `Source`: the CA signs at once, with no network between."""

    signer: Signer
    clock: MovedClock
    asked: int = 0

    async def response(self, subject: Subject, /) -> Response:
        self.asked += 1
        return Response.parse(response_for(self.signer, subject, self.clock.now()))


@dataclass
class Counting:
    """Implements `StapledServer` by counting."""

    name: str = "server"
    delivered: int = 0
    first: float = 0.0
    whole: set[int] = field(default_factory=set)

    async def deliver(self, staple: Staple, /) -> None:
        self.first = self.first or time.perf_counter()
        self.delivered += 1
        self.whole.add(staple.subject.serial)

    async def withdraw(self, certid: CertID, /) -> None:
        self.whole.discard(certid.serial)


class CountingStore(FileStore):
    """The usual store, which counts."""

    saved = 0

    async def save(self, staple: Staple, /) -> None:
        await super().save(staple)
        self.saved += 1


class Planning(Keeper):
    """The usual keeper, whose planning steps are timed."""

    longest = 0.0

    def _begin_what_is_due(self) -> None:
        began = time.perf_counter()
        super()._begin_what_is_due()
        self.longest = max(self.longest, time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one keeper took. Times in seconds, memory in MB."""

    certificates: int
    first_reading: float
    inventory: float
    first_delivery: float
    all_delivered: float
    longest_hold: float
    longest_plan: float
    all_refreshed: float
    hold_refreshing: float
    requests: int
    deliveries: int
    cost: float  # processor seconds of one certificate, restart and refresh
    peak: float


def response_for(signer: Signer, subject: Subject, at: datetime) -> bytes:
    at = at.replace(microsecond=0)
    single = SingleResponse(subject.certid, GOOD, at, at + WEEK)
    return signer.respond([single], produced_at=at)


# -- the first process --------------------------------------------------------------------------


def make(folder: Path, count: int) -> None:
    """`count` certificates and the staples of a keeper that was stopped an hour ago."""
    begin = AT - timedelta(days=30)
    ca = issue.root("Bench Root", at=begin, lifetime=timedelta(days=3650))
    (folder / "ca.der").write_bytes(ca.certificate.der)
    (folder / "ca.key").write_bytes(ca.issued.key_pem())
    moulds = [
        ca.server("www.example.test", at=begin, lifetime=timedelta(days=90), responder_urls=(url,))
        for url in URLS
    ]
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    store = FileStore(folder / "state")
    store.folder.mkdir()
    (folder / "certificates").mkdir()
    for number in range(count):
        leaf = cast(moulds[number % len(moulds)].certificate.der, number, ca.key)
        (folder / "certificates" / f"{number:06}.der").write_bytes(leaf)
        subject = Subject(Certificate(leaf).serial, ca.certificate)
        made = response_for(signer, subject, AT - timedelta(hours=1))
        store.path(subject.certid).write_bytes(made)


def cast(mould: bytes, number: int, key: object) -> bytes:
    """The certificate `mould` with another serial, signed again."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    outer = elements(mould, 0)
    inner = elements(mould, outer[0].start) if outer else None
    assert outer
    assert inner
    fields = elements(mould, inner[0].start, inner[0].end)
    assert fields
    serial = fields[1]
    tbs = tlv(
        0x30,
        mould[inner[0].start : serial.head],
        tlv(0x02, b"\x40" + bytes(11) + number.to_bytes(4, "big")),
        mould[serial.end : inner[0].end],
    )
    made = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, tbs, mould[inner[1].head : inner[1].end], tlv(0x03, b"\x00" + made))


# -- the second ---------------------------------------------------------------------------------


def read(folder: Path) -> Inventory:
    """The inventory, as a keeper whose settings name the folder reads it."""
    named = CertificateFiles(
        chain=str(folder / "certificates"), issuer=str(folder / "ca.der"), servers=("server",)
    )
    return remembered_inventory([named], state=folder / "state", many=1)


async def keep(folder: Path, *, first_reading: float, born: float) -> Figures:
    """Restart on what lies in `folder`, then refresh all. `born`: when this process was started."""
    began = time.perf_counter()
    since_birth = time.time() - born
    kept = read(folder).kept
    inventory = time.perf_counter() - began
    issuer = kept[0].subject.issuer
    signer = Signer(issuer, keys.load((folder / "ca.key").read_bytes()), issuer)
    clock, server, store = MovedClock(AT), Counting(), CountingStore(folder / "state")
    source = Minting(signer, clock)
    keeper = Planning(
        kept,
        source=Limited(source),
        store=store,
        clock=clock,
        servers={"server": server},
    )
    keeper.introduce()
    running = asyncio.create_task(keeper.run())
    _, hold, used = await until(lambda: len(server.whole) == len(kept))
    first = server.first - began + since_birth
    all_delivered = time.perf_counter() - SETTLED - began + since_birth
    assert source.asked == 0, "what is loaded is not asked for"
    server.whole.clear()
    clock.moved += WEEK * 0.49
    before, refreshed, hold_refreshing = server.delivered, 0.0, 0.0
    for _ in range(SLICES):  # the refreshes are spread over a tenth of the window: so is the time
        clock.moved += WEEK * 0.12 / SLICES
        took, longest, more = await until(
            lambda: source.asked == server.delivered - before == store.saved
        )
        refreshed, hold_refreshing = refreshed + took, max(longest, hold_refreshing)
        used += more
    assert len(server.whole) == len(kept), "each was refreshed"
    keeper.stop()
    await running
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Figures(
        len(kept),
        first_reading,
        inventory,
        first,
        all_delivered,
        hold,
        keeper.longest,
        refreshed,
        hold_refreshing,
        source.asked,
        server.delivered,
        used / len(kept),
        peak,
    )


async def until(done: Callable[[], bool]) -> tuple[float, float, float]:
    """(seconds until `done` has held for a while, the longest time that the event loop was held
    meanwhile, the processor's seconds)."""
    began = last = held_since = time.perf_counter()
    processor = used = time.process_time()
    longest = 0.0
    while True:
        await asyncio.sleep(LOOK)
        now = time.perf_counter()
        longest = max(longest, now - last - LOOK)
        last = now
        if not done():
            held_since, used = now, time.process_time()
        elif now - held_since > SETTLED:
            return held_since - began, longest, used - processor
        if now - began > 600:
            raise SystemExit("not done after ten minutes")


# -- both ---------------------------------------------------------------------------------------


def measured(count: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        child([folder, "--make", str(count)])
        took = json.loads(child([folder, "--read"]))
        more = ["--took", str(took), "--born", str(time.time())]
        return Figures(**json.loads(child([folder, *more])))


def child(words: list[str]) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "bench.keeper", "--folder", *words],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    return done.stdout


def rows(few: Figures, many: Figures) -> list[Row]:
    """The table; a bound is of the value over what K26 allows."""
    n = f"{many.certificates:,}"
    kilobytes = (many.peak - few.peak) / (many.certificates - few.certificates) * 1024
    return [
        Row(f"{n}: peak memory", many.peak, "MB", many.peak / 600, most=1),
        Row(f"{n}: each certificate more", kilobytes, "KB"),
        Row(f"{n}: first reading of the files", many.first_reading, "s"),
        Row(f"{n}: inventory, at a restart", many.inventory, "s"),
        Row(f"{n}: first delivery", many.first_delivery, "s", many.first_delivery / 5, most=1),
        Row(
            f"{n}: all proved, delivered", many.all_delivered, "s", many.all_delivered / 60, most=1
        ),
        Row(f"{n}: planning step", many.longest_plan * 1e3, "ms", many.longest_plan / 0.05, most=1),
        Row(f"{n}: loop held", many.longest_hold * 1e3, "ms"),
        Row(f"{n}: all refreshed", many.all_refreshed, "s"),
        Row(f"{n}: loop held, refreshing", many.hold_refreshing * 1e3, "ms"),
        Row(f"{few.certificates:,}: cost of one", few.cost * 1e6, "us"),
        Row(f"{n}: cost of one", many.cost * 1e6, "us", many.cost / few.cost, most=1.3),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--short", action="store_true", help="200 beside 2,000 certificates")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--took", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--born", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        began = time.perf_counter()
        read(options.folder)
        json.dump(time.perf_counter() - began, sys.stdout)
        return 0
    if options.make:
        make(options.folder, options.make)
        return 0
    if options.folder:
        figures = keep(options.folder, first_reading=options.took, born=options.born)
        json.dump(asdict(asyncio.run(figures)), sys.stdout)
        return 0
    few, many = (200, 2_000) if options.short else (1_000, 100_000)
    found = rows(measured(few), measured(many))
    code = report("keeper: many certificates", found, as_json=options.json)
    return 0 if options.short else code


if __name__ == "__main__":
    sys.exit(main())
