"""Whether what is known of a certificate in several places agrees, and what is answered if not.

Three places speak of one serial: the ledger, the answer that was signed ahead, the CRL. Laws: the
stricter word wins, so that a place which lost a revocation cannot undo it; never issued stands
between good and revoked (R11); a CRL is not held to what happened after it was made, nor to
certificates that had ended by then (RFC 5280 3.3). R35.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from holdfast.ocsp.findings import Finding, finding
from holdfast.ocsp.statuses import CertificateStatus, Good, RevocationReason, Revoked, Unknown


class Place(Enum):
    """Where something is known; the value is what messages call it."""

    LEDGER = "the ledger"
    SHELF = "the answer signed ahead"
    CRL = "the CRL"


_LAXER = {
    Place.LEDGER: "ledger-laxer",
    Place.SHELF: "presigned-laxer",
    Place.CRL: "crl-laxer",
}
_TEMPORARY = (RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL)


@dataclass(frozen=True, slots=True)
class Word:
    """What `place` says of a serial; None: never issued. `as_of`: when it was last made up.

    A CRL that does not list it says `GOOD`, which is never stricter than another's word.
    """

    place: Place
    certificate_status: CertificateStatus | None
    as_of: datetime | None = None

    @property
    def text(self) -> str:
        match self.certificate_status:
            case None:
                return "never issued"
            case Revoked(at=at, reason=reason):
                why = "" if reason is None else f" ({reason.text})"
                return f"revoked since {at:%Y-%m-%dT%H:%M:%SZ}{why}"
            case Good() | Unknown():
                return self.certificate_status.text


def strictest(words: Iterable[Word]) -> Word:
    """The word that is answered: revoked before never issued before unknown before good; of two
    revocations the one that cannot be lifted, then the earlier, then the one with a reason."""
    return min(words, key=_strictness)


def disagreements(
    words: Iterable[Word], *, serial: int, not_after: datetime | None = None
) -> tuple[Finding, ...]:
    """How `words` about `serial` differ from the strictest of them; none: they agree."""
    every = tuple(words)
    strict = strictest(every)
    found = []
    for word in every:
        code = _difference(strict, word, not_after)
        if code:
            found.append(
                finding(
                    code,
                    serial=f"{serial:x}",
                    stricter=strict.place.value,
                    strict=strict.text,
                    laxer=word.place.value,
                    lax=word.text,
                    as_of="an unknown time" if word.as_of is None else word.as_of,
                )
            )
    return tuple(found)


def overrules(words: Iterable[Word]) -> bool:
    """Whether the answer signed ahead must not be given: another word is stricter than it."""
    every = tuple(words)
    strict = strictest(every)
    return any(
        word.place is Place.SHELF and bool(_difference(strict, word, None)) for word in every
    )


def _difference(strict: Word, word: Word, not_after: datetime | None) -> str:
    """The finding's code, "" when `word` says the same, or could not know."""
    mine, theirs = word.certificate_status, strict.certificate_status
    if isinstance(mine, Revoked) and isinstance(theirs, Revoked):
        same = int(mine.at.timestamp()) == int(theirs.at.timestamp())
        return "" if same and _plain(mine) is _plain(theirs) else "revocation-differs"
    if word.place is Place.CRL:
        if not isinstance(theirs, Revoked) or _excused(theirs, word.as_of, not_after):
            return ""  # a CRL tells of revocations alone
        return _LAXER[word.place]
    return "" if mine == theirs else _LAXER[word.place]


def _excused(revoked: Revoked, as_of: datetime | None, not_after: datetime | None) -> bool:
    """Whether a CRL of `as_of` need not list it."""
    if as_of is None:
        return False
    return revoked.at >= as_of or (not_after is not None and not_after < as_of)


def _plain(revoked: Revoked) -> RevocationReason:
    """RFC 5280 5.3.1: a CRL leaves unspecified out."""
    return revoked.reason or RevocationReason.UNSPECIFIED


def _strictness(word: Word) -> tuple[int, bool, float, bool]:
    match word.certificate_status:
        case Revoked(at=at, reason=reason):
            return 0, reason in _TEMPORARY, at.timestamp(), reason is None
        case None:
            return 1, False, 0.0, False
        case Unknown():
            return 2, False, 0.0, False
        case Good():
            return 3, False, 0.0, False
