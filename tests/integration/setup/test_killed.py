"""`holdfast setup` killed by SIGKILL after each of its steps: the server serves on, and the next
run recovers, to a proved staple or to every file as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import holdfast
from support.servers.setup_world import SetupWorld
from support.servers.stock_apache import StockApache
from support.setup_killed import ENDED
from support.tls_world import Loop, a_loop

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


def killed(world: SetupWorld, step: int, what: str) -> tuple[int, str]:
    """(exit code, the step at which it was killed)."""
    server = world.server
    config = server.conf / ("nginx.conf" if world.kind == "nginx" else "apache2.conf")
    words = [world.kind, config, world.folder / "state", world.root, step, what]
    done = subprocess.run(
        [sys.executable, "-m", "support.setup_killed", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )
    assert done.returncode in (-9, ENDED), done.stderr
    return done.returncode, done.stdout.strip()


def through_every_step(world: SetupWorld, what: str, steps: list[int]) -> list[str]:
    """Kill it at each step; which steps these were. Recovery is by setup and by --off in turn."""
    seen = []
    with world.server:
        stock = world.server.everything()
        for step in steps:
            if what == "off":
                ready = holdfast(*world.words("--within", "5")[3:])
                assert ready.code == 0, ready.out
            code, at = killed(world, step, what)
            if code == ENDED:
                break
            seen.append(at.split()[0])
            assert world.serves(), (step, at)
            if step % 2:
                again = holdfast(*world.words("--within", "5")[3:])
                assert (again.code, "stapling works" in again.out) == (0, True), (
                    at,
                    again.out,
                    world.server.log.read_text()[-2000:],
                )
                assert world.stapled(), (step, at)
            back = holdfast(*world.words("--off")[3:])
            assert back.code == 0, (at, back.out)
            assert world.server.everything() == stock, (step, at)
            assert world.serves(), (step, at)
    return seen


EARLY = ["examined", "chain", "responder", "decided"]  # nothing is touched by then
LATE = ["kept", "wrote", "wrote", "tested", "reloaded", "proved", "done"]


def test_nginx_killed_after_each_step_that_touches_something(tmp_path: Path, loop: Loop) -> None:
    world = SetupWorld("nginx", tmp_path, loop)
    steps = [*range(len(EARLY), len(EARLY + LATE) + 2)]
    assert through_every_step(world, "apply", steps) == [EARLY[-1], *LATE]
    world.close()


def test_apache_killed_between_two_writes_and_before_its_reload(tmp_path: Path, loop: Loop) -> None:
    world = SetupWorld("apache", tmp_path, loop)
    assert through_every_step(world, "apply", [6, 8]) == ["wrote", "tested"]
    world.close()


def test_apache_survives_reloads_after_its_cache_is_gone(tmp_path: Path, loop: Loop) -> None:
    """mod_ssl remembers a SSLStaplingCache that is no more, and ends at a reload: --off starts it
    anew, so that the next log rotation finds it alive."""
    world = SetupWorld("apache", tmp_path, loop)
    assert isinstance(world.server, StockApache)
    with world.server:
        for _ in range(2):
            assert holdfast(*world.words("--within", "5")[3:]).code == 0
            assert holdfast(*world.words("--off")[3:]).code == 0
            for _ in range(3):
                assert world.server.pid is not None
                os.kill(world.server.pid, signal.SIGUSR1)
                time.sleep(0.3)
                assert world.serves(), world.server.log.read_text()
    world.close()


@pytest.mark.slow
def test_apache_killed_after_each_step(tmp_path: Path, loop: Loop) -> None:
    world = SetupWorld("apache", tmp_path, loop)
    steps = [*range(1, len(EARLY + LATE) + 2)]
    assert through_every_step(world, "apply", steps) == [*EARLY, *LATE]
    world.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_off_killed_after_each_step(kind: str, tmp_path: Path, loop: Loop) -> None:
    world = SetupWorld(kind, tmp_path, loop)
    seen = through_every_step(world, "off", [*range(1, 9)])
    assert seen == ["kept", "wrote", "wrote", "tested", "reloaded", "done"]
    world.close()
