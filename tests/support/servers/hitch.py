"""Debian's Hitch, before a backend that says nothing: the handshake is all that is looked at."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from holdfast.pki.issue import Authority, Issued
from holdfast.servers.hitch import hitch_server
from holdfast.servers.reloaded import ReloadedServer
from support.ports import free_port
from support.servers.process import Process
from support.servers.shift import Shift
from support.tls_world import roots_file

HITCH = "/usr/sbin/hitch"

CONFIGURATION = """
frontend = "[127.0.0.1]:{port}"
backend = "[127.0.0.1]:{backend}"
workers = 2
daemon = off
ocsp-dir = ""
ocsp-verify-staple = {verify}
pem-file = {{
  cert = "{pem}"
  ocsp-resp-file = "{staple}"
}}
"""


class Hitch(Process):
    """One Hitch; `staple` is its response file. `verify`: its `ocsp-verify-staple`."""

    ready = "initialization complete"

    def __init__(self, folder: Path, issued: Issued, *, shift: Shift, verify: str = "off") -> None:
        folder = folder / "hitch"
        folder.mkdir()
        port = free_port()
        self._backend = socket.create_server(("127.0.0.1", 0), backlog=64)
        pem = folder / "site.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(issued.key_pem() + issued.fullchain_pem)
        self.staple = folder / "site.ocsp"
        self.config = folder / "hitch.conf"
        self.config.write_text(
            CONFIGURATION.format(
                port=port,
                backend=self._backend.getsockname()[1],
                pem=pem,
                staple=self.staple,
                verify=verify,
            )
        )
        self.pid_file = folder / "hitch.pid"
        words = [HITCH, f"--config={self.config}", f"--pidfile={self.pid_file}"]
        # it wants to run as another user when it is root; that one may be root itself
        user = ["--user=root", "--group=root"] if os.getuid() == 0 else []
        super().__init__(folder, [*words, *user], port, shift=shift)

    def trusts(self, ca: Authority) -> None:
        """Let its OpenSSL trust the root of `ca`, for `ocsp-verify-staple = on`."""
        self.environment = {"SSL_CERT_FILE": str(roots_file(ca, self.folder))}

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        self._backend.close()

    @property
    def reloads(self) -> int:
        return self.said.count("Config reloaded")

    def adapter(self, **wishes: Any) -> ReloadedServer:
        wishes.setdefault("deadline", 10.0)
        if self.environment:
            told = [f"{name}={value}" for name, value in self.environment.items()]
            wishes["test"] = ["env", *told, HITCH, "--test", f"--config={self.config}"]
        return hitch_server(
            "web",
            file=str(self.folder / "{name}.ocsp"),
            name_of=lambda _: "site",
            program=HITCH,
            config=str(self.config),
            pid_file=str(self.pid_file),
            **wishes,
        )
