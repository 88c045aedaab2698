"""What one client of the proxy may cost, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from holdfast.net.proxy_protocol import Network, Version
from holdfast.net.tls_server import MAX_CONNECTIONS, MAX_PER_CLIENT

Mode = Literal["tcp", "http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. `idle`: without a byte either way; `half_closed`: after one side has ended.

    In http mode `idle` is also what a client may take between requests; `header` is for a request's
    head from its first byte on; `body` for each `SLOWEST` bytes of a body, and for a client that
    reads nothing; `response` until the upstream's answer begins.
    """

    handshake: float = 10.0
    connect: float = 5.0
    idle: float = 300.0
    half_closed: float = 30.0
    header: float = 10.0
    body: float = 30.0
    response: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Numbers and bytes. `body_bytes` 0 is no limit: a body is passed on, never held."""

    connections: int = MAX_CONNECTIONS
    per_client: int = MAX_PER_CLIENT
    header_bytes: int = 32 * 1024  # request line and headers; nginx takes 8 KiB and 4 of 8 KiB
    headers: int = 100
    body_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """How connections are passed on.

    `proxy_protocol`: the header that the upstream gets. `headers_from`: load balancers in front,
    which send one. `trust_forwarded`: clients whose X-Forwarded-For is believed and added to.
    """

    mode: Mode = "tcp"
    proxy_protocol: Version | None = None
    headers_from: tuple[Network, ...] = ()
    trust_forwarded: tuple[Network, ...] = ()
    deadlines: Deadlines = field(default_factory=Deadlines)
    limits: Limits = field(default_factory=Limits)
