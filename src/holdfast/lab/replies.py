"""How the scripted responder puts an OCSP response on the wire, rightly and wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.net.http_server import Answer, Raw, Reply, Wire, plain
from holdfast.ocsp.http import RESPONSE_TYPE

HUGE = 64 * 1024 * 1024  # bytes
DRIP_SECONDS = 0.5  # a byte
REDIRECTED = b"/redirected"  # the path under which redirects end
INSIDE = b"http://169.254.169.254/latest/meta-data/"  # what a client must never fetch

_TYPE = (b"Content-Type", RESPONSE_TYPE.encode())
_NO_STORE = (b"Cache-Control", b"no-store")
_RETRY = (b"Retry-After", b"30")
_PAGE = b"""<!DOCTYPE html>
<html><head><title>Welcome to the hotel</title></head>
<body><p>Please log in to use the network.</p></body></html>
"""


def reply_for(fault: str, body: bytes, target: bytes) -> Answer:
    """`body` as the fault would have it sent. `target` is the request's."""
    match fault:
        case "tryLater":
            return Reply(200, body, (_TYPE, _NO_STORE, _RETRY))
        case "http-404":
            return plain(404, "there is no responder here")
        case "http-500":
            return plain(500, "the responder is in trouble")
        case "http-503":
            return plain(503, "the responder is busy", headers=(_RETRY,))
        case "html" | "wrong-content-type":
            page = _PAGE if fault == "html" else body
            return Reply(200, page, ((b"Content-Type", b"text/html"), _NO_STORE))
        case "redirect" if not target.startswith(REDIRECTED):
            return _redirect(REDIRECTED + target)
        case "redirect-loop":
            return _redirect(target)
        case "redirect-inside":
            return _redirect(INSIDE)
        case "chunked" | "lying-content-length" | "huge" | "drip" | "hang" | "reset":
            return Raw(_plays(fault, body))
        case _:
            return Reply(200, body, (_TYPE, _NO_STORE))


def _redirect(location: bytes) -> Reply:
    """307, so that POST keeps its body (RFC 9110 15.4.8)."""
    return Reply(307, b"", ((b"Location", location), _NO_STORE))


def _plays(fault: str, body: bytes) -> Callable[[Wire], Awaitable[None]]:
    async def chunked(wire: Wire) -> None:
        await wire.write(_head(b"Transfer-Encoding: chunked"))
        for start in range(0, len(body), 7):
            piece = body[start : start + 7]
            await wire.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await wire.write(b"0\r\n\r\n")

    async def lying(wire: Wire) -> None:
        await wire.write(_head(b"Content-Length: %d" % (len(body) + 100)) + body)

    async def huge(wire: Wire) -> None:
        await wire.write(_head(b"Content-Length: %d" % HUGE) + body)
        block = bytes(1 << 16)
        for _ in range(HUGE // len(block)):
            await wire.write(block)

    async def drip(wire: Wire) -> None:
        await wire.write(_head(b"Content-Length: %d" % len(body)))
        for start in range(len(body)):
            await wire.write(body[start : start + 1])
            await asyncio.sleep(DRIP_SECONDS)

    async def hang(wire: Wire) -> None:
        await wire.gone()

    async def reset(wire: Wire) -> None:
        wire.reset()

    return {
        "chunked": chunked,
        "lying-content-length": lying,
        "huge": huge,
        "drip": drip,
        "hang": hang,
        "reset": reset,
    }[fault]


def _head(framing: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n%s\r\n\r\n" % (
        _TYPE[1],
        framing,
    )
