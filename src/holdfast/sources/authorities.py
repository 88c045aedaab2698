"""Several CAs behind one address: who answers is told by the CertID (R15, R28).

Laws: a request is answered by one CA, that of its first CertID; one that mixes CAs gets what that
CA says of another's certificate. Nobody's CertID is `unauthorized` (RFC 9919 3.2.2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from holdfast.ocsp import der
from holdfast.ocsp.certid import HASH_OIDS, CertID, issuer_hashes
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.pki.certificate import Certificate
from holdfast.plan.answering import Answer, Signed, read_request, refusal

SignedNow = Callable[[Sequence[bytes]], list[Signed | None]]


class Answering(Protocol):
    """One CA's answers; `answer_now` as well where it need not wait
    (`services.responder_mounts.Answering`)."""

    def answer_bytes(self, data: bytes, /) -> Awaitable[Answer]: ...


class Authorities:
    """The answers of several CAs, each with the certificate it issues under.

    A CA whose certificate was renewed with the same name and key is one; of two entries with the
    same name and key the first is asked.
    """

    def __init__(self, several: Sequence[tuple[Certificate, Answering]]) -> None:
        self._by_part: dict[bytes, Answering] = {}
        for issuer, answering in several:
            for part in _parts(issuer):
                self._by_part.setdefault(part, answering)
        self._lengths = sorted({len(part) for part in self._by_part})

    def answer_now(self, data: bytes, /) -> Answer | None:
        """See `services.responder.Answering`."""
        found = self._of(data)
        if isinstance(found, Answer):
            return found
        now: Callable[[bytes], Answer | None] | None = getattr(found, "answer_now", None)
        return None if now is None else now(data)

    def signed_now(self, several: Sequence[bytes], /) -> list[Signed | None]:
        """See `services.responder_mounts.SignedNow`."""
        given: list[Signed | None] = [None] * len(several)
        places: dict[int, list[int]] = {}
        whose: dict[int, SignedNow] = {}
        for place, data in enumerate(several):
            found = self._of(data)
            now: SignedNow | None = getattr(found, "signed_now", None)
            if now is not None:
                whose[id(found)] = now
                places.setdefault(id(found), []).append(place)
        for who, mine in places.items():
            made = whose[who]([several[place] for place in mine])
            for place, signed in zip(mine, made, strict=True):
                given[place] = signed
        return given

    async def answer_bytes(self, data: bytes, /) -> Answer:
        """See `services.responder.Answering`."""
        found = self._of(data)
        return found if isinstance(found, Answer) else await found.answer_bytes(data)

    def _of(self, data: bytes) -> Answering | Answer:
        # A plain request is five headers of two octets, and then what names the issuer.
        for length in self._lengths:
            found = self._by_part.get(data[10 : 10 + length])
            if found is not None:
                return found
        request = read_request(data)
        if isinstance(request, Answer):
            return request
        found = self._by_part.get(_part(request.singles[0].certid))
        if found is not None:
            return found
        return refusal(ResponseStatus.unauthorized, "a CertID of no issuer that is answered for")


def _parts(issuer: Certificate) -> list[bytes]:
    return [
        _part(CertID(name, *issuer_hashes(issuer, name), 0, null))
        for name in HASH_OIDS
        for null in (True, False)
    ]


def _part(certid: CertID) -> bytes:
    """What stands before the serial in a CertID: the hash, and the issuer's name and key by it."""
    oid = der.encode_oid(HASH_OIDS.get(certid.hash_algorithm, certid.hash_algorithm))
    return (
        der.sequence(oid, der.NULL_DER if certid.null_parameters else b"")
        + der.octet_string(certid.issuer_name_hash)
        + der.octet_string(certid.issuer_key_hash)
    )
