"""Answers signed ahead, from a shelf; what is not there is signed now by another.

Laws: an answer is given while it holds and while the shelf keeps pace with its ledger; a shelf that
cannot be read, or that nobody has compared with the ledger in time, is as an empty one, so that
nothing revoked is good for longer than that (R32, R35). It is told once, not for each request.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from holdfast.errors import StoreError
from holdfast.ocsp.certid import ca_tag
from holdfast.ocsp.quick_request import CERTID_AT, Plain, QuickRequests
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.pki.certificate import Certificate
from holdfast.plan.answering import Answer, Held
from holdfast.seams import AnswerShelf, Clock, HeldAnswer

TELL_EVERY = 60.0  # seconds between two complaints
_ERA = 1 << 64  # above every generation of a shelf
_SAID = {0x80: "good", 0xA1: "revoked", 0x82: "unknown"}  # CertStatus, RFC 6960 4.2.1

_log = logging.getLogger("holdfast.responder")


class Live(Protocol):
    """What signs now. `answer_now` as well where it need not wait
    (`services.responder_mounts.Answering`)."""

    def answer_bytes(self, data: bytes, /) -> Awaitable[Answer]: ...


Compared = Callable[[bytes], int | None]
"""When, in seconds since 1970, all that lies there of a CA was last as its ledger had it; None when
it never was (`stores.answers.Answers.compared`)."""


class Presigned:
    """Gives what lies on `shelf` about certificates of `issuers`, else what `live` says.

    `hash_algorithms`: those by which the answers there speak; requests by others are signed now.
    `within`: how long ago the shelf may have been `compared` with the ledger; None: for ever.
    Implements `services.responder_mounts.Shelved`.
    """

    def __init__(
        self,
        shelf: AnswerShelf,
        live: Live,
        *,
        issuers: Sequence[Certificate],
        clock: Clock,
        hash_algorithms: Sequence[str] = ("sha1",),
        compared: Compared | None = None,
        within: timedelta | None = None,
    ) -> None:
        self.live = live
        now: Callable[[bytes], Answer | None] | None = getattr(live, "answer_now", None)
        self._live_now = now
        self._shelf = shelf
        self._clock = clock
        self._read_all = QuickRequests(issuers, hash_algorithms).read_all
        self._issuers = {ca_tag(issuer): issuer.subject for issuer in issuers}
        self._compared = compared
        self._within = 0 if within is None else int(within.total_seconds())
        self._second = -1
        self._behind: frozenset[bytes] = frozenset()  # tags of CAs whose part is out of date
        self._overruled: dict[bytes, frozenset[bytes] | None] = {}
        self._era = 0
        self._place = 0  # in an answer, of its CertID
        self._told: dict[str, float] = {}

    @property
    def generation(self) -> int:
        """Changes with each commit to the shelf, and when it falls behind or catches up."""
        try:
            return self._shelf.generation + self._era
        except StoreError as error:
            self._tell(error.message, error.hint)
            return -1

    def overrule(self, ca: bytes, serials: frozenset[bytes] | None) -> None:
        """Give no answer about `serials` (INTEGER octets; None: all) of the CA of this tag, because
        something stricter is known of them (`services.agreement`)."""
        self._overruled.pop(ca, None)
        if serials is None or serials:
            self._overruled[ca] = serials
        self._era += _ERA

    def tick(self, at: int, /) -> None:
        """A new second, `at`: see whether the shelf keeps pace."""
        self._second = at
        if self._compared is None or not self._within:
            return
        behind = frozenset(ca for ca in self._issuers if self._is_behind(ca, at))
        if behind != self._behind:
            self._behind = behind
            self._era += _ERA

    def held_now(self, data: bytes, at: int, /) -> Held | None:
        """What lies ready for the request `data` at the epoch second `at`, and what it says."""
        return self.held_together((data,), at)[0]

    def held_together(self, several: Sequence[bytes | None], at: int, /) -> list[Held | None]:
        """The same for each of several requests; None for None."""
        if at != self._second:
            self.tick(at)
        asked = self._read_all(several)
        if self._behind or self._overruled:
            asked = [None if one is None or self._is_barred(*one) else one for one in asked]
        given: list[Held | None] = []
        for data, held in zip(several, self._fetched(asked), strict=True):
            found: Held | None = None
            if held is not None and data is not None and held[1] <= at < held[2]:
                der = held[0]
                certid = data[CERTID_AT:]  # held too, and so it is about this one, whatever the tag
                if not der.startswith(certid, self._place):  # where it was in the last one
                    self._place = der.find(certid)
                place = self._place
                if place < 0:
                    self._place = 0
                elif (says := _SAID.get(der[place + len(certid)])) is not None:
                    found = der, held[1], held[2], says, held[3].hex()
            given.append(found)
        return given

    def _fetched(self, asked: Sequence[Plain | None]) -> Sequence[HeldAnswer | None]:
        """What lies there of each, whatever it says."""
        tags = {one[0] for one in asked if one is not None}
        try:
            if len(tags) == 1 and None not in asked:
                return self._shelf.held_together(tags.pop(), [one[1] for one in asked if one])
            found: list[HeldAnswer | None] = [None] * len(asked)
            for tag in tags:
                places = [place for place, one in enumerate(asked) if one and one[0] == tag]
                serials = [one[1] for one in asked if one and one[0] == tag]
                held = self._shelf.held_together(tag, serials)
                for place, answer in zip(places, held, strict=True):
                    found[place] = answer
        except StoreError as error:
            self._tell(error.message, error.hint)
            return [None] * len(asked)
        return found

    # as an `Answering`, where nobody looks into the shelf before: behind another shelf

    def answer_now(self, data: bytes, /) -> Answer | None:
        held = self._held(data)
        if held is not None or self._live_now is None:
            return held
        return self._live_now(data)

    async def answer_bytes(self, data: bytes, /) -> Answer:
        return self._held(data) or await self.live.answer_bytes(data)

    # -- below ------------------------------------------------------------------------------

    def _held(self, data: bytes) -> Answer | None:
        held = self.held_now(data, int(self._clock.now().timestamp()))
        if held is None:
            return None
        der, this_update, next_update, _, _ = held
        basic = Response.parse(der).basic
        return Answer(
            der,
            ResponseStatus.successful,
            datetime.fromtimestamp(this_update, UTC),
            datetime.fromtimestamp(next_update, UTC),
            singles=() if basic is None else tuple(basic.singles),
        )

    def _is_barred(self, ca: bytes, serial: bytes) -> bool:
        """Whether what lies there of it is not to be given."""
        if ca in self._behind:
            return True
        serials = self._overruled.get(ca, frozenset())
        return serials is None or serial in serials

    def _is_behind(self, ca: bytes, at: int) -> bool:
        assert self._compared is not None
        try:
            compared = self._compared(ca)
        except StoreError as error:
            self._tell(error.message, error.hint)
            return True
        if compared is not None and at - compared <= self._within:
            return False
        since = "never" if compared is None else f"{at - compared} s ago"
        self._tell(
            f"answers signed ahead for {self._issuers[ca]} are not used: last compared with the"
            f" ledger {since}, more than {self._within} s allow",
            "see that `holdfast presign` runs; until then every answer is signed when it is asked",
        )
        return True

    def _tell(self, what: str, hint: str | None) -> None:
        """Once a minute at most; `what` may differ in its numbers."""
        key = what.partition(":")[0]
        now = self._clock.monotonic()
        if now - self._told.get(key, float("-inf")) >= TELL_EVERY:
            self._told[key] = now
            _log.error("%s%s", what, f" ({hint})" if hint else "")
