"""h2o asks by `holdfast staple CERT`, with or without a keeper. K3, K4, K7, K27."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.stores.files import FOLDER, FileStore
from support.servers.desk_world import DAY, HOUR, MINUTE, DeskWorld, a_desk_world
from support.servers.h2o import H2o
from support.tls_world import gnutls, roots_file


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    with a_desk_world(tmp_path) as made:
        yield made


@pytest.fixture
def state(world: DeskWorld) -> Path:
    folder = world.folder / "state"
    (folder / FOLDER).mkdir(parents=True)
    return folder


@pytest.fixture
def server(world: DeskWorld, state: Path) -> H2o:
    """Not started."""
    return H2o(world.folder, world.desk.server, state=state, shift=world.shift)


def soon(true: Callable[[], bool], *, within: float = 15.0) -> None:
    ends = time.monotonic() + within
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.05)


def saved(world: DeskWorld, state: Path, **wishes: object) -> bytes:
    staple = world.staple(**wishes)  # type: ignore[arg-type]
    asyncio.run(FileStore(state / FOLDER).save(staple))
    return staple.der


def test_h2o_is_given_what_the_state_folder_holds(
    world: DeskWorld, state: Path, server: H2o
) -> None:
    """No keeper runs; a newer one is taken up, also after there was none for a while."""
    first = saved(world, state, age=2 * MINUTE)
    with server:
        soon(lambda: world.shown(server.port) == first)
        code, said = gnutls(server.port, roots_file(world.desk.ca, world.folder))
        assert code == 0, said
        FileStore(state / FOLDER).remove(world.certid)
        soon(lambda: world.shown(server.port) is None)
        second = saved(world, state, age=MINUTE)
        soon(lambda: world.shown(server.port) == second)
        server.restart()
        soon(lambda: world.shown(server.port) == second)


def test_k27_nothing_is_sent_once_it_has_ended(world: DeskWorld, state: Path, server: H2o) -> None:
    """`holdfast staple` looks at the clock: nobody has to withdraw anything."""
    staple = saved(world, state, age=MINUTE, window=HOUR)
    with server:
        soon(lambda: world.shown(server.port) == staple)
        world.shift.by(DAY)
        soon(lambda: world.shown(server.port) is None)


def test_what_does_not_verify_is_not_given(world: DeskWorld, state: Path, server: H2o) -> None:
    """Red twin of the first: the same, with a bit of the signature flipped."""
    staple = saved(world, state)
    path = FileStore(state / FOLDER).path(world.certid)
    spoilt = bytearray(staple)
    spoilt[-3] ^= 1
    path.write_bytes(spoilt)
    with server:
        soon(lambda: "does not verify" in server.said)
        assert world.shown(server.port) is None
