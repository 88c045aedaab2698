"""What a store holds for an entry, proved again before it is believed (K3)."""

from __future__ import annotations

import logging
from dataclasses import replace

from holdfast.errors import Rejected, StoreError
from holdfast.ocsp.policy import Policy
from holdfast.ocsp.verify import verify
from holdfast.plan.entry import STORE, Entry, Given, Holder
from holdfast.seams import Clock, Store

_log = logging.getLogger("holdfast.keeper")


async def loaded(entry: Entry, *, store: Store, clock: Clock, policy: Policy) -> Entry:
    """`entry` with the staple that `store` holds, if there is one and it is proved now."""
    try:
        response = await store.load(entry.subject.certid)
    except StoreError as error:
        _log.warning("load name=%s failed %s", entry.name, error.message)
        return entry
    if response is None:
        return entry.with_holder(Holder(name=STORE, given=Given.NOTHING))
    try:
        staple = verify(response, entry.subject, at=clock.now(), policy=policy)
    except Rejected as error:
        _log.warning("load name=%s rejected %s", entry.name, error.message)
        return entry
    _log.info("load name=%s certificate_status=%s", entry.name, staple.certificate_status.text)
    return replace(entry, staple=staple).with_holder(Holder(name=STORE, given=staple))


def taken_up(entry: Entry, from_store: Entry) -> Entry:
    """`entry` with what was loaded, unless it came to a staple or to saving meanwhile."""
    mine, its = entry.holder(STORE), from_store.holder(STORE)
    if entry.staple is not None or mine is None or mine.busy or its is None:
        return entry
    return replace(entry, staple=from_store.staple).with_holder(its)
