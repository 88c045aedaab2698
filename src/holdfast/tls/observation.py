"""An observation: what one handshake with one address showed. Facts; nothing is judged here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from holdfast.tls.client import Authentication, Version

FailureKind = Literal["unreachable", "starttls-refused", "tls-handshake-failed"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a handshake did not end well. `failure`: the short class of `Unavailable`, for counting;
    "unreachable" when this machine has no way to that address. `hint`: what to do, where that
    depends on the protocol before TLS."""

    kind: FailureKind
    problem: str
    failure: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """`asked` and `authentication`: the TLS version and kind of key that we offered.

    `chain` is as the server sent it, `staples` goes with it by position: None when none was sent,
    b"" when an empty one was. Both are there also when the handshake failed after they came.
    `key_type` describes the leaf's key; `milliseconds` count from the ClientHello to the end.
    `without_sni`: the server's name was left out on purpose, to see what clients without SNI get.
    """

    address: str
    sni: str | None = None
    asked: Version = "any"
    authentication: Authentication = "any"
    tls: str = ""
    cipher: str = ""
    key_type: str = ""
    milliseconds: float = 0.0
    chain: tuple[bytes, ...] = ()
    staples: tuple[bytes | None, ...] = ()
    error: Failure | None = None
    without_sni: bool = False

    @property
    def seen(self) -> bool:
        """The server showed a certificate, whether or not the handshake ended well."""
        return bool(self.chain)

    @property
    def leaf(self) -> bytes:
        return self.chain[0]

    @property
    def staple(self) -> bytes | None:
        """The leaf's; an empty one counts as none, as every client takes it."""
        return (self.staples[0] or None) if self.staples else None

    @property
    def staple_sha256(self) -> str | None:
        return None if self.staple is None else hashlib.sha256(self.staple).hexdigest()
