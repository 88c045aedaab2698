"""Sources wrapped round sources.

Law: each adds one thing and keeps every promise of `Source`; they are stacked in one place
(`wiring.py`), for instance `Cached(Verified(Limited(HttpSource)), store)`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from holdfast.errors import HoldfastError, NotFound, Rejected, StoreError
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.freshness import USUAL, Freshness, refresh_at, withdraw_at
from holdfast.ocsp.policy import STRICT, Policy
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good, Unknown
from holdfast.ocsp.verify import verify
from holdfast.seams import Clock, Source, Store

_log = logging.getLogger("holdfast.sources")


class Verified:
    """Only responses that are valid for the subject now; raises `Rejected` for others."""

    def __init__(self, source: Source, *, clock: Clock, policy: Policy = STRICT) -> None:
        self._source = source
        self._clock = clock
        self._policy = policy

    async def response(self, subject: Subject, /) -> Response:
        response = await self._source.response(subject)
        verify(response, subject, at=self._clock.now(), policy=self._policy)
        return response


class FirstOf:
    """The first source that has an answer. `NotFound` only when every one says so."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    async def response(self, subject: Subject, /) -> Response:
        not_found: NotFound | None = None
        other: HoldfastError | None = None
        for source in self._sources:
            try:
                return await source.response(subject)
            except NotFound as error:
                not_found = error
            except HoldfastError as error:
                other = error
        raise other or not_found or NotFound(f"{subject.name}: there is no source to ask")


class Limited:
    """At most `per_responder` questions at a time to one host, and `total` in all (K8)."""

    def __init__(self, source: Source, *, per_responder: int = 4, total: int = 64) -> None:
        self._source = source
        self._per_responder = per_responder
        self._total = asyncio.Semaphore(total)
        self._hosts: dict[str, tuple[asyncio.Semaphore, int]] = {}

    async def response(self, subject: Subject, /) -> Response:
        # The host first: a slow responder must not fill the total with those that wait for it.
        async with self._host(_responder(subject)), self._total:
            return await self._source.response(subject)

    @asynccontextmanager
    async def _host(self, host: str) -> AsyncIterator[None]:
        semaphore, users = self._hosts.get(host, (asyncio.Semaphore(self._per_responder), 0))
        self._hosts[host] = (semaphore, users + 1)
        try:
            async with semaphore:
                yield
        finally:
            users = self._hosts[host][1] - 1
            if users:
                self._hosts[host] = (semaphore, users)
            else:
                del self._hosts[host]


class Shared:
    """Single flight: those who ask for one subject at one time share one question (K20).

    It is cancelled when the last of them is.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._flights: dict[tuple[str, tuple[str, ...]], tuple[asyncio.Task[Response], int]] = {}

    async def response(self, subject: Subject, /) -> Response:
        key = (subject.certid.key, subject.responder_urls)
        task, waiting = self._flights.get(key, (None, 0))
        if task is None:
            task = asyncio.create_task(_as_coroutine(self._source, subject))
        self._flights[key] = (task, waiting + 1)
        try:
            return await asyncio.shield(task)
        finally:
            current = self._flights.get(key)
            if current is not None and current[0] is task:
                if task.done() or current[1] == 1:
                    del self._flights[key]
                    task.cancel()
                else:
                    self._flights[key] = (task, current[1] - 1)


class Cached:
    """Answers from `store` while that is fresh, and from `source` otherwise. Verified.

    Fresh is before the refresh point (K5). A failing source does not take away what still holds
    (K7), nor does an older answer (K10) or an unknown (K12). A store that fails is logged: the
    answer is given all the same (K3).
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        clock: Clock,
        policy: Policy = STRICT,
        freshness: Freshness = USUAL,
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._policy = policy
        self._freshness = freshness

    async def response(self, subject: Subject, /) -> Response:
        held = await self._held(subject)
        now = self._clock.now()
        if held is not None and now < refresh_at(held, self._freshness):
            return held.response
        try:
            response = await self._source.response(subject)
            fetched = verify(response, subject, at=self._clock.now(), policy=self._policy)
        except HoldfastError:
            if held is None:
                raise
            return held.response
        if held is not None and not _replaces(fetched, held):
            return held.response
        if held is None or fetched.der != held.der:
            try:
                await self._store.save(fetched)
            except StoreError as error:
                _log.warning("not kept for %s: %s", subject.name, error.message)
        return fetched.response

    async def _held(self, subject: Subject) -> Staple | None:
        """What the store holds, if it may still be sent."""
        try:
            response = await self._store.load(subject.certid)
        except StoreError as error:
            _log.warning("not looked up for %s: %s", subject.name, error.message)
            return None
        if response is None:
            return None
        now = self._clock.now()
        try:
            staple = verify(response, subject, at=now, policy=self._policy)
        except Rejected:
            return None
        return staple if now < withdraw_at(staple, self._freshness) else None


def _replaces(new: Staple, held: Staple) -> bool:
    """Not by an older one (K10), nor a good by an unknown (K12)."""
    if isinstance(new.certificate_status, Unknown) and isinstance(held.certificate_status, Good):
        return False
    return new.this_update >= held.this_update


async def _as_coroutine(source: Source, subject: Subject) -> Response:
    return await source.response(subject)


def _responder(subject: Subject) -> str:
    """The host that will be asked first; "" when none is named."""
    if not subject.responder_urls:
        return ""
    try:
        return urlsplit(subject.responder_urls[0]).netloc.lower()
    except ValueError:
        return subject.responder_urls[0]
