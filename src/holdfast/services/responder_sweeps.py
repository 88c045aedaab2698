"""Sweeps: the first worker goes through the ledgers, the others when it found something.

Laws: all workers stop giving what one found too lax, within the time that going through all takes;
the others go through nothing while all agrees. R35.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from holdfast.services.agreement import Agreement, Overrule
from holdfast.services.responder_tally import Tally

OVERRULINGS = "overrulings"  # a counter: how often the first worker overruled its store
DISAGREEMENTS = "disagreements"  # a gauge, of the first worker alone
EVERY = 1.0  # seconds between two looks at the others


class Sweeps:
    """The agreements of one worker, the number `number`."""

    def __init__(
        self,
        agreements: Sequence[Agreement],
        *,
        number: int,
        tally: Tally,
        total: Callable[[], Mapping[str, int]],
    ) -> None:
        self._agreements = agreements
        self._leads = number == 0
        self._tally = tally
        self._total = total

    def __bool__(self) -> bool:
        """True when there is something to go through."""
        return bool(self._agreements)

    def overruling(self, overrule: Overrule) -> Overrule:
        """`overrule`, which the other workers are told of when this one leads."""
        if not self._leads:
            return overrule

        def told(tag: bytes, serials: frozenset[bytes] | None) -> None:
            overrule(tag, serials)
            self._tally.count(OVERRULINGS)

        return told

    async def run(self) -> None:
        """For ever."""
        if self._leads:
            await asyncio.gather(self._shown(), *(one.follow() for one in self._agreements))
        seen = 0
        while True:
            now = self._total().get(OVERRULINGS, 0)
            if now != seen:
                seen = now
                for one in self._agreements:
                    await one.sweep()
            await asyncio.sleep(EVERY)

    async def _shown(self) -> None:
        while True:
            self._tally.set(DISAGREEMENTS, sum(one.disagreements for one in self._agreements))
            await asyncio.sleep(EVERY)
