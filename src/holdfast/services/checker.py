"""The checker: look at somebody's TLS server as clients would, and report.

Laws: this module only looks; `plan.checking` judges. Every handshake is a full one; a server is
never asked by more than one at a time on one address, and no more than eight addresses are looked
at. Nothing a target does ends in an exception: it ends in the report. However slow it is, a check
ends in its time, with what it has seen and a word of what it has not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Literal

from holdfast.errors import Unavailable
from holdfast.net.dial import OPERATOR, Address, AddressPolicy, interleave, resolve
from holdfast.net.probe import TIMEOUT, probe
from holdfast.ocsp.findings import NOTE
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.pki.certificate import Certificate
from holdfast.plan.checking import Cut, Judge, Seen, report
from holdfast.plan.cure import ServerSeen
from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.services.checker_asking import Ask, Asking, Fetch
from holdfast.tls.client import Authentication, Version
from holdfast.tls.observation import Failure, Observation

MAX_ADDRESSES = 8  # of one target
AT_ONCE = 4  # addresses of one target
PATIENCE = 6  # handshakes' timeouts that all handshakes together may take
PATIENCE_ASKING = 3  # and all questions to responders and for files
LEAST = 60.0  # seconds that they may take anyway

Grown = Callable[[Callable[[], Report]], None]
"""Called as a check goes on, with what makes the report on all that was seen so far."""
Recognise = Callable[[Target, Seen, str, datetime], Awaitable[ServerSeen | None]]
"""Finds out what ends TLS at a target, expected to be called by this name; never raises."""
Which = Literal["all", "first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """How to look. `ip`: dial this address instead of resolving. `servername`: the name to send and
    to expect; the target's host when None. `without_sni`: try once without a name as well.
    `budget`: seconds for all handshakes, and again for all questions; None: by `timeout`."""

    servername: str | None = None
    ip: str | None = None
    which: Which = "all"
    versions: tuple[Version, ...] = ("1.2", "1.3")
    handshakes: int = 2
    timeout: float = TIMEOUT
    require_staple: bool = False
    without_sni: bool = True
    budget: float | None = None

    @property
    def shaking(self) -> float:
        """Seconds for all handshakes; each of them is allowed `timeout`."""
        if self.budget is not None:
            return self.budget
        return max(PATIENCE * self.timeout, LEAST) + self.handshakes

    @property
    def asking(self) -> float:
        """Seconds for all that is asked elsewhere."""
        return self.budget if self.budget is not None else max(PATIENCE_ASKING * self.timeout, 30.0)


class Checker:
    """`ask(url, subject)` asks a responder and never raises; None: responders are not asked.
    `fetch(url, limit)` gets CRLs (if `crls`) and missing issuers (if `issuers`) and raises from our
    tree. `recognise` None: nobody asks what the server is."""

    def __init__(
        self,
        *,
        roots: Sequence[Certificate],
        ask: Ask | None = None,
        fetch: Fetch | None = None,
        issuers: bool = True,
        crls: bool = True,
        policy: Policy = STRICT,
        addresses: AddressPolicy = OPERATOR,
        recognise: Recognise | None = None,
    ) -> None:
        self._roots = tuple(roots)
        self._ask = ask
        self._fetch = fetch
        self._issuers_wanted = issuers
        self._crls = crls
        self._policy = policy
        self._addresses = addresses
        self._recognise = recognise

    async def check(
        self, target: Target, looking: Looking, *, at: datetime, grown: Grown | None = None
    ) -> Report:
        """Look at `target` and judge what was seen at the instant `at`."""
        servername = looking.servername or target.host
        judge = Judge(
            servername=servername,
            at=at,
            roots=self._roots,
            policy=self._policy,
            require_staple=looking.require_staple,
        )
        try:
            addresses = await self._resolved(target, looking)
        except Unavailable as error:
            unresolved = Failure("unreachable", error.message, failure=error.failure)
            return report(target.text, Seen(unresolved=unresolved), judge)

        def tell(seen: Seen) -> None:
            if grown is not None:
                grown(lambda: report(target.text, seen, judge))

        seen = await self._observations(target, addresses, servername, looking, tell)
        found = Asking(seen, roots=self._roots, ask=self._ask, fetch=self._fetch, tell=tell)

        async def recognised() -> None:
            if self._recognise is not None:
                server = await self._recognise(target, seen, servername, at)
                found.seen = replace(found.seen, server=server)
                tell(found.seen)

        try:
            async with asyncio.timeout(looking.asking), asyncio.TaskGroup() as beside:
                beside.create_task(recognised())
                if self._fetch is not None and self._issuers_wanted:
                    await found.issuers()
                await found.answers(crls=self._crls)
        except TimeoutError:
            problem = f"responders, issuers and CRLs were not all had within {looking.asking:g} s"
            cut = Cut(problem, "see which answer slowly, or give a longer --timeout")
            found.seen = replace(found.seen, cuts=(*found.seen.cuts, cut))
        return report(target.text, found.seen, judge)

    # -- handshakes -------------------------------------------------------------------------

    async def _resolved(self, target: Target, looking: Looking) -> tuple[Address, ...]:
        host = looking.ip or target.host
        found = await resolve(host, target.port, policy=self._addresses, timeout=looking.timeout)
        return interleave(found)

    async def _observations(
        self,
        target: Target,
        addresses: Sequence[Address],
        servername: str,
        looking: Looking,
        tell: Callable[[Seen], None],
    ) -> Seen:
        """Everything that the handshakes showed, by address."""
        turn = asyncio.Semaphore(AT_ONCE)
        looked_at = addresses[: 1 if looking.which == "first" else MAX_ADDRESSES]
        by_address: dict[Address, list[Observation]] = {address: [] for address in looked_at}
        cuts = _left_out(addresses, looking)

        def so_far() -> Seen:
            return Seen(observations=tuple(chain.from_iterable(by_address.values())), cuts=cuts)

        async def one(address: Address) -> None:
            def saw(observation: Observation) -> None:
                by_address[address].append(observation)
                tell(so_far())

            async with turn:
                await self._address(target, address, servername, looking, saw)

        try:
            async with asyncio.timeout(looking.shaking), asyncio.TaskGroup() as group:
                for address in looked_at:
                    group.create_task(one(address))
        except TimeoutError:
            made = sum(map(len, by_address.values()))
            problem = f"{made} handshakes took {looking.shaking:g} s, and there the check ended"
            advice = "the server is slow: ask it alone, for fewer --handshakes or by --address"
            cuts = (*cuts, Cut(problem, advice))
        return so_far()

    async def _address(
        self,
        target: Target,
        address: Address,
        servername: str,
        looking: Looking,
        saw: Callable[[Observation], None],
    ) -> None:
        """Every version; in each the certificate that comes by itself, and the other kind's; and
        once without SNI."""

        async def shake(
            version: Version, authentication: Authentication, name: str | None = servername
        ) -> Observation:
            return await probe(
                address,
                server_name=name,
                version=version,
                authentication=authentication,
                starttls=target.starttls,
                host=servername,
                timeout=looking.timeout,
                policy=self._addresses,
            )

        seen: list[Observation] = []

        def keep(observation: Observation) -> None:
            seen.append(observation)
            saw(observation)

        for version in looking.versions:
            first = await shake(version, "any")
            keep(first)
            if first.error is not None and first.error.kind != "tls-handshake-failed":
                break  # neither another version nor another try will get further
            if not first.seen:
                continue
            for _ in range(looking.handshakes - 1):
                keep(await shake(version, "any"))
            known = {o.leaf for o in seen if o.seen}
            other: Authentication = "ecdsa" if first.key_type.startswith("RSA") else "rsa"
            second = await shake(version, other)
            # No certificate of the other kind is no finding; nor is a server that ignores the wish
            if second.seen and (second.leaf not in known or second.key_type != first.key_type):
                keep(second)
                for _ in range(looking.handshakes - 1):
                    keep(await shake(version, other))
        plain = (o for o in reversed(seen) if o.seen and o.authentication == "any")
        newest = next(plain, None)
        if looking.without_sni and newest is not None and newest.sni is not None:
            nameless = await shake(newest.asked, "any", None)
            saw(replace(nameless, without_sni=True))


def _left_out(addresses: Sequence[Address], looking: Looking) -> tuple[Cut, ...]:
    if looking.which == "first" or len(addresses) <= MAX_ADDRESSES:
        return ()
    problem = f"the name has {len(addresses)} addresses, and {MAX_ADDRESSES} were looked at"
    return (Cut(problem, "look at another with --address", NOTE),)
