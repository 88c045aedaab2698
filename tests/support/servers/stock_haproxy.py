"""Debian's HAProxy from its own configuration, with a TLS frontend."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from holdfast.setup.haproxy import HAProxy
from support.ports import free_port
from support.staples import Desk
from support.tls_world import openssl, roots_file

FRONTEND = """
frontend tls
	bind 127.0.0.1:{port} ssl crt {crt}{more}
	http-request return status 200
"""


class StockHAProxy:
    """Debian's own configuration with a TLS frontend, as its unit runs it: -W, a pid file."""

    def __init__(self, folder: Path, desk: Desk, *, whole: bool = True, more: str = "") -> None:
        self.folder, self.desk = folder, desk
        self.port = free_port()
        self.pem = folder / "certs" / "www.pem"
        self.pem.parent.mkdir()
        self.pem.touch(mode=0o600)
        server = desk.server
        self.pem.write_bytes((server.fullchain_pem if whole else server.pem) + server.key_pem())
        self.pid_file = folder / "haproxy.pid"
        self.config = folder / "haproxy.cfg"
        text = Path("/etc/haproxy/haproxy.cfg").read_text()
        for line in text.splitlines(keepends=True):
            if line.split()[:1] in (["chroot"], ["user"], ["group"], ["daemon"], ["log"]):
                text = text.replace(line, "")  # what only an installed service can
        text = text.replace("/run/haproxy/admin.sock", str(folder / "admin.sock"))
        self.config.write_text(text + FRONTEND.format(port=self.port, crt=self.pem, more=more))
        self._process: subprocess.Popen[bytes] | None = None

    def change(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new, 1))

    def without_socket(self) -> None:
        lines = self.config.read_text().splitlines(keepends=True)
        self.config.write_text("".join(one for one in lines if "stats socket" not in one))

    def kind(self, **wishes: object) -> HAProxy:
        wishes.setdefault("admin_socket", self.folder / "admin.sock")
        wishes.setdefault("environment", {})
        return HAProxy(
            program="/usr/sbin/haproxy",
            configs=[self.config],
            pid_file=self.pid_file,
            deadline=15.0,
            **wishes,  # type: ignore[arg-type]
        )

    @contextlib.contextmanager
    def serving(self, *options: str) -> Iterator[StockHAProxy]:
        words = ["/usr/sbin/haproxy", "-W", "-f", self.config, "-p", self.pid_file, *options]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            self.wait()
            yield self
        finally:
            self.stop()

    def wait(self) -> None:
        assert self._process is not None
        for _ in range(1000):
            if self._process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text())
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                if self.pid_file.exists() and self.pid_file.read_text().strip():
                    return
            time.sleep(0.01)
        raise AssertionError("HAProxy does not accept")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)

    def status(self, folder: Path, *more: object) -> str:
        code, said = openssl(self.port, roots_file(self.desk.ca, folder), *more)
        assert code == 0, said
        return said

    def stapled(self, folder: Path) -> bool:
        said = self.status(folder)
        assert ("OCSP Response Status: successful" in said) != ("no response sent" in said)
        return "Cert Status: good" in said
