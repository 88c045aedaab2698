"""A start on a ledger of a million lines: clients wait and are answered, nobody is refused, and the
service manager is told that it takes long. R27, R32."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.notified import Ear
from support.ports import free_port
from support.responder_judge import states_of
from support.responder_wire import Wire, get_bytes, path_of
from support.responder_world import World, a_responder, a_world

LINES = 1_000_000
FIRST = 1 << 40
WITHIN = 60.0  # seconds; 5 to 12 when the machine has nothing else to do


@pytest.fixture
def large(tmp_path: Path) -> World:
    world = a_world(tmp_path)
    world.good |= set(range(FIRST, FIRST + LINES))
    world.write()
    return world


@pytest.mark.slow
def test_two_workers_start_on_a_million_lines(large: World) -> None:
    """Who connects while the workers read is answered as soon as they have."""
    ear, port = Ear(large.file("notify")), free_port()
    begun = time.monotonic()
    with ExitStack() as stack:
        started = a_responder(
            large.folder,
            *large.words,
            *("--workers", 2),
            environment={"NOTIFY_SOCKET": str(ear.path)},
            port=port,
            within=WITHIN,
        )
        running = stack.enter_context(started)
        ready = time.monotonic() - begun
        wires = [stack.enter_context(Wire(port, timeout=WITHIN)) for _ in range(8)]
        for number, wire in enumerate(wires):
            serial = FIRST + number * 100_000 + 7
            wire.send(get_bytes(path_of(large.asks(serial))))
            assert states_of(wire.reply().body) == [(serial, "good")]
        answered = time.monotonic() - begun
        print(f"ready after {ready:.1f} s, {len(wires)} answers after {answered:.1f} s")
        assert answered - ready < 2, "ready, and the ledger is read again"
        ear.listen(0.5)
        told = [next(iter(set(one) & {"EXTEND_TIMEOUT_USEC", "READY"}), "") for one in ear.heard]
        assert [word for word in told if word] == ["EXTEND_TIMEOUT_USEC", "READY"]
        assert running.child.poll() is None
    ear.close()
