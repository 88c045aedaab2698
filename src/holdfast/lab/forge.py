"""The answers of the scripted responder, right and wrong, signed or spoilt.

Laws: pure but for the keys that faults need, which are made when first asked for; wrong in one way
only, so that a client's verdict can be told from the fault; the instant is `at`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from holdfast.errors import Malformed
from holdfast.lab.setting import Setting
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension, nonce_extension
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import (
    GOOD,
    UNKNOWN,
    CertificateStatus,
    ResponseStatus,
    RevocationReason,
    Revoked,
    SingleResponse,
    error_response,
)
from holdfast.ocsp.sign import Signer
from holdfast.pki import issue
from holdfast.pki.issue import Authority

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LONG = timedelta(days=60)
UNHEARD_OF = "1.3.6.1.4.1.99999.1"  # an OID that no client knows
NOT_OCSP = bytes.fromhex("3082000a") + b"not \x00 OCSP"  # DER's outside, nothing inside

_STATUSES: dict[str, ResponseStatus] = {
    status.name: status for status in ResponseStatus if status is not ResponseStatus.successful
}


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is about to be signed."""

    singles: tuple[SingleResponse, ...]
    extensions: tuple[Extension, ...]
    signer: Signer
    produced_at: datetime


class Forge:
    """A CA's answers. `signer`: whoever signs the right ones; the CA itself unless told."""

    def __init__(self, authority: Authority, *, at: datetime, signer: Signer | None = None) -> None:
        """`at`: when the certificates that faults need are to be valid, or just not any more."""
        self.authority = authority
        self._at = at
        self.signer = signer or Signer(
            certificate=authority.certificate, key=authority.key, issuer=authority.certificate
        )

    def knows(self, certid: CertID) -> bool:
        """Whether `certid` is of this CA, by whatever hash."""
        return certid.names(certid.serial, self.authority.certificate)

    def body(self, data: bytes, setting: Setting, *, at: datetime) -> bytes:
        """The OCSP response to the request `data`, right but for `setting`'s fault."""
        name = setting.fault
        if name in _STATUSES:
            return error_response(_STATUSES[name])
        if name == "empty":
            return b""
        if name == "malformed":
            return NOT_OCSP
        try:
            request = Request.parse(data)
            nonce = request.nonce
        except Malformed:
            return error_response(ResponseStatus.malformedRequest)
        certids = [single.certid for single in request.singles]
        if not all(self.knows(certid) for certid in certids):
            return error_response(ResponseStatus.unauthorized)
        draft = self._draft(certids, nonce, setting, at)
        spoil = _WRONG.get(name)
        if spoil is not None:
            draft = spoil(self, draft, at)
        der = draft.signer.respond(
            draft.singles, produced_at=draft.produced_at, extensions=draft.extensions
        )
        spoil_bytes = _SPOILT.get(name)
        return der if spoil_bytes is None else spoil_bytes(der, draft)

    def _draft(
        self, certids: list[CertID], nonce: bytes | None, setting: Setting, at: datetime
    ) -> _Draft:
        at = at.replace(microsecond=0)
        this_update = at - setting.age
        said: CertificateStatus = GOOD
        if setting.fault == "revoked":
            said = Revoked(at - HOUR, RevocationReason.KEY_COMPROMISE)
        elif setting.fault == "unknown":
            said = UNKNOWN
        singles = tuple(
            SingleResponse(certid, said, this_update, this_update + setting.window)
            for certid in certids
        )
        extensions = () if nonce is None else (nonce_extension(nonce),)
        return _Draft(singles, extensions, self.signer, this_update)

    # -- faults of the answer, the rows of `_WRONG` ------------------------------------------

    def _wrong_serial(self, draft: _Draft, at: datetime) -> _Draft:
        return _with_certids(draft, lambda c: c._replace(serial=c.serial + 1))

    def _wrong_issuer(self, draft: _Draft, at: datetime) -> _Draft:
        return _with_certids(
            draft, lambda c: c._replace(issuer_key_hash=bytes(len(c.issuer_key_hash)))
        )

    def _unauthorised_signer(self, draft: _Draft, at: datetime) -> _Draft:
        return replace(draft, signer=self._without_usage)

    def _foreign_signer(self, draft: _Draft, at: datetime) -> _Draft:
        return replace(draft, signer=self._foreigner)

    def _expired_signer(self, draft: _Draft, at: datetime) -> _Draft:
        return replace(draft, signer=self._expired_delegate)

    def _expired(self, draft: _Draft, at: datetime) -> _Draft:
        end = at.replace(microsecond=0) - HOUR
        window = _window(draft)
        draft = _with_times(draft, end - window, end)
        return replace(draft, produced_at=end - window)

    def _not_yet_valid(self, draft: _Draft, at: datetime) -> _Draft:
        begin = at.replace(microsecond=0) + HOUR
        return _with_times(draft, begin, begin + _window(draft))

    def _no_next_update(self, draft: _Draft, at: datetime) -> _Draft:
        return _with_times(draft, draft.singles[0].this_update, None)

    def _long_window(self, draft: _Draft, at: datetime) -> _Draft:
        begin = draft.singles[0].this_update
        return _with_times(draft, begin, begin + LONG)

    def _several_singles(self, draft: _Draft, at: datetime) -> _Draft:
        around = [
            single._replace(certid=single.certid._replace(serial=single.certid.serial + more))
            for single in draft.singles[:1]
            for more in (1, 2)
        ]
        return replace(draft, singles=(around[0], *draft.singles, around[1]))

    def _contradictory_singles(self, draft: _Draft, at: datetime) -> _Draft:
        revoked = Revoked(at.replace(microsecond=0) - HOUR, RevocationReason.KEY_COMPROMISE)
        other = tuple(single._replace(certificate_status=revoked) for single in draft.singles)
        return replace(draft, singles=(*draft.singles, *other))

    def _critical_extension(self, draft: _Draft, at: datetime) -> _Draft:
        extension = Extension(UNHEARD_OF, True, b"\x05\x00")
        return replace(draft, extensions=(*draft.extensions, extension))

    def _no_nonce(self, draft: _Draft, at: datetime) -> _Draft:
        return replace(draft, extensions=())

    def _wrong_nonce(self, draft: _Draft, at: datetime) -> _Draft:
        return replace(draft, extensions=(nonce_extension(b"another nonce, alas"),))

    # -- signers that must not be believed -------------------------------------------------------

    @cached_property
    def _without_usage(self) -> Signer:
        return self._minted(self.authority, "Not an OCSP signer", eku=())

    @cached_property
    def _expired_delegate(self) -> Signer:
        return self._minted(
            self.authority,
            "Expired OCSP signer",
            not_before=self._at - 30 * DAY,
            not_after=self._at - DAY,
        )

    @cached_property
    def _foreigner(self) -> Signer:
        own = self.authority.certificate
        name = own.x509.subject
        other = issue.root(name, at=self._at - DAY)
        return self._minted(other, "Foreign OCSP signer")

    def _minted(self, authority: Authority, name: str, **wishes: object) -> Signer:
        begin = wishes.pop("not_before", self._at - HOUR)
        issued = authority.delegated_signer(
            name,
            at=self._at,
            not_before=begin,  # type: ignore[arg-type]
            **wishes,  # type: ignore[arg-type]
        )
        return Signer(certificate=issued.certificate, key=issued.key, issuer=authority.certificate)


def _window(draft: _Draft) -> timedelta:
    single = draft.singles[0]
    assert single.next_update is not None
    return single.next_update - single.this_update


def _with_certids(draft: _Draft, change: Callable[[CertID], CertID]) -> _Draft:
    return replace(draft, singles=tuple(s._replace(certid=change(s.certid)) for s in draft.singles))


def _with_times(draft: _Draft, this_update: datetime, next_update: datetime | None) -> _Draft:
    return replace(
        draft,
        singles=tuple(
            s._replace(this_update=this_update, next_update=next_update) for s in draft.singles
        ),
    )


def _flipped(der: bytes, draft: _Draft) -> bytes:
    """One bit of the signature, the one in the middle of it, so that its own shape stays."""
    from holdfast.ocsp.response import Response

    basic = Response.parse(der).basic
    assert basic is not None
    place = der.index(basic.signature) + len(basic.signature) - 4
    return der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]


_WRONG: dict[str, Callable[[Forge, _Draft, datetime], _Draft]] = {
    "wrong-serial": Forge._wrong_serial,
    "wrong-issuer": Forge._wrong_issuer,
    "unauthorised-signer": Forge._unauthorised_signer,
    "foreign-signer": Forge._foreign_signer,
    "expired-signer": Forge._expired_signer,
    "expired": Forge._expired,
    "not-yet-valid": Forge._not_yet_valid,
    "no-next-update": Forge._no_next_update,
    "long-window": Forge._long_window,
    "several-singles": Forge._several_singles,
    "contradictory-singles": Forge._contradictory_singles,
    "critical-extension": Forge._critical_extension,
    "no-nonce": Forge._no_nonce,
    "wrong-nonce": Forge._wrong_nonce,
}
_SPOILT: dict[str, Callable[[bytes, _Draft], bytes]] = {
    "bad-signature": _flipped,
    "truncated": lambda der, _: der[: len(der) // 2],
    "trailing-bytes": lambda der, _: der + b"\0",
}
