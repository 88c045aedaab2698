"""Listen on an address, or say in one line why not and what to do."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from holdfast.errors import OperatorError


async def listen(
    host: str,
    port: int,
    protocol: Callable[[], asyncio.BaseProtocol],
    *,
    backlog: int = 1024,
    reuse_port: bool = False,
    serving: bool = True,
) -> asyncio.Server:
    """A listening asyncio server; `OperatorError` when the address cannot be had.

    `serving` False: the address is taken, and nobody can connect before its `start_serving`.
    """
    if not 0 <= port <= 65535:  # uvloop would take the lower 16 bits
        raise unlistenable(host, port, OverflowError("ports end at 65535"))
    try:
        return await asyncio.get_running_loop().create_server(
            protocol,
            host,
            port,
            backlog=backlog,
            reuse_port=reuse_port or None,
            start_serving=serving,
        )
    except (OSError, OverflowError, UnicodeError) as error:
        raise unlistenable(host, port, error) from error


def unlistenable(host: str, port: int, error: Exception) -> OperatorError:
    """What the system said about listening on `host` and `port`."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    number = error.errno if isinstance(error, OSError) else None
    match number:
        case errno.EADDRINUSE:
            return OperatorError(
                f"cannot listen on {where}: the port is in use",
                hint=f"`ss -ltnp 'sport = :{port}'` shows who holds it; "
                "stop that, or choose another port",
            )
        case errno.EACCES | errno.EPERM:
            return OperatorError(
                f"cannot listen on {where}: not permitted",
                hint="ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one",
            )
        case errno.EADDRNOTAVAIL:
            return OperatorError(
                f"cannot listen on {where}: this machine does not have that address",
                hint="`ip address` shows those it has; 127.0.0.1 and 0.0.0.0 always work",
            )
        case _:
            reason = getattr(error, "strerror", None) or str(error)
            return OperatorError(
                f"cannot listen on {where}: {reason}", hint="give HOST:PORT, as 127.0.0.1:8080"
            )
