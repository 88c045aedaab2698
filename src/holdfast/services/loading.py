"""What a store holds for entries, proved again before it is believed (K3).

Law: some entries at a time, on a thread where the store has one, so that the loop goes on with what
is loaded already (K26).
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from holdfast.errors import Rejected, StoreError
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.plan.entry import STORE, Entry, Given, Holder
from holdfast.plan.slots import replace
from holdfast.seams import Clock, Store, read_at_once

_log = logging.getLogger("holdfast.keeper")


async def loaded(
    entries: Sequence[Entry], *, store: Store, clock: Clock, policy: Policy
) -> list[Entry]:
    """`entries` with the staples that `store` holds, where there is one and it is proved."""
    read = read_at_once(store)
    if read is not None:

        def work() -> list[Entry]:
            found = read([entry.subject.certid for entry in entries])
            return [_proved(*each, clock, policy) for each in zip(entries, found, strict=True)]

        return await asyncio.to_thread(work)
    return [_proved(one, await _claim(store, one), clock, policy) for one in entries]


def taken_up(entry: Entry, from_store: Entry, *, was: Entry | None = None) -> Entry:
    """`entry` with what was loaded, unless it came to a staple or to saving meanwhile. `was`: the
    entry that it was loaded for."""
    if entry is was:
        return from_store
    mine, its = entry.holder(STORE), from_store.holder(STORE)
    if entry.staple is not None or mine is None or mine.busy or its is None:
        return entry
    return replace(entry, staple=from_store.staple).with_holder(its)


class LayDown:
    """Called after each action: once in a while looks for garbage among what is young, and never
    again among what is left. Staples live for days; to go through a hundred thousand of them holds
    everybody up for a second (K26)."""

    EVERY = 4096

    def __init__(self) -> None:
        self._called = 0

    def __call__(self) -> None:
        self._called += 1
        if self._called % self.EVERY == 0:
            gc.collect(1)
            gc.freeze()


@contextmanager
def nothing_collected() -> Iterator[None]:
    """While a hundred thousand entries are made, nothing of them is garbage; looking for it among
    them holds everybody up, again and again. What is there in the end is not looked at later."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


async def _claim(store: Store, entry: Entry) -> Response | StoreError | None:
    try:
        return await store.load(entry.subject.certid)
    except StoreError as error:
        return error


def _proved(
    entry: Entry, claim: Response | StoreError | None, clock: Clock, policy: Policy
) -> Entry:
    match claim:
        case StoreError():
            _log.warning("load name=%s failed %s", entry.name, claim.message)
            return entry
        case None:
            return entry.with_holder(Holder(name=STORE, given=Given.NOTHING))
        case _:
            pass
    try:
        staple = _verified(claim, entry, clock.now(), policy)
    except Rejected as error:
        _log.warning("load name=%s rejected %s", entry.name, error.message)
        return entry
    _log.info("load name=%s certificate_status=%s", entry.name, staple.certificate_status.text)
    return replace(entry, staple=staple).with_holder(Holder(name=STORE, given=staple))


def _verified(claim: Response, entry: Entry, at: datetime, policy: Policy) -> Staple:
    """Proved at `at`, or when it begins: what was signed after our now is held, because our clock
    may be behind (K23), and not sent before."""
    try:
        return verify(claim, entry.subject, at=at, policy=policy)
    except Rejected as error:
        single = error.verdict.single
        if single is None or single.this_update <= at:
            raise
        return verify(claim, entry.subject, at=single.this_update, policy=policy)
