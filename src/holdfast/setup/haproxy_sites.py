"""HAProxy's TLS sites: certificates that are shown for the same names at the same addresses.

Laws: pure; a certificate that another of the same kind of key shadows is no site's; names are
unique, so that `--site` matches one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography.x509.oid import NameOID

from holdfast.errors import HoldfastError, Malformed
from holdfast.ocsp.response import Response
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer
from holdfast.pki.names import is_address
from holdfast.pki.unreadable import UNREADABLE
from holdfast.setup.haproxy_words import HAProxyConfiguration, Loaded
from holdfast.setup.words import CertificateAt, Site, Trouble

Listens = tuple[tuple[str, int], ...]
Key = tuple[tuple[str, ...], Listens]


def with_sites(read: HAProxyConfiguration, *, at: datetime) -> HAProxyConfiguration:
    """`read` with its sites, and what is wrong beside their certificates at the instant `at`."""
    groups: dict[Key, list[Loaded]] = {}
    for loaded in read.loaded.values():
        key = (_names(loaded), _listens(loaded))
        group = groups.setdefault(key, [])
        if all(_kind(one) != _kind(loaded) for one in group):
            group.append(loaded)
    sites: list[Site] = []
    served: dict[str, tuple[Path, ...]] = {}
    for (names, listens), group in groups.items():
        name = _free(names, listens, group[0], served)
        sites.append(_site(read, name, names, listens, group))
        served[name] = tuple(one.path for one in group)
    told = [trouble for one in read.loaded.values() for trouble in _beside(read, one, at)]
    told += [
        Trouble(
            code="haproxy-behind-proxy",
            message=f"{site.place}: {site.name} expects the PROXY protocol (accept-proxy): no "
            "handshake from here can show whether it staples",
            hint=f"afterwards look through the load balancer: holdfast check {site.name}",
            place=site.place,
        )
        for site in sites
        if any(use.behind_proxy for path in served[site.name] for use in read.loaded[path].uses)
    ]
    return replace(read, sites=tuple(sites), served=served, troubles=(*read.troubles, *told))


def names_of(leaf: Certificate) -> tuple[str, ...]:
    """The names that HAProxy serves a certificate for: alternative names, and the common name."""
    try:
        if leaf.names:
            return leaf.names
        found = leaf.x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(one.value) for one in found)
    except (HoldfastError, *UNREADABLE):
        return ()


def known_issuer(read: HAProxyConfiguration, loaded: Loaded) -> Certificate | None:
    """The issuer as HAProxy finds it: in the file, in `.issuer`, or by `issuers-chain-path`."""
    beside = _certificates(loaded.issuer) if _loads(read, "issuer") else ()
    above = () if loaded.chain[1:] else read.issuers
    return find_issuer(loaded.leaf, [*loaded.chain[1:], *beside, *above])


def speaks_of(data: bytes, loaded: Loaded, issuer: Certificate | None) -> bool:
    """Whether `data` is a response about this certificate."""
    try:
        basic = Response.parse(data).basic
    except Malformed:
        return False
    if basic is None:
        return False
    return any(
        single.certid.serial == loaded.leaf.serial
        if issuer is None
        else single.certid.names(loaded.leaf.serial, issuer)
        for single in basic.singles
    )


def _loads(read: HAProxyConfiguration, kind: str) -> bool:
    return read.extra is None or read.extra.loads(kind)


def _certificates(data: bytes | None) -> tuple[Certificate, ...]:
    from holdfast.pki import pem

    try:
        return () if not data else pem.certificates(data)
    except HoldfastError:
        return ()


# -- sites -------------------------------------------------------------------------------------


def _names(loaded: Loaded) -> tuple[str, ...]:
    filters = dict.fromkeys(name for use in loaded.uses for name in use.names)
    return tuple(filters) or names_of(loaded.leaf)


def _listens(loaded: Loaded) -> Listens:
    reached = (use for use in loaded.uses if not use.behind_proxy)
    return tuple(dict.fromkeys(place for use in reached for place in use.listens))


def _kind(loaded: Loaded) -> str:
    try:
        return loaded.leaf.key_type.partition(" ")[0]
    except Malformed:
        return ""


def _free(
    names: tuple[str, ...], listens: Listens, loaded: Loaded, taken: Mapping[str, object]
) -> str:
    address = f"{listens[0][0]}:{listens[0][1]}" if listens else loaded.path.name
    first = next((one for one in names if not one.startswith("*")), names[0] if names else "")
    name = first or address
    if name in taken:
        name = f"{name}@{address}"
    number = 2
    while name in taken:
        name = f"{first or address}@{address}-{number}"
        number += 1
    return name


def _site(
    read: HAProxyConfiguration,
    name: str,
    names: tuple[str, ...],
    listens: Listens,
    group: Iterable[Loaded],
) -> Site:
    held = list(group)
    return Site(
        name=name,
        place=held[0].place,
        certificates=tuple(CertificateAt(chain=one.path, place=one.place) for one in held),
        listens=listens,
        server_name=_server_name(names),
        verifies_clients=any(use.verifies for one in held for use in one.uses),
        stapling=", ".join(filter(None, dict.fromkeys(_stapling(read, one) for one in held))),
    )


def _server_name(names: tuple[str, ...]) -> str | None:
    hosts = [name for name in names if not is_address(name)]
    plain = next((name for name in hosts if "*" not in name), None)
    if plain is not None:
        return plain
    wild = next((name for name in hosts if name.startswith("*.")), None)
    return None if wild is None else f"www{wild[1:]}"


def _stapling(read: HAProxyConfiguration, loaded: Loaded) -> str:
    if updates(read, loaded):
        return "by ocsp-update"
    if loaded.ocsp is None or not _loads(read, "ocsp"):
        return ""
    name = loaded.ocsp_path.name
    return f"by {name}" if loaded.ocsp else f"by the admin socket ({name} is empty)"


def updates(read: HAProxyConfiguration, loaded: Loaded) -> bool:
    """Whether HAProxy fetches for this certificate by itself."""
    said = [use.entry[1].option("ocsp-update") for use in loaded.uses if use.entry is not None]
    return "on" in said or (read.updates_all and "off" not in said)


# -- what is wrong beside ----------------------------------------------------------------------


def _beside(read: HAProxyConfiguration, loaded: Loaded, at: datetime) -> Iterable[Trouble]:
    if loaded.ocsp is None or not _loads(read, "ocsp"):
        return
    issuer = known_issuer(read, loaded)
    path, where = loaded.ocsp_path, loaded.place
    if issuer is None:
        yield Trouble(
            code="haproxy-ocsp-issuer-unknown",
            message=f"{where}: {path} is there, but HAProxy finds no issuer of {loaded.path}: it "
            "does not start so",
            hint=f"put the issuer into {loaded.issuer_path}, or into {loaded.path} after the "
            "certificate: setup does the first where it finds the issuer",
            place=where,
            mendable=True,
        )
        return
    if not loaded.ocsp:
        return
    if not speaks_of(loaded.ocsp, loaded, issuer):
        yield Trouble(
            code="haproxy-ocsp-of-another",
            message=f"{where}: {path} is no response about the certificate in {loaded.path}, and "
            "HAProxy ignores it",
            hint="setup replaces it; look at who writes it (a script of an older certificate?)",
            place=where,
            mendable=True,
        )
        return
    basic = Response.parse(loaded.ocsp).basic
    ends = [one.next_update for one in basic.singles] if basic is not None else []
    latest = max((end for end in ends if end is not None), default=None)
    if latest is not None and at >= latest and not updates(read, loaded):
        yield Trouble(
            code="haproxy-ocsp-ended",
            message=f"{where}: the response in {path} ended at {latest:%Y-%m-%d %H:%M} UTC, and "
            "HAProxy sends none",
            hint="nobody renews it: use --mode keeper, or HAProxy 2.8 or newer",
            place=where,
            mendable=True,
        )
