"""Debian's nginx on a free port of 127.0.0.1, out of a folder, stopped by its process.

with Nginx(folder, {"site": [issued]}) as server:
    server.port, server.adapter(clock=...), server.restart()
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from holdfast.pki.issue import Issued
from holdfast.servers.nginx import nginx_server
from holdfast.servers.reloaded import ReloadedServer
from support.pki import written
from support.ports import free_port
from support.servers.shift import Shift

NGINX = "/usr/sbin/nginx"

MAIN = """
{user}{kept}pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
worker_processes {workers};
events {{ worker_connections 256; }}
http {{
  access_log off;
  server_names_hash_bucket_size 128;
  server_names_hash_max_size 8192;
{temporary}
{servers}
}}
"""
SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name {name};
{certificates}
{stapling}
    location / {{ return 200; }}
  }}
"""
PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """One master. `sites`: the certificates of each server block, by its name for the keeper.

    `stapling`: what stands beside the certificates, with {name} filled in; by default the include
    that the keeper owns.
    """

    def __init__(
        self,
        folder: Path,
        sites: Mapping[str, Sequence[Issued]],
        *,
        shift: Shift | None = None,
        workers: int = 2,
        stapling: str = "include {owned}/{name}.conf*;",
    ) -> None:
        self.folder = folder / "nginx"
        self.owned = self.folder / "holdfast"
        self.owned.mkdir(parents=True)
        self.port = free_port()
        self._environment = {} if shift is None else shift.environment
        self._workers = workers
        self._stapling = stapling
        self._process: subprocess.Popen[bytes] | None = None
        self.config = self.folder / "nginx.conf"
        self.configure(sites)

    @property
    def include(self) -> str:
        return str(self.owned / "{name}.conf")

    def configure(self, sites: Mapping[str, Sequence[Issued]], *, more: str = "") -> None:
        """Write its files; it reads them at its next start or reload. `more`: of each block."""
        servers = []
        for name, issued in sites.items():
            lines = []
            for number, one in enumerate(issued):
                chain, key = written(one, self.folder, f"{name}-{number}")
                lines += [f"    ssl_certificate {chain};", f"    ssl_certificate_key {key};"]
            stapling = self._stapling.format(owned=self.owned, name=name)
            servers.append(
                SERVER.format(
                    port=self.port,
                    name=" ".join(issued[0].certificate.names),
                    certificates="\n".join(lines),
                    stapling=f"    {stapling}\n    {more}",
                )
            )
        temporary = [f"  {name}_temp_path {self.folder}/{name};" for name in PATHS]
        self.config.write_text(
            MAIN.format(
                user="user root;\n" if os.getuid() == 0 else "",
                # it empties its environment, where the moved time is
                kept="".join(f"env {name};\n" for name in self._environment),
                folder=self.folder,
                workers=self._workers,
                temporary="\n".join(temporary),
                servers="\n".join(servers),
            )
        )

    def adapter(self, **wishes: Any) -> ReloadedServer:
        wishes.setdefault("include", self.include)
        wishes.setdefault("name_of", lambda _: "site")
        return nginx_server(
            "web", program=NGINX, config=str(self.config), prefix=str(self.folder), **wishes
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "error.log").read_text()

    @property
    def reloads(self) -> int:
        """How often it was reloaded, as its own log has it."""
        return self.log.count("(SIGHUP) received")

    def start(self) -> None:
        """Start it and wait until it accepts."""
        said = self.folder / "said"
        with said.open("wb") as out:
            self._process = subprocess.Popen(
                [NGINX, "-p", self.folder, "-c", self.config, "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self._environment},
            )
        for _ in range(1000):
            assert self._process.poll() is None, f"nginx did not start: {said.read_text()}"
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.01)
        raise AssertionError("nginx does not accept")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Nginx:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
