"""Debian's real PostgreSQL on a free port of 127.0.0.1, started and stopped by its process id.

    with PostgreSQL.running() as server:
        url = server.fresh()         # postgresql://... of an empty database

It refuses to run as root: then it runs as `postgres`, whose password-less cluster lies in a folder
of its own under the system's temporary folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from support.ports import free_port

USER = "postgres"


class PostgreSQL:
    """One server; `start` and `kill` may alternate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.child: subprocess.Popen[bytes] | None = None
        self._names = count(1)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[PostgreSQL]:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        server = cls(folder)
        try:
            words = ["-D", server.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
            made = subprocess.run(
                server.command("initdb", *words, "--locale=C"), capture_output=True, check=False
            )
            assert made.returncode == 0, made.stderr.decode()
            server.start()
            yield server
        finally:
            server.kill(signal.SIGQUIT)
            shutil.rmtree(folder, ignore_errors=True)

    def command(self, program: str, *words: object) -> list[str]:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
        path = str(found[-1]) if found else shutil.which(program)
        assert path is not None, f"{program} is missing: tools/apt-packages installs it"
        command = [path, *map(str, words)]
        if os.geteuid() == 0:
            # runuser would stand between us and the server's process id
            return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *command]
        return command

    def start(self) -> None:
        words = ["-D", self.data, "-p", self.port, "-k", self.folder, "-h", "127.0.0.1"]
        self.child = subprocess.Popen(
            self.command("postgres", *words, "-F"),
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            cwd="/",
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                log = (self.folder / "log").read_text()
                assert self.child.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server at once, by SIGKILL as a crash would."""
        if self.child is None:
            return
        pid = self.child.pid
        backends = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        self.child.send_signal(number)
        self.child.wait(timeout=20)
        self.child = None
        ends = time.monotonic() + 20  # a backend may answer once more before it sees that
        while any(_lives(one) for one in backends):
            assert time.monotonic() < ends, backends
            time.sleep(0.01)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"test{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, url: str, *statements: str) -> None:
        """As another program would."""
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def issue_many(self, url: str, serials: range) -> None:
        """Certificates of the first CA, good until 2035, in one statement."""
        numbers = f"generate_series({serials.start}, {serials.stop - 1}) n"
        self.run(
            url,
            "INSERT INTO certificate (ca_id, serial, subject, name, not_after)"
            f" SELECT 1, to_hex(n), '', 'many', 2082758400 FROM {numbers}",
        )

    def revoke_many(self, url: str) -> None:
        """All of these, in one transaction, for superseded since March 2026."""
        self.run(
            url,
            "BEGIN; UPDATE ca SET revision = revision + 1;"
            " INSERT INTO revocation SELECT id, 1772600767, 4 FROM certificate"
            " WHERE name = 'many'; UPDATE certificate SET revision = ca.revision FROM ca"
            " WHERE ca.id = ca_id AND name = 'many'; COMMIT",
        )


def _lives(pid: str) -> bool:
    """False for one that only waits to be reaped, too."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return False
