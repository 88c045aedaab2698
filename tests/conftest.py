"""What several folders of tests share: servers that take seconds to make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.postgres import PostgreSQL


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """One PostgreSQL for a process's tests; each takes a `fresh` database of it."""
    with PostgreSQL.running() as server:
        yield server
