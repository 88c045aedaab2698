"""What a target's certificates point at: missing issuers, responders, CRLs; fetched for a check.

Laws: an issuer is believed only by its signature; each URL is asked once, a bounded number of them,
several at a time; nothing that an URL does ends in an exception. RFC 5280 4.2.2.1, RFC 6960 A.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError
from holdfast.ocsp.certid import Subject
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.pki.crl import MAX_CRL
from holdfast.plan.checking import CrlAnswer, Cut, ResponderAnswer, Seen, by_leaf, readable_chain
from holdfast.tls.observation import Observation

if TYPE_CHECKING:
    from holdfast.plan.cure import ServerSeen

MAX_RESPONDERS = 4  # URLs of one certificate; real ones have one or two
MAX_ISSUER = 256 * 1024  # bytes of an AIA answer: a PKCS#7 of a whole chain is under 20 KiB
MAX_LEAVES = 8  # certificates that are asked about
MAX_UPWARD = 4  # missing issuers of one chain
MAX_ISSUER_URLS = 2  # of one certificate
AT_ONCE = 8  # URLs

Ask = Callable[[str, Subject], Awaitable[ResponderAnswer]]
Fetch = Callable[[str, int], Awaitable[bytes]]


class Asking:
    """One check's questions, asked as soon as a handshake shows what to ask. `ask` None: no
    responder is asked; `fetch` None: nothing is fetched.

    What was found out is in `seen` after each step, also when a deadline ends the questions.
    """

    def __init__(
        self,
        *,
        roots: Sequence[Certificate],
        ask: Ask | None,
        fetch: Fetch | None,
        issuers: bool,
        crls: bool,
        tell: Callable[[Seen], None],
    ) -> None:
        """`issuers`: fetch missing ones; `crls`: fetch the leaves'."""
        self.seen = Seen()
        self._roots, self._ask, self._fetch, self._tell = roots, ask, fetch, tell
        self._issuers, self._crls = issuers and fetch is not None, crls and fetch is not None
        self._fetched: dict[str, asyncio.Task[tuple[Certificate, ...]]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._group: asyncio.TaskGroup | None = None
        self._begun: dict[bytes, tuple[list[Certificate], asyncio.Task[None]]] = {}
        self._asked: set[tuple[str, str]] = set()  # what, and of which leaf

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Ask from now on, by tasks of `group`."""
        self._group = group

    def saw(self, observations: tuple[Observation, ...], cuts: tuple[Cut, ...]) -> None:
        """These are all the handshakes until now."""
        self.seen = replace(self.seen, observations=observations, cuts=cuts)
        for leaf, shown in self._leaves():
            if leaf not in self._begun and (chain := readable_chain(shown)):
                self._begin(leaf, chain)
        self._tell(self.seen)

    def complete(self) -> None:
        """No handshake follows: where a later one showed a longer chain, that counts."""
        for leaf, shown in self._leaves():
            if leaf in self._begun and (chain := readable_chain(shown)) != self._begun[leaf][0]:
                self._begin(leaf, chain)

    async def settled(self) -> None:
        """Return when all that was begun has ended."""
        tasks = [task for _, task in self._begun.values()]
        if tasks:
            await asyncio.wait(tasks)

    def knows(self, server: ServerSeen | None) -> None:
        self.seen = replace(self.seen, server=server)
        self._tell(self.seen)

    # -- one leaf ---------------------------------------------------------------------------

    def _leaves(self) -> list[tuple[bytes, list[Observation]]]:
        return list(by_leaf(self.seen.observations).items())[:MAX_LEAVES]

    def _begin(self, leaf: bytes, chain: list[Certificate]) -> None:
        assert self._group is not None
        before = self._begun[leaf][1] if leaf in self._begun else None
        self._begun[leaf] = chain, self._group.create_task(self._chain(chain, before))

    async def _chain(self, chain: Sequence[Certificate], before: asyncio.Task[None] | None) -> None:
        """Ask what is not asked yet; `before`: with a shorter chain of the same leaf."""
        if before is not None:
            await before
        leaf = chain[0]
        async with asyncio.TaskGroup() as group:
            crl = next((u for u in leaf.crl_urls if u.lower().startswith("http://")), None)
            if self._crls and crl is not None and self._once("crl", leaf):
                group.create_task(self._crl(leaf, crl))
            if self._issuers:
                await self._upward(chain)
                self._tell(self.seen)
            issuer = find_issuer(leaf, [*chain[1:], *self.seen.issuers, *self._roots])
            if self._ask is not None and issuer is not None and self._once("ocsp", leaf):
                subject = Subject.of(leaf, issuer)
                urls = list(dict.fromkeys(leaf.responder_urls))[:MAX_RESPONDERS]
                group.create_task(self._responders(leaf, subject, urls))

    def _once(self, what: str, leaf: Certificate) -> bool:
        """Whether this is the first time; from now on it is not."""
        first = (what, leaf.sha256) not in self._asked
        self._asked.add((what, leaf.sha256))
        return first

    # -- issuers ----------------------------------------------------------------------------

    async def _upward(self, chain: Sequence[Certificate]) -> None:
        top = chain[0]
        reached = [top]
        for _ in range(MAX_UPWARD + len(chain)):
            if top.self_issued or find_issuer(top, self._roots) is not None:
                return
            pool = [c for c in (*chain, *self.seen.issuers) if c not in reached]
            above = find_issuer(top, pool)
            if above is None:
                above = await self._by_aia(top)
            if above is None:
                return
            top = above
            reached.append(top)

    async def _by_aia(self, certificate: Certificate) -> Certificate | None:
        http = [u for u in certificate.issuer_urls if u.lower().startswith(("http://", "https://"))]
        for url in http[:MAX_ISSUER_URLS]:
            found = find_issuer(certificate, await self._certificates(url))
            if found is not None:
                if found not in self.seen.issuers:
                    self.seen = replace(self.seen, issuers=(*self.seen.issuers, found))
                return found
        return None

    async def _certificates(self, url: str) -> tuple[Certificate, ...]:
        """What `url` holds, asked once however many chains want it."""
        assert self._group is not None
        if url not in self._fetched:
            self._fetched[url] = self._group.create_task(self._downloaded(url))
        return await self._fetched[url]

    async def _downloaded(self, url: str) -> tuple[Certificate, ...]:
        assert self._fetch is not None
        try:
            return pem.certificates(await self._fetch(url, MAX_ISSUER), name=url)
        except HoldfastError:
            return ()

    # -- responders and CRLs ----------------------------------------------------------------

    async def _responders(self, leaf: Certificate, subject: Subject, urls: Iterable[str]) -> None:
        ask = self._ask
        assert ask is not None
        known: dict[str, ResponderAnswer] = {}

        async def one(url: str) -> None:
            async with self._turn:
                known[url] = await ask(url, subject)
            answers = tuple(known[each] for each in urls if each in known)
            responders = {**self.seen.responders, leaf.sha256: answers}
            self.seen = replace(self.seen, responders=responders)
            self._tell(self.seen)

        async with asyncio.TaskGroup() as group:
            for url in urls:
                group.create_task(one(url))

    async def _crl(self, leaf: Certificate, url: str) -> None:
        assert self._fetch is not None
        async with self._turn:
            try:
                listed = pem.crls(await self._fetch(url, MAX_CRL), name=url, limit=MAX_CRL)
                answer = CrlAnswer(url=url, crl=listed[0])
            except HoldfastError as error:
                answer = CrlAnswer(url=url, problem=error.message)
        self.seen = replace(self.seen, crls={**self.seen.crls, leaf.sha256: answer})
        self._tell(self.seen)
