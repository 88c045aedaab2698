"""What the responder's benchmark serves: a CA with P-256, its certificates, and requests of them.

Every answer is signed by the CA itself.
"""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the CA is the tests'

from bench._responder_store import Serials, fill  # noqa: E402
from holdfast.ocsp.certid import CertID  # noqa: E402
from holdfast.ocsp.request import Request  # noqa: E402
from holdfast.pki import pem  # noqa: E402
from support.pki import a_root, private  # noqa: E402


@dataclass(frozen=True, slots=True)
class World:
    """`shelf` holds an answer of each of `serials`, which are in order. `filled`: the seconds that
    signing them took, 0 when they were there."""

    folder: Path
    shelf: Path
    serials: Serials
    at: datetime
    filled: float

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def key(self) -> Path:
        return self.folder / "ca.key"


def ca_in(folder: Path) -> None:
    """A CA in `folder`, if there is none."""
    if not (folder / "ca.pem").exists():
        ca = a_root(at=datetime.now(UTC).replace(microsecond=0) - timedelta(days=1))
        private(folder / "ca.key", ca.issued.key_pem())
        (folder / "ca.pem").write_bytes(ca.issued.pem)


def make(folder: Path, count: int, *, store: Path | None = None) -> World:
    """A shelf of `count` answers by the CA in `folder`, in the folder `store` (None: the same)."""
    serials = Serials(count)
    shelf = (store or folder) / f"answers-{count}.mdb"
    filled = fill(folder, shelf, serials)
    return World(folder, shelf, serials, datetime.now(UTC).replace(microsecond=0), filled)


def chosen(world: World, count: int) -> list[bytes]:
    """So many of the serials, at random, the same each time."""
    rolls = random.Random(7)
    whole = len(world.serials)
    return [world.serials[one] for one in rolls.sample(range(whole), min(count, whole))]


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
