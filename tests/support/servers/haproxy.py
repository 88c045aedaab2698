"""Debian's HAProxy on a free port of 127.0.0.1, out of a folder, stopped by its process.

with Haproxy(folder, {"site": issued}) as server:
    server.port, server.crt("site"), server.socket, server.tcp_socket, server.restart()
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from holdfast.pki.issue import Issued
from support.ports import free_port
from support.servers.shift import Shift

CONFIGURATION = """
global
  nbthread 2
  stats socket {socket} mode 600 level {level}
  stats socket 127.0.0.1:{tcp} level {level}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend tls
  bind 127.0.0.1:{port} ssl {crts}
  http-request return status 200
"""


class Haproxy:
    """One process. `with_chain` False: the issuer is not in HAProxy's files."""

    def __init__(
        self,
        folder: Path,
        sites: Mapping[str, Issued],
        *,
        with_chain: bool = True,
        level: str = "admin",
        shift: Shift | None = None,
        name: str = "haproxy",
        crts: Path | None = None,
    ) -> None:
        """`crts`: the folder of the certificates, when another process has them too."""
        self.folder = folder / name
        self.folder.mkdir()
        self._crts = crts or self.folder
        self._shift = shift
        self.port, self._tcp = free_port(), free_port()
        self.socket = str(self.folder / "admin.sock")
        self.tcp_socket = f"127.0.0.1:{self._tcp}"
        for site, issued in sites.items():
            self.install(site, issued, with_chain=with_chain)
        self._configuration = self.folder / "haproxy.cfg"
        self._configuration.write_text(
            CONFIGURATION.format(
                socket=self.socket,
                tcp=self._tcp,
                level=level,
                port=self.port,
                crts=" ".join(f"crt {self.crt(site)}" for site in sites),
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def crt(self, site: str) -> Path:
        return self._crts / f"{site}.pem"

    @property
    def crt_template(self) -> str:
        return str(self._crts / "{name}.pem")

    def install(self, site: str, issued: Issued, *, with_chain: bool = True) -> None:
        """Put the certificate and its key where HAProxy finds them at its next start."""
        path = self.crt(site)
        path.touch(mode=0o600)
        path.write_bytes((issued.fullchain_pem if with_chain else issued.pem) + issued.key_pem())

    def start(self) -> str:
        """Start it and wait until it accepts; what it said."""
        log = self.folder / "log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                ["/usr/sbin/haproxy", "-db", "-f", str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(self._shift.environment if self._shift else {})},
            )
        for _ in range(1000):
            if self._process.poll() is not None:
                raise AssertionError(f"HAProxy did not start: {log.read_text()}")
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return log.read_text()
            time.sleep(0.01)
        raise AssertionError("HAProxy does not accept")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=10)

    def pause(self) -> None:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def restart(self) -> str:
        self.stop()
        return self.start()

    def __enter__(self) -> Haproxy:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
