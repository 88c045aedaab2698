"""The servers of the matrix, of one shape: Apache, nginx, HAProxy and our own proxy.

Each serves the two sites of a `Ground`; `adapter` is what a keeper that has just started feeds it
by. Apache asks the keeper's relay, so it knows only the relay's address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.pki.issue import Issued
from holdfast.plan.reloading import Pace
from holdfast.seams import StapledServer
from holdfast.servers.apache import ApacheServer, apache_snippet
from holdfast.servers.haproxy import HaproxyServer
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.servers.shelf import Shelf
from holdfast.services.proxy import Proxy
from holdfast.tls.server import ServerTLS
from support.servers.apache import Apache
from support.servers.haproxy import Haproxy
from support.servers.nginx import Nginx
from support.servers.shift import Shift, ShiftedClock
from support.tls_world import identity


@dataclass(frozen=True)
class Ground:
    """What every machine stands on. `names`: the site of a certificate."""

    folder: Path
    sites: Mapping[str, Issued]
    shift: Shift
    clock: ShiftedClock
    relay: str
    pace: Pace

    def names(self, certid: CertID) -> str | None:
        found = (s for s, one in self.sites.items() if one.certificate.serial == certid.serial)
        return next(found, None)


class Machine(Protocol):
    """`timer`: with the keeper dead it needs `holdfast withdraw --expired` (K27). `lags`: what it
    was given is in force when it asks again, by moved time, so nobody waits for it here."""

    name: str
    timer: bool
    lags: bool

    def port(self, site: str) -> int: ...

    def adapter(self, shelf: RelayShelf) -> StapledServer:
        """A new one, as a keeper makes it when it starts."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def remove(self) -> None:
        """Stop it for good."""


class ProxyMachine:
    """Our proxy. It is the keeper's own process: what it holds goes with that."""

    name, timer, lags = "proxy", False, False

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._shelf = Shelf(self.name)
        self._proxy: Proxy | None = None
        self._port = 0

    def port(self, site: str) -> int:
        return self._port

    def adapter(self, shelf: RelayShelf) -> StapledServer:
        self._shelf = Shelf(self.name)
        return self._shelf

    async def start(self) -> None:
        clock = self._ground.clock
        self._proxy = Proxy(
            ServerTLS(
                [identity(site) for site in self._ground.sites.values()],
                staple_for=lambda leaf: self._shelf.lookup(leaf, clock.now()),
                alpn=["http/1.1"],
            ),
            held=self._held,
            clock=clock,
        )
        await self._proxy.listen("127.0.0.1", 0)
        self._port = self._proxy.port

    def _held(self, leaf: bytes) -> Staple | None:
        return self._shelf.held(leaf)

    async def stop(self) -> None:
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            await proxy.close(grace=0)

    async def remove(self) -> None:
        await self.stop()


class HaproxyMachine:
    name, timer, lags = "haproxy", False, False

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.server = Haproxy(ground.folder, ground.sites, shift=ground.shift)

    def port(self, site: str) -> int:
        return self.server.port

    def adapter(self, shelf: RelayShelf) -> StapledServer:
        return HaproxyServer(
            self.name,
            crt=self.server.crt_template,
            sockets=[self.server.socket, self.server.tcp_socket],
            clock=self._ground.clock,
            name_of=self._ground.names,
        )

    async def start(self) -> None:
        self.server.start()

    async def stop(self) -> None:
        self.server.stop()

    async def remove(self) -> None:
        self.server.stop()


class NginxMachine:
    name, timer, lags = "nginx", True, False

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        blocks = {site: [issued] for site, issued in ground.sites.items()}
        self.server = Nginx(ground.folder, blocks, shift=ground.shift)

    def port(self, site: str) -> int:
        return self.server.port

    def adapter(self, shelf: RelayShelf) -> StapledServer:
        return self.server.adapter(
            clock=self._ground.clock, name_of=self._ground.names, pace=self._ground.pace
        )

    async def start(self) -> None:
        self.server.start()

    async def stop(self) -> None:
        self.server.stop()

    async def remove(self) -> None:
        self.server.stop()


class ApacheMachine:
    name, timer, lags = "apache", False, True

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.server = Apache(
            ground.sites, stapling=apache_snippet(ground.relay), shift=ground.shift, workers=2
        )

    def port(self, site: str) -> int:
        return self.server.ports[site]

    def adapter(self, shelf: RelayShelf) -> StapledServer:
        return ApacheServer(self.name, shelf=shelf, clock=self._ground.clock)

    async def start(self) -> None:
        self.server.start()

    async def stop(self) -> None:
        self.server.stop()

    async def remove(self) -> None:
        self.server.remove()


MACHINES: dict[str, type[ProxyMachine | HaproxyMachine | NginxMachine | ApacheMachine]] = {
    "apache": ApacheMachine,
    "nginx": NginxMachine,
    "haproxy": HaproxyMachine,
    "proxy": ProxyMachine,
}
