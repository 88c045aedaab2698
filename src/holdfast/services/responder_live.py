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

Due = tuple[Mount, bytes, bytes | None, str]
"""A plain request that has no reply yet: who answers it, under what key a reply would be kept (of a
GET its line), the DER of a POST, and whose it is."""


class LiveReplies:
    """What follows the Date of each reply."""

    def __init__(self, *, max_age: int, tally: Tally, refusals: Refusals) -> None:
        self._max_age = max_age
        self._row = tally.row
        self._at = tally.at
        self._live, self._get, self._post = tally.at["live"], tally.at["get"], tally.at["post"]
        self._refusals = refusals

    def answers(
        self, mount: Mount, due: Sequence[Due], asked: Sequence[bytes], epoch: int
    ) -> list[bytes | None]:
        """The replies at the epoch second `epoch` to `asked`, the DER of the requests `due` of
        `mount`, in their order."""
        replies: list[bytes | None] = []
        said: list[str] = []
        gets = 0
        times, shared = (-1, -1), b""  # answers of one second share them
        for one, data, made in zip(due, asked, _signed(mount, asked), strict=True):
            if made is None:
                replies.append(self._other(one, data, epoch))
                continue
            der, begins, ends, says, nonced, digest = made
            said.append(says)
            if one[2] is None:
                gets += 1
            if nonced:
                replies.append(uncacheable(der))
                continue
            if times != (begins, ends):
                times = begins, ends
                shared = headers(begins, ends, max_age_of(ends, epoch, self._max_age))
            replies.append(shared + with_etag(der, digest))
        row = self._row
        for says in set(said):
            row[self._at[says]] += said.count(says)
        row[self._live] += len(said)
        row[self._get] += gets
        row[self._post] += len(said) - gets
        return replies

    def _other(self, due: Due, data: bytes, epoch: int) -> bytes | None:
        """Of a request that is not answered in octets alone."""
        mount, _, body, peer = due
        try:
            given = mount.answer_now(data)
        except Exception:
            return None
        if given is None:
            return None
        row = self._row
        row[self._live] += 1
        row[self._get if body is None else self._post] += 1
        if given.response_status is not ResponseStatus.successful:
            row[self._at[given.response_status.name]] += 1
            self._refusals.tell(given, method="GET" if body is None else "POST", peer=peer)
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


def _signed(mount: Mount, several: Sequence[bytes]) -> Sequence[Signed | None]:
    if mount.signed_now is None:
        return [None] * len(several)
    try:
        return mount.signed_now(several)
    except Exception:
        _log.exception("a bug in answering %d requests", len(several))
        return [None] * len(several)


def _epoch(instant: datetime) -> int:
    return int(instant.timestamp())
