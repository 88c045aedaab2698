"""What a request asks for beside its CertIDs: acceptable response types and preferred signature
algorithms, and which extensions are understood where. RFC 6960 4.4.3, 4.4.7; RFC 9654 for nonces.

Laws: a known extension whose value is not what its RFC has is `Malformed`, critical or not; one
that stands where no RFC puts it counts as not understood.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier, read_algorithm
from holdfast.ocsp.extension import (
    ACCEPTABLE_RESPONSES,
    NONCE,
    PREFERRED_SIGNATURE_ALGORITHMS,
    SERVICE_LOCATOR,
    Extension,
    find,
)
from holdfast.ocsp.request import Request

MAX_LISTED = 64  # response types or algorithms: there is one type, and a table of 16 algorithms

# A serviceLocator asks to be passed on to whoever is authoritative; who answers here is, or says
# that it is not (RFC 6960 4.4.6).
_IN_REQUEST = frozenset({NONCE, ACCEPTABLE_RESPONSES, PREFERRED_SIGNATURE_ALGORITHMS})
_IN_SINGLE = frozenset({SERVICE_LOCATOR})


class PreferredAlgorithm(NamedTuple):
    """One PreferredSignatureAlgorithm. `key`: the kind of key wanted, None when any will do."""

    signature: AlgorithmIdentifier
    key: AlgorithmIdentifier | None = None

    def encode(self) -> bytes:
        key = b"" if self.key is None else self.key.encode()
        return der.sequence(self.signature.encode(), key)


def not_understood(request: Request) -> str:
    """The OID of a critical extension that is not understood where it stands, "" when none."""
    for extension in request.extensions:
        if extension.critical and extension.oid not in _IN_REQUEST:
            return extension.oid
    for single in request.singles:
        for extension in single.extensions:
            if extension.critical and extension.oid not in _IN_SINGLE:
                return extension.oid
    return ""


# -- reading ----------------------------------------------------------------------------------


def acceptable_responses(extensions: tuple[Extension, ...]) -> tuple[str, ...] | None:
    """The response types the client takes, dotted; None when it does not say."""
    extension = find(extensions, ACCEPTABLE_RESPONSES)
    if extension is None:
        return None
    what, data = "OCSPRequest.acceptableResponses", extension.value
    start, stop = der.whole(data, der.SEQUENCE, what)
    found: list[str] = []
    while start < stop:
        if len(found) == MAX_LISTED:
            raise Malformed(what, f"more than {MAX_LISTED} response types")
        dotted, start = der.oid(data, start, stop, what)
        found.append(dotted)
    return tuple(found)


def preferred_algorithms(extensions: tuple[Extension, ...]) -> tuple[PreferredAlgorithm, ...]:
    """The signature algorithms the client prefers, the most preferred first."""
    extension = find(extensions, PREFERRED_SIGNATURE_ALGORITHMS)
    if extension is None:
        return ()
    what, data = "OCSPRequest.preferredSignatureAlgorithms", extension.value
    start, stop = der.whole(data, der.SEQUENCE, what)
    found: list[PreferredAlgorithm] = []
    while start < stop:
        if len(found) == MAX_LISTED:
            raise Malformed(what, f"more than {MAX_LISTED} algorithms")
        inner, after = der.take(data, start, stop, der.SEQUENCE, what)
        signature, inner = read_algorithm(data, inner, after, f"{what}.sigIdentifier")
        key = None
        if inner < after:
            key, inner = read_algorithm(data, inner, after, f"{what}.pubKeyAlgIdentifier")
            der.finish(inner, after, what)
        found.append(PreferredAlgorithm(signature, key))
        start = after
    return tuple(found)


# -- writing ----------------------------------------------------------------------------------


def acceptable_extension(*types: str) -> Extension:
    """acceptableResponses with `types`, dotted OIDs."""
    listed = der.sequence(*(der.encode_oid(dotted) for dotted in types))
    return Extension(ACCEPTABLE_RESPONSES, False, listed)


def preferred_extension(*preferred: PreferredAlgorithm) -> Extension:
    """preferredSignatureAlgorithms, the most preferred first."""
    listed = der.sequence(*(one.encode() for one in preferred))
    return Extension(PREFERRED_SIGNATURE_ALGORITHMS, False, listed)
