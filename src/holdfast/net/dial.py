"""Reach a host: resolve, ask the policy about every address, connect to the very address asked.

Laws: no address is dialled that `AddressPolicy` refuses (K25); the name is resolved once, so that a
second answer cannot slip in another address (DNS rebinding); IPv6 and IPv4 are raced (RFC 8305);
one deadline bounds it all. Free of TLS. Every failure is `Unavailable` with the class dns, refused,
timeout, unreachable or address-refused.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest

from holdfast.errors import Unavailable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

STAGGER = 0.25  # seconds between attempts, RFC 8305 section 5
MAX_ADDRESSES = 16  # of one name; more are not tried

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, GCP, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS ECS task credentials
        "fd00:ec2::254",  # AWS over IPv6
        "fd20:ce::254",  # GCP over IPv6
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure's host agent
    )
)
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",  # RFC 1918
        "100.64.0.0/10",  # RFC 6598, carrier-grade NAT
        "fc00::/7",  # RFC 4193, unique local
        "fec0::/10",  # RFC 3879, the deprecated site-local
    )
)
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")  # Linux connects 0.x to itself
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291 2.5.5.1, deprecated


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """Which addresses may be dialled.

    Link-local, cloud metadata, multicast, unspecified and reserved addresses never are. Private and
    loopback ones are for operators, most of whose CAs are private, and not for what strangers ask.
    """

    allow_private: bool = True
    allow_loopback: bool = True

    def refuses(self, address: str | IPAddress) -> str | None:
        """Why `address` is not to be dialled, or None when it may be.

        An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, Teredo, compatible) counts too.
        """
        if isinstance(address, str):
            try:
                address = ipaddress.ip_address(address)
            except ValueError:
                return "not an IP address"
        if isinstance(address, ipaddress.IPv6Address):
            address = ipaddress.IPv6Address(int(address))  # a zone makes no other address of it
        for each in _unwrapped(address):
            if (reason := self._refuses(each)) is not None:
                return reason
        return None

    def _refuses(self, address: IPAddress) -> str | None:
        if address in _METADATA:
            return "a cloud metadata address"
        if address.is_link_local:
            return "a link-local address"
        if address.is_multicast:
            return "a multicast address"
        if address.is_unspecified or address in _THIS_NETWORK:
            return "an unspecified address"
        if address.is_loopback:
            return None if self.allow_loopback else "a loopback address"
        if any(address in network for network in _PRIVATE):
            return None if self.allow_private else "a private address"
        if address.is_reserved:
            return "a reserved address"
        if not address.is_global and not self.allow_private:
            return "not a public address"
        return None


OPERATOR = AddressPolicy()
PUBLIC_ONLY = AddressPolicy(allow_private=False, allow_loopback=False)


@dataclass(frozen=True, slots=True)
class Address:
    """One address that the policy has passed, ready for `connect`."""

    family: socket.AddressFamily
    ip: str
    port: int

    @property
    def sockaddr(self) -> tuple[str, int] | tuple[str, int, int, int]:
        if self.family == socket.AF_INET6:
            base, _, scope = self.ip.partition("%")
            index = 0
            if scope:
                index = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
            return (base, self.port, 0, index)
        return (self.ip, self.port)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connected, non-blocking socket, and what it took. The caller closes it."""

    sock: socket.socket
    address: Address
    dns_milliseconds: float
    connect_milliseconds: float


async def resolve(
    host: str, port: int, *, policy: AddressPolicy = OPERATOR, timeout: float = 10.0
) -> tuple[Address, ...]:
    """The addresses of `host` that `policy` passes, in the system's order (RFC 6724).

    Raises `Unavailable`: "dns" when it has none, "address-refused" when the policy passes none.
    """
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except TimeoutError as error:
        raise Unavailable(
            f"{host}: the name was not resolved within {timeout:g} s", failure="dns"
        ) from error
    except (OSError, UnicodeError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Unavailable(
            f"{host}: cannot be resolved: {reason}",
            failure="dns",
            hint="check the name and this machine's resolver",
        ) from error
    return screened(host, _addresses(found, port), policy)


def screened(host: str, addresses: Iterable[Address], policy: AddressPolicy) -> tuple[Address, ...]:
    """Those of `addresses` that `policy` passes; `Unavailable` (address-refused) when none is."""
    passed: list[Address] = []
    refused: list[str] = []
    for address in addresses:
        reason = policy.refuses(address.ip)
        if reason is None:
            passed.append(address)
        else:
            refused.append(f"{address.ip} is {reason}")
    if passed:
        return tuple(passed[:MAX_ADDRESSES])
    if refused:
        raise Unavailable(
            f"{host}: not dialled, {'; '.join(refused[:4])}",
            failure="address-refused",
            hint="link-local and metadata addresses are never dialled; "
            "private ones only where the settings allow it",
        )
    raise Unavailable(f"{host}: the name has no address", failure="dns")


async def connect(
    host: str,
    port: int,
    *,
    policy: AddressPolicy = OPERATOR,
    timeout: float = 10.0,
    addresses: Iterable[Address] | None = None,
) -> Dialled:
    """A TCP connection to `host`, by the first of its addresses that answers.

    `timeout` seconds bound resolving and connecting together. `addresses` skips resolving: they are
    dialled, after the policy was asked about each.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    if addresses is None:
        addresses = await resolve(host, port, policy=policy, timeout=timeout)
    else:
        addresses = screened(host, addresses, policy)
    resolved = time.monotonic()
    dns = loop.time() - begun
    candidates = interleave(addresses)
    failures: list[OSError] = []
    try:
        async with asyncio.timeout(max(timeout - dns, 0.001)):
            sock, address = await _race(candidates, failures)
    except TimeoutError as error:
        raise Unavailable(
            f"{_named(host, port)}: no connection within {timeout:g} s ({_listed(candidates)})",
            failure="timeout",
            hint="a firewall that drops packets looks like this",
        ) from error
    except OSError as error:
        raise _unconnected(host, port, candidates, failures or [error]) from error
    return Dialled(sock, address, dns * 1000, (time.monotonic() - resolved) * 1000)


def interleave(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Alternate the families, beginning with the first one's (RFC 8305 section 4)."""
    given = list(addresses)
    first = [a for a in given if a.family == given[0].family]
    second = [a for a in given if a.family != given[0].family]
    return tuple(a for a in chain.from_iterable(zip_longest(first, second)) if a is not None)


def failure_class(error: OSError) -> str:
    """refused, timeout or unreachable: what an `OSError` of connecting means."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return "timeout"
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        return "refused"
    return "unreachable"


def in_words(error: OSError) -> str:
    """What the system said, in its own words: asyncio's `strerror` names the socket address."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno).lower()


def _addresses(found: Iterable[tuple[object, ...]], port: int) -> Iterator[Address]:
    seen: set[str] = set()
    for family, _type, _proto, _name, sockaddr in found:
        assert isinstance(family, socket.AddressFamily)
        assert isinstance(sockaddr, tuple)
        ip = str(sockaddr[0])
        if family == socket.AF_INET6 and len(sockaddr) == 4 and sockaddr[3] and "%" not in ip:
            ip = f"{ip}%{sockaddr[3]}"
        if family in (socket.AF_INET, socket.AF_INET6) and ip not in seen:
            seen.add(ip)
            yield Address(family, ip, port)


async def _race(
    candidates: tuple[Address, ...], failures: list[OSError]
) -> tuple[socket.socket, Address]:
    """The first to connect; each starts `STAGGER` after the one before, or when one has failed."""
    waiting = list(candidates)
    attempts: dict[asyncio.Task[socket.socket], Address] = {}
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while waiting or attempts:
            if waiting:
                address = waiting.pop(0)
                attempts[asyncio.create_task(_connect_one(address))] = address
            done, _ = await asyncio.wait(
                attempts,
                timeout=STAGGER if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    winner = task
                    return task.result(), attempts[task]
                del attempts[task]
                if not isinstance(error, OSError):
                    raise error
                failures.append(error)
        raise failures[-1]
    finally:
        for task in attempts:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_close_loser)


async def _connect_one(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    """A second connection that was made in the very turn of the first."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _unconnected(
    host: str, port: int, candidates: tuple[Address, ...], failures: list[OSError]
) -> Unavailable:
    """All have failed: the class of the most telling failure, and every address in the message."""
    classes = [failure_class(error) for error in failures]
    failure = next(name for name in ("refused", "timeout", "unreachable") if name in classes)
    said = failures[classes.index(failure)]
    return Unavailable(
        f"{_named(host, port)}: {in_words(said)} ({_listed(candidates)})",
        failure=failure,
        hint="nothing listens there" if failure == "refused" else "",
    )


def _named(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listed(candidates: tuple[Address, ...]) -> str:
    return "tried " + ", ".join(str(address) for address in candidates[:4])


def _unwrapped(address: IPAddress) -> Iterator[IPAddress]:
    """The address, or the IPv4 address that it stands for, and those that it carries besides."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    if any(address in network for network in _NAT64):
        number = int(address)
        if address in _NAT64[1] and number >> 40 & 0xFFFFFFFF:  # prefix 48: bits 48-63, 72-87
            yield ipaddress.IPv4Address((number >> 64 & 0xFFFF) << 16 | (number >> 40 & 0xFFFF))
            if not int(low):
                return
        yield low  # RFC 6052 2.2, prefix length 96
        return
    if address in _COMPATIBLE and int(address) > 1:
        yield low
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
