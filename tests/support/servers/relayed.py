"""A relay that listens, its shelf, a certificate with its CA, and time that `shift` moves.

with a_relay() as stand:
    stand.shelf, stand.address, stand.staple(), stand.asked, stand.stop()
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from holdfast.net.http_server import Answer, Request, Server, serve
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.services.relay import Relay
from support.servers.handshakes import staple_shown
from support.servers.shift import Shift, ShiftedClock
from support.staples import Desk, a_desk
from support.tls_world import YESTERDAY, Loop, a_ca

T = TypeVar("T")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RESPONDER = "http://ocsp.example.test/ca1"


class RelayStand:
    """`instead`: what is answered in the relay's place. `asked`: the requests that came."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-relay-"))
        self._folder.chmod(0o755)  # the time is read there by servers of other users
        self.shift = Shift(self._folder)
        self.clock = ShiftedClock(self.shift)
        self.loop = Loop()
        self.shelf = RelayShelf(clock=self.clock)
        self.relay = Relay(self.shelf.held, clock=self.clock)
        self.instead: Answer | None = None
        self.asked: list[Request] = []
        self._server: Server = self.loop.run(serve("127.0.0.1", 0, self._handle))
        self._port = self._server.port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def certid(self) -> CertID:
        return self.desk.subject.certid

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(what)

    def begin(self, what: Coroutine[Any, Any, T]) -> Future[T]:
        """`run` without waiting."""
        return asyncio.run_coroutine_threadsafe(what, self.loop.loop)

    def staple(self, *, age: timedelta = HOUR, window: timedelta = DAY, **wishes: Any) -> Staple:
        return self.desk.staple(self.clock.now().replace(microsecond=0) - age, window, **wishes)

    def shown(self, port: int, **wishes: Any) -> bytes | None:
        return self.loop.run(staple_shown(port, **wishes))

    def stop(self) -> None:
        """The keeper is gone: nobody listens."""
        self.loop.run(self._server.close(grace=0))

    def again(self) -> None:
        """It is back, and knows nothing."""
        self.shelf = RelayShelf(clock=self.clock)
        self.relay = Relay(self.shelf.held, clock=self.clock)
        self.loop.run(self._server.listen("127.0.0.1", self._port))

    def end(self) -> None:
        self.stop()
        self.loop.stop()
        shutil.rmtree(self._folder)

    def _handle(self, request: Request) -> Any:
        self.asked.append(request)
        return self.relay(request) if self.instead is None else self.instead


@contextmanager
def a_relay(**wishes: Any) -> Iterator[RelayStand]:
    """`wishes` go to the server certificate, which names a responder unless they say otherwise."""
    wishes.setdefault("responder_urls", (RESPONDER,))
    wishes.setdefault("ca", a_ca())
    stand = RelayStand(a_desk("localhost", at=YESTERDAY, **wishes))
    try:
        yield stand
    finally:
        stand.end()
