"""Whether a responder could answer now: each CA signs, the signature verifies, its ledger reads.

Laws: what is signed to find this out says nothing of any certificate and is sent to nobody; a crowd
of questions costs one signature a CA and `KEEP`; nothing waits longer than `DEADLINE`. R36.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from holdfast.errors import HoldfastError
from holdfast.net.http_message import Reply, Request, plain
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import UNKNOWN
from holdfast.ocsp.verify import examine
from holdfast.seams import Clock, Ledger

KEEP = 1.0  # seconds that a result holds
DEADLINE = 5.0  # seconds; the Baseline Requirements, 4.10.2, give an answer ten
WINDOW = timedelta(hours=1)
NO_SERIAL = 0  # RFC 5280 4.1.2.2: no certificate has it

Sign = Callable[[Callable[[Signer], bytes]], Awaitable[tuple[Signer, bytes]]]
"""Has the signer that signs now, and where it has to be done, sign what it is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One CA to be asked. `sign` None: its answers are signed elsewhere, and `look` reads them.
    `also`: more that may be wrong, as text, "" when it is not."""

    name: str
    sign: Sign | None = None
    ledger: Ledger | None = None
    look: Callable[[], Awaitable[None]] | None = None
    also: tuple[Callable[[], str], ...] = ()


class Health:
    """The health of a responder with these CAs."""

    def __init__(self, asked: Sequence[Asked], *, clock: Clock) -> None:
        self._asked = asked
        self._clock = clock
        self._known: dict[str, str] = {}
        self._until = float("-inf")
        self._asking: asyncio.Task[dict[str, str]] | None = None

    async def problems(self) -> dict[str, str]:
        """What is wrong with each CA by its name, "" when nothing is."""
        if time.monotonic() < self._until:
            return self._known
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def page(self, request: Request) -> Reply:
        """`/healthz`: 200 "ok", or 503 with a line for each CA that could not answer."""
        wrong = {name: told for name, told in (await self.problems()).items() if told}
        if not wrong:
            return plain(200, "ok")
        return plain(503, "\n".join(f"{name}: {told}" for name, told in wrong.items()))

    async def _ask(self) -> dict[str, str]:
        found = await asyncio.gather(*(self._one(asked) for asked in self._asked))
        self._known = {one.name: told for one, told in zip(self._asked, found, strict=True)}
        self._until = time.monotonic() + KEEP
        return self._known

    async def _one(self, asked: Asked) -> str:
        try:
            async with asyncio.timeout(DEADLINE):
                if asked.sign is not None:
                    signer, der = await asked.sign(self._probe)
                    if problem := self._judged(signer, der):
                        return problem
                if asked.ledger is not None:
                    await _read(asked.ledger)
                if asked.look is not None:
                    await asked.look()
        except TimeoutError:
            return f"no answer within {DEADLINE:.0f} s"
        except HoldfastError as error:
            return error.message
        return next((told for ask in asked.also if (told := ask())), "")

    def _probe(self, signer: Signer) -> bytes:
        """A response that says "unknown" of a serial that no certificate has."""
        at = self._clock.now().replace(microsecond=0)
        begin = max(at, signer.certificate.not_before)
        end = min(begin + WINDOW, signer.certificate.not_after)
        single = SingleResponse(CertID.of(NO_SERIAL, signer.issuer), UNKNOWN, begin, end)
        return signer.respond([single], produced_at=at)

    def _judged(self, signer: Signer, der: bytes) -> str:
        """Why a client would not believe it; "" when one would."""
        at = self._clock.now()
        if objection := signer.objection(at):
            return objection
        verdict = examine(Response.parse(der), Subject(NO_SERIAL, signer.issuer), at=at)
        if verdict.valid:
            return ""
        why = "its bytes cannot be read" if verdict.worst is None else verdict.worst.message
        return f"what it signs does not verify: {why}"


async def _read(ledger: Ledger) -> None:
    if ledger.blocking:
        await asyncio.to_thread(ledger.entry, NO_SERIAL)
    else:
        ledger.entry(NO_SERIAL)
