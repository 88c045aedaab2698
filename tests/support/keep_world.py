"""A CA, two server certificates, openssl's responder for them, and `holdfast keep` in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.issue import Authority, Issued
from holdfast.seams import LedgerEntry
from holdfast.stores.index_txt import write_index
from support.cli import holdfast
from support.pki import a_root, a_server, private, written
from support.ports import free_port
from support.processes import HOLDFAST, Running, ran, running

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)


@dataclass
class World:
    """A CA, the server certificates `web` and `mail`, and openssl's responder for them."""

    folder: Path
    ca: Authority
    web: Issued
    mail: Issued
    port: int
    writes: int = 0

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def out(self) -> Path:
        return self.folder / "web.ocsp"

    def write_index(self, *more: Issued, revoked: bool = False) -> None:
        ends = NOW + timedelta(days=90)
        since = NOW - timedelta(hours=1) if revoked else None
        reason = RevocationReason.KEY_COMPROMISE if revoked else None
        rows = [
            LedgerEntry(self.web.certificate.serial, ends, since, reason),
            *(LedgerEntry(issued.certificate.serial, ends) for issued in (self.mail, *more)),
        ]
        index = self.folder / "index.txt"
        index.write_bytes(write_index(rows, at=NOW))
        self.writes += 1  # openssl sees a change by the second only
        os.utime(index, times=(time.time(), time.time() + self.writes))
        (self.folder / "index.txt.attr").write_text("unique_subject = no\n")

    @contextmanager
    def responder(self, *, minutes: int | None = 10) -> Iterator[Running]:
        """openssl ocsp on the port that the certificates name. `minutes` None: no nextUpdate."""
        command = ("openssl", "ocsp", "-index", "index.txt", "-port", str(self.port))
        signer = ("-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem")
        window = () if minutes is None else ("-nmin", str(minutes))
        with running([*command, *signer, *window], cwd=self.folder, until=b"ACCEPT") as started:
            yield started

    @contextmanager
    def keeper(self, *words: object) -> Iterator[Running]:
        command = [*HOLDFAST, "keep", "--json", *words]
        with running(command, cwd=self.folder, until=b"\n}\n") as started:
            yield started

    def options(self) -> tuple[object, ...]:
        return ("--certificate", "web.pem", "--state", self.state, "--file", self.out)

    def settings(self, text: str) -> Path:
        path = self.folder / "holdfast.toml"
        path.write_text(text.replace("told.log", str(self.folder / "told.log")))
        return path

    def judged_by_openssl(self, file: Path, name: str = "web") -> str:
        """What `openssl ocsp` says of a stored response."""
        command = ("openssl", "ocsp", "-respin", file, "-issuer", "ca.pem", "-CAfile", "ca.pem")
        done = ran([*command, "-cert", f"{name}.pem", "-no_nonce"], cwd=self.folder)
        assert b"Response verify OK" in done.stderr, done.stderr
        return done.stdout.decode()

    def status(self) -> dict[str, Any]:
        outcome = holdfast("status", "--state", self.state, "--json")
        assert outcome.code == 0, outcome.err
        return outcome.json  # type: ignore[no-any-return]


def a_world(folder: Path) -> World:
    """In `folder`; nothing runs yet."""
    ca = a_root(at=BEGIN)
    port = free_port()
    urls = (f"http://127.0.0.1:{port}/",)
    web = a_server(ca, "web.test", at=BEGIN, responder_urls=urls)
    mail = a_server(ca, "mail.test", at=BEGIN, responder_urls=urls, must_staple=True)
    world = World(folder, ca, web, mail, port)
    for issued, name in ((web, "web"), (mail, "mail")):
        chain, _ = written(issued, folder, name)
        chain.write_bytes(issued.pem + ca.issued.pem)
    (folder / "ca.pem").write_bytes(ca.issued.pem)
    private(folder / "ca.key", ca.issued.key_pem())
    world.write_index()
    return world


def soon(true: Callable[[], object], *, within: float = 15.0) -> None:
    """Wait for another process."""
    ends = time.monotonic() + within
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.05)


TWO = """
[keeper]
state = "state"
listen = "127.0.0.1:0"
watch = "1s"
[[certificate]]
name = "web"
chain = "web.pem"
servers = ["files", "told"]
[[certificate]]
name = "mail"
chain = "mail.pem"
servers = ["files"]
[[server]]
name = "files"
kind = "files"
file = "{name}.ocsp"
[[server]]
name = "told"
kind = "command"
file = "told.ocsp"
run = ["/bin/sh", "-c", "echo $HOLDFAST_ACTION >> told.log"]
"""
