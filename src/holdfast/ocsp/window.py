"""A window: the time from thisUpdate to nextUpdate, as a value with named operations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SKEW = timedelta(minutes=5)  # OpenSSL ocsp(1) -validity_period: 300 s; clients allow as much


@dataclass(frozen=True, slots=True)
class Window:
    """`begin` and `end`, aware; `end` after `begin`."""

    begin: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.begin

    def point(self, fraction: float) -> datetime:
        """The instant at which `fraction` (0 to 1) of the window has passed."""
        return self.begin + self.length * fraction

    def passed(self, at: datetime) -> float:
        """The fraction that has passed at `at`: below 0 before it, above 1 after it."""
        length = self.length
        return (at - self.begin) / length if length else 1.0

    def capped(self, *ends: datetime) -> Window:
        """The same, ending at the earliest of its own end and `ends`."""
        return Window(self.begin, max(self.begin, min((self.end, *ends))))


def duration_text(span: timedelta) -> str:
    """For people: the two largest units ("6 d 3 h", "41 s")."""
    seconds = int(abs(span).total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
