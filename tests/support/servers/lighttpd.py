"""Debian's lighttpd with mod_openssl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast.pki.issue import Issued
from holdfast.servers.files import FilesServer
from holdfast.servers.lighttpd import lighttpd_server
from holdfast.servers.reloaded import ReloadedServer
from support.pki import written
from support.ports import free_port
from support.servers.process import Process
from support.servers.shift import Shift

LIGHTTPD = "/usr/sbin/lighttpd"

CONFIGURATION = """
server.modules = ("mod_openssl")
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.pid-file = "{folder}/lighttpd.pid"
server.errorlog = "{folder}/error.log"
server.feature-flags += ("server.graceful-restart-bg" => "enable")
server.feature-flags += ("server.graceful-shutdown-timeout" => 5)
ssl.engine = "enable"
ssl.pemfile = "{chain}"
ssl.privkey = "{key}"
ssl.stapling-file = "{staple}"
"""


class Lighttpd(Process):
    """One lighttpd; `staple` is its stapling file."""

    def __init__(self, folder: Path, issued: Issued, *, shift: Shift) -> None:
        folder = folder / "lighttpd"
        folder.mkdir()
        port = free_port()
        chain, key = written(issued, folder, "site")
        self.staple = folder / "site.ocsp"
        self.config = folder / "lighttpd.conf"
        self.config.write_text(
            CONFIGURATION.format(folder=folder, port=port, chain=chain, key=key, staple=self.staple)
        )
        super().__init__(folder, [LIGHTTPD, "-D", "-f", self.config], port, shift=shift)

    @property
    def reloads(self) -> int:
        return (self.folder / "error.log").read_text().count("graceful shutdown started")

    def adapter(self, **wishes: Any) -> ReloadedServer:
        files = FilesServer("web", file=str(self.folder / "{name}.ocsp"), name_of=lambda _: "site")
        wishes.setdefault("look_at", ("127.0.0.1", self.port))
        wishes.setdefault("deadline", 10.0)
        return lighttpd_server(
            files,
            program=LIGHTTPD,
            config=str(self.config),
            pid_file=str(self.folder / "lighttpd.pid"),
            **wishes,
        )
