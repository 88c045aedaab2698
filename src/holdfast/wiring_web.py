"""`holdfast web` put together: the checker for strangers, the history, the keeper beside, the page.

Laws: who may be looked at is one address policy, asked of the target, of every redirect and of
every address that a name gives, at the moment of dialling; a check has one purse for all that it
fetches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from holdfast.errors import OperatorError, Unavailable
from holdfast.net.dial import OPERATOR, PUBLIC_ONLY, AddressPolicy
from holdfast.net.http_client import Http
from holdfast.net.listen import listen
from holdfast.ocsp.certid import Subject
from holdfast.pki.certificate import Certificate
from holdfast.plan.checking import ResponderAnswer
from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.services.checker import Checker, Grown, Looking
from holdfast.services.web.access import Access
from holdfast.services.web.app import Desk, Site
from holdfast.services.web.beside import Beside
from holdfast.services.web.checks import Bounds, Checks
from holdfast.services.web.guard import Guard
from holdfast.services.web.history import History
from holdfast.services.web.limits import Buckets
from holdfast.settings import parse_address
from holdfast.settings_web import WebLimits, WebTable
from holdfast.sources.http import HttpSource
from holdfast.wiring_check import asked, roots, system_roots

MAX_ASKED = 12  # responder URLs for one check: a target may show a new certificate at every turn
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
    )
    try:
        timeout = limits.handshake.total_seconds()
        async with Http(policy=addresses, timeout=timeout) as http:
            looker = Stranger(http, trusted=trusted, addresses=addresses, limits=limits)
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


class Stranger:
    """Looks at a target for somebody who is not trusted."""

    def __init__(
        self,
        http: Http,
        *,
        trusted: Sequence[Certificate],
        addresses: AddressPolicy,
        limits: WebLimits,
    ) -> None:
        self._source, self._trusted, self._addresses = HttpSource(http), trusted, addresses
        self._timeout = limits.handshake.total_seconds()
        self._bytes = limits.fetched_kib * 1024
        self._looking = Looking(handshakes=limits.handshakes, timeout=self._timeout)

    async def look(self, target: Target, at: datetime, grown: Grown) -> Report:
        purse = Purse(self._bytes, self._timeout, self._addresses)
        left = MAX_ASKED

        async def ask(url: str, subject: Subject) -> ResponderAnswer:
            nonlocal left
            left -= 1
            if left < 0:
                problem = f"not asked: this check has asked {MAX_ASKED} responders already"
                return ResponderAnswer(url=url, failure="too-many", problem=problem)
            return await asked(self._source, url, subject)

        checker = Checker(
            roots=self._trusted, ask=ask, fetch=purse.fetch, addresses=self._addresses
        )
        return await checker.check(target, self._looking, at=at, grown=grown)


class Purse:
    """Fetches files for one check, `left` bytes in all."""

    def __init__(self, left: int, timeout: float, addresses: AddressPolicy) -> None:
        self._left, self._timeout, self._addresses = left, timeout, addresses

    async def fetch(self, url: str, limit: int) -> bytes:
        most = min(limit, self._left)
        if most <= 0:
            raise Unavailable(f"{url}: the check has fetched enough", failure="oversized")
        # Charged whole until it is known what came: two at once do not spend the same bytes
        self._left -= most
        try:
            async with Http(policy=self._addresses, timeout=self._timeout, max_bytes=most) as http:
                answer = await http.get(url)
        except Unavailable as error:
            if error.failure != "oversized":
                self._left += most
            raise
        body = answer.body
        self._left += most - len(body)
        if answer.status != 200:
            raise Unavailable(f"{url}: HTTP status {answer.status}", failure="http")
        return body


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
        Desk(site).application, access_log=None, handle_signals=False, keepalive_timeout=30
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
        await runner.shutdown()
        await runner.server.shutdown(GRACE)
        await runner.cleanup()


def _now() -> datetime:
    return datetime.now(UTC)
