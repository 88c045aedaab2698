"""The stapled server that is this very process: staples on a shelf in memory.

Laws: `lookup` is what a handshake asks, so it neither waits nor verifies (K2); nothing past its
holding end leaves the shelf, whoever forgot to withdraw it (K4, T3); a staple is given only for the
certificate it was verified for; unknown is never given (T3, K12).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from holdfast.errors import DeliveryError, Malformed
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.freshness import withdraw_at
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good, Revoked
from holdfast.ocsp.window import SKEW
from holdfast.pki.certificate import Certificate

OnRevoked = Literal["staple", "withhold"]
MAX_REMEMBERED = 4096  # leaves whose staple was looked up; a proxy serves a few


class Shelf:
    """Implements `StapledServer`. `on_revoked`: send a revoked staple, or none (K11)."""

    def __init__(self, name: str = "proxy", *, on_revoked: OnRevoked = "staple") -> None:
        self.name = name
        self._on_revoked = on_revoked
        self._held: dict[str, Staple] = {}
        self._known: dict[bytes, Staple | None] = {}

    async def deliver(self, staple: Staple, /) -> None:
        """Give `staple` in every handshake from now on."""
        if not isinstance(staple.certificate_status, Good | Revoked):
            raise DeliveryError(
                f"{self.name}: a staple that says unknown is not served",
                hint="the responder does not know this certificate: ask the CA",
            )
        self._held[staple.certid.key] = staple
        self._known.clear()

    async def withdraw(self, certid: CertID, /) -> None:
        """Give no staple for `certid` any more."""
        self._held.pop(certid.key, None)
        self._known.clear()

    def lookup(self, leaf_der: bytes, at: datetime) -> bytes:
        """The staple to send for `leaf_der` at `at`, b"" for none."""
        staple = self.held(leaf_der)
        if staple is None or not staple.this_update - SKEW <= at < withdraw_at(staple):
            return b""
        if isinstance(staple.certificate_status, Revoked) and self._on_revoked == "withhold":
            return b""
        return staple.der

    def held(self, leaf_der: bytes) -> Staple | None:
        """What is on the shelf for `leaf_der`, whether or not it may still be sent."""
        if leaf_der not in self._known:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[leaf_der] = next(self._fitting(leaf_der), None)
        return self._known[leaf_der]

    def _fitting(self, leaf_der: bytes) -> Iterator[Staple]:
        """Staples verified for this certificate: by its bytes, or its serial and issuer's key."""
        for staple in self._held.values():
            if staple.subject.leaf is not None and staple.subject.leaf.der == leaf_der:
                yield staple
        try:
            leaf = Certificate(leaf_der)
        except Malformed:
            return
        name_hash = hashlib.sha1(leaf.issuer_der, usedforsecurity=False).digest()  # RFC 6960 4.1.1
        for staple in self._held.values():
            certid = staple.subject.certid
            if (
                staple.subject.leaf is None
                and (certid.serial, certid.issuer_name_hash) == (leaf.serial, name_hash)
                and leaf.signed_by(staple.subject.issuer)
            ):
                yield staple
