"""An ordinary client beside the others: what it gets is judged, and how long it waits is told.

with ordinary(world, responder) as client:
    ...                      # what others do meanwhile
client.objections == [] and client.p99 < 0.5
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.responder_judge import states_of
from support.responder_wire import NotHTTP, Wire, get_bytes, path_of, post_bytes
from support.responder_world import RunningResponder, World

TRY_LATER = "30030a0103"
PAUSE = 0.01  # seconds between two of its requests: a hundred a second are ordinary


@dataclass
class Ordinary:
    """`waited`: seconds for each answer, connecting where that was needed."""

    waited: list[float] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    told_later: int = 0

    @property
    def p99(self) -> float:
        return sorted(self.waited)[int(len(self.waited) * 0.99)]

    def told(self) -> str:
        middle = sorted(self.waited)[len(self.waited) // 2]
        return (
            f"{len(self.waited)} answers, median {middle * 1000:.1f} ms, p99 {self.p99 * 1000:.1f}"
            f" ms, longest {max(self.waited) * 1000:.1f} ms"
        )


@contextmanager
def ordinary(
    world: World,
    responder: RunningResponder,
    *,
    may_lose: bool = False,
    may_wait: bool = False,
) -> Iterator[Ordinary]:
    """Ask by GET and POST, each tenth time on a new connection, for the length of the block.

    `may_lose`: connections may end (a worker is killed): the client then connects again.
    `may_wait`: it may be told tryLater.
    """
    client, ended = Ordinary(), threading.Event()

    def play() -> None:
        chance, wire, number = random.Random(1), None, 0
        while not ended.is_set():
            serial = chance.choice([0x1000, 0x2000]) + chance.randrange(64)
            asked = world.asks(serial)
            data = get_bytes(path_of(asked)) if chance.random() < 0.5 else post_bytes(asked)
            begun = time.monotonic()
            try:
                if wire is None or number % 10 == 0:
                    if wire is not None:
                        wire.close()
                    wire = Wire(responder.port, timeout=30)
                wire.send(data)
                got = wire.reply()
                said: object = got.code
                if got.code == 200:
                    said = states_of(got.body) if len(got.body) > 5 else got.body.hex()
                if may_wait and said == TRY_LATER:
                    client.told_later += 1
                elif said != [(serial, "good" if serial in world.good else "revoked")]:
                    client.objections.append(f"{serial:x}: {said}")
            except (NotHTTP, OSError, ValueError) as error:
                if wire is not None:
                    wire.close()
                wire = None
                if not may_lose:
                    client.objections.append(f"{serial:x}: {error!r}")
            client.waited.append(time.monotonic() - begun)
            number += 1
            ended.wait(PAUSE)
        if wire is not None:
            wire.close()

    thread = threading.Thread(target=play)
    thread.start()
    try:
        while len(client.waited) < 20:
            time.sleep(PAUSE)
            assert thread.is_alive()
        yield client
        assert thread.is_alive(), "the ordinary client has stopped asking"
    finally:
        ended.set()
        thread.join(timeout=60)
    assert len(client.waited) > 20
