"""The keeper that runs beside the page: its inventory, asked over its control socket.

Laws: it is asked at most every `FRESH` seconds, however many look; a keeper that is not there is a
sentence on the page and no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.services.control_client import ask

FRESH = 2.0  # seconds
TIMEOUT = 20.0  # seconds; 100,000 certificates take a few to write down


class Beside:
    """The keeper of the state folder `folder`."""

    def __init__(self, folder: Path, *, monotonic: Callable[[], float]) -> None:
        self.folder, self._monotonic = folder, monotonic
        self._turn = asyncio.Lock()
        self._known: dict[str, Any] | HoldfastError | None = None
        self._since = 0.0

    async def status(self) -> dict[str, Any]:
        """Its status document; raises what asking raised."""
        async with self._turn:
            if self._known is None or self._monotonic() - self._since > FRESH:
                try:
                    self._known = await self._asked({"do": "status"})
                except HoldfastError as error:
                    self._known = error
                self._since = self._monotonic()
        if isinstance(self._known, HoldfastError):
            raise self._known
        assert self._known is not None
        return self._known

    async def refresh(self, name: str | None) -> list[str]:
        """Let it ask the responder now, for one certificate or all; their names."""
        answer = await self._asked({"do": "refresh", "name": name})
        self._known = None
        return list(answer["refreshing"])

    async def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await asyncio.to_thread(
            ask, self.folder, question, timeout=TIMEOUT
        )
        return answer
