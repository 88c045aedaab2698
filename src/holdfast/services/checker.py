"""The checker: look at somebody's TLS server as clients would, and report.

Laws: this module only looks; `plan.checking` judges. Every handshake is a full one; a server is
never asked by more than one at a time on one address, and no more than eight addresses are looked
at. Nothing a target does ends in an exception: it ends in the report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from holdfast.errors import HoldfastError, Unavailable
from holdfast.net.dial import OPERATOR, Address, AddressPolicy, interleave, resolve
from holdfast.net.probe import TIMEOUT, probe
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.pki.crl import MAX_CRL
from holdfast.plan.checking import (
    CrlAnswer,
    Judge,
    ResponderAnswer,
    Seen,
    by_leaf,
    readable_chain,
    report,
)
from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.tls.client import Authentication, Version
from holdfast.tls.observation import Failure, Observation

MAX_ADDRESSES = 8  # of one target
MAX_RESPONDERS = 4  # URLs of one certificate; real ones have one or two
MAX_ISSUER = 256 * 1024  # bytes of an AIA answer: a PKCS#7 of a whole chain is under 20 KiB
AT_ONCE = 4  # addresses of one target

Ask = Callable[[str, Subject], Awaitable[ResponderAnswer]]
Fetch = Callable[[str, int], Awaitable[bytes]]
Grown = Callable[[Callable[[], Report]], None]
"""Called as a check goes on, with what makes the report on all that was seen so far."""
Which = Literal["all", "first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """How to look. `ip`: dial this address instead of resolving. `servername`: the name to send and
    to expect; the target's host when None."""

    servername: str | None = None
    ip: str | None = None
    which: Which = "all"
    versions: tuple[Version, ...] = ("1.2", "1.3")
    handshakes: int = 2
    timeout: float = TIMEOUT
    require_staple: bool = False


class Checker:
    """`ask(url, subject)` asks a responder and never raises; None: responders are not asked.
    `fetch(url, limit)` gets CRLs (if `crls`) and missing issuers (if `issuers`) and raises from our
    tree."""

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
    ) -> None:
        self._roots = tuple(roots)
        self._ask = ask
        self._fetch = fetch
        self._issuers_wanted = issuers
        self._crls = crls
        self._policy = policy
        self._addresses = addresses

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

        observations = await self._observations(target, addresses, servername, looking, tell)
        seen = Seen(observations=observations)
        seen = replace(seen, issuers=await self._issuers(seen))
        tell(seen)
        return report(target.text, await self._asked(seen, tell), judge)

    # -- handshakes -------------------------------------------------------------------------

    async def _resolved(self, target: Target, looking: Looking) -> tuple[Address, ...]:
        host = looking.ip or target.host
        found = await resolve(host, target.port, policy=self._addresses, timeout=looking.timeout)
        return interleave(found)[: 1 if looking.which == "first" else MAX_ADDRESSES]

    async def _observations(
        self,
        target: Target,
        addresses: Sequence[Address],
        servername: str,
        looking: Looking,
        tell: Callable[[Seen], None],
    ) -> tuple[Observation, ...]:
        turn = asyncio.Semaphore(AT_ONCE)
        so_far: list[Observation] = []

        def saw(observation: Observation) -> None:
            so_far.append(observation)
            tell(Seen(observations=tuple(so_far)))

        async def one(address: Address) -> list[Observation]:
            async with turn:
                return await self._address(target, address, servername, looking, saw)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(address)) for address in addresses]
        return tuple(o for task in tasks for o in task.result())

    async def _address(
        self,
        target: Target,
        address: Address,
        servername: str,
        looking: Looking,
        saw: Callable[[Observation], None],
    ) -> list[Observation]:
        """Every version; in each the certificate that comes by itself, and the other kind's."""

        async def shake(version: Version, authentication: Authentication) -> Observation:
            return await probe(
                address,
                server_name=servername,
                version=version,
                authentication=authentication,
                starttls=target.starttls,
                host=target.host,
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
        return seen

    # -- what the certificates point at -----------------------------------------------------

    async def _issuers(self, seen: Seen) -> tuple[Certificate, ...]:
        """Issuers by AIA, for leaves that came without."""
        if self._fetch is None or not self._issuers_wanted:
            return ()
        found: list[Certificate] = []
        for observations in by_leaf(seen.observations).values():
            chain = readable_chain(observations)
            if not chain or chain[0].self_issued:
                continue
            if find_issuer(chain[0], [*chain[1:], *self._roots, *found]) is None:
                for url in chain[0].issuer_urls[:2]:
                    found += await self._certificates(url)
        return tuple(found)

    async def _certificates(self, url: str) -> tuple[Certificate, ...]:
        assert self._fetch is not None
        try:
            return pem.certificates(await self._fetch(url, MAX_ISSUER), name=url)
        except HoldfastError:
            return ()

    async def _asked(self, seen: Seen, tell: Callable[[Seen], None]) -> Seen:
        """`seen` with what responders and CRLs say of each leaf."""
        responders: dict[str, tuple[ResponderAnswer, ...]] = {}
        crls: dict[str, CrlAnswer] = {}
        for observations in by_leaf(seen.observations).values():
            chain = readable_chain(observations)
            if not chain:
                continue
            leaf = chain[0]
            issuer = find_issuer(leaf, [*chain[1:], *seen.issuers, *self._roots])
            if self._ask is not None and issuer is not None:
                subject = Subject.of(leaf, issuer)
                urls = leaf.responder_urls[:MAX_RESPONDERS]
                responders[leaf.sha256] = tuple([await self._ask(url, subject) for url in urls])
                tell(replace(seen, responders=dict(responders)))
            url = next((u for u in leaf.crl_urls if u.lower().startswith("http://")), None)
            if self._crls and self._fetch is not None and url is not None:
                crls[leaf.sha256] = await self._crl(url)
        return replace(seen, responders=responders, crls=crls)

    async def _crl(self, url: str) -> CrlAnswer:
        assert self._fetch is not None
        try:
            listed = pem.crls(await self._fetch(url, MAX_CRL), name=url, limit=MAX_CRL)
        except HoldfastError as error:
            return CrlAnswer(url=url, problem=error.message)
        return CrlAnswer(url=url, crl=listed[0])
