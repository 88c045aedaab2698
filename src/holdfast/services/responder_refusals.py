"""The log of what was refused, and of our own bugs.

Law: a flood of requests that have to be refused is not a flood of lines: so many a second are
told, the rest by their number.
"""

from __future__ import annotations

import time

import structlog

from holdfast.plan.answering import Answer

TOLD_A_SECOND = 20

log = structlog.get_logger("holdfast.responder")


class Refusals:
    """Tells of errors that were answered."""

    def __init__(self) -> None:
        self._second = 0
        self._left = TOLD_A_SECOND
        self._untold = 0

    def tick(self) -> None:
        """Begin anew if another second has begun."""
        second = int(time.monotonic())
        if second == self._second:
            return
        if self._untold:
            log.info("refused", more=self._untold)
        self._second, self._left, self._untold = second, TOLD_A_SECOND, 0

    def tell(self, given: Answer, *, method: str, peer: str) -> None:
        if self._spent():
            return
        log.info(
            "refused",
            response_status=given.response_status.name,
            why=given.why,
            peer=peer,
            method=method,
        )

    def bug(self, data: bytes, *, method: str, peer: str) -> None:
        """The exception under way is nobody's to catch: it is ours to mend."""
        if self._spent():
            return
        log.exception("a bug in answering", request=data[:512].hex(), peer=peer, method=method)

    def _spent(self) -> bool:
        self.tick()
        if self._left <= 0:
            self._untold += 1
            return True
        self._left -= 1
        return False
