"""Files and options -> a CA's answers: the responder's part of the wiring."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from holdfast.errors import Malformed, NotFound, OperatorError, PeerError, StoreError, Unavailable
from holdfast.net.files import warn_unless_private
from holdfast.ocsp.certid import Subject, ca_tag, serial_octets
from holdfast.ocsp.findings import Finding
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.pki import keys, pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.kind import Kind

if TYPE_CHECKING:
    from holdfast.ocsp.verdict import Verdict
    from holdfast.seams import AnswerShelf, Ledger
    from holdfast.sources.signing import Signing
    from holdfast.stores.crl import CrlLedger
    from holdfast.stores.responses import ReadyAnswers


Row = tuple[str, str, tuple[Finding, ...]]
Follow = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class File:
    """A file's bytes and the name to call it by."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Lists:
    """A ledger made of CRLs. `places`: paths and URLs; `issuers`: of indirect ones; `unlisted`:
    what a serial is that none of them names."""

    places: tuple[str, ...]
    issuers: tuple[File, ...] = ()
    unlisted: Literal["good", "unauthorized"] = "unauthorized"


def signer_from(
    ca: File,
    *,
    signer: File | None = None,
    key: File | None = None,
    passphrase: bytes | None = None,
    responder: Literal["key", "name"] = "key",
    pss: bool = False,
) -> Signer:
    """The signer of the CA whose certificate is the first in `ca`.

    Without `signer` the CA itself signs. The key is taken from `key`, else from the signer's file,
    else from the CA's. Raises `OperatorError` naming the file when anything does not fit.
    """
    issuer = certificate_in(ca)
    certificate = issuer if signer is None else certificate_in(signer)
    holder = key or signer or ca
    if not _holds_key(holder):
        raise OperatorError(
            f"{holder.name}: holds no private key",
            hint="give the signer's key with --key, or a --signer file with certificate and key",
        )
    warn_unless_private(holder.name)
    private = keys.load(holder.data, passphrase=passphrase, name=holder.name)
    if not keys.fits(private, certificate):
        raise OperatorError(
            f"{holder.name}: the key ({keys.describe(private)}) does not belong to "
            f"{certificate.subject}",
            hint="give the key of the certificate that signs: the --signer, or else the --ca",
        )
    return Signer(certificate, private, issuer, responder=responder, pss=pss)


def refuse_unfit(signer: Signer, at: datetime) -> None:
    """`OperatorError` when clients would refuse what `signer` signs at `at` (V2)."""
    objection = signer.objection(at)
    if objection:
        raise OperatorError(
            objection,
            hint="`holdfast ca signer` issues a fitting one; clients refuse answers of any other",
        )


async def opened_ledger(
    *,
    issuer: Certificate,
    index: str | None = None,
    ledger: str | None = None,
    query: File | None = None,
    lists: Lists | None = None,
) -> Ledger:
    """The ledger of `issuer` at a path or URL; what cannot be read is told at once, except what
    has to be fetched: that is tried again while every answer is tryLater."""
    if index is not None:
        from holdfast.stores.index_txt import IndexTxt

        found: Ledger = IndexTxt(index)
    elif ledger is not None and query is not None:
        from holdfast.stores.sql_query import QuerySettings, SqlQuery

        settings = QuerySettings.parse(query.data, name=query.name)
        found = SqlQuery(ledger, settings, ca=issuer)
        found.entry(issuer.serial)  # tells whether the query works
        return found
    elif ledger is not None:
        from holdfast.stores.sql import SqlLedger

        found = SqlLedger.open(ledger, ca=issuer)
    elif lists is not None:
        return await crl_ledger(lists, issuer)
    else:
        raise OperatorError(
            "no ledger given: what did the CA issue and revoke?",
            hint="give --index index.txt, --ledger ledger.sqlite, --crl ca.crl or --responses FILE",
        )
    next(found.entries(), None)
    return found


async def crl_ledger(lists: Lists, issuer: Certificate) -> CrlLedger:
    """The CRLs at `lists`; one that has to be fetched and is not there is tried again."""
    from holdfast.net.clock import SystemClock
    from holdfast.net.issuers import is_url
    from holdfast.stores.crl import CrlLedger, Unlisted

    found = CrlLedger(
        lists.places,
        ca=issuer,
        clock=SystemClock(),
        issuers=[certificate_in(file) for file in lists.issuers],
        unlisted=Unlisted(lists.unlisted),
    )
    if not any(is_url(place) for place in lists.places):
        found.check()
        return found
    await found.refresh()
    with suppress(StoreError):  # the alert has told it
        next(found.entries(), None)
    return found


async def ready_from(path: str, ca: Certificate) -> ReadyAnswers:
    """Answers signed elsewhere, at `path`; what cannot be read is told at once."""
    from holdfast.net.clock import SystemClock
    from holdfast.stores.responses import ReadyAnswers

    found = ReadyAnswers(path, ca=ca, clock=SystemClock())
    await found.look()
    return found


def follower_of(ledger: Ledger) -> Follow | None:
    """What has to run beside the responder, for a ledger that is fetched."""
    follow: Follow | None = getattr(ledger, "follow", None)
    return follow


async def lint(signing: Signing, ledger: Ledger, *, at: datetime, limit: int = 1000) -> list[Row]:
    """(kind, serial in hex, findings) for one answer of every kind the ledger has: good, revoked
    and never issued. The findings leave out that the certificate is revoked or unknown."""
    from holdfast.ocsp.verify import examine

    rows: list[Row] = []
    for kind, serial in _samples(ledger, limit):
        try:
            response = await signing.response(Subject(serial, signing.signer.issuer))
        except (NotFound, PeerError, Unavailable) as error:
            rows.append((f"{kind}: {error.message}", f"{serial:x}", ()))
            continue
        verdict = examine(response, Subject(serial, signing.signer.issuer), at=at)
        rows.append((kind, f"{serial:x}", _about_the_response(verdict)))
    return rows


def lint_stored(
    shelf: AnswerShelf, ledger: Ledger, ca: Certificate, *, at: datetime, limit: int = 1000
) -> list[Row]:
    """The same of answers that were signed ahead, of the kinds that lie there."""
    from holdfast.ocsp.verify import examine

    rows: list[Row] = []
    for kind, serial in _samples(ledger, limit):
        held = shelf.held(ca_tag(ca), serial_octets(serial))
        if held is not None:
            verdict = examine(Response.parse(held.der), Subject(serial, ca), at=at)
            rows.append((f"{kind}, stored", f"{serial:x}", _about_the_response(verdict)))
    return rows


def lint_ready(ready: ReadyAnswers, *, limit: int = 1000) -> list[Row]:
    """The same of answers signed elsewhere: the newest about each certificate."""
    return [
        (
            "unreadable" if verdict.certificate_status is None else verdict.certificate_status.text,
            serial,
            _about_the_response(verdict),
        )
        for serial, verdict in ready.verdicts(limit)
    ]


def _about_the_response(verdict: Verdict) -> tuple[Finding, ...]:
    return tuple(
        found
        for found in verdict.findings
        if found.code not in ("response-revoked", "response-unknown")
    )


def _samples(ledger: Ledger, limit: int) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    seen = set()
    for number, entry in enumerate(ledger.entries()):
        if number == limit:
            break
        seen.add(entry.serial)
        found.setdefault("good" if entry.revoked_at is None else "revoked", entry.serial)
    for unused in range(1, limit + 2):
        if ledger.entry(unused) is None:
            return [*found.items(), ("never issued", unused)]
        if unused not in seen:  # a ledger of CRLs where what they do not list is good
            return [*found.items(), ("not listed", unused)]
    return [*found.items()]


def certificate_in(file: File) -> Certificate:
    return pem.certificates(file.data, name=file.name)[0]


def _holds_key(file: File) -> bool:
    try:
        blocks = pem.decode(file.data, name=file.name)
    except (OperatorError, Malformed):
        return False
    return any(b.kind in (Kind.PRIVATE_KEY, Kind.ENCRYPTED_KEY) for b in blocks)
