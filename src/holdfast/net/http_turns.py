"""What one client has sent and nobody has looked at yet: taken a slice at each turn of the loop.

Law: whoever pipelines without an end keeps nobody waiting longer than a slice takes. A read may
bring 256 KiB, which is well over a thousand requests; while they are answered no other client is
heard and no connection accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SLICE_BYTES = 1024  # a few requests


class Turns:
    """Gives `take` what came, in order, unless `full` says that enough waits to be answered."""

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        take: Callable[[bytes], None],
        full: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._take = take
        self._full = full
        self._unread = b""  # from `_at` on; nothing more is read meanwhile
        self._at = 0
        self._scheduled = False

    @property
    def waiting(self) -> bool:
        """True while something has come that `take` was not given."""
        return bool(self._unread)

    def came(self, data: bytes) -> None:
        """`data` is more than a slice."""
        self._transport.pause_reading()
        self._unread, self._at = self._unread[self._at :] + data, 0
        if not self._scheduled:
            self._next()

    def go_on(self) -> None:
        """Less waits to be answered than before."""
        if self._unread:
            self._schedule()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        if self._transport.is_closing():
            self._unread = b""
        if not self._unread or self._full():
            return
        begin, self._at = self._at, self._at + SLICE_BYTES
        if len(self._unread) > self._at:
            self._take(self._unread[begin : self._at])
            self._schedule()
            return
        last, self._unread = self._unread[begin:], b""
        self._take(last)
        if not self._full():
            self.go_on()
