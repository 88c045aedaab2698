"""Signing responses: the delegated signer or the CA itself, over values from `response`.

RFC 6960 4.2.2.2: the response is signed by the issuer or by a certificate that the issuer issued.
Whether `Signer` is fit is asked once, when it is loaded (`objection`), and by sample afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from holdfast.errors import Malformed
from holdfast.ocsp.algorithms import AlgorithmIdentifier, Make, signing
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import (
    ResponderID,
    ResponderKey,
    ResponderName,
    SingleResponse,
    assemble,
    encode_response_data,
)
from holdfast.ocsp.signer import issued_by
from holdfast.pki.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate and its key that sign for `issuer`.

    `responder`: how the responderID names it, "key" (default, R9) or "name". `send_certificate`
    None: send it when it is not the issuer itself.
    """

    certificate: Certificate
    key: Any = field(repr=False)
    issuer: Certificate
    responder: Literal["key", "name"] = "key"
    pss: bool = False
    digest: str | None = None
    send_certificate: bool | None = None
    _algorithm: AlgorithmIdentifier = field(init=False, repr=False)
    _make: Make = field(init=False, repr=False)

    def __post_init__(self) -> None:
        algorithm, make = signing(self.key, pss=self.pss, digest=self.digest)
        object.__setattr__(self, "_algorithm", algorithm)
        object.__setattr__(self, "_make", make)

    @property
    def algorithm(self) -> AlgorithmIdentifier:
        """What its signatures are made with."""
        return self._algorithm

    @property
    def make(self) -> Make:
        """Signs octets."""
        return self._make

    @property
    def is_issuer(self) -> bool:
        """True also for the issuer's renewed certificate: the same name and key (V2)."""
        mine, its = self.certificate, self.issuer
        return mine == its or (
            mine.subject_der == its.subject_der and mine.key_octets == its.key_octets
        )

    @property
    def blocking(self) -> bool:
        """True when signing waits for another machine: then it is done off the event loop."""
        return bool(getattr(self.key, "blocking", False))

    @property
    def sessions(self) -> int:
        """How many signatures can be under way at a time."""
        return int(getattr(self.key, "sessions", 1))

    @property
    def responder_id(self) -> ResponderID:
        if self.responder == "name":
            return ResponderName(self.certificate.subject_der)
        return ResponderKey(self.certificate.key_sha1)

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """What goes into `certs`."""
        send = not self.is_issuer if self.send_certificate is None else self.send_certificate
        return (self.certificate.der,) if send else ()

    def objection(self, at: datetime) -> str:
        """Why this signer must not sign at `at`; "" when it may (V2)."""
        if not self.certificate.in_date(at):
            return (
                f"signer certificate {self.certificate.subject} is not in date "
                f"({self.certificate.not_before:%Y-%m-%d} to {self.certificate.not_after:%Y-%m-%d})"
            )
        return "" if self.is_issuer else _shortcoming(self.certificate, self.issuer)

    def respond(
        self,
        singles: Sequence[SingleResponse],
        *,
        produced_at: datetime,
        extensions: tuple[Extension, ...] = (),
    ) -> bytes:
        """A signed, successful OCSPResponse with `singles` in that order, DER."""
        tbs = encode_response_data(self.responder_id, produced_at, tuple(singles), extensions)
        return self.wrap(tbs)

    def wrap(self, tbs: bytes) -> bytes:
        """Sign `tbs`, ResponseData in DER, and put the whole response round it."""
        return assemble(tbs, self._algorithm, self._make(tbs), self.certificates)


@lru_cache(maxsize=256)
def _shortcoming(certificate: Certificate, issuer: Certificate) -> str:
    """Why `certificate` may never sign for `issuer`, "" when it may: what a strict judge asks of a
    delegate. Asked before every answer, found out once."""
    who = f"signer certificate {certificate.subject}"
    issued, weak = issued_by(certificate, issuer)
    if not issued:
        return f"{who} was not issued by {issuer.subject}"
    try:
        if not certificate.is_delegated_signer:
            return f"{who} lacks the extended key usage OCSPSigning"
        if certificate.is_ca:
            return f"{who} is itself a CA, and a delegated signer must not be"
    except Malformed as error:
        return f"{who} cannot be read: {error.message}"
    return f"{who} is signed with {weak}" if weak else ""
