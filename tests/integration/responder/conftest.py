"""One CA for the folder's tests, and a responder for those that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.responder_world import RunningResponder, World, a_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return a_world(tmp_path_factory.mktemp("responder"))


@pytest.fixture(scope="session", params=[1, 2], ids=["one process", "two workers"])
def responder(request: pytest.FixtureRequest, world: World) -> Iterator[RunningResponder]:
    with world.responder("--workers", request.param) as started:
        yield started


@pytest.fixture
def port(responder: RunningResponder) -> int:
    """Of the running responder, which must live on."""
    assert responder.child.poll() is None, responder.logged[-4000:]
    return responder.port
