"""One TLS connection of a server: the ciphertext's side and what an application writes to.

Laws: those of `net/tls_server.py`, which counts and bounds the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from holdfast.errors import HoldfastError, Unavailable
from holdfast.net.proxy_protocol import Ends, read_header
from holdfast.tls.server import ServerPipe

if TYPE_CHECKING:
    from holdfast.net.tls_server import TLSServer

LINGER = 2.0  # seconds of reading after our end, as nginx's lingering_close waits for the client


class TLSTransport(asyncio.Transport):
    """What an application protocol writes to. `tls` is the connection's `Pipe`."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    @property
    def tls(self) -> ServerPipe:
        return self._link.pipe

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername` and `sockname` are the client's own, also where a load balancer tells them."""
        ends = self._link.ends
        if ends is not None and name in ("peername", "sockname"):
            return ends.source if name == "peername" else ends.target
        return self._link.raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._link.send(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._link.send(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """close_notify and FIN; reading goes on."""
        self._link.end_sending()

    def close(self) -> None:
        self._link.close()

    def abort(self) -> None:
        self._link.abort()

    def is_closing(self) -> bool:
        return self._link.closing

    def pause_reading(self) -> None:
        self._link.raw.pause_reading()

    def resume_reading(self) -> None:
        self._link.raw.resume_reading()

    def is_reading(self) -> bool:
        return self._link.raw.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._link.raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._link.raw.set_write_buffer_limits(high, low)


class Link(asyncio.Protocol):
    """One TCP connection: the ciphertext side."""

    raw: asyncio.Transport

    def __init__(self, server: TLSServer) -> None:
        self._server = server
        self.pipe = server.tls.connection()
        self._app: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._header: bytes | None = None  # what came of a PROXY header that is awaited
        self.ends: Ends | None = None  # what it said
        self.client = ""  # the address that is counted
        self.counted = False
        self.closing = False
        self._ended_sending = False
        self._heard_eof = False
        self._sent = False  # anything of the application's

    # -- from the network -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.client = str(name[0]) if name else ""
        server = self._server
        if not server.admit(self):
            self.closing = True
            self.raw.abort()
            return
        if not self.counted:  # it is to say for whom it connects
            self._header = b""
        self._timer = asyncio.get_running_loop().call_later(server.handshake_timeout, self._late)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if self._header is not None:
            data = self._after_header(self._header + data)
            if not data:
                return
        pipe = self.pipe
        try:
            plain = pipe.receive(data)
        except HoldfastError as error:
            self._fail(error)
            return
        if self._app is None:
            self._flush()
            if not pipe.established:
                return
            self._begin()
        elif not pipe.quiet:
            self._flush()
        if plain and self._app is not None and not self.closing:
            self._app.data_received(plain)
        if pipe.peer_closed:
            self._eof()

    def eof_received(self) -> bool:
        if self.closing:
            return False
        clean = self.pipe.peer_closed
        try:
            self.pipe.eof()
        except HoldfastError as error:
            self._fail(error)
            return False
        self._eof(clean=clean)
        return not self.closing

    def pause_writing(self) -> None:
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        if self._app is not None:
            self._app.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._disarm()
        self._server.leave(self)
        app, self._app = self._app, None
        if app is not None:
            app.connection_lost(exc)

    # -- from the application ---------------------------------------------------------------

    def send(self, data: bytes | bytearray | memoryview) -> None:
        if self.closing or self._ended_sending or not data:
            return
        self._sent = True
        try:
            self.pipe.send(data)
        except HoldfastError as error:
            self._fail(error)
            return
        self._flush()

    def end_sending(self) -> None:
        if self._ended_sending or self.closing:
            return
        self._ended_sending = True
        self.pipe.close()
        self._flush()
        if not self.raw.is_closing():
            with contextlib.suppress(OSError):  # the peer may have reset it already
                self.raw.write_eof()

    def close(self) -> None:
        """End in both directions: what was written is still delivered."""
        if self.closing:
            return
        self.end_sending()
        self.closing = True
        if self._heard_eof:
            self.raw.close()
            return
        if not self.raw.is_closing():
            self.raw.resume_reading()
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(LINGER, self.raw.close)

    def retire(self) -> None:
        """The server ends: what has no application yet is dropped."""
        if self._app is None:
            self.abort()

    def abort(self) -> None:
        self.closing = True
        self.raw.abort()

    # -- within -----------------------------------------------------------------------------

    def _after_header(self, data: bytes) -> bytes:
        """What of `data` follows the PROXY header; b"" while that is not whole, or is wrong."""
        try:
            read = read_header(data)
        except HoldfastError as error:
            self._fail(error)
            return b""
        if read is None:
            self._header = data
            return b""
        self._header = None
        self.ends, length = read
        if self.ends is not None:
            self.client = self.ends.source[0]
            self.counted = self._server.count(self.client)
            if not self.counted:
                self.abort()
                return b""
        return data[length:]

    def _begin(self) -> None:
        self._disarm()
        self._app = self._server.start(self)
        self._app.connection_made(TLSTransport(self))

    def _eof(self, *, clean: bool = True) -> None:
        """The client's last byte; not `clean`: without close_notify."""
        if self._heard_eof:
            return
        self._heard_eof = True
        if self._app is not None and self._app.eof_received():
            return
        if clean or self._sent:
            self.close()
            return
        # It has had nothing that could be cut short, and has gone: our close_notify would be
        # written to nobody
        self.closing = True
        self.raw.close()

    def _flush(self) -> None:
        waiting = self.pipe.outgoing()
        if waiting and not self.raw.is_closing():
            self.raw.write(waiting)

    def _fail(self, error: HoldfastError) -> None:
        if self._app is None:
            self._server.failure(self._peer, error)
        self._flush()  # the alert
        self.closing = True
        self.raw.close()

    def _late(self) -> None:
        self._server.failure(
            self._peer,
            Unavailable(
                f"no TLS handshake within {self._server.handshake_timeout:g} s", failure="timeout"
            ),
        )
        self.abort()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _peer(self) -> str:
        name = self.ends.source if self.ends else self.raw.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if name else "?"
