"""The checker for who is not trusted: strangers at the web page, and whoever reaches the exporter.

Laws: who may be looked at is one address policy, asked of the target, of every redirect and of
every address that a name gives, at the moment of dialling; a check has one purse for all that it
fetches, and so many questions to responders.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from holdfast.errors import Unavailable
from holdfast.net.dial import AddressPolicy
from holdfast.net.http_client import Http
from holdfast.ocsp.certid import Subject
from holdfast.pki.certificate import Certificate
from holdfast.plan.checking import ResponderAnswer
from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.services.checker import Checker, Grown, Looking, Recognise
from holdfast.sources.http import HttpSource
from holdfast.wiring_check import asked

MAX_ASKED = 12  # responder URLs for one check: a target may show a new certificate at every turn


class Stranger:
    """Looks at a target for somebody who is not trusted; `fetched` bytes of files at most.

    `ask` False: responders are not asked, and no issuer is fetched; `crls` False: no CRL is.
    """

    def __init__(
        self,
        http: Http,
        *,
        trusted: Sequence[Certificate],
        addresses: AddressPolicy,
        looking: Looking,
        fetched: int,
        ask: bool = True,
        crls: bool = True,
        recognise: Recognise | None = None,
    ) -> None:
        self._source, self._trusted, self._addresses = HttpSource(http), trusted, addresses
        self._looking, self._bytes, self._ask, self._crls = looking, fetched, ask, crls
        self._recognise = recognise

    async def look(self, target: Target, at: datetime, grown: Grown) -> Report:
        return await self.look_as(target, self._looking, at, grown)

    async def look_as(self, target: Target, looking: Looking, at: datetime, grown: Grown) -> Report:
        """The same, in another way than usual."""
        purse = Purse(self._bytes, looking.timeout, self._addresses)
        left = MAX_ASKED

        async def ask(url: str, subject: Subject) -> ResponderAnswer:
            nonlocal left
            left -= 1
            if left < 0:
                problem = f"not asked: this check has asked {MAX_ASKED} responders already"
                return ResponderAnswer(url=url, failure="too-many", problem=problem)
            return await asked(self._source, url, subject)

        checker = Checker(
            roots=self._trusted,
            ask=ask if self._ask else None,
            fetch=purse.fetch,
            issuers=self._ask,
            crls=self._crls,
            addresses=self._addresses,
            recognise=self._recognise,
        )
        return await checker.check(target, looking, at=at, grown=grown)


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
