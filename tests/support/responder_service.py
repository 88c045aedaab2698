"""Three CAs with ledgers and signers in one folder, and `holdfast responder -c` over them.

service = a_service(folder)
service.write(workers=2)                  # holdfast.toml: "one" under /one, the others by CertID
with service.running() as started:
    service.good("one"), started.url("one"), started.status
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.issue import Authority, Issued
from holdfast.seams import LedgerEntry
from holdfast.stores.index_txt import write_index
from support.pki import a_root, a_server, a_signer, private
from support.processes import HOLDFAST, ran, running

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)
NAMES = ("one", "two", "three")


@dataclass
class Member:
    """One CA: `good` and `bad` are certificates of it, `bad` revoked."""

    name: str
    folder: Path
    ca: Authority
    good: Issued
    bad: Issued
    signer: Issued

    @property
    def index(self) -> Path:
        return self.folder / f"{self.name}.txt"

    @property
    def table(self) -> str:
        """Its [[responder.ca]]."""
        return (
            f'[[responder.ca]]\nname = "{self.name}"\ncertificate = "{self.name}.pem"\n'
            f'index = "{self.name}.txt"\nsigners = [{{ certificate = "{self.name}-signer.pem" }}]\n'
        )

    def write(self, *, revoked: bool = False) -> None:
        """Put the ledger there at once; `revoked`: the good one is revoked too."""
        end = NOW + timedelta(days=90)
        bad = (NOW - timedelta(hours=2), RevocationReason.KEY_COMPROMISE)
        rows = [
            LedgerEntry(self.good.certificate.serial, end, *(bad if revoked else (None, None))),
            LedgerEntry(self.bad.certificate.serial, end, *bad),
        ]
        new = self.index.with_suffix(".new")
        new.write_bytes(write_index(rows, at=NOW))
        new.replace(self.index)

    def asks(self, issued: Issued, hash_algorithm: str = "sha1") -> bytes:
        certid = CertID.of(issued.certificate.serial, self.ca.certificate, hash_algorithm)
        return Request.build(certid).encode()


@dataclass
class Started:
    """A running responder; `announced` is what it printed."""

    child: subprocess.Popen[bytes]
    announced: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return str(self.announced["status"])

    def url(self, name: str) -> str:
        return str(next(ca["url"] for ca in self.announced["cas"] if ca["name"] == name))

    def workers(self) -> list[int]:
        """The process ids of the master's children."""
        path = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def signal(self, number: int) -> None:
        os.kill(self.child.pid, number)

    def end(self) -> int:
        self.signal(signal.SIGTERM)
        return self.child.wait(timeout=20)


@dataclass
class Service:
    """The folder and its CAs."""

    folder: Path
    members: dict[str, Member]

    @property
    def settings(self) -> Path:
        return self.folder / "holdfast.toml"

    def write(self, *tables: str, head: str = "", workers: int = 1) -> None:
        """holdfast.toml with `tables`, by default all three CAs."""
        tables = tables or (self.members["one"].table + 'prefix = "/one"\n', *self.others())
        start = f'[responder]\nlisten = ["127.0.0.1:0"]\nworkers = {workers}\n'
        if "status" not in head:
            start += 'status = "127.0.0.1:0"\n'
        self.settings.write_text(start + head + "".join(tables))

    def others(self) -> tuple[str, ...]:
        return self.members["two"].table, self.members["three"].table

    @contextmanager
    def running(self, *more: object) -> Iterator[Started]:
        command = [*HOLDFAST, "responder", "-c", self.settings, "--json", *more]
        with running(command, until=b"\n}\n") as child:
            yield Started(child.child, json.loads(child.first))

    def asked(self, name: str, url: str, which: str = "good", *more: object) -> str:
        """What `openssl ocsp` says of that certificate, after it has verified the answer."""
        issuer, leaf = self.folder / f"{name}.pem", self.folder / f"{name}-{which}.pem"
        asks = ["openssl", "ocsp", "-issuer", issuer, *more, "-cert", leaf]
        done = ran([*asks, "-url", url, "-CAfile", issuer])
        text = (done.stdout + done.stderr).decode()
        if "Response verify OK" not in text:
            return text
        return next(line for line in text.splitlines() if f"{leaf}: " in line).split(": ")[1]


def a_service(folder: Path) -> Service:
    members = {name: _member(folder, name) for name in NAMES}
    return Service(folder, members)


def _member(folder: Path, name: str) -> Member:
    ca = a_root(f"CA {name}", at=BEGIN)
    good, bad = (a_server(ca, f"{word}.{name}.test", at=BEGIN) for word in ("good", "bad"))
    signer = a_signer(ca, f"Signer {name}", at=BEGIN)
    (folder / f"{name}.pem").write_bytes(ca.issued.pem)
    for word, issued in (("good", good), ("bad", bad)):
        (folder / f"{name}-{word}.pem").write_bytes(issued.pem)
    private(folder / f"{name}-signer.pem", signer.pem + signer.key_pem())
    member = Member(name, folder, ca, good, bad, signer)
    member.write()
    return member


def got(url: str, *, data: bytes | None = None) -> tuple[int, bytes]:
    """(status, body) of a GET, or a POST of an OCSP request."""
    asked = urllib.request.Request(
        url, data=data, headers={"Content-Type": "application/ocsp-request"} if data else {}
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as reply:
            return int(reply.status), reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def metrics(started: Started) -> dict[tuple[str, str], float]:
    """By name and the values of its labels."""
    _, body = got(f"{started.status}/metrics")
    return {
        (sample.name.removeprefix("holdfast_responder_"), " ".join(sample.labels.values())): value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        for value in [sample.value]
    }
