"""Which of several signers answers a request: R13, RFC 6960 4.4.7.2.

Laws: among signers that may sign now, what the client prefers comes first, in its order; then the
algorithm that it signed with; then the responder's own first. Nobody is chosen for a preference who
could not otherwise sign: what clients prefer cannot weaken an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Protocol, TypeVar

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier, read_algorithm
from holdfast.ocsp.request import Request
from holdfast.ocsp.request_extensions import PreferredAlgorithm, preferred_algorithms
from holdfast.pki.certificate import Certificate


class Candidate(Protocol):
    """What is asked of a signer here."""

    @property
    def certificate(self) -> Certificate: ...

    @property
    def algorithm(self) -> AlgorithmIdentifier: ...

    def objection(self, at: datetime, /) -> str: ...


Chosen = TypeVar("Chosen", bound=Candidate)


def choose(signers: Sequence[Chosen], request: Request, *, at: datetime) -> Chosen:
    """The one of `signers`, the responder's own first choice first, that answers `request`.

    Where none may sign at `at` the first: its objection is then what is told.
    """
    able = [signer for signer in signers if not signer.objection(at)] or list(signers[:1])
    if len(able) > 1:
        for preferred in preferred_algorithms(request.extensions):
            for signer in able:
                if fits(preferred, signer):
                    return signer
        if request.signature is not None:
            used = PreferredAlgorithm(request.signature.algorithm)
            for signer in able:
                if fits(used, signer):
                    return signer
    return able[0]


def fits(preferred: PreferredAlgorithm, signer: Candidate) -> bool:
    """True when what `signer` makes is what is preferred."""
    if not _same(preferred.signature, signer.algorithm):
        return False
    return preferred.key is None or _same(preferred.key, key_algorithm(signer.certificate))


@lru_cache(maxsize=256)
def key_algorithm(certificate: Certificate) -> AlgorithmIdentifier:
    """The kind of key in `certificate`: its subjectPublicKeyInfo's algorithm."""
    spki = certificate.spki_der
    start, stop = der.whole(spki, der.SEQUENCE, "SubjectPublicKeyInfo")
    return read_algorithm(spki, start, stop, "SubjectPublicKeyInfo.algorithm")[0]


def _same(wanted: AlgorithmIdentifier, made: AlgorithmIdentifier) -> bool:
    """Absent parameters ask for nothing: any curve, any PSS."""
    return wanted.oid == made.oid and wanted.parameters in (b"", made.parameters)
