"""Debian's nginx from its package's own layout, copied into a folder: sites-enabled holds links.

with StockNginx(tmp_path, issued) as nginx:
    nginx.kind()                         # setup's view of it
    nginx.site("api", "...")             # one more site
    nginx.apply(proposal)

The default site is the package's with its TLS lines uncommented, as its own comments say.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from holdfast.pki.issue import Issued
from holdfast.setup.nginx import Nginx
from holdfast.setup.words import Proposal
from support.pki import private
from support.ports import free_port
from support.tls_world import run

NGINX = "/usr/sbin/nginx"
PACKAGE = Path("/etc/nginx")


class StockNginx:
    """`conf` is its /etc/nginx, `port` where the default site speaks TLS."""

    def __init__(self, folder: Path, issued: Issued) -> None:
        self.folder = folder
        self.conf = folder / "nginx"
        self.config = self.conf / "nginx.conf"
        self.port, self.plain = free_port(), free_port()
        self.pid_file = folder / "nginx.pid"
        self.log = folder / "error.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        shutil.copytree(PACKAGE, self.conf, symlinks=True)
        self._moved()
        self.chain = self.certificate("www", issued)
        snakeoil = self.conf / "snippets" / "snakeoil.conf"
        text = snakeoil.read_text()
        text = text.replace("/etc/ssl/certs/ssl-cert-snakeoil.pem", str(self.chain))
        key = str(self.chain.with_suffix(".key"))
        snakeoil.write_text(text.replace("/etc/ssl/private/ssl-cert-snakeoil.key", key))
        self.default = self.conf / "sites-available" / "default"
        text = self.default.read_text()
        text = text.replace("# listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        text = text.replace("# include snippets/snakeoil", "include snippets/snakeoil")
        text = text.replace("listen 80", f"listen 127.0.0.1:{self.plain}")
        lines = [line for line in text.splitlines(keepends=True) if "[::]" not in line]
        self.default.write_text("".join(lines))
        enabled = self.conf / "sites-enabled" / "default"
        enabled.unlink()
        enabled.symlink_to("../sites-available/default")

    def certificate(self, name: str, issued: Issued, *, chain: bytes | None = None) -> Path:
        """The file of a certificate, its key beside it."""
        place = self.folder / "ssl"
        place.mkdir(exist_ok=True)
        (place / f"{name}.pem").write_bytes(issued.fullchain_pem if chain is None else chain)
        private(place / f"{name}.key", issued.key_pem())
        return place / f"{name}.pem"

    def site(self, name: str, text: str) -> Path:
        """A site more, enabled by a link as Debian does."""
        path = self.conf / "sites-available" / name
        path.write_text(text)
        (self.conf / "sites-enabled" / name).symlink_to(f"../sites-available/{name}")
        return path

    def kind(self, **wishes: Any) -> Nginx:
        wishes.setdefault("roots", ())
        return Nginx(program=NGINX, config=self.config, error_log=self.log, **wishes)

    def apply(self, proposal: Proposal) -> None:
        """Its changes, by hand: links are followed."""
        for change in proposal.changes:
            target = Path(os.path.realpath(change.path))
            assert (target.read_bytes() if target.exists() else None) == change.before
            assert change.after is not None
            target.write_bytes(change.after)

    def everything(self) -> dict[Path, bytes]:
        """Every file of the configuration and its certificates."""
        places = [*self.conf.rglob("*"), *(self.folder / "ssl").rglob("*")]
        return {path: path.read_bytes() for path in places if path.is_file()}

    def test(self, *more: str) -> tuple[int, str]:
        return run([NGINX, "-t", "-c", self.config, *more])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [NGINX, "-c", self.config, "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        for _ in range(1000):
            assert self._process.poll() is None, (self.folder / "said").read_text()
            try:
                with socket.create_connection(("127.0.0.1", self.plain), 1):
                    return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("nginx does not accept")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)

    def __enter__(self) -> StockNginx:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _moved(self) -> None:
        """The package's paths, moved into the folder."""
        moves: Sequence[tuple[str, str]] = (
            ("/etc/nginx/", f"{self.conf}/"),
            ("/run/nginx.pid", str(self.pid_file)),
            ("/var/log/nginx/", f"{self.folder}/"),
        )
        text = self.config.read_text()
        for old, new in moves:
            text = text.replace(old, new)
        self.config.write_text(text)
