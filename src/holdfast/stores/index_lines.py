"""The lines of OpenSSL's index.txt, read and written: the database of `openssl ca`, and what
`openssl ocsp -index` answers from. One line a certificate, six fields between tabs:

    V|R|E  notAfter  revocation date[,reason[,more]]  serial (hex)  file  subject

Laws: a line that cannot be read is a `StoreError` with file and line, because passing it over could
pass over a revocation. Serials are compared as numbers, so leading zeros and odd lengths do not
matter; two lines of one serial are refused, as `openssl ca` and `openssl ocsp` refuse them. An
empty file is valid. A `\\` before a tab keeps the tab; lines that begin with `#` and blank ones
are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509

from holdfast.errors import StoreError
from holdfast.ocsp.statuses import RevocationReason
from holdfast.pki.certificate import Certificate
from holdfast.seams import LedgerEntry

_HEX = re.compile("[0-9A-Fa-f]{1,64}")
MAX_INDEX = 1 << 30  # bytes; ten million lines

# What `openssl ca` writes for -crl_hold and -crl_compromise, and what each means as a CRLReason
# (apps/lib/apps.c, unpack_revinfo).
_MORE = {
    "holdinstruction": RevocationReason.CERTIFICATE_HOLD,
    "keytime": RevocationReason.KEY_COMPROMISE,
    "cakeytime": RevocationReason.CA_COMPROMISE,
}
_SINCE = {  # with the invalidity date behind them (RFC 5280 5.3.2)
    "keytime": "keyTime",
    "cakeytime": "CAkeyTime",
}
# The reasons that OpenSSL has no word for: a line with one stops `openssl ca -gencrl`.
_UNWRITABLE = {RevocationReason.PRIVILEGE_WITHDRAWN, RevocationReason.AA_COMPROMISE}

ATTRIBUTES = b"unique_subject = no\n"
"""What belongs into index.txt.attr: without it OpenSSL refuses two valid certificates of one
subject, which every renewal makes."""


def read_index(data: bytes, *, name: str = "index.txt") -> dict[int, LedgerEntry]:
    """The entries of an index.txt by serial, in order; `StoreError` naming the line otherwise."""
    entries: dict[int, LedgerEntry] = {}
    lines: dict[int, int] = {}
    for number, raw in enumerate(data.split(b"\n"), start=1):
        try:
            entry = read_line(raw)
        except BadLine as bad:
            raise bad.told(name, number) from None
        if entry is None:
            continue
        if entry.serial in entries:
            raise twice(entry.serial, name=name, number=number, first=lines[entry.serial])
        entries[entry.serial] = entry
        lines[entry.serial] = number
    return entries


def read_line(raw: bytes) -> LedgerEntry | None:
    """The entry in a line without its end; None for a comment or a blank line. Else `BadLine`."""
    line = raw.removesuffix(b"\r")
    if not line.strip() or line.startswith(b"#"):
        return None
    return _entry(line.decode("utf-8", "replace"))


class BadLine(ValueError):
    """What is wrong with one line."""

    def told(self, name: str, number: int) -> StoreError:
        """The same, with its place."""
        return StoreError(
            f"{name}:{number}: {self}",
            hint="mend the line by hand, or write the file anew (`holdfast ca export`)",
        )


def twice(serial: int, *, name: str, number: int, first: int) -> StoreError:
    """That line `number` has the serial of line `first`."""
    return StoreError(
        f"{name}:{number}: serial {serial:X} stands in line {first} already",
        hint="take one of the two lines out; openssl refuses such a file too",
    )


def write_index(entries: Iterable[LedgerEntry], *, at: datetime) -> bytes:
    """An index.txt of `entries` as `openssl ca` would have it at the instant `at`, which decides
    between V and E. Reasons that OpenSSL has no word for are left out."""
    return b"".join(_line(entry, at).encode() for entry in entries)


def subject_line(certificate: Certificate) -> str:
    """The subject as X509_NAME_oneline writes it, by which `openssl ca -revoke` compares."""
    try:
        attributes = list(certificate.x509.subject)
    except ValueError:
        return certificate.subject
    return "".join(f"/{_short_name(one)}={_shown(one)}" for one in attributes)


def _short_name(attribute: x509.NameAttribute[str | bytes]) -> str:
    dotted = attribute.oid.dotted_string
    return _SHORT_NAMES.get(dotted, dotted)


def _shown(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    octets = value if isinstance(value, bytes) else value.encode()
    return "".join(chr(o) if 0x20 <= o <= 0x7E else f"\\x{o:02X}" for o in octets)


# crypto/objects/objects.txt
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}


# -- reading ----------------------------------------------------------------------------------


class _Revocation(NamedTuple):
    at: datetime
    reason: RevocationReason | None
    invalidity_date: datetime | None = None


def _entry(line: str) -> LedgerEntry:
    fields = _fields(line)
    if len(fields) != 6:
        raise BadLine(f"{len(fields)} fields between tabs, not 6")
    state, expiry, revoked, serial, _, subject = fields
    if state not in ("V", "R", "E"):
        raise BadLine(f"begins with {state!r}, not with V, R or E")
    if state != "R" and revoked:
        raise BadLine(f"a revocation date in a line that begins with {state}, not with R")
    if state == "R" and not revoked:
        raise BadLine("no revocation date in a line that begins with R")
    not_after = _instant(expiry, "expiry date")
    return entry_of(_serial(serial), not_after, revoked, subject)


def entry_of(serial: int, not_after: datetime, revoked: str, subject: str) -> LedgerEntry:
    """By the third field of its line, `revoked`, which is empty where it is not."""
    if not revoked:
        return LedgerEntry(serial, not_after, None, None, subject)
    at, reason, invalidity_date = _revocation(revoked)
    return LedgerEntry(serial, not_after, at, reason, subject, invalidity_date)


def _fields(line: str) -> list[str]:
    """Split at tabs; one with a backslash before it belongs to the field (txt_db.c)."""
    if "\\\t" not in line:
        return line.split("\t")
    return [part.replace("\0", "\t") for part in line.replace("\\\t", "\0").split("\t")]


def _serial(text: str) -> int:
    if not _HEX.fullmatch(text):
        raise BadLine(f"{text!r} is not a serial in hexadecimal")
    return int(text, 16)


def _instant(text: str, what: str) -> datetime:
    """UTCTime or GeneralizedTime, seconds optional, always Z."""
    digits = text.removesuffix("Z")
    if digits == text or not digits.isascii() or not digits.isdigit():
        raise BadLine(f"{text!r} is not an {what}: YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ belongs there")
    if len(digits) in (10, 12):
        # RFC 5280 4.1.2.5.1: two-digit years from 50 on are of the last century
        digits = ("19" if digits >= "50" else "20") + digits
    if len(digits) == 12:
        digits += "00"
    try:
        if len(digits) != 14 or digits[8:10] == "24":  # ISO 8601's other midnight
            raise ValueError
        return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}+00:00")
    except ValueError:
        raise BadLine(f"{text!r} is not an {what}") from None


def utc_time(text: str) -> datetime:
    """A UTCTime, which is known to be one."""
    century = "19" if text >= "50" else "20"
    return datetime.fromisoformat(f"{century}{text[:6]}T{text[6:12]}+00:00")


def _revocation(text: str) -> _Revocation:
    date, _, rest = text.partition(",")
    at = _instant(date, "revocation date")
    word, _, more = rest.partition(",")
    if not rest:
        return _Revocation(at, None)
    reason = _MORE.get(word.lower()) or RevocationReason.by_text(word)
    if reason is None:
        raise BadLine(f"{word!r} is not a revocation reason")
    if more and word.lower() in _SINCE:
        return _Revocation(at, reason, _instant(more, "invalidity date"))
    return _Revocation(at, reason)


# -- writing ----------------------------------------------------------------------------------


def _line(entry: LedgerEntry, at: datetime) -> str:
    state, revoked = "V", ""
    if entry.revoked_at is not None:
        state, revoked = "R", _written(entry.revoked_at)
        if entry.reason is not None and entry.reason not in _UNWRITABLE:
            revoked += f",{_word(entry)}"
    elif entry.not_after < at:
        state = "E"
    serial = f"{entry.serial:X}"
    serial = serial.zfill(len(serial) + len(serial) % 2)  # openssl ca wants whole octets
    subject = "".join(c if c.isprintable() or c == "\t" else "?" for c in entry.subject)
    fields = (state, _written(entry.not_after), revoked, serial, "unknown", subject)
    return "\t".join(field.replace("\t", "\\\t") for field in fields) + "\n"


def _word(entry: LedgerEntry) -> str:
    """The reason as OpenSSL spells it, with the invalidity date where it has a place for one."""
    assert entry.reason is not None
    if entry.invalidity_date is not None:
        for word, spelt in _SINCE.items():
            if _MORE[word] is entry.reason:
                since = entry.invalidity_date.astimezone(UTC)
                # never in the short form: apps.c reads a GeneralizedTime here
                return f"{spelt},{since.year:04}{since:%m%d%H%M%S}Z"
    if entry.reason is RevocationReason.CA_COMPROMISE:
        return "CACompromise"
    return entry.reason.text


def _written(at: datetime) -> str:
    utc = at.astimezone(UTC)
    short = 1950 <= utc.year < 2050
    return utc.strftime("%y%m%d%H%M%SZ") if short else f"{utc.year:04}{utc:%m%d%H%M%S}Z"
