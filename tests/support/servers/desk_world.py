"""A certificate, its CA at the desk, a folder, an event loop, and time that `shift` moves."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.plan.reloading import Pace
from support.servers.handshakes import staple_shown
from support.servers.shift import Shift, ShiftedClock
from support.staples import Desk, a_desk
from support.tls_world import YESTERDAY, Loop, a_ca

T = TypeVar("T")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AT_ONCE = Pace(interval=timedelta(0), gather=timedelta(0))
QUICK = Pace(interval=5 * MINUTE, gather=timedelta(milliseconds=10))


@dataclass
class DeskWorld:
    folder: Path
    desk: Desk
    shift: Shift
    loop: Loop

    @property
    def clock(self) -> ShiftedClock:
        return ShiftedClock(self.shift)

    @property
    def certid(self) -> CertID:
        return self.desk.subject.certid

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(what)

    def staple(self, *, age: timedelta = HOUR, window: timedelta = DAY, **wishes: Any) -> Staple:
        return self.desk.staple(self.clock.now().replace(microsecond=0) - age, window, **wishes)

    def shown(self, port: int, **wishes: Any) -> bytes | None:
        return self.loop.run(staple_shown(port, **wishes))


@contextmanager
def a_desk_world(folder: Path) -> Iterator[DeskWorld]:
    loop = Loop()
    try:
        yield DeskWorld(folder, a_desk("localhost", ca=a_ca(), at=YESTERDAY), Shift(folder), loop)
    finally:
        loop.stop()
