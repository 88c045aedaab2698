"""Debian's Apache on a free port of 127.0.0.1, out of a folder, stopped by its process.

with Apache({"site": issued}, stapling=apache_snippet("127.0.0.1:9120")) as server:
    server.port, server.log(), server.graceful(), server.restart()

The folder is its own, below /tmp: started by root its children are www-data, who must get there.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from holdfast.pki.issue import Issued
from support.pki import written
from support.ports import free_port
from support.servers.shift import Shift

PROGRAM = "/usr/sbin/apache2"
MODULES = "/usr/lib/apache2/modules"
CONFIGURATION = """
{modules}
ServerName localhost
{user}
PidFile {folder}/apache2.pid
DefaultRuntimeDir {folder}
Mutex file:{folder} default
ErrorLog {folder}/error.log
LogLevel warn ssl:{level}{more_levels}
StartServers {workers}
MinSpareThreads 5
MaxSpareThreads 150
ThreadsPerChild 5
GracefulShutdownTimeout 1
DocumentRoot {folder}
Define APACHE_RUN_DIR {folder}
SSLSessionCache none
{stapling}
{hosts}
"""
HOST = """
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
  ServerName {name}
  SSLEngine on
{pairs}
</VirtualHost>
"""
PAIR = """\
  SSLCertificateFile {chain}
  SSLCertificateKeyFile {key}
"""


class Apache:
    """One server; a port for each of `sites`, which may have several certificates."""

    def __init__(
        self,
        sites: Mapping[str, Issued | tuple[Issued, ...]],
        *,
        stapling: str,
        modules: tuple[str, ...] = (),
        shift: Shift | None = None,
        level: str = "info",
        workers: int = 1,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-apache-"))
        self.folder.chmod(0o777)
        self._shift = shift
        self._process: subprocess.Popen[bytes] | None = None
        self.ports: dict[str, int] = {}
        hosts = []
        for site, issued in sites.items():
            port = self.ports[site] = free_port()
            pairs = ""
            for number, one in enumerate(issued if isinstance(issued, tuple) else (issued,)):
                chain, key = written(one, self.folder, f"{site}{number or ''}")
                pairs += PAIR.format(chain=chain, key=key)
            hosts.append(HOST.format(port=port, name="localhost", pairs=pairs))
        root = os.geteuid() == 0
        self.configuration = self.folder / "apache2.conf"
        loaded = ("mpm_event", "authz_core", "socache_shmcb", "ssl", *modules)
        self.configuration.write_text(
            CONFIGURATION.format(
                modules="\n".join(
                    f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in loaded
                ),
                user="User www-data\nGroup www-data" if root else "",
                folder=self.folder,
                level=level,
                more_levels="".join(f" {name}:{level}" for name in modules),
                workers=workers,
                stapling=stapling,
                hosts="\n".join(hosts),
            )
        )

    @property
    def port(self) -> int:
        """Of the only site, or the first."""
        return next(iter(self.ports.values()))

    @property
    def pid_file(self) -> Path:
        return self.folder / "apache2.pid"

    def log(self) -> str:
        path = self.folder / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it accepts."""
        self._process = subprocess.Popen(
            [PROGRAM, "-f", str(self.configuration), "-DFOREGROUND"],
            stdin=subprocess.DEVNULL,
            stdout=(out := (self.folder / "out").open("wb")),
            stderr=out,
            env={**os.environ, **(self._shift.environment if self._shift else {})},
        )
        out.close()
        for _ in range(1000):
            if self._process.poll() is not None:
                said = (self.folder / "out").read_text()
                raise AssertionError(f"Apache did not start: {said}{self.log()}")
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.01)
        raise AssertionError(f"Apache does not accept: {self.log()}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)

    def restart(self) -> None:
        self.stop()
        self.start()

    def graceful(self) -> None:
        """Ask for new children, without waiting for them."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    def write(self, old: str, new: str) -> None:
        """Change its configuration."""
        text = self.configuration.read_text()
        assert old in text
        self.configuration.write_text(text.replace(old, new))

    def __enter__(self) -> Apache:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def can_read(path: Path) -> bool:
    """Whether Apache's children may read the file at `path`."""
    if os.geteuid() != 0:
        return os.access(path, os.R_OK)
    user = pwd.getpwnam("www-data")
    told = path.stat()
    return bool(
        told.st_mode & 0o004
        or (told.st_uid == user.pw_uid and told.st_mode & 0o400)
        or (told.st_gid == user.pw_gid and told.st_mode & 0o040)
    )
