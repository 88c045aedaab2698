"""The chains of a site's certificates, and the issuers that are missing from them.

Laws: nothing is changed; an issuer is believed by its signature alone; of roots only the one that
issued the leaf itself is handed on, since no client needs another sent; what the operator gives
goes before the system's trust store, and both before the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from holdfast.errors import HoldfastError, Malformed, OperatorError
from holdfast.net.files import read_bounded
from holdfast.net.http_client import Http
from holdfast.net.issuers import is_url, issuer_of
from holdfast.ocsp.certid import Subject
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import MAX_CHAIN, find_issuer, order
from holdfast.setup.words import CertificateAt, Site, Trouble

TRUST_STORES = (  # as OpenSSL of each system reads it
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Alpine, Arch
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, RHEL
    Path("/etc/ssl/ca-bundle.pem"),  # SUSE
    Path("/etc/ssl/cert.pem"),  # the BSDs, macOS
    Path("/usr/local/share/certs/ca-root-nss.crt"),  # FreeBSD's port
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """One certificate of a site: its `subject`, for the responder (None where its issuer is not
    found or it cannot be read), and what its chain lacks, nearest first."""

    at: CertificateAt
    leaf: Certificate | None = None
    subject: Subject | None = None
    lacks: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """What was found of a site. `issuers`: what its chains lack, nearest first, once each."""

    site: Site
    certificates: tuple[Chained, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    @property
    def issuers(self) -> tuple[Certificate, ...]:
        found = (one for chained in self.certificates for one in chained.lacks)
        return tuple(dict.fromkeys(found))


async def chains_of(
    site: Site,
    http: Http | None,
    *,
    at: datetime,
    given: Sequence[Certificate] = (),
    trusted: Sequence[Certificate] | None = None,
) -> Chains:
    """The chains of `site`, completed from `given`, from `trusted` (None: the system's) and, with
    `http`, from where the certificates say (AIA)."""
    anchors = system_trust_store() if trusted is None else tuple(trusted)
    found: list[Chained] = []
    troubles: list[Trouble] = []
    for place in site.certificates:
        chained, told = await _chained(place, http, at=at, given=given, anchors=anchors)
        found.append(chained)
        troubles += told
    return Chains(site=site, certificates=tuple(found), troubles=tuple(troubles))


def certificates_from(files: Iterable[str | os.PathLike[str]]) -> tuple[Certificate, ...]:
    """The certificates in `files`, PEM, DER or PKCS#7 each; `OperatorError` names a file that
    holds none."""
    return tuple(
        certificate
        for file in files
        for certificate in pem.certificates(read_bounded(file), name=os.fspath(file))
    )


@lru_cache(maxsize=1)
def system_trust_store() -> tuple[Certificate, ...]:
    """What this machine trusts; () where it has no store that is known here."""
    for path in TRUST_STORES:
        try:
            return pem.certificates(read_bounded(path), name=str(path))
        except OperatorError:
            continue
    return ()


async def _chained(
    place: CertificateAt,
    http: Http | None,
    *,
    at: datetime,
    given: Sequence[Certificate],
    anchors: Sequence[Certificate],
) -> tuple[Chained, list[Trouble]]:
    try:
        held = [*certificates_from([place.chain]), *certificates_from(place.more)]
        chain = order(held[:1], extra=held)  # a server sends the first as its own, whatever it is
        troubles = _of_the_leaf(chain.leaf, place, at)
    except HoldfastError as error:
        return Chained(at=place), [_unreadable(place, error)]
    own = list(chain.certificates)
    if chain.issuer is not None:
        more = await _upwards(own, [*given, *anchors], http, quiet=True)
        subject = Subject.of(chain.leaf, chain.issuer)
        return Chained(at=place, leaf=chain.leaf, subject=subject, lacks=more), troubles
    try:
        issuer = await issuer_of(chain.leaf, http, beside=[*given, *anchors])
    except HoldfastError as error:
        return Chained(at=place, leaf=chain.leaf), [
            *troubles,
            _incomplete(chain.leaf, place, error),
        ]
    more = await _upwards([*own, issuer], [*given, *anchors], http, quiet=False)
    return (
        Chained(
            at=place,
            leaf=chain.leaf,
            subject=Subject.of(chain.leaf, issuer),
            lacks=(issuer, *more),
        ),
        troubles,
    )


async def _upwards(
    chain: Sequence[Certificate], pool: Sequence[Certificate], http: Http | None, *, quiet: bool
) -> tuple[Certificate, ...]:
    """The intermediates above `chain`, as far as they are found; () when it ends at a root, or at
    what a root in `pool` issued. `quiet`: the leaf has its issuer, so that the network is asked
    only where a certificate names an address."""
    found: list[Certificate] = []
    last = chain[-1]
    while not last.self_issued and len(chain) + len(found) < MAX_CHAIN:
        above = find_issuer(last, pool)
        if above is None and http is not None and (not quiet or any(map(is_url, last.issuer_urls))):
            try:
                above = await issuer_of(last, http)
            except HoldfastError:
                above = None
        if above is None or above.self_issued or above in found or above in chain:
            break
        found.append(above)
        last = above
    return tuple(found)


def _of_the_leaf(leaf: Certificate, place: CertificateAt, at: datetime) -> list[Trouble]:
    """What speaks against stapling for this certificate, whoever issued it."""
    told: list[Trouble] = []
    name = leaf.names[0] if leaf.names else leaf.subject
    if at > leaf.not_after:
        told.append(
            Trouble(
                code="certificate-ended",
                message=f"{place.chain}: the certificate of {name} ended at "
                f"{leaf.not_after:%Y-%m-%d %H:%M} UTC: responders do not answer for it any more",
                hint="renew it first, then run this again",
                place=place.place,
            )
        )
    if leaf.responder_urls:
        return told
    if _must_staple(leaf):
        message = (
            f"{place.chain}: the certificate of {name} says must-staple but names no OCSP "
            "responder: no staple can be had, and browsers refuse it without one"
        )
        hint = "have it issued again without must-staple, or by a CA that runs OCSP"
    elif leaf.self_issued:
        message = (
            f"{place.chain}: the certificate of {name} is self-signed: OCSP does not apply to it"
        )
        hint = "use a certificate of a CA; `holdfast ca` makes a private one with a responder"
    else:
        message = (
            f"{place.chain}: the certificate of {name} names no OCSP responder: its CA, "
            f"{leaf.issuer}, does not run OCSP for it, so there is nothing to staple"
        )
        hint = (
            "nothing to do: many CAs have ended OCSP, and clients use CRLs instead; --prune takes "
            "stapling lines out that have become dead"
        )
    told.append(
        Trouble(
            code="no-responder-url",
            message=message,
            hint=hint,
            place=place.place,
            fatal=_must_staple(leaf),
        )
    )
    return told


def _must_staple(leaf: Certificate) -> bool:
    try:
        return leaf.must_staple
    except Malformed:
        return False


def _incomplete(leaf: Certificate, place: CertificateAt, error: HoldfastError) -> Trouble:
    urls = [url for url in leaf.issuer_urls if is_url(url)]
    where = f" It should be at {urls[0]}, but {error.message}." if urls else ""
    full = place.chain.with_name(f"{place.chain.stem}.fullchain.pem")
    source = "--aia" if urls else "ISSUER.crt"
    return Trouble(
        code="chain-incomplete",
        message=f"{place.chain}: the issuer of {leaf.subject}, {leaf.issuer}, is in no file, and "
        f"without it no OCSP request can be made.{where}",
        hint=f"get the issuer's certificate from the CA and give it with --issuer; or make the "
        f"chain whole: holdfast bundle {place.chain} {source} --no-root -o {full}",
        place=place.place,
        fatal=True,
    )


def _unreadable(place: CertificateAt, error: HoldfastError) -> Trouble:
    return Trouble(
        code="certificate-unreadable",
        message=error.message,
        hint=error.hint or "run as a user that may read it, and look at the file",
        place=place.place,
        fatal=True,
    )
