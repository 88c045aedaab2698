"""A circuit per responder: while one is down, a single question at a time finds out (K8).

Laws: pure, the instant is `at`; what speaks of one certificate (unauthorized, a bad signature) or
shows that somebody answers (tryLater) never opens it; while it is open one question goes through
every `PAUSE`, so that no certificate waits longer for a responder that came back; the answers that
the others do not get are failures like any other, and backed off from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

TRIP = 5  # failures in a row, with no answer between
PAUSE = timedelta(seconds=5)
CLOCK_TOLERANCE = timedelta(minutes=1)

# Kinds of `Unavailable` that do not say that the responder is down.
ANSWERED = frozenset(
    {
        "try-later",
        "internal-error",
        "http-4xx",
        "oversized",
        "truncated",
        "redirect",
        "bad-url",
        "address-refused",
        "circuit-open",
    }
)


@dataclass(frozen=True, slots=True)
class Circuit:
    """`failures` in a row; `asked_at` is when a question last went through an open circuit."""

    failures: int = 0
    asked_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.failures >= TRIP

    def lets_through(self, at: datetime) -> bool:
        """True when a question may be asked at `at`."""
        if not self.is_open or self.asked_at is None:
            return True
        since = at - self.asked_at
        return since >= PAUSE or since < -CLOCK_TOLERANCE  # the clock was set back (K23)

    def asked(self, at: datetime) -> Circuit:
        return Circuit(self.failures, at) if self.is_open else self

    def failed(self, at: datetime) -> Circuit:
        failures = min(self.failures + 1, TRIP)
        return Circuit(failures, at if failures >= TRIP else None)


CLOSED = Circuit()
