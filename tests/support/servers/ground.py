"""All servers, one keeper, two CAs with scripted responders, and a time that is moved.

async with World(folder) as world:
    await world.keep(); await world.serve()
    await world.advance(timedelta(hours=1))
    await world.shown("haproxy")
"""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.net.http_client import Http
from holdfast.net.http_server import Server, serve
from holdfast.ocsp import freshness
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import Severity
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import examine
from holdfast.plan.entry import STORE, Alert, Entry, Rules
from holdfast.plan.keeping import USUAL_RULES, fetch_due
from holdfast.plan.reloading import Pace
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.services.inventory import Kept
from holdfast.services.keeper import Keeper
from holdfast.services.relay import Relay
from holdfast.sources.circuit import Circuits
from holdfast.sources.http import HttpSource
from holdfast.sources.layered import Limited
from holdfast.stores.files import FOLDER, FileStore
from support.pki import a_root, an_intermediate
from support.ports import free_port
from support.servers.handshakes import handshake
from support.servers.machines import MACHINES, Ground, Machine
from support.servers.shift import Shift, ShiftedClock
from support.tls_world import YESTERDAY, a_site

ALL = tuple(MACHINES)
AT_ONCE = Pace(interval=timedelta(0), gather=timedelta(0))
SECOND = timedelta(seconds=1)
IN_ITS_SLOT = 0.3  # seconds after which a delivery must be waiting for its slot
TIMEOUT = 0.7  # seconds that the keeper waits for a responder here
HOSTS = {"site": "localhost", "other": "other.test"}


class World:
    """`site` is of one CA, `other` of another; each CA has its responder."""

    def __init__(
        self,
        folder: Path,
        *,
        kinds: Iterable[str] = ALL,
        rules: Rules = USUAL_RULES,
        pace: Pace = AT_ONCE,
        timeout: float = TIMEOUT,
    ) -> None:
        self.folder, self.rules, self._timeout = folder, rules, timeout
        # Apache's children are another user, who must read the time
        self._times = Path(tempfile.mkdtemp(prefix="holdfast-time-"))
        self._times.chmod(0o755)
        self.shift = Shift(self._times)
        self.clock = ShiftedClock(self.shift)
        self._cas = {
            site: an_intermediate(a_root(at=YESTERDAY), f"CA of {site}", at=YESTERDAY)
            for site in HOSTS
        }
        self.responders = {
            site: LabResponder(Forge(ca, at=YESTERDAY + timedelta(days=1)), clock=self.clock)
            for site, ca in self._cas.items()
        }
        self._kinds, self._pace = tuple(kinds), pace
        self._relay_port = free_port()
        self._relay: Server | None = None
        self._http: Http | None = None
        self._running: asyncio.Task[None] | None = None
        self.machines: dict[str, Machine] = {}

    async def __aenter__(self) -> World:
        for responder in self.responders.values():
            await responder.start()
        sites = {
            site: a_site(self._cas[site], host, responder_urls=(self.responders[site].url,))
            for site, host in HOSTS.items()
        }
        self.subjects = {
            site: Subject.of(issued.certificate, self._cas[site].certificate)
            for site, issued in sites.items()
        }
        relay = f"127.0.0.1:{self._relay_port}"
        ground = Ground(self.folder, sites, self.shift, self.clock, relay, self._pace)
        try:
            for kind in self._kinds:
                self.machines[kind] = MACHINES[kind](ground)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()
        for machine in self.machines.values():
            await machine.remove()
        for responder in self.responders.values():
            await responder.close()
        shutil.rmtree(self._times, ignore_errors=True)

    # -- the keeper ------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Start a keeper, with what an earlier one stored; return when nothing is left to do."""
        shelf = RelayShelf(clock=self.clock)
        self._relay = await serve(
            "127.0.0.1", self._relay_port, Relay(shelf.held, clock=self.clock), clock=self.clock
        )
        self._http = Http(timeout=self._timeout)
        self.keeper = Keeper(
            [
                Kept.of(subject, name=site, servers=tuple(self.machines))
                for site, subject in self.subjects.items()
            ],
            source=Circuits(Limited(HttpSource(self._http)), clock=self.clock),
            store=FileStore(self.folder / "state" / FOLDER),
            clock=self.clock,
            servers={name: machine.adapter(shelf) for name, machine in self.machines.items()},
            rules=self.rules,
        )
        self._running = asyncio.create_task(self.keeper.run())
        await self.calm()

    async def kill(self) -> None:
        """End the keeper as a signal 9 does: what is under way is not finished."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.sleep(0.02)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if self._relay is not None:
            await self._relay.close(grace=0)
            self._relay = None
        if self._http is not None:
            await self._http.close()

    async def calm(self, *, patience: float = 15.0) -> None:
        """Return when the keeper has nothing due, asks nobody, and delivers nothing but what waits
        for its slot."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + patience
        waiting_since, slots = loop.time(), self._pace.interval > timedelta(0)
        await asyncio.sleep(0.05)  # longer than a sleeper's nap
        while loop.time() < ends:
            entries = self.keeper.entries
            due = [one for one in self.keeper.plan().actions if not isinstance(one, Alert)]
            if entries and not due and not any(entry.fetching for entry in entries):
                busy = {h.name for entry in entries for h in entry.holders if h.busy}
                if not any(name == STORE or not self.machines[name].lags for name in busy):
                    return
                if slots and loop.time() - waiting_since > IN_ITS_SLOT:
                    return
            else:
                waiting_since = loop.time()
            await asyncio.sleep(0.01)
        raise AssertionError("the keeper comes to no rest")

    async def withdraw_expired(self) -> None:
        """What the dead man's timer does, for the machines that need it."""
        for site, subject in self.subjects.items():
            staple = self.staple(site)
            if staple is None or self.clock.now() >= freshness.withdraw_at(staple):
                for machine in self.machines.values():
                    if machine.timer:
                        shelf = RelayShelf(clock=self.clock)
                        await machine.adapter(shelf).withdraw(subject.certid)

    def entry(self, site: str = "site") -> Entry:
        found = self.keeper.entry(site)
        assert found is not None
        return found

    def staple(self, site: str = "site") -> Staple | None:
        """What the keeper holds, or held when it was killed."""
        return self.entry(site).staple

    def fetch_due(self, site: str = "site") -> datetime:
        due = fetch_due(self.entry(site), self.clock.now(), self.rules)
        assert due is not None
        return due

    # -- time, responders, servers ---------------------------------------------------------------

    async def advance(self, delta: timedelta) -> None:
        """Let `delta` pass, and the keeper do what is due, each thing in its time."""
        target = self.clock.now() + delta
        while (now := self.clock.now()) < target - SECOND / 2:
            due = self.keeper.due_at if self._running is not None else None
            step = target - now if due is None else min(target, due) - now
            self.shift.by(max(SECOND, timedelta(seconds=math.ceil(step.total_seconds()))))
            if self._running is not None:
                await self.calm()

    async def advance_to(self, instant: datetime) -> None:
        await self.advance(instant - self.clock.now())

    async def respond(self, **wishes: object) -> None:
        """Tell both responders."""
        for responder in self.responders.values():
            await responder.change(wishes)

    async def serve(self) -> None:
        """Start every server that does not run."""
        for machine in self.machines.values():
            await machine.start()

    async def stop(self) -> None:
        for machine in self.machines.values():
            await machine.stop()

    async def shown(self, kind: str, site: str = "site") -> bytes | None:
        """The staple of one handshake."""
        return (await handshake(self.machines[kind].port(site), name=HOSTS[site])).staple

    async def shown_by_all(self, site: str = "site") -> dict[str, bytes | None]:
        return {kind: await self.shown(kind, site) for kind in self.machines}

    def fault_of(self, der: bytes | None, at: datetime, site: str = "site") -> str:
        """What is wrong about sending `der` in a handshake that began at `at`; "" for nothing."""
        if der is None:
            return ""
        verdict = examine(Response.parse(der), self.subjects[site], at=at)
        wrong = {
            found.code
            for found in verdict.findings
            if found.severity >= Severity.FAULT and found.code != "response-revoked"
        }
        single = verdict.single
        if single is not None and single.next_update is not None and at >= single.next_update:
            wrong.add(f"sent {at - single.next_update} after nextUpdate")
        return ", ".join(sorted(wrong))
