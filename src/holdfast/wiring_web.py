"""`holdfast web` put together: the checker for strangers, the history, the keeper beside, the page.

Law: who may be looked at is one address policy, asked by `wiring_stranger` of all that is dialled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from holdfast.errors import OperatorError
from holdfast.net.dial import OPERATOR, PUBLIC_ONLY, AddressPolicy
from holdfast.net.http_client import Http
from holdfast.net.listen import listen
from holdfast.services.checker import Looking
from holdfast.services.web.access import Access
from holdfast.services.web.app import Desk, Site
from holdfast.services.web.beside import Beside
from holdfast.services.web.checks import Bounds, Checks
from holdfast.services.web.guard import Guard
from holdfast.services.web.history import History
from holdfast.services.web.limits import Buckets
from holdfast.settings import parse_address
from holdfast.settings_web import WebTable
from holdfast.wiring_check import roots, system_roots
from holdfast.wiring_server import recogniser
from holdfast.wiring_stranger import Stranger

GRACE = 2.0  # seconds that answers under way have at the end


@dataclass(frozen=True, slots=True)
class Serving:
    """A page that is up."""

    host: str
    port: int
    checks: Checks
    guard: Guard

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


@asynccontextmanager
async def serving(
    table: WebTable, *, addresses: AddressPolicy | None = None
) -> AsyncIterator[Serving]:
    """The page of `table`, up for the block. `addresses`: who may be looked at, if not what the
    table says."""
    limits = table.limits
    trusted = roots(table.ca_file) if table.ca_file else system_roots()
    if addresses is None:
        addresses = OPERATOR if table.allow_private_targets else PUBLIC_ONLY
    history = History(
        Path(table.state) if table.state else None,
        total=limits.history,
        per_host=limits.host_history,
        size=limits.history_mib << 20,
    )
    try:
        timeout = limits.handshake.total_seconds()
        async with Http(policy=addresses, timeout=timeout) as http:
            looker = Stranger(
                http,
                trusted=trusted,
                addresses=addresses,
                looking=Looking(handshakes=limits.handshakes, timeout=timeout),
                fetched=limits.fetched_kib * 1024,
                recognise=recogniser(policy=addresses, timeout=timeout),
            )
            bounds = Bounds(
                at_once=limits.checks,
                waiting=limits.waiting,
                deadline=limits.check.total_seconds(),
                fresh=limits.fresh.total_seconds(),
            )
            checks = Checks(looker.look, history, bounds=bounds, now=_now)
            async with _listening(table, checks, history) as up:
                yield up
    finally:
        history.close()


@asynccontextmanager
async def _listening(table: WebTable, checks: Checks, history: History) -> AsyncIterator[Serving]:
    limits, access = (
        table.limits,
        Access(token=table.token, trust_forwarded=tuple(table.trust_forwarded)),
    )
    address = parse_address(table.listen)
    if address is None:
        raise OperatorError(
            f"{table.listen!r} is not an address", hint="write it as 127.0.0.1:8480"
        )
    guards: list[Guard] = []

    def spoke(transport: asyncio.BaseTransport | None) -> None:
        guards[0].spoke(transport)

    minute = 60.0
    site = Site(
        checks=checks,
        history=history,
        access=access,
        checks_left=Buckets(limits.per_client, seconds=minute, monotonic=time.monotonic),
        pages_left=Buckets(limits.pages, seconds=minute, monotonic=time.monotonic),
        now=_now,
        keeper=Beside(Path(table.keeper), monotonic=time.monotonic) if table.keeper else None,
        spoke=spoke,
    )
    runner = web.AppRunner(
        Desk(site).application,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=30,
        shutdown_timeout=GRACE,
    )
    await runner.setup()
    assert runner.server is not None
    guard = Guard(
        runner.server,
        per_client=limits.connections,
        total=limits.all_connections,
        exempt=access.is_proxy,
    )
    guards.append(guard)
    try:
        server = await listen(address[0], address[1], guard)
        host, port = server.sockets[0].getsockname()[:2]
        try:
            yield Serving(str(host), int(port), checks, guard)
        finally:
            server.close()
            await checks.close()
    finally:
        await runner.cleanup()


def _now() -> datetime:
    return datetime.now(UTC)
