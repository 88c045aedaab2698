"""A service as it is run: settings, a store that `holdfast presign --follow` fills, two workers.

with Stand.of(world, delay=2) as stand:
    stand.responder, stand.presign, stand.says(serial)
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import HOLDFAST, START
from support.responder_judge import response_status_of, states_of
from support.responder_wire import Got, ask, get_bytes, path_of
from support.responder_world import RunningResponder, World, a_responder

PATIENCE = 30.0  # seconds; a loaded machine signs slowly


def soon(true: Callable[[], bool], *, within: float = PATIENCE) -> None:
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.05)


@dataclass
class Stand:
    """`delay`: seconds within which a change of the ledger is answered."""

    world: World
    delay: int
    ledger: str
    environment: Mapping[str, str]
    responder: RunningResponder = field(init=False)
    presign: subprocess.Popen[bytes] = field(init=False)

    @classmethod
    @contextmanager
    def of(
        cls,
        world: World,
        *,
        delay: int = 2,
        ledger: str = "",
        environment: Mapping[str, str] | None = None,
        within: float = START,
    ) -> Iterator[Stand]:
        """`ledger`: its URL, else the index file. `within`: seconds in which it all must start."""
        stand = cls(world, delay, ledger, environment or {})
        stand.settings.write_text(stand.toml)
        with ExitStack() as stack:
            stand.presign = stand.start_presign()
            stack.callback(lambda: stand.end_presign(signal.SIGTERM))
            soon(lambda: stand.store.exists() or stand.presign.poll() is not None)
            assert stand.presign.poll() is None, world.file("presign.log").read_text()
            words = ["-c", stand.settings]
            started = a_responder(
                world.folder, *words, environment=stand.environment, within=within
            )
            stand.responder = stack.enter_context(started)
            soon(lambda: stand.stored(0x1000) and stand.stored(0x107F), within=within + PATIENCE)
            yield stand

    @property
    def settings(self) -> Path:
        return self.world.file("holdfast.toml")

    @property
    def store(self) -> Path:
        return self.world.file("store/answers.lmdb")

    @property
    def toml(self) -> str:
        (self.world.folder / "store").mkdir(exist_ok=True)
        source = f'ledger = "{self.ledger}"' if self.ledger else f'index = "{self.world.index}"'
        return f"""
[responder]
listen = ["127.0.0.1:0"]
workers = 2
max_age = "1m"

[[responder.ca]]
certificate = "{self.world.file("ca.pem")}"
{source}
store = "{self.store}"
delay = "{self.delay}s"

[[responder.ca.signers]]
certificate = "{self.world.file("signer.pem")}"
"""

    def start_presign(self) -> subprocess.Popen[bytes]:
        command = [*HOLDFAST, "presign", "-c", self.settings, "--follow"]
        with self.world.file("presign.log").open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in command],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def end_presign(self, number: int = signal.SIGKILL) -> None:
        if self.presign.poll() is None:
            self.presign.send_signal(number)
        try:
            self.presign.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.presign.kill()
            self.presign.wait(timeout=20)

    def got(self, serial: int) -> Got:
        return ask(self.responder.port, get_bytes(path_of(self.world.asks(serial))))

    def stored(self, serial: int) -> bool:
        """True when the store answers: two workers that sign would not sign the same."""
        return len({self.got(serial).body for _ in range(16)}) == 1

    def says(self, serial: int) -> str:
        """good, revoked or unknown; of an error its response_status."""
        body = self.got(serial).body
        status = response_status_of(body)
        if status != "successful":
            return status
        ((told, state),) = states_of(body)
        assert told == serial
        return state
