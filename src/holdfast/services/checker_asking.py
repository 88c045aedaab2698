"""What a target's certificates point at: missing issuers, responders, CRLs; fetched for a check.

Laws: an issuer is believed only by its signature; each URL is asked once, a bounded number of them,
several at a time; nothing that an URL does ends in an exception. RFC 5280 4.2.2.1, RFC 6960 A.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from holdfast.errors import HoldfastError
from holdfast.ocsp.certid import Subject
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.pki.crl import MAX_CRL
from holdfast.plan.checking import CrlAnswer, ResponderAnswer, Seen, by_leaf, readable_chain

MAX_RESPONDERS = 4  # URLs of one certificate; real ones have one or two
MAX_ISSUER = 256 * 1024  # bytes of an AIA answer: a PKCS#7 of a whole chain is under 20 KiB
MAX_LEAVES = 8  # certificates that are asked about
MAX_UPWARD = 4  # missing issuers of one chain
MAX_ISSUER_URLS = 2  # of one certificate
AT_ONCE = 8  # URLs

Ask = Callable[[str, Subject], Awaitable[ResponderAnswer]]
Fetch = Callable[[str, int], Awaitable[bytes]]


class Asking:
    """One check's questions. `ask` None: no responder is asked; `fetch` None: nothing is fetched.

    What was found out is in `seen` after each step, also when a deadline ends the questions.
    """

    def __init__(
        self,
        seen: Seen,
        *,
        roots: Sequence[Certificate],
        ask: Ask | None,
        fetch: Fetch | None,
        tell: Callable[[Seen], None],
    ) -> None:
        self.seen = seen
        self._roots, self._ask, self._fetch, self._tell = roots, ask, fetch, tell
        self._fetched: dict[str, tuple[Certificate, ...]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        groups = list(by_leaf(seen.observations).values())[:MAX_LEAVES]
        self._chains = [chain for chain in map(readable_chain, groups) if chain]

    # -- issuers ----------------------------------------------------------------------------

    async def issuers(self) -> None:
        """Fetch by AIA what the chains lack, upwards to a root."""
        for chain in self._chains:
            await self._upward(chain)
        self._tell(self.seen)

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
                self.seen = replace(self.seen, issuers=(*self.seen.issuers, found))
                return found
        return None

    async def _certificates(self, url: str) -> tuple[Certificate, ...]:
        if url in self._fetched:
            return self._fetched[url]
        assert self._fetch is not None
        try:
            found = pem.certificates(await self._fetch(url, MAX_ISSUER), name=url)
        except HoldfastError:
            found = ()
        self._fetched[url] = found
        return found

    # -- responders and CRLs ----------------------------------------------------------------

    async def answers(self, *, crls: bool) -> None:
        """Ask every responder of every leaf, and get its CRL."""
        async with asyncio.TaskGroup() as group:
            for chain in self._chains:
                leaf = chain[0]
                issuer = find_issuer(leaf, [*chain[1:], *self.seen.issuers, *self._roots])
                if self._ask is not None and issuer is not None:
                    subject = Subject.of(leaf, issuer)
                    urls = list(dict.fromkeys(leaf.responder_urls))[:MAX_RESPONDERS]
                    group.create_task(self._responders(leaf, subject, urls))
                url = next((u for u in leaf.crl_urls if u.lower().startswith("http://")), None)
                if crls and self._fetch is not None and url is not None:
                    group.create_task(self._crl(leaf, url))

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
