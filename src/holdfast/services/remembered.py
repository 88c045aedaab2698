"""The inventory as it was read last, so that a keeper of many certificates is back in seconds: to
read a hundred thousand files and check who issued each takes longer than a staple may lack (K26).

    STATE/inventory   the certificates, and the sum of all that they were read from

Laws: it is used only where nothing has changed: the same settings and issuers, and every file and
folder of the same inode, size and times; spoiled, foreign or old, it is passed over and all is read
anew; it is nobody's to read or write but the keeper's; staples are proved as ever.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from holdfast.errors import HoldfastError
from holdfast.net.files import read_bounded, write_atomic
from holdfast.ocsp.certid import Subject
from holdfast.pki.certificate import LASTING, Certificate
from holdfast.plan.entry import Need
from holdfast.services.inventory import (
    CertificateFiles,
    Inventory,
    Kept,
    Stamp,
    files_of,
    places_of,
    read_inventory,
    stamps_of,
)
from holdfast.services.loading import nothing_collected

FILE = "inventory"
MANY = 2_000  # certificates; fewer are read in less than a second
MAX_REMEMBERED = 1 << 30  # bytes: 200,000 certificates with long lists of names
_FORM = b"holdfast inventory 2\n"

_log = logging.getLogger("holdfast.keeper")


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A `Kept`; `issuer` and `servers` are places in lists of the whole. `source`: the place in
    `specified` and the file that it is all of; "" where there is none."""

    name: str
    key: str
    leaf: bytes
    issuer: int
    serial: bytes
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    must_staple: bool
    responder_urls: tuple[str, ...]
    servers: int
    need: Need
    applicable: bool
    source: tuple[int, str]


class _Whole(msgspec.Struct, array_like=True, gc=False):
    """`sum`: of all that the rows were read from."""

    sum: bytes
    issuers: list[bytes]
    servers: list[tuple[str, ...]]
    passed_over: tuple[str, ...]
    rows: list[_Row]


def remembered_inventory(
    specified: Iterable[CertificateFiles],
    *,
    state: str | os.PathLike[str],
    always_ask: bool = False,
    issuers: Sequence[Certificate] = (),
    many: int | None = MANY,
    before: Inventory | None = None,
) -> Inventory:
    """What `read_inventory` gives, from the folder `state` where nothing has changed since; what
    had to be read is left there when it is `many` certificates or more (None: never). `before`: the
    reading that is in force, of which what has not changed is taken."""
    specified = list(specified)
    path = Path(state, FILE)
    looked_at = None
    if before is None and path.exists():
        looked_at = _looked_at(specified, always_ask, issuers)
    if looked_at is not None:
        with nothing_collected():
            found = _recalled(path, specified, *looked_at)
        if found is not None:
            return found
    inventory = read_inventory(specified, always_ask=always_ask, issuers=issuers, before=before)
    worth = many is not None and len(inventory.kept) >= many
    if worth and not inventory.problems and not inventory.lacking:
        made_of = _sum(specified, always_ask, issuers, inventory.stamps)
        _remember(path, made_of, specified, inventory)
    return inventory


def _looked_at(
    specified: Sequence[CertificateFiles], always_ask: bool, issuers: Sequence[Certificate]
) -> tuple[bytes, dict[str, Stamp]] | None:
    """The sum now, and what it was made of; None where something cannot be read."""
    stamps: dict[str, Stamp] = {}
    try:
        for one in specified:
            stamps |= stamps_of(places_of(one, files_of(one)))
    except HoldfastError:
        return None
    return _sum(specified, always_ask, issuers, stamps), stamps


def _sum(
    specified: Sequence[CertificateFiles],
    always_ask: bool,
    issuers: Sequence[Certificate],
    stamps: dict[str, Stamp],
) -> bytes:
    made = hashlib.sha256(repr((specified, always_ask)).encode())
    for issuer in issuers:
        made.update(hashlib.sha256(issuer.der).digest())
    made.update("\n".join(f"{path} {stamp}" for path, stamp in stamps.items()).encode())
    return made.digest()


def _recalled(
    path: Path, specified: Sequence[CertificateFiles], wanted: bytes, stamps: dict[str, Stamp]
) -> Inventory | None:
    """What `path` holds, if it was made of `wanted`."""
    try:
        told = path.stat()
        if told.st_uid not in (0, os.geteuid()) or stat.S_IMODE(told.st_mode) & 0o077:
            _log.warning("inventory passed-over file=%s another user may have written it", path)
            return None
        data = memoryview(read_bounded(path, MAX_REMEMBERED))
        head = len(_FORM) + 32
        whole_sum = bytes(data[len(_FORM) : head])
        if data[: len(_FORM)] != _FORM or hashlib.sha256(data[head:]).digest() != whole_sum:
            _log.warning("inventory passed-over file=%s spoiled or of another version", path)
            return None
        whole = msgspec.msgpack.decode(data[head:], type=_Whole)
        if whole.sum != wanted:
            return None
        kept = tuple(_kept(whole))
        sources: dict[CertificateFiles, dict[str, Kept]] = {one: {} for one in specified}
        for one, row in zip(kept, whole.rows, strict=True):
            if row.source[1]:
                sources[specified[row.source[0]]][row.source[1]] = one
    except (OSError, HoldfastError, msgspec.MsgspecError, IndexError, UnicodeDecodeError) as error:
        _log.warning("inventory passed-over file=%s %s", path, error)
        return None
    return Inventory(kept, stamps=stamps, passed_over=whole.passed_over, sources=sources)


def _kept(whole: _Whole) -> Iterator[Kept]:
    issuers = [Certificate(der) for der in whole.issuers]
    urls: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in whole.rows:
        serial = int.from_bytes(row.serial, signed=True)
        facts = (serial, row.names, row.not_before, row.not_after, row.must_staple)
        leaf = Certificate.recalled(row.leaf, dict(zip(LASTING, facts, strict=True)))
        asked = urls.setdefault(row.responder_urls, row.responder_urls)
        yield Kept(
            name=row.name,
            subject=Subject(serial, issuers[row.issuer], leaf, asked),
            servers=whole.servers[row.servers],
            need=row.need,
            applicable=row.applicable,
            key=row.key,
        )


def _remember(
    path: Path, made_of: bytes, specified: Sequence[CertificateFiles], inventory: Inventory
) -> None:
    """Leave `inventory` in `path`; where that fails it is told, and no more."""
    issuers: dict[bytes, int] = {}
    servers: dict[tuple[str, ...], int] = {}
    # only where nothing was renamed or joined by others is a row what its file gave
    files = {
        id(kept): (number, file)
        for number, one in enumerate(specified)
        for file, kept in inventory.sources.get(one, {}).items()
    }
    rows = []
    try:
        for kept in inventory.kept:
            rows.append(_row(kept, files.get(id(kept), (0, "")), issuers, servers))
        whole = _Whole(made_of, list(issuers), list(servers), inventory.passed_over, rows)
        data = msgspec.msgpack.encode(whole)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(path, b"".join([_FORM, hashlib.sha256(data).digest(), data]), 0o600)
    except (HoldfastError, OSError) as error:
        _log.warning("inventory not remembered, the next start takes longer: %s", error)


def _row(
    kept: Kept,
    source: tuple[int, str],
    issuers: dict[bytes, int],
    servers: dict[tuple[str, ...], int],
) -> _Row:
    leaf = kept.subject.leaf
    if leaf is None:
        raise HoldfastError(f"{kept.name}: no certificate, only its number")
    serial = kept.subject.serial
    return _Row(
        name=kept.name,
        key=kept.key,
        leaf=leaf.der,
        issuer=issuers.setdefault(kept.subject.issuer.der, len(issuers)),
        serial=serial.to_bytes(serial.bit_length() // 8 + 1, signed=True),
        names=leaf.names,
        not_before=leaf.not_before,
        not_after=leaf.not_after,
        must_staple=leaf.must_staple,
        responder_urls=kept.subject.responder_urls,
        servers=servers.setdefault(kept.servers, len(servers)),
        need=kept.need,
        applicable=kept.applicable,
        source=source,
    )
