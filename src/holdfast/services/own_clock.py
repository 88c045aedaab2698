"""Our own clock beside the responders' (K23): told once when it is off, and once when it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from holdfast.plan.own_clock import WITNESSES, clock_off, clock_text, sighted
from holdfast.seams import Clock

SET = timedelta(minutes=1)  # further than this a clock does not drift between two answers

_log = logging.getLogger("holdfast.keeper")


class OwnClock:
    """`off`: how far our clock is behind, None while it is right or nobody knows."""

    def __init__(self, clock: Clock, *, on_alert: Callable[[str], None] = lambda _: None) -> None:
        self._clock, self._on_alert = clock, on_alert
        self._witnesses: dict[str, timedelta] = {}
        self._seen_at: tuple[datetime, float] | None = None
        self.off: timedelta | None = None

    def saw(self, responder: str, date: datetime | None, age: str | None = None) -> None:
        """`responder` answered just now, with these headers."""
        if date is None:
            return
        now, before = self._clock.now(), self.off
        self._forget_if_set(now)
        self._witnesses.pop(responder, None)
        self._witnesses[responder] = sighted(date, age, now)
        if len(self._witnesses) > WITNESSES:
            del self._witnesses[next(iter(self._witnesses))]
        self.off = clock_off(self._witnesses)
        if self.off is not None and before is None:
            self._on_alert("clock-off")
            _log.error(
                "alert code=clock-off %s, say %s: staples are withdrawn by this clock; set it",
                clock_text(self.off),
                ", ".join(list(self._witnesses)[-3:]),
            )
        elif self.off is None and before is not None:
            _log.warning("clock-right again, says %s", responder)

    def _forget_if_set(self, now: datetime) -> None:
        """What was seen by another clock is no witness about this one."""
        monotonic = self._clock.monotonic()
        if self._seen_at is not None:
            passed = timedelta(seconds=monotonic - self._seen_at[1])
            if abs(now - self._seen_at[0] - passed) > SET:
                self._witnesses.clear()
        self._seen_at = now, monotonic
