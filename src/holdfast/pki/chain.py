"""A chain: certificates in order, leaf first, and the issuer that the leaf's CertID needs.

Laws: pure; an issuer is believed only by its signature, key identifiers and names merely order the
search (K16). Trust is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from holdfast.errors import Malformed, OperatorError
from holdfast.pki.certificate import Certificate

MAX_CHAIN = 16  # certificates; OpenSSL's default verify depth is 100, real chains end at 5
MAX_WAYS = 64  # ways up that are tried: cross-certificates multiply them


@dataclass(frozen=True, slots=True)
class Chain:
    """`certificates`: leaf first, each signed by the next. `leftover`: given but not part of it."""

    certificates: tuple[Certificate, ...]
    leftover: tuple[Certificate, ...] = ()

    @property
    def leaf(self) -> Certificate:
        return self.certificates[0]

    @property
    def issuer(self) -> Certificate | None:
        """The leaf's issuer; the leaf itself when it is self-signed; None when it was not given."""
        if len(self.certificates) > 1:
            return self.certificates[1]
        return self.leaf if self.leaf.self_signed else None

    @property
    def complete(self) -> bool:
        """True when the last certificate is self-signed."""
        return self.certificates[-1].self_signed


def order(certificates: Sequence[Certificate], *, extra: Iterable[Certificate] = ()) -> Chain:
    """Put `certificates` in order, leaf first, whatever order they came in.

    The leaf is the first that is no CA and issued none of the others; failing that, the first that
    issued none; failing that, the first. Of several ways up the first that ends self-signed is
    taken, else the longest. `extra` certificates may become part of the chain but are not
    leftover. Raises `OperatorError` when `certificates` is empty.
    """
    if not certificates:
        raise OperatorError("no certificate given", hint="give a PEM or DER certificate file")
    leaf = leaf_of(certificates)
    pool: dict[bytes, list[Certificate]] = {}
    for certificate in dict.fromkeys([*certificates, *extra]):
        pool.setdefault(certificate.subject_der, []).append(certificate)

    @cache  # so that hostile pools cost each signature once
    def issuers(certificate: Certificate) -> tuple[Certificate, ...]:
        return tuple(_issuers(certificate, pool.get(certificate.issuer_der, ())))

    chain: tuple[Certificate, ...] = (leaf,)
    for way in islice(_ways_up((leaf,), issuers), MAX_WAYS):
        if way[-1].self_signed:
            chain = way
            break
        chain = max(chain, way, key=len)
    leftover = tuple(c for c in dict.fromkeys(certificates) if c not in chain)
    return Chain(chain, leftover)


def load_chain(*files: bytes, name: str = "") -> Chain:
    """The chain in `files` (PEM, DER, PKCS#7 or base64 each, in any order), leaf first.

    `name` stands in messages. Raises `OperatorError` when a file holds no certificate.
    """
    from holdfast.pki import pem

    return order([c for data in files for c in pem.certificates(data, name=name)])


def find_issuer(certificate: Certificate, candidates: Iterable[Certificate]) -> Certificate | None:
    """The candidate whose key signed `certificate`: key identifier and name match first, then the
    signature decides. Of several (renewed or cross-signed issuers) the one that ends last."""
    return next(_issuers(certificate, candidates), None)


def _issuers(certificate: Certificate, candidates: Iterable[Certificate]) -> Iterator[Certificate]:
    """All that `find_issuer` could choose, the best first."""
    named = [c for c in candidates if c.subject_der == certificate.issuer_der]
    wanted = _key_id(lambda: certificate.authority_key_id)
    named.sort(key=lambda c: c.not_after, reverse=True)
    named.sort(key=lambda c: wanted is None or _key_id(lambda: c.subject_key_id) != wanted)
    return (c for c in named if certificate.signed_by(c))


def _ways_up(
    chain: tuple[Certificate, ...], issuers: Callable[[Certificate], Sequence[Certificate]]
) -> Iterator[tuple[Certificate, ...]]:
    """Every maximal chain that begins with `chain`, depth first."""
    last = chain[-1]
    ended = len(chain) >= MAX_CHAIN or last.self_signed
    above = [] if ended else [c for c in issuers(last) if c not in chain]
    if not above:
        yield chain
    for issuer in above:
        yield from _ways_up((*chain, issuer), issuers)


def leaf_of(certificates: Sequence[Certificate]) -> Certificate:
    """The one that `order` would put first."""
    issued: dict[bytes, list[Certificate]] = {}
    for certificate in certificates:
        issued.setdefault(certificate.issuer_der, []).append(certificate)

    def rank(certificate: Certificate) -> tuple[bool, bool]:
        others = (c for c in issued.get(certificate.subject_der, ()) if c != certificate)
        return any(other.signed_by(certificate) for other in others), _is_ca(certificate)

    return min(certificates, key=rank)


# An extension that cannot be read orders nothing here; whoever asks for the fact itself is told.


def _key_id(fact: Callable[[], bytes | None]) -> bytes | None:
    try:
        return fact()
    except Malformed:
        return None


def _is_ca(certificate: Certificate) -> bool:
    try:
        return certificate.is_ca
    except Malformed:
        return False
