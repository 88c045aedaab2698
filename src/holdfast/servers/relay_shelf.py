"""What the relay answers from: the staples that servers which ask by themselves were given.

Laws: in memory, no I/O and no verifying; a certificate is found by a CertID of any hash; of each is
known until when the relay answered something else than now, so that a server which keeps an answer
for so many seconds is known to have dropped it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from holdfast.errors import DeliveryError
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.staple import Staple
from holdfast.seams import Clock


@dataclass(slots=True)
class _Slot:
    """`given`: the servers that were given it. `asked_at`: when the present content was last
    answered, `before`: when any earlier content was."""

    subject: Subject
    staple: Staple | None = None
    given: set[str] = field(default_factory=set)
    asked_at: datetime | None = None
    before: datetime | None = None

    def is_for(self, certid: CertID) -> bool:
        return certid.names(self.subject.serial, self.subject.issuer)

    def change(self, staple: Staple | None) -> None:
        self.staple = staple
        self.before, self.asked_at = self.asked_at or self.before, None


class RelayShelf:
    """One for all servers of a keeper: the relay cannot tell who asks."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[int, list[_Slot]] = {}  # by serial

    def held(self, certid: CertID) -> Staple | None:
        """The staple for `certid`, whether or not it may still be sent."""
        slot = self._slot(certid)
        if slot is None or slot.staple is None:
            return None
        slot.asked_at = self._clock.now()
        return slot.staple

    def put(self, server: str, staple: Staple) -> None:
        """Answer `staple` from now on, since `server` was given it."""
        slot = self._slot(staple.certid)
        if slot is None:
            slot = _Slot(staple.subject)
            self._slots.setdefault(staple.subject.serial, []).append(slot)
        slot.given.add(server)
        if slot.staple is None or slot.staple.der != staple.der:
            slot.change(staple)

    def remove(self, server: str, certid: CertID) -> None:
        """Answer nothing any more, once no other server was given it."""
        slot = self._slot(certid)
        if slot is None:
            return
        slot.given.discard(server)
        if not slot.given and slot.staple is not None:
            slot.change(None)

    def forget(self, certid: CertID) -> None:
        """Drop what is known of answers, if there is no staple."""
        slots = self._slots.get(certid.serial, [])
        slots[:] = [
            s for s in slots if s.staple or not certid.names(s.subject.serial, s.subject.issuer)
        ]
        if not slots:
            self._slots.pop(certid.serial, None)

    def answered_else(self, certid: CertID) -> datetime | None:
        """When something else than the present content was last answered, None for never."""
        slot = self._slot(certid)
        return None if slot is None else slot.before

    def _slot(self, certid: CertID) -> _Slot | None:
        for slot in self._slots.get(certid.serial, ()):
            if slot.is_for(certid):
                return slot
        return None


class Turns:
    """Of the calls for one certificate the last counts; an earlier that waits is overtaken."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._last: dict[str, int] = {}

    def take(self, certid: CertID) -> int:
        turn = self._last[certid.key] = self._last.get(certid.key, 0) + 1
        return turn

    def check(self, certid: CertID, turn: int) -> None:
        """`DeliveryError` when another call has come since."""
        if self._last[certid.key] != turn:
            raise DeliveryError(f"{self._server}: overtaken by a newer change")
