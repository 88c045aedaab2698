"""The connections of the HTTP client, by where they go: so many at once, and kept for a while.

Laws: the policy is asked about every address before it is dialled (K25), and about those of an
operator's proxy by a policy of its own; a connection serves one exchange at a time, and is kept
only where both sides agree; waiting for a turn, or for this process, is no part of what a
`Stopwatch` measures.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.errors import Unavailable
from holdfast.net import dial
from holdfast.net.dial import OPERATOR, Address, AddressPolicy
from holdfast.net.http_line import Line
from holdfast.net.http_urls import Url
from holdfast.net.tcp_info import connected_late
from holdfast.net.timeline import Stopwatch

if TYPE_CHECKING:
    import ssl

AT_ONCE = 16  # connections to one origin
MOST = 100  # connections in use, to all of them
FORGOTTEN = 64  # origins that are remembered without use
KEPT = 15.0  # seconds that a connection without an exchange is kept
IDLE = 100  # such connections, to all origins; the oldest makes room
HEAD = 8 * 1024  # bytes of a proxy's reply to CONNECT that may have a body

Origin = tuple[str, str, int, str]  # scheme, host, port, proxy


@dataclass(slots=True)
class _Site:
    """One origin's turns, and its connections that wait for an exchange."""

    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    idle: list[Line] = field(default_factory=list)
    users: int = 0


class Pool:
    """Give it up with `close`. `tls`: for https; the system's trust when None."""

    def __init__(self, *, policy: AddressPolicy, tls: ssl.SSLContext | None, agent: str) -> None:
        self._policy, self._tls, self._agent = policy, tls, agent
        self._sites: dict[Origin, _Site] = {}
        self._idle: dict[Line, tuple[_Site, asyncio.TimerHandle]] = {}  # the oldest first
        self._all = asyncio.Semaphore(MOST)
        self._closed = False

    def close(self) -> None:
        """End the connections that wait; those in use end with their exchange."""
        self._closed = True
        for line in list(self._idle):
            self._end(line)
        self._sites.clear()

    @asynccontextmanager
    async def line(
        self,
        target: Url,
        proxy: Url | None,
        *,
        watch: Stopwatch,
        timeout: float,
        fresh: bool = False,
    ) -> AsyncIterator[Line]:
        """A connection to ask `target` by, no kept one when `fresh`; kept when it may be.

        `timeout` bounds dialling. Raises `Unavailable`, of class proxy for what is the proxy's.
        """
        async with self._site(_origin(target, proxy), watch) as site:
            line = None if fresh else self._kept(site)
            watch.reused = line is not None
            if line is None:
                line = await self._dialled(target, proxy, watch=watch, timeout=timeout)
            try:
                yield line
            except BaseException:
                line.abort()
                raise
            if line.reusable and not self._closed:
                self._keep(site, line)
            else:
                line.transport.close()

    @asynccontextmanager
    async def _site(self, origin: Origin, watch: Stopwatch) -> AsyncIterator[_Site]:
        """A turn at `origin`, whose records last as long as they are of use."""
        site = self._sites.setdefault(origin, _Site())
        site.users += 1
        try:
            with watch.stopped():
                await site.turn.acquire()
            try:
                with watch.stopped():
                    await self._all.acquire()
                try:
                    yield site
                finally:
                    self._all.release()
            finally:
                site.turn.release()
        finally:
            site.users -= 1
            if len(self._sites) > FORGOTTEN:
                self._forget()

    def _forget(self) -> None:
        for origin in [o for o, site in self._sites.items() if not site.users and not site.idle]:
            del self._sites[origin]

    # -- kept connections -------------------------------------------------------------------

    def _keep(self, site: _Site, line: Line) -> None:
        timer = asyncio.get_running_loop().call_later(KEPT, self._end, line)
        site.idle.append(line)
        self._idle[line] = site, timer
        if len(self._idle) > IDLE:
            self._end(next(iter(self._idle)))

    def _kept(self, site: _Site) -> Line | None:
        while site.idle:
            line = site.idle[-1]
            if line.quiet():
                self._take(line)
                return line
            self._end(line)
        return None

    def _take(self, line: Line) -> None:
        site, timer = self._idle.pop(line)
        timer.cancel()
        site.idle.remove(line)

    def _end(self, line: Line) -> None:
        self._take(line)
        line.abort()

    # -- dialling ---------------------------------------------------------------------------

    async def _dialled(
        self, target: Url, proxy: Url | None, *, watch: Stopwatch, timeout: float
    ) -> Line:
        where = proxy or target
        policy = self._policy if proxy is None else OPERATOR
        try:
            addresses = await _addresses(where, policy, watch=watch, timeout=timeout)
            dialled = await dial.connect(
                where.host, where.port, policy=policy, timeout=timeout, addresses=addresses
            )
        except Unavailable as error:
            raise _unconnected(target, proxy, error) from error
        if dialled.address == addresses[0]:  # no other was tried before
            seconds = dialled.connect_milliseconds / 1000
            watch.late(connected_late(dialled.sock, seconds))
        line = await self._line(dialled, target, proxy)
        watch.mark("connect")
        return line

    async def _line(self, dialled: dial.Dialled, target: Url, proxy: Url | None) -> Line:
        where = proxy or target
        loop = asyncio.get_running_loop()
        address = str(dialled.address)
        secure = where.scheme == "https"
        try:
            _, line = await loop.create_connection(
                lambda: Line(address),
                sock=dialled.sock,
                ssl=self._trust() if secure else None,
                server_hostname=where.host if secure else None,
            )
            if proxy is not None and target.scheme == "https":
                line = await self._tunnelled(line, target, proxy)
        except BaseException as error:
            dialled.sock.close()
            # ValueError: of a name that cannot be one, which only a proxy could have resolved
            if isinstance(error, OSError | ValueError) and not isinstance(error, TimeoutError):
                raise _unsecured(target, proxy, error) from error
            raise
        return line

    async def _tunnelled(self, line: Line, target: Url, proxy: Url) -> Line:
        """TLS with `target` through what `proxy` connects (RFC 9110 9.3.6)."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = f"{host}:{target.port}"
        head = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: {self._agent}"]
        head += proxy_fields(proxy)
        request = "\r\n".join([*head, "", ""]).encode("latin-1")
        try:
            said = await line.exchange(
                request, url=str(target), watch=Stopwatch(), max_bytes=HEAD, tunnel=True
            )
        except Unavailable as error:
            raise _through(target, error.message.partition(": ")[2]) from error
        if said.status // 100 != 2:
            line.abort()
            raise _through(target, f"it answers CONNECT with status {said.status}")
        inner = Line(line.address)
        transport = await asyncio.get_running_loop().start_tls(
            line.transport, inner, self._trust(), server_hostname=target.host
        )
        assert transport is not None
        inner.connection_made(transport)
        return inner

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls


def proxy_fields(proxy: Url) -> list[str]:
    """What tells the proxy who asks (RFC 7617)."""
    if not proxy.user and not proxy.password:
        return []
    from base64 import b64encode

    word = b64encode(f"{proxy.user}:{proxy.password}".encode()).decode("ascii")
    return [f"Proxy-Authorization: Basic {word}"]


def _origin(target: Url, proxy: Url | None) -> Origin:
    """Also through a proxy it is the target's: who hangs holds up no other's turns, and who says
    more than was asked spoils no other's connection."""
    return (target.scheme, target.host, target.port, "" if proxy is None else str(proxy))


async def _addresses(
    where: Url, policy: AddressPolicy, *, watch: Stopwatch, timeout: float
) -> tuple[Address, ...]:
    try:
        version = ipaddress.ip_address(where.host).version
    except ValueError:
        found = await dial.resolve(where.host, where.port, policy=policy, timeout=timeout)
        watch.mark("dns")
        return found
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    return dial.screened(where.host, [Address(family, where.host, where.port)], policy)


def _unconnected(target: Url, proxy: Url | None, error: Unavailable) -> Unavailable:
    said = error.message.partition(": ")[2] or error.message
    if proxy is not None:
        return _through(target, said)
    return Unavailable(f"{target}: {said}", failure=error.failure, hint=error.hint)


def _unsecured(target: Url, proxy: Url | None, error: OSError | ValueError) -> Unavailable:
    """TLS came to nothing: it was not right (`ssl.SSLError`), or the connection broke."""
    import ssl

    if isinstance(error, ssl.SSLError | ValueError):
        return Unavailable(f"{target}: TLS: {error}", failure="tls")
    if proxy is not None:
        return _through(target, dial.in_words(error))
    return Unavailable(
        f"{target}: the connection broke within the TLS handshake: {dial.in_words(error)}",
        failure="tls",
    )


def _through(target: Url, problem: str) -> Unavailable:
    return Unavailable(
        f"{target}: through the proxy: {problem}",
        failure="proxy",
        hint="check the proxy setting",
    )
