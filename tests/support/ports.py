"""Ports of 127.0.0.1 for servers that must be told theirs before they start.

Law: nobody else takes a port between its choice and the server's start, nor while the server is
restarted. So they lie below the range that the kernel gives to whoever asks for any port, each
test worker has a block of its own, and in it none comes again before all others were given.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from itertools import cycle, islice

_LOWEST, _BLOCK, _BLOCKS = 12_000, 4_000, 5


def _block() -> Iterator[int]:
    """The ports of this process, begun anywhere: two runs beside each other rarely meet."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", f"gw{_BLOCKS - 1}").removeprefix("gw")
    first = _LOWEST + int(worker) % _BLOCKS * _BLOCK
    begin = os.getpid() * 97 % _BLOCK
    return islice(cycle(range(first, first + _BLOCK)), begin, None)


_PORTS = _block()


def free_port() -> int:
    """One on which nothing listens, given to nobody else."""
    for _ in range(_BLOCK):
        port = next(_PORTS)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("no port is free")


def free_ports(*schemes: str) -> dict[str, int]:
    """One for each."""
    return {scheme: free_port() for scheme in schemes}
