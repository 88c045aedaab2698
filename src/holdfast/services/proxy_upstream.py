"""The plain server behind the proxy: its address, how it is dialled, and what it is told first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from holdfast.errors import HoldfastError, OperatorError, Unavailable
from holdfast.net.dial import (
    OPERATOR,
    Address,
    connect,
    failure_class,
    in_words,
    resolve,
)
from holdfast.net.proxy_protocol import Ends, Tls, Version, write_header
from holdfast.net.tls_link import TLSTransport

RESOLVED_FOR = 30.0  # seconds that the upstream's addresses are kept, as nginx's resolver valid=30s


@dataclass(slots=True)
class Upstream:
    """The plain server behind."""

    host: str
    port: int
    scheme: str = "http"
    _addresses: tuple[Address, ...] = field(default=(), init=False)
    _until: float = field(default=0.0, init=False)

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """`http://host:port` (port 80 when left out) or `tcp://host:port`; `OperatorError` for
        anything else."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or 80
        except ValueError as error:
            raise _not_upstream(text, str(error)) from error
        if parts.scheme not in ("http", "tcp") or not host:
            raise _not_upstream(text, "the proxy speaks plain http or tcp to its upstream")
        if parts.scheme == "tcp" and parts.port is None:
            raise _not_upstream(text, "tcp:// has no usual port: name it")
        if parts.path not in ("", "/") or parts.query or parts.username:
            raise _not_upstream(text, "no path, query or user: requests pass as they are")
        return cls(host, port, parts.scheme)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def dial(self, protocol: asyncio.Protocol, *, timeout: float) -> asyncio.Transport:
        """Connect `protocol`; `Unavailable` when that fails within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._until:
            self._addresses = await resolve(self.host, self.port, timeout=timeout)
            self._until = loop.time() + RESOLVED_FOR
        try:
            if len(self._addresses) == 1:
                return await self._dial_one(self._addresses[0], protocol, timeout)
            dialled = await connect(
                self.host, self.port, policy=OPERATOR, timeout=timeout, addresses=self._addresses
            )
        except HoldfastError:
            self._until = 0.0
            raise
        transport, _ = await loop.create_connection(lambda: protocol, sock=dialled.sock)
        return transport

    async def _dial_one(
        self, address: Address, protocol: asyncio.Protocol, timeout: float
    ) -> asyncio.Transport:
        """As nearly always: there is one address, so that nothing is raced."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                transport, _ = await loop.create_connection(
                    lambda: protocol, str(address.sockaddr[0]), self.port
                )
        except TimeoutError as error:
            raise Unavailable(
                f"{self.authority}: no connection within {timeout:g} s",
                failure="timeout",
                hint="a firewall that drops packets looks like this",
            ) from error
        except OSError as error:
            failure = failure_class(error)
            raise Unavailable(
                f"{self.authority}: {in_words(error)}",
                failure=failure,
                hint="nothing listens there" if failure == "refused" else "",
            ) from error
        return transport


def header_for(version: Version, client: asyncio.Transport) -> bytes:
    """The PROXY header about `client`, a `TLSTransport` with its handshake done."""
    ends = Ends(_place(client, "peername"), _place(client, "sockname"))
    if version == "v1":
        return write_header("v1", ends)
    pipe = cast(TLSTransport, client).tls
    tls = Tls(
        version=pipe.version, cipher=pipe.cipher, alpn=pipe.alpn, server_name=pipe.server_name
    )
    return write_header("v2", ends, tls)


def _place(client: asyncio.Transport, which: str) -> tuple[str, int]:
    name = client.get_extra_info(which)
    return (str(name[0]), int(name[1])) if name else ("", 0)


def _not_upstream(text: str, problem: str) -> OperatorError:
    return OperatorError(
        f"{text!r} is not an upstream: {problem}", hint="write it as http://127.0.0.1:8080"
    )
