"""HAProxy's processes: its master, the workers that a reload replaces, what they said at start.

Laws: nothing is taken for done by time alone. The master forks its workers and then executes itself
anew; between the two it blocks SIGUSR2 and forgets one that comes (2.6, `src/mworker.c`): so it is
told only while it listens, and has refused a configuration when it listens again without new
workers, and does so for `SURE`: one look may fall into its handler of the signal, or, where a
worker ends just then, miss those that stand behind it in the kernel's list of children.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.conf.text import read_text
from holdfast.errors import DeliveryError, OperatorError
from holdfast.net.daemon import LEAVE_WITHIN, LOOK_EVERY, PROC, Master, catches
from holdfast.net.files import read_bounded
from holdfast.setup.haproxy_disk import listens

STARTING = 5.0  # seconds that a master may be busy with itself before it is told
SURE = 0.3  # seconds that a master looks as if it had refused
MAX_ENVIRONMENT = 1024 * 1024  # bytes
SOCKET_DEADLINE = 2.0  # seconds for startup logs
MAX_LOGS = 256 * 1024  # bytes of them


class Processes:
    """Those of one HAProxy, by its pid file."""

    def __init__(self, *, program: str, deadline: float) -> None:
        self._master = Master("haproxy", program=program)
        self._deadline = deadline

    def pid(self, pid_file: Path) -> int | None:
        return self._master.pid(pid_file)

    async def appeared(self, pid_file: Path) -> bool:
        """Wait for a process: it goes into the background before it writes its pid file."""
        ends = time.monotonic() + self._deadline
        while self._master.pid(pid_file) is None:
            if time.monotonic() >= ends:
                return False
            await asyncio.sleep(LOOK_EVERY)
        return True

    async def reload(self, pid: int, command: Sequence[str]) -> None:
        """By `command`, else by SIGUSR2; return when new workers took over."""
        before = await self._ready(pid)
        if not before and not command:
            raise DeliveryError(
                f"HAProxy (process {pid}) has no master process, so that it cannot be told to "
                "reload",
                hint="run it with -W (as its systemd unit does), or give the command that reloads "
                "it",
            )
        await self._master.told(command, pid, signal.SIGUSR2, deadline=self._deadline)
        if before and not await self._taken_up(pid, before):
            raise DeliveryError(
                f"HAProxy (process {pid}) went on with its old configuration",
                hint="its log says why (journalctl -u haproxy): an address or a socket that it "
                "cannot take?",
            )

    async def _ready(self, pid: int) -> frozenset[int]:
        """The workers, once the master listens to signals."""
        ends = time.monotonic() + STARTING
        while True:
            if catches(pid, signal.SIGUSR2) or time.monotonic() >= ends:
                return self._workers(pid)
            await asyncio.sleep(LOOK_EVERY)

    async def _taken_up(self, pid: int, before: frozenset[int]) -> bool:
        ends = time.monotonic() + self._deadline
        busy, came_at, refused_at = False, None, None
        while time.monotonic() < ends:
            # in this order: a master makes its workers before it listens again
            listening = catches(pid, signal.SIGUSR2)
            workers = self._workers(pid)
            busy = busy or not listening
            if workers - before and listening:
                came_at, refused_at = came_at or time.monotonic(), None
                if not workers & before or time.monotonic() - came_at > LEAVE_WITHIN:
                    return True
            elif not workers or (busy and listening):
                refused_at = refused_at or time.monotonic()
                if time.monotonic() - refused_at > SURE:
                    return False
            else:
                refused_at = None
            await asyncio.sleep(LOOK_EVERY)
        return came_at is not None

    def _workers(self, pid: int) -> frozenset[int]:
        return self._master.serving(pid, bool)  # all have the master's title; a zombie has none


# A master that executed itself again carries these, and `haproxy -c` would take up its role.
ITS_OWN = (
    "HAPROXY_MWORKER_",
    "HAPROXY_PROCESSES",
    "HAPROXY_LOAD_SUCCESS",
    "HAPROXY_STARTUPLOGS_FD",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "LISTEN_",
)


def environment_of(pid: int) -> Mapping[str, str]:
    """That with which the process was started, without what HAProxy and its supervisor tell
    themselves by it; nothing where this user may not know."""
    try:
        data = read_bounded(PROC / str(pid) / "environ", MAX_ENVIRONMENT)
    except OperatorError:
        return {}
    pairs = (one.partition("=") for one in read_text(data).split("\0") if "=" in one)
    return {name: value for name, _, value in pairs if not name.startswith(ITS_OWN)}


def startup_logs(address: str) -> list[str]:
    """What the process behind an admin socket said when it started; nothing when it is silent."""
    kind, _, path = address.rpartition("@")
    said = b""
    try:
        if path.startswith("/") and kind in ("", "unix"):
            sock = socket.socket(socket.AF_UNIX)
            where: str | tuple[str, int] = path
        else:
            places = listens(address)
            if not places:
                return []
            where = places[0]
            sock = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
        with sock:
            sock.settimeout(SOCKET_DEADLINE)
            sock.connect(where)
            sock.sendall(b"show startup-logs\n")
            while len(said) < MAX_LOGS and (piece := sock.recv(65536)):
                said += piece
    except OSError:
        return []
    return said.decode("utf-8", "replace").splitlines()
