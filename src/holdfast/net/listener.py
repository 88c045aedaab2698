"""The process of this machine that listens at an address, as Linux's /proc shows it.

Laws: nothing is sent to it and nothing of it is read but its name, its words and its parents; what
this user may not see is not there (None); everything is bounded. What others than root and this
user run is not believed: whoever asks may go on to run that program. Nor is what another mount
namespace (a container) runs: its paths are not those of here. Source: proc(5), proc_pid_fd(5).
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.net.daemon import PROC

MAX_TABLE = 4 * 1024 * 1024  # bytes of /proc/net/tcp, a line of 150 bytes a socket
MAX_PROCESSES = 20_000
MAX_WORDS = 64 * 1024  # bytes of a command line
MAX_FAMILY = 16  # processes upward to the master
LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The eldest process of the program that listens, which is the one to be told.

    `program`: its executable's path, "" where it cannot be seen; `comm`: its name as the kernel has
    it; `words`: its command line, which daemons that set a title have as one word; `unit`: its
    systemd service, "" for none; `alone`: no process of its program is below another.
    """

    pid: int
    program: str
    comm: str
    words: tuple[str, ...]
    unit: str = ""
    alone: bool = True

    @property
    def title(self) -> str:
        return " ".join(self.words)


def is_here(ip: str) -> bool:
    """Whether `ip` is an address of this machine, told without sending anything."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((ip, 0))
    except OSError:
        return False
    return True


def listener_at(ip: str, port: int, *, among: Collection[str]) -> Listener | None:
    """Who of the programs called `among` listens at `ip` and `port`; None when none does, or this
    user may not know."""
    if not is_here(ip):
        return None
    inodes = set(_listening(ip, port))
    family = _called(among) if inodes else {}
    pid = next((one for one in family if _holds(one, inodes)), None)
    if pid is None:
        return None
    comm = family[pid]
    eldest = pid
    for _ in range(MAX_FAMILY):
        parent = _parent(eldest)
        if parent <= 1 or _comm(parent) != comm:
            break
        eldest = parent
    if not _believed(eldest):
        return None
    return Listener(
        pid=eldest,
        program=_link(f"{eldest}/exe").removesuffix(" (deleted)"),  # it was updated since
        comm=comm,
        words=_words(eldest),
        unit=_unit(eldest),
        alone=not any(_parent(one) == eldest for one, name in family.items() if name == comm),
    )


def _listening(ip: str, port: int) -> Iterator[str]:
    """The inodes of the sockets that take connections to it."""
    for table, family in (("net/tcp", socket.AF_INET), ("net/tcp6", socket.AF_INET6)):
        for line in _text(table, MAX_TABLE).splitlines()[1:]:
            fields = line.split()
            if len(fields) < 10 or fields[3] != LISTEN:
                continue
            address, _, hex_port = fields[1].partition(":")
            if int(hex_port, 16) == port and _covers(address, family, ip):
                yield fields[9]


def _covers(address: str, family: socket.AddressFamily, ip: str) -> bool:
    """Whether a socket bound to `address`, words in this machine's byte order, is reached by
    `ip`; the unspecified IPv6 address takes IPv4 too."""
    words = [
        int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)
    ]
    packed = b"".join(words)
    wanted = socket.AF_INET6 if ":" in ip else socket.AF_INET
    if not any(packed):
        return family is wanted or family is socket.AF_INET6
    return family is wanted and packed == socket.inet_pton(family, ip.partition("%")[0])


def _called(names: Collection[str]) -> dict[int, str]:
    """The processes with one of these names, in the order of their ids."""
    pids = sorted(int(name) for name in os.listdir(PROC) if name.isdigit())[:MAX_PROCESSES]
    return {pid: name for pid in pids if (name := _comm(pid)) in names}


def _holds(pid: int, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        names = os.listdir(PROC / str(pid) / "fd")
    except OSError:  # it ended, or is another user's
        return False
    return any(_link(f"{pid}/fd/{name}") in wanted for name in names)


def _believed(pid: int) -> bool:
    """Whether root or this user runs it, and it sees the same files."""
    try:
        owner = (PROC / str(pid)).stat().st_uid
    except OSError:
        return False
    same = _link(f"{pid}/ns/mnt") == _link("self/ns/mnt")
    return owner in (0, os.geteuid()) and same


def _parent(pid: int) -> int:
    found = re.search(r"^PPid:\s*(\d+)$", _text(f"{pid}/status", MAX_WORDS), re.MULTILINE)
    return int(found[1]) if found else 0


def _comm(pid: int) -> str:
    return _text(f"{pid}/comm", 64).strip()


def _words(pid: int) -> tuple[str, ...]:
    return tuple(word for word in _text(f"{pid}/cmdline", MAX_WORDS).split("\0") if word)


def _unit(pid: int) -> str:
    """The service in whose control group it is."""
    found = re.findall(r"/([^/\n]+\.service)$", _text(f"{pid}/cgroup", MAX_WORDS), re.MULTILINE)
    return found[0] if found else ""


def _link(name: str) -> str:
    try:
        return str((PROC / name).readlink())
    except OSError:
        return ""


def _text(name: str, limit: int) -> str:
    try:
        with Path(PROC / name).open("rb") as file:
            return file.read(limit).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
