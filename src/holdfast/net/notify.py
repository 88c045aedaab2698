"""What a process tells the service manager that started it, and the sockets it was given.

Laws: without NOTIFY_SOCKET nothing is sent and nothing fails; telling never blocks and never
raises; the variables are taken out of the environment, so that commands which are run from here do
not speak in this process's name. sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import timedelta

from holdfast.errors import OperatorError

FIRST_FD = 3  # SD_LISTEN_FDS_START
MAX_FDS = 64
_log = logging.getLogger("holdfast.notify")


class Notify:
    """Speaks to the service manager at `address`: a path, `@name` of the abstract namespace, or ""
    for nobody. `watchdog` is how long it waits for a sign of life, None for ever."""

    def __init__(self, address: str = "", *, watchdog: timedelta | None = None) -> None:
        self.watchdog = watchdog
        self._address = address if address.startswith(("/", "@")) else ""
        self._failed = False
        if address and not self._address:
            _log.warning("notify address=%s is not a unix socket; nothing is told", address)

    @classmethod
    def from_environment(
        cls, environ: MutableMapping[str, str] | None = None, *, pid: int | None = None
    ) -> Notify:
        """What NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say; they are taken out."""
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        whose = environ.pop("WATCHDOG_PID", "")
        ours = not whose or whose == str(os.getpid() if pid is None else pid)
        number = int(microseconds) if microseconds.isascii() and microseconds.isdigit() else 0
        watchdog = timedelta(microseconds=number) if number and ours else None
        return cls(address, watchdog=watchdog)

    def __bool__(self) -> bool:
        """True when somebody is told."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Started, or reloaded."""
        self.tell(READY="1", STATUS=status)

    def reloading(self) -> None:
        """Reading the settings again; `ready` says that it is done."""
        self.tell(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def stopping(self) -> None:
        self.tell(STOPPING="1", STATUS="stopping")

    def alive(self) -> None:
        """The sign of life that the watchdog waits for."""
        self.tell(WATCHDOG="1")

    def starting(self, status: str, *, within: timedelta) -> None:
        """Not ready yet, for this reason; asks for `within` more before it counts as failed."""
        self.tell(STATUS=status, EXTEND_TIMEOUT_USEC=str(int(within.total_seconds() * 1e6)))

    def tell(self, **fields: str) -> None:
        """Send fields; those that are empty are left out, a line break in one is a space."""
        if not self._address:
            return
        lines = [f"{key}={' '.join(value.split())}" for key, value in fields.items() if value]
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            if not self._failed:
                _log.warning("notify address=%s failed %s", self._address, error.strerror)
            self._failed = True


@dataclass(frozen=True, slots=True)
class Given:
    """A listening socket that came with the process; `name` is its unit's FileDescriptorName."""

    socket: socket.socket
    name: str = ""


def given_sockets(
    environ: MutableMapping[str, str] | None = None, *, pid: int | None = None
) -> tuple[Given, ...]:
    """The listening sockets that LISTEN_FDS passes to this process; the variables are taken out.

    `OperatorError` for what does not listen for streams: `Accept=yes` and datagrams are not served.
    """
    environ = os.environ if environ is None else environ
    count, whose = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if whose != str(os.getpid() if pid is None else pid):
        return ()
    if not (count.isascii() and count.isdigit()) or int(count) > MAX_FDS:
        raise OperatorError(
            f"LISTEN_FDS={count!r}: a number of sockets up to {MAX_FDS} was expected",
            hint="start it from a socket unit, or without LISTEN_FDS and LISTEN_PID",
        )
    return tuple(
        Given(_listening(FIRST_FD + n), names[n] if n < len(names) else "")
        for n in range(int(count))
    )


def _listening(number: int) -> socket.socket:
    os_error: OSError | None = None
    try:
        os.set_inheritable(number, False)
        found = socket.socket(fileno=number)
        if found.type == socket.SOCK_STREAM and found.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            found.setblocking(False)
            return found
        found.detach()
    except OSError as error:
        os_error = error
    raise OperatorError(
        f"file descriptor {number} of LISTEN_FDS is not a listening stream socket",
        hint="the socket unit needs ListenStream= and Accept=no",
    ) from os_error
