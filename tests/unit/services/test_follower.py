"""Following a keeper: what its store holds goes onto the shelf, verified again. K3, K10."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from holdfast.servers.shelf import Shelf
from holdfast.services.follower import Follower
from holdfast.stores.memory import MemoryStore
from support.answers import a_staple, a_subject
from support.clock import FakeClock
from support.pki import AT, a_root, a_server, an_intermediate

CA = an_intermediate(a_root())
SITE = a_server(CA, "localhost")
LEAF = SITE.certificate.der
HOUR = timedelta(hours=1)


def following(store: MemoryStore, shelf: Shelf, events: list[Any]) -> Follower:
    return Follower(
        [a_subject(CA, SITE)],
        store=store,
        server=shelf,
        clock=FakeClock(AT),
        on_event=lambda name, facts: events.append((name, facts)),
    )


def test_k3_a_keepers_staple_is_verified_again_and_put_on_the_shelf() -> None:
    async def run() -> None:
        store, shelf, events = MemoryStore(), Shelf(), list[Any]()
        follower = following(store, shelf, events)
        await follower.look()
        assert shelf.lookup(LEAF, AT) == b""
        staple = a_staple(CA, SITE)
        await store.save(staple)
        await follower.look()
        await follower.look()
        assert shelf.lookup(LEAF, AT) == staple.der
        assert len(events) == 1
        older = a_staple(CA, SITE, at=AT - HOUR)
        await store.save(older)
        await follower.look()
        assert shelf.lookup(LEAF, AT) == staple.der
        await store.drop(staple.certid)
        await follower.look()
        assert shelf.lookup(LEAF, AT) == b""

    asyncio.run(run())


def test_k3_red_what_does_not_verify_is_told_once_and_not_served() -> None:
    async def run() -> None:
        store, shelf, events = MemoryStore(), Shelf(), list[Any]()
        stale = a_staple(CA, SITE, at=AT - timedelta(days=2), window=HOUR * 2)
        await store.save(stale)
        follower = following(store, shelf, events)
        for _ in range(3):
            await follower.look()
        assert shelf.lookup(LEAF, AT) == b""
        assert [name for name, _ in events] == ["no-staple"]

    asyncio.run(run())
