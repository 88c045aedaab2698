"""What every store promises (seams.Store): save, load, drop, keyed by CertID."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.ocsp.statuses import Revoked
from holdfast.seams import Store
from holdfast.stores.files import FileStore
from holdfast.stores.memory import MemoryStore
from support.pki import AT
from support.staples import WEEK, a_desk

STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "files": lambda folder: FileStore(folder / "deep" / "staples"),
}
X, Y = a_desk("x.test", serial=1), a_desk("y.test", serial=2)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)


def test_what_is_saved_is_loaded(store: Store) -> None:
    staple = X.staple()

    async def story() -> None:
        assert await store.load(X.subject.certid) is None
        await store.save(staple)
        loaded = await store.load(X.subject.certid)
        assert loaded is not None
        assert loaded.der == staple.der

    asyncio.run(story())


def test_one_certificate_does_not_disturb_another(store: Store) -> None:
    async def story() -> None:
        await store.save(X.staple())
        await store.save(Y.staple())
        await store.drop(X.subject.certid)
        assert await store.load(X.subject.certid) is None
        assert await store.load(Y.subject.certid) is not None

    asyncio.run(story())


def test_the_last_saved_wins(store: Store) -> None:
    """Which one is better is the planner's to say: a revoked one is kept like any other (K11)."""
    later = X.staple(AT + WEEK / 2, status=Revoked(AT))

    async def story() -> None:
        await store.save(X.staple())
        await store.save(later)
        loaded = await store.load(X.subject.certid)
        assert loaded is not None
        assert loaded.der == later.der

    asyncio.run(story())


def test_dropping_what_is_not_there_is_no_error(store: Store) -> None:
    async def story() -> None:
        await store.drop(X.subject.certid)
        await store.save(X.staple())
        await store.drop(X.subject.certid)
        await store.drop(X.subject.certid)
        assert await store.load(X.subject.certid) is None

    asyncio.run(story())


def test_the_key_is_the_certid_whatever_hash_the_response_used(store: Store) -> None:
    """K13: kept under the SHA-1 CertID, by all four of its fields."""
    other = X.subject.certid_by("sha256")

    async def story() -> None:
        await store.save(X.staple())
        assert await store.load(other) is None
        assert await store.load(X.subject.certid) is not None

    asyncio.run(story())


def test_many_at_once(store: Store) -> None:
    desks = [a_desk(f"n{n}.test", who="shared", serial=100 + n) for n in range(20)]

    async def story() -> None:
        await asyncio.gather(*(store.save(desk.staple()) for desk in desks))
        await asyncio.gather(*(store.save(desks[0].staple()) for _ in range(20)))
        loaded = await asyncio.gather(*(store.load(desk.subject.certid) for desk in desks))
        assert all(loaded)

    asyncio.run(story())
