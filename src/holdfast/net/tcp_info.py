"""When the kernel had what a busy process learns of later: Linux's account of a TCP connection.

Laws: 0 where it cannot be told (another system, a connection that is gone, a segment that was sent
again): then the process's own clock is what there is. tcp(7), TCP_INFO; the offsets are those of
`struct tcp_info` in linux/tcp.h, which only grows at its end.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

SIZE = 104  # bytes, to the end of tcpi_total_retrans (Linux 2.4 and later)
LAST_DATA_RECV, RTT, TOTAL_RETRANS = 52, 68, 100  # milliseconds, microseconds, a count


def waited_here(sock: Any) -> float:
    """Seconds since the last bytes came that `sock` has received."""
    info = _info(sock)
    return _number(info, LAST_DATA_RECV) / 1000 if info else 0.0


def connected_late(sock: Any, seconds: float) -> float:
    """How many of the `seconds` that connecting took were over when the other side had answered."""
    info = _info(sock)
    if not info or _number(info, TOTAL_RETRANS):
        return 0.0
    return max(0.0, seconds - _number(info, RTT) / 1_000_000)


def _info(sock: Any) -> bytes:
    option = getattr(socket, "TCP_INFO", None)
    if option is None or sock is None:
        return b""
    try:
        info: bytes = sock.getsockopt(socket.IPPROTO_TCP, option, SIZE)
    except (OSError, AttributeError):
        return b""
    return info if len(info) == SIZE else b""


def _number(info: bytes, offset: int) -> int:
    (number,) = struct.unpack_from("=I", info, offset)
    return int(number)
