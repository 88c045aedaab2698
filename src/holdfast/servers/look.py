"""A look at what a server sends, for daemons that do not say when a reload is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from holdfast.errors import DeliveryError, HoldfastError
from holdfast.net.dial import resolve
from holdfast.net.probe import probe
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.staple import Staple
from holdfast.servers.reloads import Change
from holdfast.tls.client import Authentication
from holdfast.tls.observation import Observation

LOOK_EVERY = 0.05  # seconds
ONE_LOOK = 5.0  # seconds for one handshake
AWAY = 4  # looks at nobody, after which a server is not reached
AGAIN_AFTER = 2.0  # seconds after which a server is told again

Again = Callable[[], Awaitable[object]]


async def _nothing() -> None: ...


class Look:
    """Handshakes with `place`, until one shows what was changed."""

    def __init__(self, server: str, place: tuple[str, int]) -> None:
        self._server = server
        self._host, self._port = place[0] or "localhost", place[1]
        self._subjects: dict[str, Subject] = {}  # of what was delivered: a CertID has no name

    async def until_shown(self, change: Change, *, within: float, again: Again = _nothing) -> None:
        """`DeliveryError` when a handshake still shows something else after `within` seconds.

        A server that cannot be reached, or shows another certificate, is left to its proof.
        `again` tells a server once more that seems not to have heard.
        """
        if change.staple is not None:
            self._subjects[change.certid.key] = change.staple.subject
        subject = self._subjects.get(change.certid.key)
        if subject is None or subject.leaf is None:
            return
        wanted = None if change.staple is None else change.staple.der
        ends = time.monotonic() + within
        told = time.monotonic()
        away = 0  # looks in a row that saw nobody: a daemon that restarts drops connections
        while True:
            seen = await self._seen(subject)
            if seen is None:
                away += 1
            elif seen.leaf != subject.leaf.der or seen.staple == wanted:
                return
            else:
                away = 0
            if away >= AWAY or (seen is None and time.monotonic() >= ends):
                return
            if seen is not None and time.monotonic() >= ends:
                break
            if time.monotonic() - told >= AGAIN_AFTER:
                await again()
                told = time.monotonic()
            await asyncio.sleep(LOOK_EVERY)
        shows = "shows another staple" if wanted is not None else "still shows a staple"
        raise DeliveryError(
            f"{self._server}: {within:g} s after its reload {self._host}:{self._port} {shows}"
            if seen.staple is not None
            else f"{self._server}: {within:g} s after its reload {self._host}:{self._port} shows "
            "no staple",
            hint="its error log says why; a graceful restart may wait for open connections",
        )

    async def warmed(self, staple: Staple, *, in_a_row: int, within: float) -> bool:
        """Shake hands until `in_a_row` show any staple; False when that takes too long.

        A server that cannot be reached, or shows another certificate, is no reason to wait.
        """
        leaf = staple.subject.leaf
        ends = time.monotonic() + within
        stapled = 0
        while stapled < in_a_row and time.monotonic() < ends:
            seen = await self._seen(staple.subject)
            if seen is None or leaf is None or seen.leaf != leaf.der:
                return True
            stapled = 0 if seen.staple is None else stapled + 1
            if seen.staple is None:
                await asyncio.sleep(LOOK_EVERY)
        return stapled >= in_a_row

    async def _seen(self, subject: Subject) -> Observation | None:
        leaf = subject.leaf
        name = leaf.names[0].replace("*", "www", 1) if leaf is not None and leaf.names else None
        try:
            addresses = await resolve(self._host, self._port, timeout=ONE_LOOK)
        except HoldfastError:
            return None
        kind = "" if leaf is None else leaf.key_type.lower()
        authentication: Authentication = "any"
        if kind.startswith(("rsa", "ec")):
            authentication = "rsa" if kind.startswith("rsa") else "ecdsa"
        seen = await probe(
            addresses[0],
            server_name=name,
            authentication=authentication,
            host=self._host,
            timeout=ONE_LOOK,
        )
        return seen if seen.seen else None
