"""One browser and one server with the page before it, for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.browser import Blocking, Tab, World, a_browser, a_world


@pytest.fixture(scope="session")
def browser() -> Iterator[Blocking]:
    with a_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("served")) as world:
        yield world


@pytest.fixture(scope="session")
def shared(browser: Blocking, world: World) -> Iterator[Tab]:
    with Tab(browser, world) as tab:
        yield tab


@pytest.fixture
def tab(shared: Tab) -> Iterator[Tab]:
    """The tab of all tests that wish for nothing special: a new one costs a second."""
    yield shared
    assert shared.complaints == []
