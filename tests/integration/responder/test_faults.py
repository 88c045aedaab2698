"""What fails: workers, presign, PostgreSQL, the disk, the clock, the signer. What is answered is
right or tryLater, and nothing revoked is good after the configured delay. R11, R22, R32, R35.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.stores.sql import SqlLedger
from support.pki import a_signer, private
from support.postgres import PostgreSQL
from support.responder_judge import (
    caching_objections,
    error_objections,
    singles_of,
    uncached_objections,
)
from support.responder_load import ordinary
from support.responder_stand import Stand, soon
from support.responder_world import BEGIN, NOW, World, a_world
from support.servers.shift import Shift

IN_TIME = 10.0  # seconds that a busy machine takes beyond the delay to look through a million rows


@pytest.fixture
def own(tmp_path: Path) -> World:
    """A CA of the test's own, whose ledger it may change."""
    return a_world(tmp_path)


def test_a_worker_killed_is_replaced_and_nobody_hears_a_lie(own: World) -> None:
    """R32: twice, under load; connections of the dead end, no answer is wrong or missing after."""
    with Stand.of(own) as stand:
        before = set(stand.responder.tree())
        assert len(before) == 3
        with ordinary(own, stand.responder, may_lose=True) as client:
            for _ in range(2):
                worker = stand.responder.tree()[1]
                os.kill(worker, signal.SIGKILL)
                soon(lambda gone=worker: gone not in stand.responder.tree())  # type: ignore[misc]
                soon(lambda: len(stand.responder.tree()) == 3)
        assert client.objections == []
        assert {stand.says(0x1000) for _ in range(20)} == {"good"}
        assert {stand.says(0x2000) for _ in range(20)} == {"revoked"}


def test_presign_killed_nothing_revoked_stays_good(own: World) -> None:
    """R32, R35: kill -9, then a revocation: told after the delay, and when presign is back too."""
    with Stand.of(own) as stand:
        assert stand.says(0x1001) == "good"
        stand.end_presign(signal.SIGKILL)
        own.revoke(0x1001)
        time.sleep(stand.delay + 1)  # the promise is about time that passes for two programs
        assert {stand.says(0x1001) for _ in range(20)} == {"revoked"}
        assert {stand.says(0x1002) for _ in range(20)} == {"good"}
        own.revoke(0x1002)
        stand.presign = stand.start_presign()
        soon(lambda: {stand.says(0x1002) for _ in range(10)} == {"revoked"})
        assert {stand.says(serial) for serial in (0x1003, 0x1004, 0x1005)} == {"good"}


def test_a_revocation_while_all_is_well(own: World) -> None:
    """R32: presign follows; within the delay and what the machine takes; caching headers right."""
    with Stand.of(own) as stand:
        soon(lambda: caching_objections(stand.got(0x1006)) == [])
        own.revoke(0x1006)
        soon(lambda: stand.says(0x1006) == "revoked", within=stand.delay + 8)
        got = stand.got(0x1006)
        assert caching_objections(got) == []
        own.good.add(0x5000)
        own.write()
        soon(lambda: stand.says(0x5000) == "good", within=stand.delay + 8)


@pytest.mark.slow
def test_postgresql_killed_is_try_later_and_over_when_it_is_back(own: World) -> None:
    """R22, R32: kill -9 of every process; no cache keeps the tryLater; a revocation is not lost."""
    with PostgreSQL.running() as postgres:
        url = postgres.fresh()
        ledger = SqlLedger.create(url, ca=own.ca.certificate)
        ledger.merge(own.entries())
        with Stand.of(own, ledger=url) as stand:
            soon(lambda: stand.says(0x1007) == "good")
            assert stand.says(0x2007) == "revoked"
            postgres.kill(signal.SIGKILL)
            soon(lambda: stand.says(0x1007) == "try_later", within=stand.delay + 15)
            got = stand.got(0x1007)
            assert error_objections(got.body, "try_later") == []
            assert uncached_objections(got) == []
            assert {stand.says(0x1007) for _ in range(10)} == {"try_later"}
            postgres.start()
            ledger.revoke(0x1007, at=NOW)
            soon(lambda: stand.says(0x1007) == "revoked")
            soon(lambda: stand.says(0x1008) == "good")


@pytest.mark.slow
def test_a_full_disk_under_the_store_keeps_nothing_good(own: World) -> None:
    """R32, R35: the store can no longer be written: what it holds is not given for ever."""
    with a_small_disk(own.folder / "store"), Stand.of(own) as stand:
        with a_full_disk(own.folder / "store", stand.presign.pid):
            changed = set(range(0x100A, 0x1060))
            own.good -= changed
            own.revoked |= changed
            own.good |= set(range(0x60000, 0x64000))  # more than fits into pages that are free
            own.write()
            soon(lambda: stand.says(0x100A) == "revoked", within=stand.delay + 15)
            assert {stand.says(serial) for serial in changed} == {"revoked"}
            assert stand.says(0x1001) == "good"
            soon(lambda: b"make room" in own.file("presign.log").read_bytes())
        assert {stand.says(serial) for serial in changed} == {"revoked"}
        soon(lambda: stand.says(0x60001) == "good")


@contextlib.contextmanager
def a_small_disk(folder: Path) -> Iterator[None]:
    """Two MiB at `folder` for root; for others the process is forbidden to write, below."""
    folder.mkdir()
    if os.geteuid() != 0:
        yield
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def a_full_disk(folder: Path, pid: int) -> Iterator[None]:
    if os.geteuid() != 0:
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
        yield
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        return
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


def test_a_clock_that_jumps(own: World) -> None:
    """R20, R21, R30: forward past the end of all that is stored, and back before it was made."""
    shift = Shift(own.folder / "shift")
    shift.to(timedelta(days=5))
    with Stand.of(own, environment=shift.environment) as stand:
        soon(lambda: caching_objections(stand.got(0x100B)) == [])
        for days, changed in ((2, 0x100C), (-4, 0x100D)):
            shift.by(timedelta(days=days))
            time.sleep(1.1)  # what is known about a second is known for it
            now = datetime.now(UTC) + shift.offset
            for serial, state in ((0x100B, "good"), (0x200B, "revoked")):
                for _ in range(10):
                    got = stand.got(serial)
                    assert stand.says(serial) == state
                    assert caching_objections(got) == []
                    single = singles_of(got.body)[0]
                    assert single["this_update"].native <= now + timedelta(seconds=2)
                    assert single["next_update"].native > now
            own.revoke(changed)
            soon(lambda one=changed: stand.says(one) == "revoked", within=stand.delay + 10)  # type: ignore[misc]


def test_a_signer_that_ends(own: World) -> None:
    """R15, R30: no answer outlives it; after its end tryLater; SIGHUP brings a new one."""
    shift = Shift(own.folder / "shift")
    short = a_signer(own.ca, "Short", at=BEGIN, lifetime=timedelta(days=1, hours=6))
    private(own.file("signer.pem"), short.pem + short.key_pem())
    ends = short.certificate.not_after
    with Stand.of(own, environment=shift.environment) as stand:
        soon(lambda: caching_objections(stand.got(0x100D)) == [])
        for serial in (0x100D, 0x200D):
            assert singles_of(stand.got(serial).body)[0]["next_update"].native <= ends
        shift.by(timedelta(hours=7))
        time.sleep(1.1)
        assert {stand.says(serial) for serial in (0x100D, 0x200D) * 10} == {"try_later"}
        assert uncached_objections(stand.got(0x100D)) == []
        long = a_signer(own.ca, "Long", at=BEGIN)
        private(own.file("signer.pem"), long.pem + long.key_pem())
        os.kill(stand.responder.child.pid, signal.SIGHUP)
        soon(lambda: {stand.says(0x100D) for _ in range(10)} == {"good"})
        assert {stand.says(0x200D) for _ in range(10)} == {"revoked"}


@pytest.mark.slow
def test_a_million_rows_change_at_once(own: World) -> None:
    """R32: all that was good is revoked in one write of index.txt: nothing stays good."""
    many = range(1 << 40, (1 << 40) + 1_000_000)
    own.good |= set(many)
    own.write()
    asked = [*many[::50_000], many[-1]]
    with (
        Stand.of(own, delay=10, within=180) as stand,
        ordinary(own, stand.responder, may_wait=True) as client,
    ):
        soon(lambda: stand.says(many[-1]) == "good", within=120)
        own.good -= set(many)
        own.revoked |= set(many)
        own.write()
        nothing_stays_good(stand, asked)
        print("beside it:", client.told())
    assert client.objections == []


@pytest.mark.slow
def test_half_a_million_rows_of_a_database_change_at_once(own: World) -> None:
    """R32: the same in a ledger that tells what changed: signed in fifty batches, and believed
    after the last of them."""
    many = range(1 << 40, (1 << 40) + 500_000)
    with PostgreSQL.running() as postgres:
        url = postgres.fresh()
        SqlLedger.create(url, ca=own.ca.certificate).merge(own.entries())
        postgres.issue_many(url, many)
        with (
            Stand.of(own, delay=10, ledger=url, within=180) as stand,
            ordinary(own, stand.responder, may_wait=True) as client,
        ):
            soon(lambda: stand.stored(many[-1]), within=120)
            postgres.revoke_many(url)
            nothing_stays_good(stand, [*many[::25_000], many[-1]])
            print("beside it:", client.told())
    assert client.objections == []


def nothing_stays_good(stand: Stand, asked: Sequence[int]) -> None:
    """Of `asked`, which were all revoked just now, none is good after the delay, and all are
    revoked in the end."""
    begun = last_good = last_asked = time.monotonic()
    while last_asked < max(last_good, begun + stand.delay) + 5:
        for serial in asked:
            last_asked = time.monotonic()
            if stand.says(serial) == "good":
                last_good = last_asked
        assert last_good < begun + 60, "revoked a minute ago, and good"
    print(f"the last good one was asked for after {last_good - begun:.1f} s")
    assert last_good < begun + stand.delay + IN_TIME
    soon(lambda: {stand.says(serial) for serial in asked} == {"revoked"}, within=120)
    print(f"all are revoked after {time.monotonic() - begun:.1f} s")
