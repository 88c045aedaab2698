"""The system's clock, as the `Clock` seam asks for it.

Law: a wait is made of short naps, because the monotonic clock of the event loop stands still while
a machine is suspended and does not follow a clock that is set (K23).
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

NAP = 5.0  # seconds: how late a sleeper notices that the clock jumped


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """The instant, aware UTC; may jump either way."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    async def sleep_until(self, instant: datetime, /) -> None:
        """Return at `instant`, or at most `NAP` seconds after the clock jumped past it."""
        while (left := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, NAP))
