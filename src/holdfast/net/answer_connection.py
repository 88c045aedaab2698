"""One client of an `AnswerServer`: a plain request is answered from bytes to bytes.

Laws: the quick way is taken only between requests, with nothing under way, waiting to be sent or
draining, and for one whole request in one read; whatever else comes is the general reader's, when
what is owed has been sent. A server that ends closes no connection in the moment in which a request
may be on its way there.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from holdfast.net.http_connection import Connection

if TYPE_CHECKING:
    from holdfast.net.answer_server import AnswerServer, Due

LAST_CALL = 1.0  # seconds in which what a client has sent already is answered when a server ends
_UNKNOWN = -1, None
_log = logging.getLogger("holdfast.net.http_server")


class AnswerConnection(Connection):
    """A `Connection` with a quick way."""

    def __init__(self, server: AnswerServer) -> None:
        super().__init__(server)
        self._answers = server
        self.owed = False
        """A reply is made at the end of this turn of the loop."""
        self._second = -1
        self._messages = self._completed = 0

    @property
    def gone(self) -> bool:
        """Nothing can be sent any more."""
        return self._last_sent

    def data_received(self, data: bytes) -> None:
        if self.owed:
            self._answers.settle()
        between = (
            self._stage == "idle"
            and self._worker is None
            and self._writable is None
            and not self._pending
            and not self._ended
            and not self._answers.draining
        )
        if not between:
            super().data_received(data)
            return
        server = self._answers
        now = self._loop.time()
        if now >= server.until:
            server.tick(now)
        line, _, block = data.partition(b" HTTP/1.1\r\n")
        reply: bytes | Due | None = None
        try:
            stays = server.gets.get(block)
            if stays is not None:
                if line[:4] == b"GET ":
                    reply = server.quick.get(line, self._peer)
            else:
                head, blank, body = block.partition(b"\r\n\r\n")
                length, stays = server.posts.get(head, _UNKNOWN)
                if blank and length == len(body) and line[:5] == b"POST ":
                    reply = server.quick.post(line, body, self._peer)
        except Exception:
            _log.exception("a bug in answering %r", line[:200])
        if reply is not None and not isinstance(reply, bytes):
            self.owed = True
            server.owe((self, reply, data, bool(stays)))
        else:
            self.settle(reply, data, bool(stays))

    def settle(self, reply: bytes | None, data: bytes, stays: bool, /) -> None:
        """The reply to `data` is `reply`; None: the general reader answers."""
        self.owed = False
        server = self._answers
        if reply is None:
            self._general(data)
        elif stays and not server.draining:
            self._transport.write(server.begun + reply)
            if self._second != server.second:  # to the second is near enough
                self._second = server.second
                self._deadline.set(self._limits.idle_seconds)
        else:
            self._out.append(server.begun_last + reply)
            self._close()

    def eof_received(self) -> bool:
        if self.owed:
            self._answers.settle()
        return super().eof_received()

    def drain(self) -> None:
        if self.owed:
            self._answers.settle()
        super().drain()

    def _expired(self) -> None:
        if self.owed:
            self._answers.settle()
            self._deadline.set(self._limits.idle_seconds)
        else:
            super()._expired()

    def _general(self, data: bytes) -> None:
        self._messages = self._completed = 0
        super().data_received(data)
        if self._messages == self._completed == 1:
            self._answers.learn(data, self._headers)

    def _leave(self) -> None:
        self._deadline.set(LAST_CALL)

    def on_message_begin(self) -> None:
        self._messages += 1
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._completed += 1
        super().on_message_complete()
