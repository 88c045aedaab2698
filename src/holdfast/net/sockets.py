"""Sockets that listen before anybody is there to answer: bound by a master, inherited by workers.

Laws: what listens outlives those who answer on it, so that nobody is refused while they change;
a unix socket's file is replaced only when nobody answers there, and taken away by who made it.
systemd.socket(5), socket(7) SO_REUSEPORT, unix(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass

from holdfast.errors import OperatorError
from holdfast.net.listen import unlistenable
from holdfast.net.notify import Given

BACKLOG = 4096  # clients that wait to be accepted; net.core.somaxconn may say less
MAX_UNIX_PATH = 107  # bytes, unix(7)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen: `host` and `port` (0: any free one), or a unix socket at `path`, or a socket
    that systemd gave by the name `given`. `purpose` is what is served there, for who tells several
    apart; `mode` is of a unix socket's file."""

    host: str = ""
    port: int = 0
    path: str = ""
    given: str | None = None
    purpose: str = ""
    mode: int = 0o660


class Bound:
    """An address at `place` that is listened on. `sockets`: one for each worker, which shares
    clients out evenly, or one for all."""

    def __init__(self, place: Place, sockets: list[socket.socket]) -> None:
        self.place = place
        self.sockets = sockets
        name = sockets[0].getsockname()
        self.host = str(name[0]) if isinstance(name, tuple) else ""
        self.port = int(name[1]) if isinstance(name, tuple) else 0

    @property
    def name(self) -> str:
        """The address as text: host:port, or unix: and a path."""
        if not self.host:
            return f"unix:{os.fsdecode(self.sockets[0].getsockname())}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def widen(self, workers: int) -> None:
        """Listen once more for each worker there is more. Never once less: a socket that is closed
        takes the clients that wait on it along."""
        if self.place.given is not None or self.place.path:
            return
        family = self.sockets[0].family
        while len(self.sockets) < workers:
            self.sockets.append(_tcp(family, self.host, self.port))

    def share(self, number: int, of: int) -> list[socket.socket]:
        """The sockets that the worker `number` of so many answers on."""
        return self.sockets[number::of] if len(self.sockets) >= of else self.sockets

    def close(self) -> None:
        """Let go. A unix socket's file is taken away, unless systemd made it."""
        for one in self.sockets:
            one.close()
        if self.place.path:
            with contextlib.suppress(OSError):
                os.unlink(self.place.path)


def bind(place: Place, *, given: tuple[Given, ...] = ()) -> list[Bound]:
    """Listen at `place`, at each of its addresses once; `OperatorError` when it cannot be had.
    `given`: the sockets that came with the process."""
    if place.given is not None:
        found = [one.socket for one in given if place.given in ("", one.name)]
        if not found:
            raise OperatorError(
                f"no socket named {place.given!r} came with the process",
                hint="start the socket unit, not the service; FileDescriptorName= is the name",
            )
        return [Bound(place, [one]) for one in found]
    if place.path:
        return [Bound(place, [_unix(place)])]
    if not 0 <= place.port <= 65535:
        raise unlistenable(place.host, place.port, OverflowError("ports end at 65535"))
    bound: list[Bound] = []
    try:
        for family, address in _addresses(place):
            port = place.port or (bound[0].port if bound else 0)
            if port:
                _alone(family, address, port)
            bound.append(Bound(place, [_tcp(family, address, port)]))
    except (OSError, UnicodeError) as error:
        for one in bound:
            one.close()
        raise unlistenable(place.host, place.port, error) from error
    return bound


def _addresses(place: Place) -> list[tuple[socket.AddressFamily, str]]:
    infos = socket.getaddrinfo(
        place.host or None, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((info[0], str(info[4][0])) for info in infos))


def _alone(family: int, host: str, port: int) -> None:
    """With SO_REUSEPORT a second master would get its share of the clients and no error; without
    it, and before, it is told that the port is in use."""
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        _set_up(trial)
        trial.bind((host, port))
        trial.listen(1)


def _tcp(family: int, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        _set_up(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _set_up(made: socket.socket) -> None:
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _unix(place: Place) -> socket.socket:
    path = place.path
    if len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise OperatorError(
            f"cannot listen on {path}: longer than the {MAX_UNIX_PATH} bytes of a unix socket",
            hint="choose a shorter path, in /run",
        )
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~place.mode)
    try:
        _take_away_dead(path)
        made.setblocking(False)
        made.bind(path)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise OperatorError(
            f"cannot listen on {path}: {error.strerror}",
            hint="the folder has to be there, writable for this user; stop whoever answers there",
        ) from error
    finally:
        os.umask(before)
    return made


def _take_away_dead(path: str) -> None:
    """A socket's file outlives a process that was killed; nobody answers there any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "somebody answers there already")
