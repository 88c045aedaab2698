"""A server from its stock layout, a CA with a responder that signs live, and `holdfast setup`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.ocsp.sign import Signer
from holdfast.pki.issue import Authority, Issued
from holdfast.pki.pem import encode_certificates
from support.pki import a_server, a_signer
from support.servers.stock_apache import StockApache
from support.servers.stock_nginx import StockNginx
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, openssl, roots_file


@dataclass(frozen=True, slots=True)
class Said:
    """What a run of `holdfast setup --json` ended with."""

    code: int
    document: dict[str, Any]
    stderr: str

    @property
    def state(self) -> str:
        return str(self.document.get("state"))

    @property
    def codes(self) -> list[str]:
        return [one["code"] for one in self.document.get("troubles", [])]


class SetupWorld:
    """`kind` is nginx or apache."""

    def __init__(self, kind: str, folder: Path, loop: Loop) -> None:
        self.kind, self.folder, self.loop = kind, folder, loop
        self.ca: Authority = a_ca()
        one = a_signer(self.ca, at=YESTERDAY)
        signer = Signer(certificate=one.certificate, key=one.key, issuer=self.ca.certificate)
        self.responder = LabResponder(Forge(self.ca, at=NOW, signer=signer))
        loop.run(self.responder.start())
        self.issued = self.issue("localhost")
        self.server: StockNginx | StockApache = (
            StockNginx(folder, self.issued) if kind == "nginx" else StockApache(self.issued)
        )
        self.root = folder / "root.pem"
        self.root.write_bytes(encode_certificates([self.ca.root]))

    def issue(self, *names: str, **wishes: Any) -> Issued:
        wishes.setdefault("responder_urls", [self.responder.url])
        return a_server(wishes.pop("ca", self.ca), *names, at=YESTERDAY, **wishes)

    def words(self, *more: str) -> list[str]:
        """`holdfast setup` with this server's places."""
        server = self.server
        config = server.conf / ("nginx.conf" if self.kind == "nginx" else "apache2.conf")
        own = [sys.executable, "-m", "holdfast", "setup", self.kind, "--config", str(config)]
        own += ["--state", str(self.folder / "state"), "--mode", "native", "--timeout", "2"]
        return [*own, "--issuer", str(self.root), *more]

    def setup(self, *more: str, words: Sequence[str] = ()) -> Said:
        done = subprocess.run(
            [*(words or self.words(*more)), "--json"],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = {}
        return Said(done.returncode, document, done.stderr)

    def stapled(self, port: int = 0, *, name: str = "localhost") -> bool:
        """Whether openssl's client is shown a good staple."""
        _, said = openssl(port or self.server.port, roots_file(self.ca, self.folder), name=name)
        return "OCSP Response Status: successful" in said and "Cert Status: good" in said

    def serves(self) -> bool:
        """Whether the server still shakes hands."""
        code, said = openssl(self.server.port, roots_file(self.ca, self.folder), name="localhost")
        return code == 0 and "BEGIN CERTIFICATE" in said

    def close(self) -> None:
        if isinstance(self.server, StockApache):
            self.server.remove()
        self.loop.run(self.responder.close())
