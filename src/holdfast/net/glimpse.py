"""What a TLS server answers to three small requests, by which its software is told.

Laws: three connections, one after the other, each once; one deadline bounds all of it and each
answer is read for `MAX_ANSWER` bytes at most; whatever the other side does ends in fewer bytes, and
never in an exception; the address policy is asked by `dial`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from holdfast.errors import HoldfastError
from holdfast.net.dial import OPERATOR, Address, AddressPolicy, connect
from holdfast.plan.software import Answers
from holdfast.tls.client import ClientTLS
from holdfast.version import __version__

DEADLINE = 5.0  # seconds for all three
EACH = 2.0  # seconds for one: what is slower is not told by it
MAX_ANSWER = 8 * 1024  # bytes; headers are under 1 KiB, error pages too

# A field name with a space in it: RFC 9112 5.1 has every server refuse it, and logs show why
_FAULTY = "Holdfast Check: which server ends TLS here, by how it refuses this line"

Exchange = Callable[[socket.socket, bytearray], Awaitable[None]]
"""Sends its request, and adds what comes back until enough of it is there."""


async def glimpse(
    address: Address,
    *,
    host: str,
    deadline: float = DEADLINE,
    policy: AddressPolicy = OPERATOR,
) -> Answers:
    """What `address` answers as `host`: to a HEAD request, to a faulty one, and without TLS."""
    answers = {"head": bytearray(), "refusal": bytearray(), "plain": bytearray()}

    async def head(sock: socket.socket, into: bytearray) -> None:
        await _over_tls(sock, _request(host), host, into, ends=b"\r\n\r\n")

    async def refusal(sock: socket.socket, into: bytearray) -> None:
        await _over_tls(sock, _request(host, _FAULTY), host, into)

    async def plain(sock: socket.socket, into: bytearray) -> None:
        await _plainly(sock, _request(host), into)

    plan: tuple[tuple[str, Exchange], ...] = (
        ("head", head),
        ("refusal", refusal),
        ("plain", plain),
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline):
            for name, exchange in plan:
                await _once(address, exchange, policy, answers[name])
    head_, refusal_, plain_ = (bytes(answers[name][:MAX_ANSWER]) for name, _ in plan)
    return Answers(head=head_, refusal=refusal_, plain=plain_)


async def _once(
    address: Address, exchange: Exchange, policy: AddressPolicy, into: bytearray
) -> None:
    with contextlib.suppress(HoldfastError, OSError, TimeoutError):
        async with asyncio.timeout(EACH):
            dialled = await connect(
                address.ip, address.port, policy=policy, timeout=EACH, addresses=(address,)
            )
            with dialled.sock as sock:
                await exchange(sock, into)


def _request(host: str, *more: str) -> bytes:
    name = f"[{host}]" if ":" in host else host
    lines = ["HEAD / HTTP/1.1", f"Host: {name}", f"User-Agent: holdfast/{__version__}", *more]
    return "\r\n".join([*lines, "Accept: */*", "Connection: close", "", ""]).encode("ascii")


async def _over_tls(
    sock: socket.socket, request: bytes, host: str, into: bytearray, *, ends: bytes | None = None
) -> None:
    """Until the other side closes, or what `ends` the wanted part is there."""
    loop = asyncio.get_running_loop()
    tls = ClientTLS(host, want_staple=False)
    tls.begin()
    sent = False
    while len(into) < MAX_ANSWER and (ends is None or ends not in into):
        if tls.established and not sent:
            tls.forget()
            tls.send(request)
            sent = True
        await loop.sock_sendall(sock, tls.outgoing())
        data = await loop.sock_recv(sock, 16384)
        if not data:
            return
        into += tls.receive(data)
        if tls.peer_closed:
            return


async def _plainly(sock: socket.socket, request: bytes, into: bytearray) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request)
    while len(into) < MAX_ANSWER:
        data = await loop.sock_recv(sock, MAX_ANSWER)
        if not data:
            return
        into += data
