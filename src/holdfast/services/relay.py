"""The relay: a responder for the machine's own servers, out of what the keeper holds.

For servers that ask by themselves: Apache's mod_ssl (`SSLStaplingForceURL`) and mod_md
(`MDHttpProxy`), nginx (`ssl_stapling_responder`). It signs nothing and asks nobody, so an answer
takes no longer than reading the question (K2); only while the keeper is still taking up what its
store holds is a question waited with, for less than servers wait.

Laws: what is answered is a staple, within its holding end at this very instant (K4), or nothing;
nothing is an HTTP error with a body that is no OCSP. To mod_ssl an OCSP error such as tryLater is
an answer, which it keeps for `SSLStaplingErrorCacheTimeout`, and sends unless it was told not to;
an HTTP error is none, so that it sends nothing and asks again in the next handshake. nginx and
mod_md send neither, and come back after 5 minutes and after seconds that double, whichever it was;
they look at the type and the body and not at the code. RFC 6960 Appendix A.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import lru_cache

from holdfast.errors import Malformed
from holdfast.net.http_server import Answer, Handler, Reply, Request, plain
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.freshness import USUAL, Freshness, withdraw_at
from holdfast.ocsp.http import RESPONSE_TYPE, decode_get_path
from holdfast.ocsp.request import Request as Question
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good, Revoked
from holdfast.ocsp.window import SKEW
from holdfast.seams import Clock

PATIENCE = 0.7  # seconds; Apache's SSLStaplingResponderTimeout is at least 1
LOOK_EVERY = 0.01
PATH = "/ocsp"  # where servers are told to ask; by POST any path will do

Held = Callable[[CertID], Staple | None]
"""The staple for a CertID by any hash, from memory."""

_HEADERS = (
    (b"Content-Type", RESPONSE_TYPE.encode()),
    (b"Cache-Control", b"no-store"),  # the keeper takes staples back
)
_log = logging.getLogger("holdfast.relay")


class Relay:
    """An HTTP handler. `answered` counts: stapled, none, malformed, refused.

    `starting`: more may be held in a moment, though nobody gives it.
    """

    def __init__(
        self,
        held: Held,
        *,
        clock: Clock,
        freshness: Freshness = USUAL,
        starting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._held = held
        self._clock = clock
        self._freshness = freshness
        self._starting = starting
        self.answered: Counter[str] = Counter()

    def __call__(self, request: Request) -> Reply | Awaitable[Reply]:
        match request.method:
            case "POST":
                return self._answer(request.body)
            case "GET":
                try:
                    return self._answer(decode_get_path(request.path, PATH.encode()))
                except Malformed as error:
                    return self._nothing("malformed", 400, error.message)
            case "CONNECT":
                _log.warning("refused tunnel=%s", request.target[:100].decode("ascii", "replace"))
                return self._nothing(
                    "refused",
                    405,
                    "this is an OCSP relay, no proxy: MDHttpProxy sends mod_md's ACME here too",
                )
            case _:
                return self._nothing("refused", 405, "OCSP is asked by GET or POST")

    def takes(self, request: Request) -> bool:
        """Whether `request` is for the relay, where it shares its port with a page."""
        return (
            request.method in ("POST", "CONNECT")
            or not request.target.startswith(b"/")
            or request.path.startswith(PATH.encode() + b"/")
        )

    def _answer(self, data: bytes) -> Reply | Awaitable[Reply]:
        try:
            certids = _certids(data)
        except Malformed as error:
            return self._nothing("malformed", 400, error.message)
        if len(certids) != 1:
            return self._nothing("malformed", 400, "a staple is for one certificate: ask for one")
        reply = self._stapled(certids[0])
        if reply is not None:
            return reply
        return self._in_a_moment(certids[0]) if self._starting() else self._none()

    async def _in_a_moment(self, certid: CertID) -> Reply:
        until = self._clock.monotonic() + PATIENCE
        while self._clock.monotonic() < until:
            await asyncio.sleep(LOOK_EVERY)
            reply = self._stapled(certid)
            if reply is not None:
                return reply
        return self._none()

    def _stapled(self, certid: CertID) -> Reply | None:
        staple = self._held(certid)
        if staple is None or not self._fit(staple):
            return None
        self.answered["stapled"] += 1
        return Reply(200, staple.der, _HEADERS)

    def _fit(self, staple: Staple) -> bool:
        now = self._clock.now()
        return isinstance(
            staple.certificate_status, Good | Revoked
        ) and staple.this_update - SKEW <= now < withdraw_at(staple, self._freshness)

    def _none(self) -> Reply:
        return self._nothing("none", 503, "no staple is held for that certificate")

    def _nothing(self, why: str, status: int, told: str) -> Reply:
        self.answered[why] += 1
        return plain(status, told)


def beside(relay: Relay, other: Handler) -> Handler:
    """`relay` on the port of `other`: what is a question of OCSP is the relay's."""

    def handle(request: Request) -> Answer | Awaitable[Answer]:
        return relay(request) if relay.takes(request) else other(request)

    return handle


@lru_cache(maxsize=4096)
def _certids(data: bytes) -> tuple[CertID, ...]:
    """What the request asks about. Servers ask the same again and again, but for a nonce, which
    is read over: an answer without one is what a stapling server wants (RFC 9654 3)."""
    return tuple(single.certid for single in Question.parse(data).singles)
