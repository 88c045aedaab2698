"""What may be told of one certificate beside its certificate_status: the archive cutoff, the CRL
that names it, and since when its key is to be doubted. RFC 6960 4.4.2, 4.4.4, 4.4.5; RFC 5280
5.3.2.

Laws: none of these is ever critical when written; times are whole seconds, Zulu (R20).
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.extension import (
    ARCHIVE_CUTOFF,
    CRL_REFERENCE,
    INVALIDITY_DATE,
    Extension,
    find,
)


class CrlID(NamedTuple):
    """Which CRL a revoked certificate is on: at `url`, with `number`, made at `made_at`."""

    url: str | None = None
    number: int | None = None
    made_at: datetime | None = None

    def encode(self) -> bytes:
        """CrlID, DER. `ValueError` for a URL that is not ASCII or a negative number."""
        if self.number is not None and self.number < 0:
            raise ValueError(f"CRL number {self.number} is negative (RFC 5280 5.2.3)")
        url = "" if self.url is None else self.url
        parts = (
            b""
            if self.url is None
            else der.tlv(0xA0, der.tlv(der.IA5_STRING, url.encode("ascii"))),
            b"" if self.number is None else der.tlv(0xA1, der.encode_integer(self.number)),
            b"" if self.made_at is None else der.tlv(0xA2, der.encode_time(self.made_at)),
        )
        return der.sequence(*parts)


# -- writing ----------------------------------------------------------------------------------


def crl_extension(crl: CrlID) -> Extension:
    return Extension(CRL_REFERENCE, False, crl.encode())


def archive_cutoff_extension(cutoff: datetime) -> Extension:
    return Extension(ARCHIVE_CUTOFF, False, der.encode_time(cutoff))


def invalidity_date_extension(since: datetime) -> Extension:
    return Extension(INVALIDITY_DATE, False, der.encode_time(since))


# -- reading ----------------------------------------------------------------------------------


def archive_cutoff(extensions: tuple[Extension, ...]) -> datetime | None:
    """Since when the responder keeps what it knows of ended certificates; None when not told."""
    return _time(extensions, ARCHIVE_CUTOFF, "SingleResponse.archiveCutoff")


def invalidity_date(extensions: tuple[Extension, ...]) -> datetime | None:
    """Since when the key is known or feared to be in other hands; None when not told."""
    return _time(extensions, INVALIDITY_DATE, "SingleResponse.invalidityDate")


def _time(extensions: tuple[Extension, ...], oid: str, what: str) -> datetime | None:
    extension = find(extensions, oid)
    if extension is None:
        return None
    data = extension.value
    instant, after = der.generalized_time(data, 0, len(data), what)
    der.finish(after, len(data), what)
    return instant


def crl_reference(extensions: tuple[Extension, ...]) -> CrlID | None:
    """The CRL that is referred to; None when none is."""
    extension = find(extensions, CRL_REFERENCE)
    if extension is None:
        return None
    what, data = "SingleResponse.crlReferences", extension.value
    start, stop = der.whole(data, der.SEQUENCE, what)
    url, number, made_at = None, None, None
    if start < stop and data[start] == 0xA0:
        inner, start = der.take(data, start, stop, 0xA0, f"{what}.crlUrl")
        url = _ascii(data, inner, start, f"{what}.crlUrl")
    if start < stop and data[start] == 0xA1:
        inner, start = der.take(data, start, stop, 0xA1, f"{what}.crlNum")
        number, after = der.integer(data, inner, start, f"{what}.crlNum")
        der.finish(after, start, f"{what}.crlNum")
        if number < 0:
            raise Malformed(f"{what}.crlNum", "negative", offset=inner)
    if start < stop and data[start] == 0xA2:
        inner, start = der.take(data, start, stop, 0xA2, f"{what}.crlTime")
        made_at, after = der.generalized_time(data, inner, start, f"{what}.crlTime")
        der.finish(after, start, f"{what}.crlTime")
    der.finish(start, stop, what)
    return CrlID(url, number, made_at)


def _ascii(data: bytes, position: int, end: int, what: str) -> str:
    start, stop = der.take(data, position, end, der.IA5_STRING, what)
    der.finish(stop, end, what)
    try:
        return data[start:stop].decode("ascii")
    except UnicodeDecodeError:
        raise Malformed(what, "not ASCII, which an IA5String is", offset=start) from None
