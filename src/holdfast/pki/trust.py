"""Trust: a path from a certificate up to an anchor, and which host names a certificate is for.

Laws: pure; the instant is `at`; revocation is not looked at. Paths are RFC 5280 6.1 as
`cryptography.x509.verification` builds them, with extension rules left permissive, because CAs,
delegated signers and private CAs' certificates are judged here as well as web servers'.
Names are RFC 9525: subjectAltName only, never the common name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from holdfast.errors import HoldfastError, Malformed, OperatorError
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import MAX_CHAIN, Chain, find_issuer, order
from holdfast.pki.names import any_covers, is_address, wire_name
from holdfast.pki.unreadable import UNREADABLE


class Untrusted(HoldfastError):
    """No path leads from the certificate to an anchor; `reason` says why in a few words."""

    def __init__(self, certificate: Certificate, reason: str) -> None:
        super().__init__(
            f"{certificate.subject}: no trusted path: {reason}",
            hint="give the CA that it must end at, and every intermediate between",
        )
        self.reason = reason


def path_to(
    certificate: Certificate,
    anchors: Sequence[Certificate],
    *,
    intermediates: Iterable[Certificate] = (),
    at: datetime,
) -> Chain:
    """The chain from `certificate` to one of `anchors`, both in it; `Untrusted` when there is none.

    An anchor may be any CA, an intermediate too, and must be in date like the rest; a certificate
    that is itself an anchor is its own path, whatever its dates.
    """
    if not anchors:
        raise OperatorError("no trust anchor given", hint="give at least one CA certificate")
    if certificate in anchors:
        return Chain((certificate,))
    given = list(dict.fromkeys(intermediates))
    permitted = ExtensionPolicy.permit_all()
    issuers = permitted.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _may_issue)
    try:
        verifier = (
            PolicyBuilder()
            .store(_store(tuple(anchors)))
            .time(at)
            .max_chain_depth(MAX_CHAIN)
            .extension_policies(ca_policy=issuers, ee_policy=permitted)
            .build_client_verifier()
        )
        verified = verifier.verify(certificate.x509, [c.x509 for c in given])
    except (VerificationError, *UNREADABLE) as error:
        way = order([certificate], extra=[*given, *anchors]).certificates
        if "Forbidden" in str(error):  # Ed25519 and Ed448, which the web's rules leave out
            plain = _plain_path(certificate, anchors, given, at)
            if plain is not None:
                return plain
        raise Untrusted(certificate, _reason(way, anchors, at, error)) from error
    return Chain(tuple(Certificate.of(c) for c in verified.chain))


@lru_cache(maxsize=4)
def _store(anchors: tuple[Certificate, ...]) -> Store:
    """Of the trust that many checks have in common."""
    return Store([anchor.x509 for anchor in anchors])


def _plain_path(
    certificate: Certificate,
    anchors: Sequence[Certificate],
    intermediates: Sequence[Certificate],
    at: datetime,
) -> Chain | None:
    """A path by the parts of RFC 5280 6.1 that need no policies: signatures, dates, CA, path
    length, key usage. An issuer with any other critical extension ends the search."""
    path = [certificate]
    while len(path) < MAX_CHAIN:
        last = path[-1]
        if not last.in_date(at):
            return None
        usable = [c for c in anchors if c not in path and _plain_issuer(c, len(path) - 1)]
        anchor = find_issuer(last, usable)
        if anchor is not None and anchor.in_date(at):
            return Chain((*path, anchor))
        usable = [c for c in intermediates if c not in path and _plain_issuer(c, len(path) - 1)]
        issuer = find_issuer(last, (c for c in usable if c.in_date(at)))
        if issuer is None:
            return None
        path.append(issuer)
    return None


_PLAIN = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid})


def _plain_issuer(certificate: Certificate, below: int) -> bool:
    """True when `certificate` may issue with `below` CAs between it and the leaf."""
    try:
        critical = {e.oid for e in certificate.x509.extensions if e.critical}
        constraints = certificate.extension(x509.BasicConstraints.oid)
        usage = certificate.extension(x509.KeyUsage.oid)
    except (*UNREADABLE, Malformed):
        return False
    if not critical <= _PLAIN or not certificate.is_ca or constraints is None:
        return False
    if certificate.extension(x509.NameConstraints.oid) is not None:
        return False
    if usage is not None and not (
        isinstance(usage.value, x509.KeyUsage) and usage.value.key_cert_sign
    ):
        return False
    length = getattr(constraints.value, "path_length", None)
    return length is None or below <= length


def _may_issue(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("an issuer that is not a CA")


def _reason(
    way: Sequence[Certificate], anchors: Sequence[Certificate], at: datetime, error: Exception
) -> str:
    """The commonest causes in our words, the verifier's for the rest."""
    for certificate in way:
        if not certificate.in_date(at):
            return f"{certificate.subject} is not in date at {at:%Y-%m-%dT%H:%M:%SZ}"
    last = way[-1]
    if last not in anchors:
        if last.self_issued:
            return f"it ends at {last.subject}, which is not trusted"
        return f"the issuer of {last.subject}, {last.issuer}, was not given"
    words = str(error).removeprefix("validation failed: ").removeprefix("candidates exhausted: ")
    return words.split(" (encountered processing", 1)[0]


def name_matches(certificate: Certificate, host: str) -> bool:
    """True when `certificate` is for `host`, a DNS name or an IP address (RFC 9525 6)."""
    found = certificate.extension(x509.SubjectAlternativeName.oid)
    if found is None or not isinstance(found.value, x509.SubjectAlternativeName):
        return False
    bare = host.removeprefix("[").removesuffix("]")
    if is_address(bare):
        kinds: type[x509.IPAddress] | type[x509.DNSName] = x509.IPAddress
        wanted = bare
    else:
        kinds = x509.DNSName
        try:
            wanted = wire_name(bare)
        except OperatorError:
            return False
    names = (str(name.value) for name in found.value if isinstance(name, kinds))
    return "*" not in wanted and any_covers(names, wanted)
