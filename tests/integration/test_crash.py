"""K3: killed at any instant, the keeper finds whole staples or none, and its litter is swept."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.verify import verify
from holdfast.stores.files import LEFT_BEHIND, FileStore
from support.pki import AT
from support.short_lived import ShortLived, a_short_lived, soon
from support.staples import a_desk

WRITER = """
import itertools, sys
from pathlib import Path
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import verify
from holdfast.pki.certificate import Certificate
from holdfast.stores.files import FileStore
from datetime import datetime
folder = Path(sys.argv[1])
issuer, leaf = (Certificate((folder / name).read_bytes()) for name in ("issuer", "leaf"))
subject, at = Subject.of(leaf, issuer), datetime.fromisoformat(sys.argv[2])
staples = [verify(Response.parse((folder / n).read_bytes()), subject, at=at) for n in sys.argv[3:]]
store = FileStore(folder / "staples")
for staple in itertools.cycle(staples):
    store.write(staple)
    print(end=".", flush=True)
"""
dice = random.Random(3)


def many_runs(few: int, many: int) -> list[object]:
    return [few, pytest.param(many, marks=[pytest.mark.slow, pytest.mark.timeout(1700)])]


@pytest.mark.parametrize("runs", many_runs(10, 200))
def test_k3_a_loop_of_writes_killed_at_any_instant(tmp_path: Path, runs: int) -> None:
    desk = a_desk("x.test", serial=1)
    made = [desk.staple(AT - timedelta(hours=n)) for n in range(3)]
    (tmp_path / "issuer").write_bytes(desk.ca.certificate.der)
    (tmp_path / "leaf").write_bytes(desk.server.certificate.der)
    for number, staple in enumerate(made):
        (tmp_path / str(number)).write_bytes(staple.der)
    command = [sys.executable, "-c", WRITER, str(tmp_path), AT.isoformat(), "0", "1", "2"]
    store = FileStore(tmp_path / "staples")
    for _ in range(runs):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.read(1) == b".", "it has begun"
            time.sleep(dice.uniform(0, 0.01))
            child.kill()
        response = store.read(desk.subject.certid)
        assert response is not None, "there was one, and there is one"
        verify(response, desk.subject, at=AT)
        assert response.der in {staple.der for staple in made}
    assert len(litter(store.folder)) <= 2 * runs
    age(store.folder)
    FileStore(store.folder).write(made[0])
    assert litter(store.folder) == []


@pytest.mark.parametrize("runs", many_runs(10, 200))
def test_k3_a_keeper_killed_at_any_instant(tmp_path: Path, runs: int) -> None:
    """Six certificates with windows of four seconds, asked for every second; what is stored and
    what is delivered is whole each time, and the next keeper begins with it."""
    loaded = 0
    with a_short_lived(tmp_path, count=6) as world:
        for _ in range(runs):
            age(world.store.folder)
            with world.keeper() as started:
                soon(lambda: any(map(world.delivered, world.subjects)))
                time.sleep(dice.uniform(0, 0.4))
                assert started.stop(signal.SIGKILL) == -signal.SIGKILL
            loaded += all_whole(world)
            assert len(litter(world.store.folder)) <= 2 * len(world.subjects), "of one run at most"
    assert loaded >= runs, "staples were found after the kills, too"


def all_whole(world: ShortLived) -> int:
    """How many staples there are; each is proved."""
    found = 0
    for name in world.subjects:
        path = world.store.path(world.subjects[name].certid)
        response = world.stored(name)
        assert (response is None) == (not path.exists()), "what is there can be read"
        for der in (b"" if response is None else response.der, world.delivered(name)):
            if der:
                world.proved(der, name)
                found += 1
    return found


def litter(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*")]


def age(folder: Path) -> None:
    """As if what was left behind had been there for a while."""
    before = time.time() - LEFT_BEHIND - 1
    for path in folder.glob(".*.tmp"):
        os.utime(path, (before, before))
