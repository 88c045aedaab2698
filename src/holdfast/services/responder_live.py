"""Live replies: plain requests that are answered now, by whoever signs, to the bytes of a reply.

Laws: those that came together are signed together, each counted by what it says; a reply to one
that has to wait, or whose answer is a bug, is None: the general way answers it, and tells the bug.
R19, R21, R22.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from holdfast.ocsp.statuses import ResponseStatus
from holdfast.plan.answering import Answer, Signed
from holdfast.services.responder_mounts import Mount
from holdfast.services.responder_refusals import Refusals
from holdfast.services.responder_replies import (
    cacheable,
    headers,
    max_age_of,
    uncacheable,
    with_etag,
)
from holdfast.services.responder_tally import Tally

_log = logging.getLogger("holdfast.responder")

Due = tuple[Mount, bytes, str, str]
"""A plain request that is to be answered now: who does, its DER, its method, and whose it is."""


class LiveReplies:
    """What follows the Date of each reply."""

    def __init__(self, *, max_age: int, tally: Tally, refusals: Refusals) -> None:
        self._max_age = max_age
        self._row = tally.row
        self._at = tally.at
        self._live = tally.at["live"]
        self._of_method = {"GET": tally.at["get"], "POST": tally.at["post"]}
        self._refusals = refusals

    def answers(self, due: Sequence[Due], epoch: int) -> list[bytes | None]:
        """The replies at the epoch second `epoch`, in the order of `due`."""
        replies: list[bytes | None] = [None] * len(due)
        for mount in {one[0] for one in due}:
            places = [place for place, one in enumerate(due) if one[0] is mount]
            signed = _signed(mount, [due[place][1] for place in places])
            counted: dict[str, int] = {}
            times, shared = (-1, -1), b""  # answers of one second share them
            for place, made in zip(places, signed, strict=True):
                if made is None:
                    replies[place] = self._other(due[place], epoch)
                    continue
                der, begins, ends, said, nonced, digest = made
                counted[said] = counted.get(said, 0) + 1
                method = due[place][2]
                counted[method] = counted.get(method, 0) + 1
                if nonced:
                    replies[place] = uncacheable(der)
                    continue
                if times != (begins, ends):
                    times = begins, ends
                    shared = headers(begins, ends, max_age_of(ends, epoch, self._max_age))
                replies[place] = shared + with_etag(der, digest)
            self._count(counted)
        return replies

    def _count(self, counted: dict[str, int]) -> None:
        """By certificate_status and by method: of each once."""
        for name, number in counted.items():
            at = self._of_method.get(name)
            self._row[self._at[name] if at is None else at] += number
            self._row[self._live] += number if at is not None else 0

    def _other(self, due: Due, epoch: int) -> bytes | None:
        """Of a request that is not answered in octets alone."""
        mount, data, method, peer = due
        try:
            given = mount.answer_now(data)
        except Exception:
            return None
        if given is None:
            return None
        row = self._row
        row[self._live] += 1
        row[self._of_method[method]] += 1
        if given.response_status is not ResponseStatus.successful:
            row[self._at[given.response_status.name]] += 1
            self._refusals.tell(given, method=method, peer=peer)
            return uncacheable(given.der)
        for single in given.singles:
            row[self._at[single.certificate_status.text]] += 1
        return self._encoded(given, epoch)

    def _encoded(self, given: Answer, epoch: int) -> bytes:
        if given.nonced or given.next_update is None or given.this_update is None:
            return uncacheable(given.der)
        begins, ends = _epoch(given.this_update), _epoch(given.next_update)
        shared, own = cacheable(given.der, begins, ends, max_age_of(ends, epoch, self._max_age))
        return shared + own


def _signed(mount: Mount, several: list[bytes]) -> Sequence[Signed | None]:
    if mount.signed_now is None:
        return [None] * len(several)
    try:
        return mount.signed_now(several)
    except Exception:
        _log.exception("a bug in answering %d requests", len(several))
        return [None] * len(several)


def _epoch(instant: datetime) -> int:
    return int(instant.timestamp())
