"""A chain: certificates in order, leaf first, and the issuer that the leaf's CertID needs.

Laws: pure; an issuer is believed only by its signature, key identifiers and names merely order the
search (K16). Trust is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.errors import OperatorError
from holdfast.pki.certificate import Certificate

MAX_CHAIN = 16  # certificates; OpenSSL's default verify depth is 100, real chains end at 5


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
        leaf = self.certificates[0]
        return leaf if leaf.self_issued and leaf.signed_by(leaf) else None

    @property
    def complete(self) -> bool:
        """True when the last certificate is self-signed."""
        last = self.certificates[-1]
        return last.self_issued and last.signed_by(last)


def order(certificates: Sequence[Certificate], *, extra: Iterable[Certificate] = ()) -> Chain:
    """Put `certificates` in order, leaf first, whatever order they came in.

    The leaf is the first that is not a CA, or, if all are, the first that issued none of the
    others. `extra` certificates may become part of the chain but are not leftover. Raises
    `OperatorError` when `certificates` is empty.
    """
    if not certificates:
        raise OperatorError("no certificate given", hint="give a PEM or DER certificate file")
    leaf = _leaf(certificates)
    pool = list(dict.fromkeys([*certificates, *extra]))
    chain = [leaf]
    while len(chain) < MAX_CHAIN:
        found = find_issuer(chain[-1], [other for other in pool if other not in chain])
        if found is None:
            break
        chain.append(found)
    leftover = tuple(c for c in dict.fromkeys(certificates) if c not in chain)
    return Chain(tuple(chain), leftover)


def find_issuer(certificate: Certificate, candidates: Iterable[Certificate]) -> Certificate | None:
    """The candidate whose key signed `certificate`: key identifier and name match first, then the
    signature decides. Of several (renewed or cross-signed issuers) the one that ends last."""
    named = [c for c in candidates if c.subject_der == certificate.issuer_der]
    wanted = certificate.authority_key_id
    by_key = [c for c in named if wanted is not None and c.subject_key_id == wanted]
    for group in (by_key, named):
        for candidate in sorted(group, key=lambda c: c.not_after, reverse=True):
            if certificate.signed_by(candidate):
                return candidate
    return None


def _leaf(certificates: Sequence[Certificate]) -> Certificate:
    for certificate in certificates:
        if not certificate.is_ca:
            return certificate
    for certificate in certificates:
        issued = any(
            other != certificate and other.issuer_der == certificate.subject_der
            for other in certificates
        )
        if not issued:
            return certificate
    return certificates[0]
