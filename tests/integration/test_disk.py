"""K3: a disk that is full or read-only takes no staple away, and somebody is told.

As root the state lies on a small tmpfs in a mount namespace of its own, which is filled, or mounted
read-only; for others the process is forbidden to write, or the folder to be written in.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.processes import Running
from support.short_lived import ShortLived, a_short_lived, soon, status

ROOT = os.geteuid() == 0
IN_A_TMPFS = (
    "unshare", "--mount", "sh", "-c",
    "mount -t tmpfs -o size=256k,mode=755 tmpfs state && exec \"$@\"", "sh",
)  # fmt: skip


class Medium:
    """The disk under the state folder of a running keeper."""

    def __init__(self, world: ShortLived, started: Running) -> None:
        self.pid = started.child.pid
        self.folder = Path(f"/proc/{self.pid}/root{world.state}") if ROOT else world.state

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte more can be written."""
        if not ROOT:
            before = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, before[1]))
            yield
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, before)
            return
        filler = self.folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            for size in (65536, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
        filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        self._remount("ro", 0o555)
        yield
        self._remount("rw", 0o755)

    def _remount(self, how: str, mode: int) -> None:
        if not ROOT:
            (self.folder / "staples").chmod(mode)
            return
        within = ("nsenter", "--target", str(self.pid), "--mount", "--wd=/")
        place = str(self.folder).removeprefix(f"/proc/{self.pid}/root")
        subprocess.run([*within, "mount", "-o", f"remount,{how}", place], check=True)


@pytest.mark.parametrize("trouble", ["full", "read_only"])
def test_k3_the_state_cannot_be_written(tmp_path: Path, trouble: str) -> None:
    """The last good staple stays in the store, a fresh one is delivered all the same, an alert is
    raised, and all is well again when the disk is."""
    with a_short_lived(tmp_path, window="1h") as world, a_keeper(world) as started:
        medium = Medium(world, started)
        file = medium.folder / "staples" / f"{world.subjects['c0'].certid.key}.der"
        soon(lambda: file.exists() and world.delivered("c0"))
        # A file of the server is no part of the trouble, unless nothing at all can be written.
        apart = ROOT or trouble == "read_only"
        with getattr(medium, trouble)():
            soon(lambda: "save-failed:store" in alerts(started))
            stored, before = file.read_bytes(), world.delivered("c0")
            world.proved(stored, "c0")
            if apart:
                soon(lambda: world.delivered("c0") != before)
            assert file.read_bytes() == stored, "the last good one is still there"
            fresh = world.delivered("c0")
            world.proved(fresh, "c0")
            (row,) = status(started)["certificates"]
            assert row["state"] == "good"
            assert row["staple"] is not None
        soon(lambda: file.read_bytes() != stored)
        soon(lambda: "save-failed:store" not in alerts(started))
        litter = [path.name for path in file.parent.glob(".*")]
        assert litter == []


@pytest.mark.parametrize("trouble", ["full", "read_only"])
def test_k3_the_server_s_file_cannot_be_written(tmp_path: Path, trouble: str) -> None:
    """What the server has stays whole, the alert is of the delivery."""
    out = "state/staples/{name}.ocsp"
    with a_short_lived(tmp_path, window="1h") as world, a_keeper(world, out=out) as started:
        medium = Medium(world, started)
        sent = medium.folder / "staples" / "c0.ocsp"
        soon(sent.exists)
        with getattr(medium, trouble)():
            soon(lambda: "deliver-failed:out" in alerts(started))
            before = sent.read_bytes()
            world.proved(before, "c0")
        soon(lambda: sent.read_bytes() != before)
        soon(lambda: "deliver-failed:out" not in alerts(started))
        world.proved(sent.read_bytes(), "c0")


@contextmanager
def a_keeper(world: ShortLived, *, out: str = "{name}.ocsp") -> Iterator[Running]:
    (world.state / "staples").mkdir(parents=True)
    with world.keeper(*(IN_A_TMPFS if ROOT else ()), out=out) as started:
        if ROOT:
            (Path(f"/proc/{started.child.pid}/root{world.state}") / "staples").mkdir(exist_ok=True)
        yield started


def alerts(started: Running) -> list[str]:
    (row,) = status(started)["certificates"]
    return list(row["alerts"])
