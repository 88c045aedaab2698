"""An HTTP server that answers what it has seen before without parsing it again.

Nearly all requests of OCSP clients repeat a handful of header blocks, byte for byte. A block that
llhttp has read, and that asks for nothing special, is remembered; a later request made of a
request line and that very block is then known to be whole and plain. Laws: only what the general
reader (`http_connection`) has read is remembered, and only what says nothing beyond how long a
body is and whether the connection stays; everything else goes to the general reader; what is
remembered is bounded in number, bytes and per second. RFC 9112 2, 9.3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from holdfast.net.answer_connection import AnswerConnection
from holdfast.net.clock import SystemClock
from holdfast.net.http_message import Handler, Limits
from holdfast.net.http_server import Server

if TYPE_CHECKING:
    from holdfast.seams import Clock

MAX_BLOCKS = 256  # header blocks that are remembered, for each method
MAX_BLOCK = 1024  # bytes of one
LEARNED_A_SECOND = 16  # a crowd whose every request has other headers costs no more than this
_SPEAKING = frozenset((b"expect", b"if-none-match", b"transfer-encoding", b"upgrade"))


MOST_OWED = 128  # replies that are made together: signed by RSA, these take a tenth of a second
_log = logging.getLogger("holdfast.net.http_server")

Due = tuple[Any, ...]
"""A request whose reply `Quick.answers` makes together with others."""


Owed: TypeAlias = "tuple[AnswerConnection, Due, bytes, bool]"
"""Whose request it is, it, the bytes of it and whether the connection stays."""


class Quick(Protocol):
    """What answers plain requests at once. `line` is the request line without its version, such as
    `GET /MFEw...`; given back is what follows the Date of a 200, or None: ask the handler; or what
    is `Due`: `answers` is asked, in the same turn of the loop, when all that came has been read."""

    def tick(self, epoch: int, /) -> None:
        """A new second has begun: `epoch`."""

    def get(self, line: bytes, peer: str, /) -> bytes | Due | None: ...

    def post(self, line: bytes, body: bytes, peer: str, /) -> bytes | Due | None: ...

    def answers(self, due: Sequence[Any], /) -> list[bytes | None]: ...


class AnswerServer(Server):
    """A `Server` that asks `quick` first."""

    def __init__(
        self,
        handler: Handler,
        quick: Quick,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(handler, limits=limits or Limits(), clock=clock or SystemClock())
        self.quick = quick
        self.gets: dict[bytes, bool] = {}
        """Blocks of GET, from the end of the request line to the end of the request, and whether
        the connection stays after it."""
        self.posts: dict[bytes, tuple[int, bool]] = {}
        """Blocks of POST, without the last blank line; the Content-Length in each, and the same."""
        self.second = 0
        """Counts the seconds in which something came."""
        self.begun = b""
        """Status line and Date of every quick reply of this second."""
        self.begun_last = b""
        """The same of the last reply on a connection."""
        self.until = float("-inf")
        self._learned = 0
        self._owed: list[Owed] = []

    def connection(self) -> AnswerConnection:
        return AnswerConnection(self)

    def tick(self, now: float) -> None:
        """`now`, the loop's time, has come to `until`."""
        self.begun = b"HTTP/1.1 200 OK\r\n" + self.date_line(now)
        self.begun_last = self.begun + b"Connection: close\r\n"
        self.until = self._date_until
        self.second += 1
        self._learned = 0
        self.quick.tick(int(self._clock.now().timestamp()))

    def owe(self, owed: Owed, /) -> None:
        """Its connection is told the reply in this turn of the loop."""
        if not self._owed:
            asyncio.get_running_loop().call_soon(self.settle)
        self._owed.append(owed)
        if len(self._owed) >= MOST_OWED:
            self.settle()

    def settle(self) -> None:
        """Make the replies that are owed, and send them."""
        owed = [one for one in self._owed if not one[0].gone]
        self._owed = []
        if not owed:
            return
        replies: list[bytes | None]
        try:
            replies = self.quick.answers([one[1] for one in owed])
        except Exception:
            _log.exception("a bug in answering %d requests", len(owed))
            replies = [None] * len(owed)
        for (connection, _, data, stays), reply in zip(owed, replies, strict=True):
            connection.settle(reply, data, stays)

    def learn(self, data: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Remember the header block of `data`, one whole request that was read to `headers`."""
        line, version, block = data.partition(b" HTTP/1.1\r\n")
        head, blank, body = block.partition(b"\r\n\r\n")
        if not version or not blank or len(block) - len(body) > MAX_BLOCK:
            return
        if b"\n" in line:  # HTTP/1.0, and a field ends so; what is right there is not in HTTP/1.1
            return
        length, stays = -1, True
        for name, value in headers:
            if name in _SPEAKING:
                return
            if name == b"connection":
                if value.lower() not in (b"close", b"keep-alive"):
                    return
                stays = stays and value.lower() != b"close"
            if name == b"content-length":
                length = int(value)
        if self._learned >= LEARNED_A_SECOND:
            return
        if line.startswith(b"GET /"):
            if length >= 0 or body:
                return
            if len(self.gets) >= MAX_BLOCKS:
                self.gets.clear()
            self.gets[block] = stays
        elif line.startswith(b"POST /"):
            if length != len(body):
                return
            if len(self.posts) >= MAX_BLOCKS:
                self.posts.clear()
            self.posts[head] = length, stays
        self._learned += 1
