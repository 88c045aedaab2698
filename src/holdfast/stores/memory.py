"""Staples in memory: a store for one process's life, and for tests of what stands on the seam."""

from __future__ import annotations

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple


class MemoryStore:
    """Implements `Store`. Durable as long as the object is."""

    def __init__(self) -> None:
        self._held: dict[str, Response] = {}

    async def save(self, staple: Staple, /) -> None:
        self._held[staple.certid.key] = staple.response

    async def load(self, certid: CertID, /) -> Response | None:
        return self._held.get(certid.key)

    async def drop(self, certid: CertID, /) -> None:
        self._held.pop(certid.key, None)
