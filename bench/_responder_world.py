"""What the responder's benchmark serves: a CA with P-256, its certificates, and requests of them.

Serials are random 16 octets, as public CAs have them; every answer is signed by the CA itself.
"""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the CA is the tests'

from holdfast.ocsp.certid import CertID  # noqa: E402
from holdfast.ocsp.request import Request  # noqa: E402
from holdfast.ocsp.sign import Signer  # noqa: E402
from holdfast.ocsp.template import Template  # noqa: E402
from holdfast.pki import keys, pem  # noqa: E402
from holdfast.plan import record  # noqa: E402
from holdfast.stores.answers_filling import Filling  # noqa: E402
from support.pki import a_root, private  # noqa: E402

BATCH = 20_000
GOOD = b"\x80\x00"


@dataclass(frozen=True, slots=True)
class World:
    """`shelf` holds an answer of each of `serials`, which are in order."""

    folder: Path
    shelf: Path
    serials: list[bytes]
    at: datetime

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def key(self) -> Path:
        return self.folder / "ca.key"


def make(folder: Path, count: int, *, workers: int = 2) -> World:
    """A CA in `folder`, if it is not there, and a shelf of `count` answers."""
    at = datetime.now(UTC).replace(microsecond=0)
    if not (folder / "ca.pem").exists():
        ca = a_root(at=at - timedelta(days=1))
        (folder / "ca.pem").write_bytes(ca.issued.pem)
        private(folder / "ca.key", ca.issued.key_pem())
        (folder / "ca.key").chmod(0o600)
    rolls = random.Random(count)
    serials = sorted({b"\x01" + rolls.randbytes(15) for _ in range(count)})
    shelf = folder / f"answers-{count}.mdb"
    world = World(folder, shelf, serials, at)
    issuer = pem.certificates(world.ca.read_bytes(), name="ca.pem")[0]
    batches = (serials[i : i + BATCH] for i in range(0, len(serials), BATCH))
    with Filling(shelf, ca=issuer) as filling, ProcessPoolExecutor(workers) as pool:
        for signed in _in_turn(pool, world, batches, workers):
            filling.write(signed)
        filling.compared(int(at.timestamp()))
    return world


def _in_turn(
    pool: ProcessPoolExecutor, world: World, batches: Iterator[list[bytes]], workers: int
) -> Iterator[list[tuple[bytes, bytes]]]:
    under_way = [
        pool.submit(_signed, world.folder, batch, world.at) for batch in islice(batches, workers)
    ]
    while under_way:
        first = under_way.pop(0)
        for batch in islice(batches, 1):
            under_way.append(pool.submit(_signed, world.folder, batch, world.at))
        yield first.result()


def _signed(folder: Path, serials: Sequence[bytes], at: datetime) -> list[tuple[bytes, bytes]]:
    issuer = pem.certificates((folder / "ca.pem").read_bytes(), name="ca.pem")[0]
    key = keys.load((folder / "ca.key").read_bytes(), name="ca.key")
    template = Template(Signer(issuer, key, issuer))
    ends = at + timedelta(days=3)
    moment = template.moment(produced_at=at, this_update=at, next_update=ends)
    found = []
    for serial in serials:
        der, status_at = moment.shelved(serial, GOOD)
        header = record.HEADER.pack(
            int(at.timestamp()),
            int(ends.timestamp()),
            record.SIZE + status_at,
            len(GOOD),
            record.mask(["sha1"]),
        )
        found.append((serial, header + der))
    return found


def chosen(world: World, count: int) -> list[bytes]:
    """So many of the serials, at random, the same each time."""
    rolls = random.Random(7)
    if count >= len(world.serials):
        return rolls.sample(world.serials, len(world.serials))
    return rolls.sample(world.serials, count)


def questions(world: World, serials: Sequence[bytes]) -> list[bytes]:
    """A request (DER) about each."""
    issuer = pem.certificates(world.ca.read_bytes(), name="ca.pem")[0]
    return [
        Request.build(CertID.of(int.from_bytes(serial, "big"), issuer)).encode()
        for serial in serials
    ]


def path_of(question: bytes) -> str:
    return "/" + quote(base64.b64encode(question).decode(), safe="")


def by_get(question: bytes) -> bytes:
    """As OpenSSL, NSS and Go write the path; headers as wrk has them."""
    return b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path_of(question).encode()


def by_post(question: bytes, *, close: bool = False) -> bytes:
    return (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/ocsp-request\r\n%b"
        b"Content-Length: %d\r\n\r\n%b"
        % (b"Connection: close\r\n" if close else b"", len(question), question)
    )


def write_raw(path: Path, requests: Sequence[bytes]) -> Path:
    """For `_responder_load.LUA`: each with its length before it."""
    with path.open("wb") as out:
        for request in requests:
            out.write(b"%d\n%b" % (len(request), request))
    return path


def write_cfssl(world: World, path: Path) -> Path:
    """The same answers as cfssl's `ocspserve -responses` takes them."""
    from holdfast.ocsp.certid import ca_tag
    from holdfast.stores.answers import Answers

    issuer = pem.certificates(world.ca.read_bytes(), name="ca.pem")[0]
    with Answers(world.shelf) as shelf, path.open("wb") as out:
        for serial in world.serials:
            held = shelf.held(ca_tag(issuer), serial)
            assert held is not None
            out.write(base64.b64encode(held.der) + b"\n")
    return path


def write_index(world: World, path: Path) -> Path:
    """The ledger of the same certificates, for `openssl ocsp`."""
    ends = (world.at + timedelta(days=90)).strftime("%y%m%d%H%M%SZ")
    path.write_text(
        "".join(
            f"V\t{ends}\t\t{serial.hex().upper()}\tunknown\t/CN={serial.hex()}\n"
            for serial in world.serials
        )
    )
    return path


__all__ = ["World", "by_get", "by_post", "chosen", "make", "questions"]
