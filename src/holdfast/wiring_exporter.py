"""`holdfast exporter` put together: the checker for strangers behind an HTTP server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from holdfast.net import http_server
from holdfast.net.dial import OPERATOR, PUBLIC_ONLY, AddressPolicy
from holdfast.net.http_client import Http
from holdfast.net.http_message import Limits as HttpLimits
from holdfast.net.lookups import Lookups
from holdfast.pki.certificate import Certificate
from holdfast.services.checker import Looking
from holdfast.services.exporter import Exporter, Limits
from holdfast.wiring_stranger import Stranger

FETCHED = 16 << 20  # bytes of issuers and CRLs for one probe
CONNECTIONS = 1024  # scrapes under way, and idle connections between them
GRACE = 2.0  # seconds that probes under way have at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """What is exported, and to whom. `ask` and `crls`: what is asked elsewhere at each scrape."""

    host: str
    port: int
    trusted: Sequence[Certificate]
    allow_private: bool = False
    ask: bool = True
    crls: bool = False
    looking: Looking = field(default_factory=Looking)
    limits: Limits = field(default_factory=Limits)


@asynccontextmanager
async def exporting(
    wanted: Exporting, *, addresses: AddressPolicy | None = None
) -> AsyncIterator[http_server.Server]:
    """The exporter, up for the block. `addresses`: who may be looked at, if not by
    `allow_private`."""
    if addresses is None:
        addresses = OPERATOR if wanted.allow_private else PUBLIC_ONLY
    asyncio.get_running_loop().set_default_executor(Lookups())
    async with Http(policy=addresses, timeout=wanted.looking.timeout) as http:
        stranger = Stranger(
            http,
            trusted=wanted.trusted,
            addresses=addresses,
            looking=wanted.looking,
            fetched=FETCHED,
            ask=wanted.ask,
            crls=wanted.crls,
        )
        exporter = Exporter(
            stranger.look_as,
            looking=wanted.looking,
            limits=wanted.limits,
            now=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
        )
        limits = HttpLimits(connections=CONNECTIONS, body_bytes=0)
        server = await http_server.serve(wanted.host, wanted.port, exporter.answer, limits=limits)
        try:
            yield server
        finally:
            await server.close(grace=GRACE)
