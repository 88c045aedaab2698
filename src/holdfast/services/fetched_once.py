"""Files fetched once in a run, whoever of many checks wants them first: CRLs and issuers.

Laws: what failed has failed for all of the run, and is not tried again; who gives up waiting ends
nobody else's download; at most `MOST` bytes are kept, those fetched first are let go first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

MOST = 64 << 20  # bytes; a run's CRLs are few, and the largest have some MiB


class FetchedOnce:
    """Wraps `fetch(url, limit)`; use it as an async context manager, whose end ends downloads."""

    def __init__(self, fetch: Callable[[str, int], Awaitable[bytes]], *, most: int = MOST) -> None:
        self._fetch, self._most = fetch, most
        self._tasks: dict[tuple[str, int], asyncio.Task[bytes]] = {}
        self._sizes: dict[tuple[str, int], int] = {}  # of what is kept, oldest first

    async def __aenter__(self) -> FetchedOnce:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __call__(self, url: str, limit: int) -> bytes:
        """What `fetch` gives or raises."""
        wanted = (url, limit)
        task = self._tasks.get(wanted)
        if task is None:
            task = self._tasks[wanted] = asyncio.create_task(self._fetched(wanted))
            task.add_done_callback(_told)
        return await asyncio.shield(task)

    async def _fetched(self, wanted: tuple[str, int]) -> bytes:
        body = await self._fetch(*wanted)
        self._sizes[wanted] = len(body)
        while sum(self._sizes.values()) > self._most:
            oldest = next(iter(self._sizes))
            del self._sizes[oldest]
            self._tasks.pop(oldest, None)
        return body


def _told(task: asyncio.Task[bytes]) -> None:
    """Of a failure that nobody waits for any more nothing is to be said."""
    if not task.cancelled():
        task.exception()
