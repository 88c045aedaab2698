"""Debian's Apache from its package's own layout, copied into a folder: sites-enabled, mods-enabled
and conf-enabled hold links.

with StockApache(issued) as apache:
    apache.kind()                        # setup's view of it
    apache.site("api", "...")            # one more site
    apache.apply(proposal)

default-ssl is the package's, on a free port, with the certificate given; it is enabled, mod_ssl if
asked. The folder is its own, below /tmp: started by root its children are www-data.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from holdfast.conf.apache_environment import environment
from holdfast.pki.issue import Issued
from holdfast.setup.apache import Apache
from holdfast.setup.words import Change, Proposal
from support.pki import private
from support.ports import free_port
from support.tls_world import run

PROGRAM = "/usr/sbin/apache2"
PACKAGE = Path("/etc/apache2")
FOLDERS = ("RUN_DIR", "LOCK_DIR", "LOG_DIR")


class StockApache:
    """`conf` is its /etc/apache2, `port` where the default site speaks TLS."""

    def __init__(self, issued: Issued, *, tls: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-stock-apache-"))
        self.folder.chmod(0o755)
        self.conf = self.folder / "apache2"
        self.port, self.plain = free_port(), free_port()
        self.pid_file = self.folder / "run" / "apache2.pid"
        self.log = self.folder / "log" / "error.log"
        shutil.copytree(PACKAGE, self.conf, symlinks=True)
        self._moved()
        self.chain = self.certificate("www", issued)
        self.ssl_conf = self.conf / "mods-available" / "ssl.conf"
        self.default = self.conf / "sites-available" / "default-ssl.conf"
        text = self.default.read_text().replace("*:443", f"*:{self.port}")
        text = text.replace("/etc/ssl/certs/ssl-cert-snakeoil.pem", str(self.chain))
        key = str(self.chain.with_suffix(".key"))
        self.default.write_text(text.replace("/etc/ssl/private/ssl-cert-snakeoil.key", key))
        self.enable("sites", "default-ssl.conf")
        if tls:
            for name in ("ssl.load", "ssl.conf", "socache_shmcb.load"):
                self.enable("mods", name)

    def _moved(self) -> None:
        """Its run, log and lock folders, and its ports."""
        envvars = self.conf / "envvars"
        text = envvars.read_text()
        for name in FOLDERS:
            folder = self.folder / name.partition("_")[0].lower()
            folder.mkdir(mode=0o777)
            folder.chmod(0o777)
            text = re.sub(rf"APACHE_{name}=.*", f"APACHE_{name}={folder}$SUFFIX", text)
        text = re.sub(r"APACHE_PID_FILE=.*", f"APACHE_PID_FILE={self.pid_file}", text)
        envvars.write_text(text)
        ports = self.conf / "ports.conf"
        text = ports.read_text().replace("Listen 80", f"Listen 127.0.0.1:{self.plain}")
        ports.write_text(text.replace("Listen 443", f"Listen 127.0.0.1:{self.port}"))

    def enable(self, what: str, name: str) -> None:
        """As a2ensite and a2enmod do."""
        (self.conf / f"{what}-enabled" / name).symlink_to(f"../{what}-available/{name}")

    def certificate(self, name: str, issued: Issued, *, chain: bytes | None = None) -> Path:
        """The file of a certificate, its key beside it."""
        place = self.folder / "ssl"
        place.mkdir(exist_ok=True)
        (place / f"{name}.pem").write_bytes(issued.fullchain_pem if chain is None else chain)
        private(place / f"{name}.key", issued.key_pem())
        return place / f"{name}.pem"

    def site(self, name: str, text: str) -> Path:
        """A site more, enabled by a link."""
        path = self.conf / "sites-available" / f"{name}.conf"
        path.write_text(text)
        self.enable("sites", path.name)
        return path

    def kind(self, **wishes: Any) -> Apache:
        wishes.setdefault("program", PROGRAM)
        return Apache(root=self.conf, **wishes)

    def apply(self, proposal: Proposal) -> None:
        """Its changes, by hand: links are followed."""
        for change in proposal.changes:
            if change.link is not None:
                assert not os.path.lexists(change.path)
                change.path.symlink_to(change.link)
                continue
            target = Path(os.path.realpath(change.path))
            assert (target.read_bytes() if target.exists() else None) == change.before
            assert change.after is not None
            target.write_bytes(change.after)

    def take_back(self, proposal: Proposal) -> None:
        """The changes undone, in the opposite order."""
        for change in reversed(proposal.changes):
            if change.link is not None or change.before is None:
                change.path.unlink()
            else:
                Path(os.path.realpath(change.path)).write_bytes(change.before)

    def everything(self) -> dict[Path, bytes | str]:
        """Every file and link of the configuration and its certificates."""
        places = [*self.conf.rglob("*"), *(self.folder / "ssl").rglob("*")]
        return {
            path: str(path.readlink()) if path.is_symlink() else path.read_bytes()
            for path in places
            if path.is_symlink() or path.is_file()
        }

    @property
    def environment(self) -> dict[str, str]:
        text = (self.conf / "envvars").read_text()
        return environment(text, {"APACHE_CONFDIR": str(self.conf)})

    def words(self, *more: str) -> list[object]:
        """As apachectl of this folder runs it."""
        env = [f"{name}={value}" for name, value in self.environment.items()]
        return ["env", *env, PROGRAM, "-d", self.conf, *more]

    def test(self) -> tuple[int, str]:
        return run(self.words("-t"))

    @property
    def pid(self) -> int | None:
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        comm = Path(f"/proc/{pid}/comm")
        return pid if comm.exists() and comm.read_text().strip() == "apache2" else None

    def start(self) -> None:
        code, said = run(self.words("-k", "start"))
        assert code == 0, (said, self.log.read_text() if self.log.exists() else "")
        for _ in range(1000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.plain)):
                return
            time.sleep(0.01)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        for _ in range(1000):
            if self.pid is None:
                return
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> StockApache:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def changed(proposal: Proposal) -> dict[str, Change]:
    return {change.path.name: change for change in proposal.changes}
