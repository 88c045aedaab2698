"""The checker: look at somebody's TLS server as clients would, and report.

Laws: this module only looks; `plan.checking` judges. Every handshake is a full one; how many are
made at a time is `checker_handshakes`' law, and no more than eight addresses are looked at. What
the certificates point at is asked while handshakes are still made; what the server is, only where
there is something to mend. Nothing a target does ends in an exception: it ends in the report.
However slow it is, a check ends in its time, with what it has seen and a word of what it has not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Literal

from holdfast.errors import Unavailable
from holdfast.net.dial import OPERATOR, Address, AddressPolicy, interleave, resolve
from holdfast.net.probe import TIMEOUT
from holdfast.ocsp.findings import NOTE
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.pki.certificate import Certificate
from holdfast.plan.checking import Cut, Judge, Seen, by_leaf, readable_chain, report
from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.services.checker_asking import Ask, Asking, Fetch
from holdfast.services.checker_handshakes import Handshakes
from holdfast.tls.client import Version
from holdfast.tls.observation import Failure

if TYPE_CHECKING:
    from holdfast.plan.cure import ServerSeen

MAX_ADDRESSES = 8  # of one target
AT_ONCE = 4  # addresses of one target
PATIENCE = 6  # handshakes' timeouts that all handshakes together may take
PATIENCE_ASKING = 3  # and all questions to responders and for files
LEAST = 60.0  # seconds that they may take anyway

Grown = Callable[[Callable[[], Report]], None]
"""Called as a check goes on, with what makes the report on all that was seen so far."""
Recognise = Callable[[Target, Seen, str, datetime], "Awaitable[ServerSeen | None]"]
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

        def made(seen: Seen) -> Report:
            return report(target.text, seen, judge)

        def tell(seen: Seen) -> None:
            if grown is not None:
                grown(lambda: made(seen))

        found = Asking(
            roots=self._roots,
            ask=self._ask,
            fetch=self._fetch,
            issuers=self._issuers_wanted,
            crls=self._crls,
            tell=tell,
        )

        try:
            async with asyncio.timeout(None) as limit:
                async with asyncio.TaskGroup() as group:
                    found.begin(group)
                    shaken = await self._observations(target, addresses, servername, looking, found)
                    limit.reschedule(asyncio.get_running_loop().time() + looking.asking)
                    found.complete()
                    await found.settled()
                    if looking.handshakes > 1:
                        await _once_more(shaken)
                told = made(found.seen)
                if self._recognise is not None and _to_mend(told):
                    found.knows(await self._recognise(target, found.seen, servername, at))
                    told = made(found.seen)
                return told
        except TimeoutError:
            problem = f"responders, issuers and CRLs were not all had within {looking.asking:g} s"
            cut = Cut(problem, "see which answer slowly, or give a longer --timeout")
            found.seen = replace(found.seen, cuts=(*found.seen.cuts, cut))
            return made(found.seen)

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
        found: Asking,
    ) -> Sequence[Handshakes]:
        """Everything that the handshakes show, by address, for `found` as it comes. Those that came
        to their end in time are given back."""
        turn = asyncio.Semaphore(AT_ONCE)
        looked_at = addresses[: 1 if looking.which == "first" else MAX_ADDRESSES]
        cuts = _left_out(addresses, looking)

        def saw() -> None:
            found.saw(tuple(chain.from_iterable(one.observations for one in shaking)), cuts)

        shaking = [
            Handshakes(
                target,
                address,
                servername,
                count=looking.handshakes,
                timeout=looking.timeout,
                policy=self._addresses,
                saw=saw,
            )
            for address in looked_at
        ]

        async def one(handshakes: Handshakes) -> None:
            async with turn:
                await handshakes.make(looking.versions, without_sni=looking.without_sni)

        try:
            async with asyncio.timeout(looking.shaking), asyncio.TaskGroup() as group:
                for handshakes in shaking:
                    group.create_task(one(handshakes))
        except TimeoutError:
            made = sum(len(one.observations) for one in shaking)
            problem = f"{made} handshakes took {looking.shaking:g} s, and there the check ended"
            advice = "the server is slow: ask it alone, for fewer --handshakes or by --address"
            cuts = (*cuts, Cut(problem, advice))
            saw()
            return ()
        saw()
        return shaking


def _to_mend(told: Report) -> bool:
    """Whether there is something to mend, in a server that spoke: only such a one is sent requests
    to tell it by. Judging may be dear, so a good one is judged once."""
    spoke = any(one.seen for one in told.handshakes)
    return spoke and any(one.severity > NOTE for one in told.findings)


async def _once_more(shaken: Sequence[Handshakes]) -> None:
    """Where none with its name had a staple that there could be, one more with each address. By now
    a server that fetches its staple when a client asks has had as long as our own questions."""
    groups = by_leaf([one for handshakes in shaken for one in handshakes.observations])
    chains = [readable_chain(shown) for shown in groups.values()]
    stapled = any(one.staple for shown in groups.values() for one in shown if not one.without_sni)
    if not stapled and any(chain[0].responder_urls for chain in chains if chain):
        async with asyncio.TaskGroup() as group:
            for handshakes in shaken:
                group.create_task(handshakes.late())


def _left_out(addresses: Sequence[Address], looking: Looking) -> tuple[Cut, ...]:
    if looking.which == "first" or len(addresses) <= MAX_ADDRESSES:
        return ()
    problem = f"the name has {len(addresses)} addresses, and {MAX_ADDRESSES} were looked at"
    return (Cut(problem, "look at another with --address", NOTE),)
