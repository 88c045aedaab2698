"""The handshakes of a check with one address: which, in what order, and how many at a time.

Laws: the first is made alone, so that what is dead or refuses is dialled once; after it a server is
asked by at most `TOGETHER` at a time on one address, as by a browser; that without SNI is made when
all others have ended. What was seen is kept in the order in which it ended, since a server that is
cold is told from one that forgets by the order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from holdfast.net.dial import Address, AddressPolicy
from holdfast.net.probe import probe
from holdfast.plan.target import Target
from holdfast.tls.client import Authentication, Version
from holdfast.tls.observation import Observation

TOGETHER = 4  # handshakes with one address; browsers open six connections


class Handshakes:
    """`observations`: what was kept until now; `saw` is called whenever it has grown."""

    def __init__(
        self,
        target: Target,
        address: Address,
        servername: str,
        *,
        count: int,
        timeout: float,
        policy: AddressPolicy,
        saw: Callable[[], None],
    ) -> None:
        """`count`: with each version and kind of key."""
        self._target, self._address, self._servername = target, address, servername
        self._count, self._timeout, self._policy = count, timeout, policy
        self._saw = saw
        self.observations: list[Observation] = []
        self._turn = asyncio.Semaphore(TOGETHER)

    async def make(self, versions: tuple[Version, ...], *, without_sni: bool) -> None:
        """With every version the certificate that comes by itself, and the other kind's; and once
        without SNI."""
        first = await self._first(versions[0])
        if first.error is not None and first.error.kind != "tls-handshake-failed":
            return  # neither another version nor another try will get further
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rest(first))
            for version in versions[1:]:
                group.create_task(self._version(version))
        newest = self._newest()
        if without_sni and newest is not None and newest.sni is not None:
            nameless = await self._shaken(newest.asked, named=False)
            self._keep(replace(nameless, without_sni=True))

    async def late(self) -> None:
        """One more, by which a server is seen that has fetched its staple meanwhile."""
        newest = self._newest()
        if newest is not None:
            self._keep(await self._shaken(newest.asked))

    # -- within -----------------------------------------------------------------------------

    def _newest(self) -> Observation | None:
        """One that showed the certificate that comes by itself, by the newest version."""
        shown = [o for o in self.observations if o.seen and o.authentication == "any"]
        return max((o for o in shown if not o.without_sni), key=_version, default=None)

    async def _first(self, version: Version) -> Observation:
        first = await self._shaken(version)
        self._keep(first)
        return first

    async def _version(self, version: Version) -> None:
        await self._rest(await self._first(version))

    async def _rest(self, first: Observation) -> None:
        """The others with the version of `first`."""
        if not first.seen:
            return
        other: Authentication = "ecdsa" if first.key_type.startswith("RSA") else "rsa"
        async with asyncio.TaskGroup() as group:
            again = group.create_task(self._again(first.asked, "any"))
            second = await self._shaken(first.asked, other)
            await again
            known = {o.leaf for o in self.observations if o.seen}
            # No certificate of the other kind is no finding; nor is a server that ignores the wish
            if second.seen and (second.leaf not in known or second.key_type != first.key_type):
                self._keep(second)
                await self._again(first.asked, other)

    async def _again(self, version: Version, authentication: Authentication) -> None:
        """All but the first of `count`."""

        async def one() -> None:
            self._keep(await self._shaken(version, authentication))

        async with asyncio.TaskGroup() as group:
            for _ in range(1, self._count):
                group.create_task(one())

    async def _shaken(
        self, version: Version, authentication: Authentication = "any", *, named: bool = True
    ) -> Observation:
        async with self._turn:
            return await probe(
                self._address,
                server_name=self._servername if named else None,
                version=version,
                authentication=authentication,
                starttls=self._target.starttls,
                host=self._servername,
                timeout=self._timeout,
                policy=self._policy,
            )

    def _keep(self, observation: Observation) -> None:
        self.observations.append(observation)
        self._saw()


def _version(observation: Observation) -> str:
    return observation.tls
