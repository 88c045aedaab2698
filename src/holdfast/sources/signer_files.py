"""A CA's signers in files: read, and read again when the files change, without a restart (R15).

Laws: what was read stays in use until all of the new is read and fits; why it does not is said once
for each change. A key in a token is opened again only when its certificate or PIN changed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import structlog

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded, warn_unless_private
from holdfast.net.passphrase import passphrase_path, read_passphrase
from holdfast.net.pkcs11_uri import SCHEME, Pkcs11Uri
from holdfast.ocsp.sign import Signer
from holdfast.pki import keys, pem
from holdfast.pki.certificate import Certificate
from holdfast.seams import Clock
from holdfast.sources.signers import Signers

log = structlog.get_logger("holdfast.signers")

EVERY = timedelta(seconds=10)  # between two looks; a look is one stat a file
MAX_FILE = 1 << 20  # bytes of a certificate or key

Fingerprint = tuple[tuple[int, int, int, int] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerPlace:
    """Where a signer lies.

    `key`: a file or a pkcs11: URI; "" when it is in the certificate's file. `passphrase`: a path or
    `credential:NAME` (net/passphrase.py), the PIN for a token; "" for none. `sessions`: how many a
    token is used by.
    """

    certificate: str
    key: str = ""
    passphrase: str = ""
    responder: Literal["key", "name"] = "key"
    pss: bool = False
    sessions: int = 4

    @property
    def files(self) -> tuple[str, ...]:
        """What is read: when one of them changes, so may the signer."""
        key = "" if self.key.startswith(SCHEME) else self.key
        secret = passphrase_path(self.passphrase) if self.passphrase else ""
        if self.key.startswith(SCHEME) and not secret:
            secret = Pkcs11Uri.parse(self.key).pin_source or ""
        return tuple(path for path in (self.certificate, key, secret) if path)


def load_signer(place: SignerPlace, issuer: Certificate) -> Signer:
    """The signer for `issuer` at `place`; `OperatorError` names the file that is wrong."""
    data = read_bounded(place.certificate, MAX_FILE)
    certificate = pem.certificates(data, name=place.certificate)[0]
    return Signer(
        certificate,
        _key(place, certificate, data),
        issuer,
        responder=place.responder,
        pss=place.pss,
    )


def _key(place: SignerPlace, certificate: Certificate, data: bytes) -> Any:
    secret = read_passphrase(place.passphrase) if place.passphrase else None
    if place.key.startswith(SCHEME):
        return _token_key(Pkcs11Uri.parse(place.key), certificate, secret, place.sessions)
    name = place.key or place.certificate
    warn_unless_private(name)
    key = keys.load(
        read_bounded(name, MAX_FILE) if place.key else data, passphrase=secret, name=name
    )
    if not keys.fits(key, certificate):
        raise OperatorError(
            f"{name}: the key ({keys.describe(key)}) does not belong to {certificate.subject} "
            f"in {place.certificate}",
            hint="give the key of that certificate; after a renewal both files change",
        )
    return key


def _token_key(
    uri: Pkcs11Uri, certificate: Certificate, secret: bytes | None, sessions: int
) -> Any:
    from holdfast.net.pkcs11 import open_key

    if secret is None and uri.pin_source is not None:
        secret = read_passphrase(uri.pin_source)
    if secret is None and uri.pin is not None:
        secret = uri.pin.encode()
    return open_key(uri, certificate, pin=secret, sessions=sessions)


class SignerFiles:
    """`signers` as the files at `places` have them, as of the last look."""

    def __init__(
        self,
        places: Sequence[SignerPlace],
        *,
        issuer: Certificate,
        clock: Clock,
        every: timedelta = EVERY,
    ) -> None:
        """Reads them all; `OperatorError` when one cannot be used."""
        self._places = tuple(places)
        self._issuer = issuer
        self._clock = clock
        self._every = every
        self._seen = [_fingerprint(place) for place in self._places]
        self._held = [load_signer(place, issuer) for place in self._places]
        self.signers = Signers(*self._held)

    def look(self) -> bool:
        """Read again what changed; True when signers were replaced. Never raises."""
        seen = [_fingerprint(place) for place in self._places]
        if seen == self._seen:
            return False
        before, self._seen = self._seen, seen
        fresh = list(self._held)
        for number, place in enumerate(self._places):
            if seen[number] == before[number]:
                continue
            try:
                fresh[number] = load_signer(place, self._issuer)
                self._refuse_unfit(fresh[number])
            except HoldfastError as error:
                fresh[number] = self._held[number]
                log.error(
                    "signer-unusable",
                    certificate=place.certificate,
                    problem=error.message,
                    hint=error.hint,
                    used=f"the one read before, until {_end(self._held[number])}",
                )
        if all(new is old for new, old in zip(fresh, self._held, strict=True)):
            return False
        self._held = fresh
        self.signers.replace(fresh)
        for place, signer in zip(self._places, fresh, strict=True):
            log.info("signer", certificate=place.certificate, until=_end(signer))
        return True

    def _refuse_unfit(self, signer: Signer) -> None:
        objection = signer.objection(max(self._clock.now(), signer.certificate.not_before))
        if objection:
            raise OperatorError(objection, hint="`holdfast ca signer --renew` issues a fitting one")

    async def follow(self) -> None:
        """Look now and then, for ever."""
        while True:
            await self._clock.sleep_until(self._clock.now() + self._every)
            await asyncio.to_thread(self.look)


def _end(signer: Signer) -> str:
    return f"{signer.certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"


def _fingerprint(place: SignerPlace) -> Fingerprint:
    try:
        return tuple(_stat(path) for path in place.files)
    except OperatorError:  # a credential that is gone: `load_signer` tells
        return (None,)


def _stat(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
