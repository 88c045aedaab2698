"""Settings -> a running keeper: sources, store, servers, control socket, page, reload.

Laws: at the start anything wrong is the operator's to mend; at a reload it changes nothing and is
told (K24); servers whose table did not change stay as they are, with what they were given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.clock import SystemClock
from holdfast.net.dial import AddressPolicy
from holdfast.net.files import trouble
from holdfast.net.http_client import Http
from holdfast.net.http_server import Server, serve, serve_on
from holdfast.net.notify import Given, Notify
from holdfast.ocsp.freshness import Freshness
from holdfast.ocsp.policy import Policy
from holdfast.pki.certificate import Certificate
from holdfast.plan.entry import Need, Rules
from holdfast.seams import Clock, Source, StapledServer
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.services.attended import Attended, Gate
from holdfast.services.control import SOCKET, Control
from holdfast.services.inventory import CertificateFiles, Inventory, Stamp, stamps_of
from holdfast.services.keeper import Keeper
from holdfast.services.keeper_page import KeeperPage
from holdfast.services.own_clock import OwnClock
from holdfast.services.relay import Relay, beside
from holdfast.services.remembered import MANY, remembered_inventory
from holdfast.settings import Settings, parse_address
from holdfast.settings_saved import save_settings
from holdfast.settings_server import ServerTable
from holdfast.sources.circuit import Circuits
from holdfast.sources.http import Exchange, HttpSource
from holdfast.sources.layered import FirstOf, Limited
from holdfast.sources.stored import StoredSource
from holdfast.stores.files import FOLDER, FileStore
from holdfast.wiring_issuers import find_issuers, kept_issuers
from holdfast.wiring_servers import (
    Names,
    pace_of,
    proof_of,
    refuse_shared_files,
    remove_moved,
    server_of,
)

SETTLING = timedelta(seconds=3)  # after a start: what was loaded is being delivered
FIRST_SEARCH = timedelta(minutes=1)  # between two searches for issuers; doubles
LAST_SEARCH = timedelta(hours=6)

_log = logging.getLogger("holdfast.keeper")


def inventory_of(
    settings: Settings, *, many: int | None = None, before: Inventory | None = None
) -> Inventory:
    """What `settings` names, read; problems are in it. `many` and `before`: see
    `remembered_inventory`."""
    specified = [
        CertificateFiles(
            chain=one.chain,
            name=one.name or None,
            issuer=one.issuer or None,
            responder_urls=None if one.responder_urls is None else tuple(one.responder_urls),
            servers=tuple(one.servers),
            need=None if one.need is None else Need(one.need),
        )
        for one in settings.certificate
    ]
    keeper = settings.keeper
    always = "*" in keeper.responder_overrides or bool(keeper.responses)
    return remembered_inventory(
        specified,
        state=keeper.state,
        always_ask=always,
        issuers=kept_issuers(keeper.state),
        many=many,
        before=before,
    )


def refuse_problems(inventory: Inventory) -> None:
    """`OperatorError` for the first problem, saying how many there are."""
    if not inventory.problems:
        return
    first, others = inventory.problems[0], len(inventory.problems) - 1
    more = f" (and {others} more like it)" if others else ""
    raise OperatorError(first.message + more, hint=first.hint)


def rules_of(settings: Settings) -> Rules:
    keeper = settings.keeper
    return Rules(
        freshness=Freshness(
            refresh_at=keeper.refresh_at,
            jitter=keeper.jitter,
            default_lifetime=keeper.default_lifetime,
        ),
        on_revoked=keeper.on_revoked,
        recheck=keeper.recheck,
    )


def policy_of(settings: Settings) -> Policy:
    return Policy(allow_sha1=settings.keeper.allow_sha1)


def http_of(settings: Settings) -> Http:
    keeper = settings.keeper
    private = keeper.allow_private_responders
    return Http(
        policy=AddressPolicy(allow_private=private, allow_loopback=private),
        proxy=keeper.proxy or None,
        timeout=keeper.timeout.total_seconds(),
    )


def source_of(
    settings: Settings, http: Http, clock: Clock, own_clock: OwnClock | None = None
) -> Source:
    """Stored responses first, then the responders, a few questions at a time, and of one that is
    down hardly any."""
    keeper = settings.keeper
    own_clock = own_clock or OwnClock(clock)

    def look(exchange: Exchange) -> None:
        answer = exchange.answer
        if answer is not None:
            host = urlsplit(exchange.url).hostname or exchange.url
            own_clock.saw(host, answer.date, answer.header("age"))

    over_http = HttpSource(
        http,
        method=keeper.method,
        hash=keeper.hash,
        overrides=keeper.responder_overrides,
        on_exchange=look,
    )
    asking = Circuits(Limited(over_http), clock=clock)
    return FirstOf(StoredSource(keeper.responses), asking) if keeper.responses else asking


def store_of(settings: Settings) -> FileStore:
    return FileStore(Path(settings.keeper.state) / FOLDER)


class House:
    """A keeper and all that belongs to it. `read` gives the settings, now and at each reload."""

    def __init__(
        self,
        read: Callable[[], Settings],
        *,
        clock: Clock | None = None,
        notify: Notify | None = None,
        sockets: Sequence[Given] = (),
    ) -> None:
        self._read = read
        self._sockets = sockets
        self.clock = clock or SystemClock()
        self.own_clock = OwnClock(self.clock, on_alert=self._alerted)
        self.lacking: tuple[Certificate, ...] = ()  # certificates whose issuer no file has
        self.passed_over: tuple[str, ...] = ()
        self._wanting = asyncio.Event()
        self.settings = read()
        self._state = self.settings.keeper.state  # until a restart, whatever a reload says
        self.names = Names()
        self._tables: dict[str, ServerTable] = {}
        self._servers: dict[str, StapledServer] = {}
        self._shelf = RelayShelf(clock=self.clock)
        self._pace = pace_of(self.settings)
        self._stack = AsyncExitStack()
        self._seen: dict[str, Stamp] = {}
        self._inventory = Inventory(())
        self._http: Http | None = None
        self._page: Server | None = None
        self._reloading = asyncio.Lock()
        self.keeper = self._first()
        gate: Gate = self.settings.keeper.ready
        self.attended = Attended(self.keeper, notify or Notify(), clock=self.clock, gate=gate)

    def _first(self) -> Keeper:
        inventory = inventory_of(self.settings, many=MANY)
        refuse_problems(inventory)
        self.names.learn(inventory)
        refuse_shared_files(self.settings, inventory, self.names)
        self._see(inventory)
        self.count = len(inventory.kept)
        self._http = http_of(self.settings)
        return Keeper(
            inventory.kept,
            source=source_of(self.settings, self._http, self.clock, self.own_clock),
            store=store_of(self.settings),
            clock=self.clock,
            servers=self._servers_of(self.settings),
            rules=rules_of(self.settings),
            policy=policy_of(self.settings),
            prove=proof_of(self.settings),
        )

    @property
    def page_address(self) -> tuple[str, int] | None:
        """Where the status page is."""
        return None if self._page is None else self._page.address

    async def __aenter__(self) -> House:
        """Make the state folder, take up what lies there, listen on the control socket and for
        the page."""
        state = Path(self.settings.keeper.state)
        try:
            state.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            told = trouble("cannot make the state folder", state, error)
            raise OperatorError(
                told.message, hint="choose another with --state, or `state =` in the settings"
            ) from error
        self.keeper.introduce()
        await self._stack.enter_async_context(self.attended.watching())
        control = Control(self.keeper, state / SOCKET, clock=self.clock, reload=self.reload)
        try:
            await self._stack.enter_async_context(control)
            save_settings(self.settings, state)
            await self._listen()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        if self._http is not None:
            await self._http.close()

    async def run(self) -> None:
        """Keep until the keeper is stopped."""
        alongside = [asyncio.create_task(self._watch()), asyncio.create_task(self._complete())]
        try:
            await self.keeper.run()
        finally:
            for task in alongside:
                task.cancel()
            await asyncio.gather(*alongside, return_exceptions=True)

    def stop(self) -> None:
        """Let `run` end, and say so."""
        self.attended.stopping()
        self.keeper.stop()

    async def reload(self) -> dict[str, Any]:
        """Read settings and certificates again, and go on with them; all or nothing."""
        async with self._reloading:
            with self.attended.reloading():
                return await self._reload()

    async def _reload(self) -> dict[str, Any]:
        settings = self._read()
        inventory = await asyncio.to_thread(
            inventory_of, settings, many=MANY, before=self._inventory
        )
        refuse_problems(inventory)
        self.names.learn(inventory)
        refuse_shared_files(settings, inventory, self.names)
        before, old_http, old_servers = self.settings, self._http, self._servers
        if _asking(before) != _asking(settings):
            self._http = http_of(settings)
        await asyncio.to_thread(save_settings, settings, self._state)
        await self.keeper.adopt(
            inventory.kept,
            servers=self._servers_of(settings),
            rules=rules_of(settings),
            source=source_of(settings, self._http or http_of(settings), self.clock, self.own_clock),
            prove=proof_of(settings),
        )
        self.settings = settings
        self._see(inventory)
        await asyncio.to_thread(remove_moved, old_servers, self._servers, inventory)
        if old_http is not None and old_http is not self._http:
            await old_http.close()  # fetches under way end as failures, and are tried again
        later = [
            key
            for key in ("state", "listen", "store", "allow_sha1")
            if getattr(before.keeper, key) != getattr(settings.keeper, key)
        ]
        _log.info("reload certificates=%s", len(inventory.kept))
        if later:
            _log.warning("reload restart-needed-for=%s", ",".join(later))
        return {"certificates": len(inventory.kept), "restart_needed_for": later}

    async def try_reload(self) -> None:
        """`reload`, whose errors are told and change nothing."""
        try:
            await self.reload()
        except HoldfastError as error:
            _log.error("reload failed %s", error.message)

    async def _listen(self) -> None:
        page = KeeperPage(self.keeper, now=self.clock.now, ready=lambda: self.attended.ready)
        relay = Relay(
            self._shelf.held,
            clock=self.clock,
            freshness=rules_of(self.settings).freshness,
            starting=self._starting,
        )
        handler = beside(relay, page)
        address = parse_address(self.settings.keeper.listen)
        if self._sockets:  # from a socket unit: they stand for `listen`
            sockets = [given.socket for given in self._sockets]
            self._page = await serve_on(sockets, handler, clock=self.clock)
        elif address is not None:
            host = address[0] or "0.0.0.0"  # noqa: S104
            self._page = await serve(host, address[1], handler, clock=self.clock)
        else:
            return
        self._stack.push_async_callback(self._page.close)

    def _starting(self) -> bool:
        """Whether what the store holds may still be on its way to the relay."""
        begun = self.keeper.started_at
        return begun is None or not self.keeper.loaded or self.clock.now() - begun < SETTLING

    async def _watch(self) -> None:
        """Reload when a certificate's file has changed."""
        while True:
            pause: timedelta = self.settings.keeper.watch
            await self.clock.sleep_until(self.clock.now() + pause)
            now = await asyncio.to_thread(stamps_of, self._seen)
            if now != self._seen:
                _log.info("certificate-files changed")
                self._seen = now
                await self.try_reload()

    def _alerted(self, code: str) -> None:
        self.keeper.tally.alerts[code] += 1

    async def _complete(self) -> None:
        """Look for issuers that no file has, and take up their certificates."""
        pause = FIRST_SEARCH
        while True:
            lacking = self.lacking
            if lacking and self._http is not None:
                try:
                    helped = await find_issuers(lacking, self._http, self.settings.keeper.state)
                except (HoldfastError, OSError) as error:
                    _log.error("issuers not kept: %s", error)
                else:
                    if helped:
                        await self.try_reload()
            self._wanting.clear()
            until = self.clock.now() + pause
            pause = min(pause * 2, LAST_SEARCH) if self.lacking else FIRST_SEARCH
            await self._until_wanting(until)

    async def _until_wanting(self, until: datetime) -> None:
        """Return at `until`, where something is lacking, or when a reading lacks something new."""
        wanting = asyncio.ensure_future(self._wanting.wait())
        waits: list[asyncio.Future[Any]] = [wanting]
        if self.lacking:
            waits.append(asyncio.ensure_future(self.clock.sleep_until(until)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _see(self, inventory: Inventory) -> None:
        for told in inventory.passed_over:
            _log.warning("passed-over %s", told)
        if set(inventory.lacking) - set(self.lacking):
            self._wanting.set()
        self.lacking, self.passed_over = inventory.lacking, inventory.passed_over
        self._seen = inventory.stamps
        self._inventory = inventory

    def _servers_of(self, settings: Settings) -> dict[str, StapledServer]:
        pace = pace_of(settings)
        servers: dict[str, StapledServer] = {}
        for table in settings.server:
            known = self._servers.get(table.name)
            same = self._tables.get(table.name) == table and pace == self._pace
            if known is None or not same:
                known = server_of(
                    table,
                    self.names,
                    clock=self.clock,
                    pace=pace,
                    shelf=self._shelf,
                    state=self._state,
                )
            if known is not None:
                servers[table.name] = known
        self._tables = {table.name: table for table in settings.server}
        self._servers, self._pace = servers, pace
        return servers


def _asking(settings: Settings) -> tuple[object, ...]:
    """What an `Http` is made of."""
    keeper = settings.keeper
    return keeper.proxy, keeper.allow_private_responders, keeper.timeout
