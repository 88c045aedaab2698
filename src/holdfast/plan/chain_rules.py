"""What a server's chain is worth: order, completeness, trust, dates, names, strength.

Laws: pure; the roots are given; revocation is not looked at here. RFC 8446 4.4.2, RFC 5280 6.1,
RFC 9525 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from holdfast.errors import HoldfastError, Malformed
from holdfast.ocsp.findings import Finding, finding
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import Chain, find_issuer, order
from holdfast.pki.trust import Untrusted, name_matches, path_to
from holdfast.plan.report import LeafReport

MIN_RSA = 2048  # bits, CA/Browser Forum 6.1.5
MIN_EC = 224
WEAK_HASHES = frozenset({"md5", "sha1"})


def judge_chain(
    sent: Sequence[Certificate],
    *,
    servername: str,
    roots: Sequence[Certificate],
    fetched: Sequence[Certificate],
    at: datetime,
    into: list[Finding],
) -> LeafReport:
    """The report on the leaf `sent[0]`; findings go `into` the list.

    `fetched`: issuers found elsewhere (AIA). They help to judge the staple and the trust, and do
    not make the chain complete.
    """
    leaf = sent[0]
    way = _way(sent)
    top = way[-1]
    path = _path(leaf, sent, roots=roots, fetched=fetched, at=at)
    trusted = isinstance(path, Chain)
    # Not only of the top: a cross-certificate above the last that counts may lead elsewhere
    known = top.self_issued or any(c in roots for c in way)
    complete = known or any(find_issuer(c, roots) is not None for c in way)
    proper = _proper(leaf, path, sent=sent, way=way, fetched=fetched)
    missing = [] if complete else [c for c in proper if c not in sent]
    if not complete:
        into.append(_incomplete(top, missing))
    _order(sent, way, into)
    if isinstance(path, str):
        into.append(finding("chain-untrusted", reason=path))
    _dates([leaf, *(c for c in way[1:] if c not in roots)], at, into)
    if not name_matches(leaf, servername):
        names = ", ".join(leaf.names[:6]) or "no name at all"
        into.append(finding("certificate-name-mismatch", names=names, servername=servername))
    for certificate in way:
        _strength(certificate, into)
    issuer = find_issuer(leaf, [*sent[1:], *fetched, *roots])
    if issuer is None and leaf.self_issued and leaf.signed_by(leaf):
        issuer = leaf
    return LeafReport(leaf, tuple(sent), issuer, complete, trusted, tuple(proper), tuple(missing))


def _proper(
    leaf: Certificate,
    path: Chain | str,
    *,
    sent: Sequence[Certificate],
    way: Sequence[Certificate],
    fetched: Sequence[Certificate],
) -> list[Certificate]:
    """The chain to send: in order, what was missing added, what no client needs left out."""
    if isinstance(path, Chain):
        ordered = list(path.certificates)
    else:
        ordered = list(order([leaf], extra=[*sent[1:], *fetched]).certificates)
    proper = [c for c in ordered if c is ordered[0] or not c.self_issued]
    # The leaf's issuer is kept though it is a root: clients make the CertID from it
    if len(proper) == 1 and len(way) > 1:
        proper.append(way[1])
    return proper


def _incomplete(top: Certificate, missing: Sequence[Certificate]) -> Finding:
    names = "; ".join(c.subject for c in missing)
    how = (
        f"`holdfast check TARGET --save-chain FILE` writes it with {names}, as fetched from the CA"
        if missing
        else "the CA has it; `holdfast bundle` puts it in its place"
    )
    return finding("chain-incomplete", issuer=top.issuer, subject=top.subject, how=how)


def _way(sent: Sequence[Certificate]) -> list[Certificate]:
    """From the leaf upwards by what was sent."""
    way = [sent[0]]
    while len(way) <= len(sent):
        found = find_issuer(way[-1], [c for c in sent if c not in way])
        if found is None:
            break
        way.append(found)
    return way


def _path(
    leaf: Certificate,
    sent: Sequence[Certificate],
    *,
    roots: Sequence[Certificate],
    fetched: Sequence[Certificate],
    at: datetime,
) -> Chain | str:
    """The path to a root, or why there is none.

    Judged at an instant when the leaf is in date: that it has ended is another finding.
    """
    then = min(max(at, leaf.not_before), leaf.not_after)
    if not roots:
        return "no roots are known here"
    try:
        return path_to(leaf, roots, intermediates=[*sent[1:], *fetched], at=then)
    except Untrusted as error:
        return error.reason
    except HoldfastError as error:
        return error.message


def _order(sent: Sequence[Certificate], way: list[Certificate], into: list[Finding]) -> None:
    # A root is needless, except as the issuer of the leaf: clients make the CertID from it
    needed = [c for i, c in enumerate(way) if i < 2 or not c.self_issued]
    useless = [c for i, c in enumerate(sent) if c not in needed or c in sent[:i]]
    if [c for c in dict.fromkeys(sent) if c in needed] != needed:
        into.append(finding("chain-out-of-order"))
    if useless:
        subjects = "; ".join(c.subject for c in useless[:4])
        into.append(finding("chain-superfluous", count=len(useless), subjects=subjects))


def _dates(certificates: Sequence[Certificate], at: datetime, into: list[Finding]) -> None:
    for c in certificates:
        if at > c.not_after:
            into.append(finding("certificate-expired", subject=c.subject, not_after=c.not_after))
        elif at < c.not_before:
            into.append(
                finding("certificate-not-yet-valid", subject=c.subject, not_before=c.not_before)
            )


def _strength(certificate: Certificate, into: list[Finding]) -> None:
    try:
        key = certificate.public_key
    except Malformed:
        return
    weak = (
        (isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < MIN_EC)
        or isinstance(key, dsa.DSAPublicKey)
    )
    if weak:
        into.append(
            finding("chain-weak-key", subject=certificate.subject, key=certificate.key_type)
        )
    digest = _digest(certificate)
    if digest in WEAK_HASHES and not certificate.self_issued:
        into.append(
            finding("chain-weak-signature", subject=certificate.subject, algorithm=digest.upper())
        )


def _digest(certificate: Certificate) -> str:
    try:
        algorithm = certificate.x509.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return ""
    return "" if algorithm is None else algorithm.name
