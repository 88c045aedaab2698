"""Which certificates the keeper keeps: what an operator wrote, read from the files it names.

Laws: one bad file costs its own certificates only, and is a `problem` that says so; names are
unique, because files and people use them; a certificate that is named twice is kept once (K20).
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded
from holdfast.ocsp.certid import Subject
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer, leaf_of, order
from holdfast.pki.kind import Kind
from holdfast.plan.entry import Need

CERTIFICATE_SUFFIXES = {".pem", ".crt", ".cer", ".der", ".cert"}
MAX_FILES = 200_000
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """One `[[certificate]]`: `chain` is a file, a folder or a glob of them.

    `responder_urls` None: those in the certificate. `servers`: who is given the staple. `need`
    None: by whether the certificate is must-staple.
    """

    chain: str
    name: str | None = None
    issuer: str | None = None
    responder_urls: tuple[str, ...] | None = None
    servers: tuple[str, ...] = ()
    need: Need | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One certificate to keep a staple for."""

    name: str
    subject: Subject
    servers: tuple[str, ...] = ()
    need: Need = Need.STRICT
    applicable: bool = True
    key: str = ""  # the CertID's, made when it is not given

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.subject.certid.key)

    @classmethod
    def of(
        cls,
        subject: Subject,
        *,
        name: str | None = None,
        servers: tuple[str, ...] = (),
        need: Need | None = None,
    ) -> Kept:
        """`subject` under its own name, with the need its must-staple extension implies."""
        leaf, found_name = subject.leaf, name or subject.name
        must = leaf is not None and leaf.must_staple
        if leaf is not None:
            leaf.put_away()
        return cls(
            name=found_name,
            subject=subject,
            servers=servers,
            need=need or (Need.MUST if must else Need.STRICT),
            applicable=bool(subject.responder_urls),
        )


Stamp = tuple[int, int, int, int]
"""A file's inode, size, and when it and its inode were last changed, in ns; zeros: no file."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """`stamps`: every file that was read, or looked for, as it was just before: a change there
    calls for a new reading.

    `lacking`: certificates whose issuer was not found, but which say where it is (AIA).
    `passed_over`: what was met in folders and could not be read, as text. `sources`: what came of
    each file that is whole by itself, its issuer with it, for a later reading.
    """

    kept: tuple[Kept, ...]
    problems: tuple[HoldfastError, ...] = ()
    stamps: dict[str, Stamp] = field(default_factory=dict)
    lacking: tuple[Certificate, ...] = ()
    passed_over: tuple[str, ...] = ()
    sources: dict[CertificateFiles, dict[str, Kept]] = field(default_factory=dict)


def read_inventory(
    specified: Iterable[CertificateFiles],
    *,
    always_ask: bool = False,
    issuers: Sequence[Certificate] = (),
    before: Inventory | None = None,
) -> Inventory:
    """Read every file that `specified` names. `always_ask`: also without a responder URL, because
    the source knows another way (an override for all, stored responses). `issuers`: looked at last.
    `before`: an earlier reading, from which files that look the same are not read again.
    """
    found: list[Kept] = []
    lacking: list[Certificate] = []
    passed_over: list[str] = []
    problems: list[HoldfastError] = []
    stamps: dict[str, Stamp] = {}
    sources: dict[CertificateFiles, dict[str, Kept]] = {}
    for one in specified:
        try:
            files = files_of(one)
            stamps |= stamps_of(places_of(one, files))
            extra = _certificates(one.issuer) if one.issuer else ()
        except HoldfastError as error:
            problems.append(error)
            continue
        single = not (_is_pattern(one.chain) or os.path.isdir(one.chain))
        reading = _Reading(one, single, extra, tuple(issuers), problems, lacking, passed_over)
        found += reading.kept(files, _unchanged(one, stamps, before))
        sources[one] = reading.sources
    if always_ask:
        found = [k if k.applicable else replace(k, applicable=True) for k in found]
    return Inventory(
        tuple(_named_apart(_merged(found))),
        tuple(problems),
        stamps,
        tuple(dict.fromkeys(lacking)),
        tuple(passed_over),
        sources,
    )


def _unchanged(
    one: CertificateFiles, stamps: dict[str, Stamp], before: Inventory | None
) -> dict[str, Kept]:
    """What `before` read for `one` in files that look as they did."""
    if before is None or (one.issuer and before.stamps.get(one.issuer) != stamps[one.issuer]):
        return {}
    known = before.sources.get(one, {})
    return {path: kept for path, kept in known.items() if before.stamps[path] == stamps.get(path)}


@dataclass(frozen=True, slots=True)
class _Reading:
    """One `[[certificate]]` that is being read, and where its troubles go."""

    one: CertificateFiles
    single: bool
    extra: tuple[Certificate, ...]
    issuers: tuple[Certificate, ...]
    problems: list[HoldfastError]
    lacking: list[Certificate]
    passed_over: list[str]
    sources: dict[str, Kept] = field(default_factory=dict)

    def kept(self, files: list[str], unchanged: dict[str, Kept]) -> Iterator[Kept]:
        """What `files` hold; those `unchanged` are read only when others look for an issuer."""
        read = dict(self._read(path for path in files if path not in unchanged))
        pool: list[Certificate] | None = None
        for path in files:
            if path in unchanged:
                self.sources[path] = unchanged[path]
                yield unchanged[path]
                continue
            if path not in read:
                continue
            certificates = read[path]
            leaf = leaf_of(certificates)
            if leaf.is_ca and not self.single:
                continue
            issuer = order(certificates, extra=self.extra).issuer
            by_itself = issuer is not None
            if issuer is None:
                if pool is None:
                    pool = self._pool([*read.values(), *map(_again, unchanged)])
                issuer = find_issuer(leaf, pool) or find_issuer(leaf, self.issuers)
            if issuer is None:
                self._without(path, leaf)
                continue
            subject = Subject.of(leaf, issuer, self.one.responder_urls)
            name = self.one.name if self.single else None
            kept = Kept.of(subject, name=name, servers=self.one.servers, need=self.one.need)
            if by_itself:
                self.sources[path] = kept
            yield kept

    def _pool(self, found: Iterable[tuple[Certificate, ...]]) -> list[Certificate]:
        return [one for certificates in found for one in certificates if one.is_ca]

    def _read(self, files: Iterable[str]) -> Iterator[tuple[str, tuple[Certificate, ...]]]:
        for path in files:
            try:
                yield path, _certificates(path)
            except HoldfastError as error:
                if self.single or _is_pattern(self.one.chain):
                    self.problems.append(error)
                elif not _holds_something_else(path):
                    self.passed_over.append(error.message)

    def _without(self, path: str, leaf: Certificate) -> None:
        if any(url.lower().startswith(("http://", "https://")) for url in leaf.issuer_urls):
            self.lacking.append(leaf)
            return
        self.problems.append(
            OperatorError(
                f"{path}: the issuer of {leaf.subject} is not in it",
                hint=f'add the issuer "{leaf.issuer}" to the file, or name its file with '
                "`issuer = ` (on the command line: --issuer)",
            )
        )


def _again(path: str) -> tuple[Certificate, ...]:
    """What a file that was read before holds besides; nothing where it cannot be read any more."""
    try:
        return _certificates(path)
    except HoldfastError:
        return ()


def _holds_something_else(path: str) -> bool:
    """True for keys and the like, which a folder of certificates may hold too."""
    try:
        return all(
            block.kind not in (Kind.CERTIFICATE, Kind.UNKNOWN)
            for block in pem.decode(read_bounded(path), name=path)
        )
    except HoldfastError:
        return False


def files_of(one: CertificateFiles) -> list[str]:
    """The files that `one` names, in order. `OperatorError` when a pattern matches none, or its
    folder cannot be read."""
    place = one.chain
    if _is_pattern(place) and not os.path.exists(place):
        matches = sorted(glob.glob(place, recursive=True))[:MAX_FILES]
        if not matches:
            raise OperatorError(f"{place}: no file matches", hint="check the pattern and its path")
        return [match for match in matches if os.path.isfile(match)]
    if os.path.isdir(place):
        try:
            names = sorted(os.listdir(place))[:MAX_FILES]
        except OSError as error:
            raise OperatorError(f"{place}: {error.strerror}") from error
        return [
            os.path.join(place, name)
            for name in names
            if os.path.splitext(name)[1].lower() in CERTIFICATE_SUFFIXES
        ]
    return [place]


def places_of(one: CertificateFiles, files: Sequence[str]) -> Iterator[str]:
    """Whatever `one` depends on: its `files`, its issuer's, and the folders in which a new file
    would be one more certificate."""
    yield from files
    if one.issuer:
        yield one.issuer
    if os.path.isdir(one.chain):
        yield one.chain
    elif _is_pattern(one.chain):
        fixed = one.chain
        while _is_pattern(fixed):
            fixed = os.path.dirname(fixed)
        yield from dict.fromkeys([fixed or ".", *(os.path.dirname(f) or "." for f in files)])


def stamps_of(places: Iterable[str]) -> dict[str, Stamp]:
    """How each place looks now."""
    return {path: _stamp(path) for path in places}


def _stamp(path: str) -> Stamp:
    try:
        told = os.stat(path)
    except (OSError, ValueError):
        return 0, 0, 0, 0
    return told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def _is_pattern(place: str) -> bool:
    return not _GLOB.isdisjoint(place)


def _certificates(path: str) -> tuple[Certificate, ...]:
    return pem.certificates(read_bounded(path), name=path)


def _merged(found: Iterable[Kept]) -> Iterator[Kept]:
    """One for each CertID, with the servers of all that name it."""
    by_key: dict[str, Kept] = {}
    for kept in found:
        key = kept.key
        first = by_key.setdefault(key, kept)
        servers = tuple(dict.fromkeys([*first.servers, *kept.servers]))
        if servers != first.servers:
            by_key[key] = replace(first, servers=servers)
    yield from by_key.values()


def _named_apart(found: Iterable[Kept]) -> Iterator[Kept]:
    """Of one name: told apart by the kind of key, and if that is not enough by the serial."""
    all_kept = list(found)
    names = Counter(kept.name for kept in all_kept)
    longer = [
        kept if names[kept.name] == 1 else replace(kept, name=f"{kept.name}-{_algorithm(kept)}")
        for kept in all_kept
    ]
    names = Counter(kept.name for kept in longer)
    for kept in longer:
        serial = f"{kept.subject.serial:x}"[:12]
        yield kept if names[kept.name] == 1 else replace(kept, name=f"{kept.name}-{serial}")


def _algorithm(kept: Kept) -> str:
    leaf = kept.subject.leaf
    return "key" if leaf is None else leaf.key_type.split()[0].split("-")[0].lower()
