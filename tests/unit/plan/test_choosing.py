"""Which signer answers (R13): the client's preference, its own algorithm, else our own first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier, scheme_of
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.request import Request
from holdfast.ocsp.request_extensions import PreferredAlgorithm, preferred_extension
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD
from holdfast.ocsp.verify import examine
from holdfast.plan.answering import Rules, answer
from holdfast.plan.choosing import choose, key_algorithm
from support.messages import signed_request
from support.pki import AT, BEGIN, a_root, a_server, a_signer

CA = a_root()


def signer_of(key_type: str, *, pss: bool = False, digest: str | None = None) -> Signer:
    made = a_signer(CA, f"Signer {key_type}", key_type=key_type)
    return Signer(made.certificate, made.key, CA.certificate, pss=pss, digest=digest)


RSA = signer_of("rsa-2048")
PSS = signer_of("rsa-2048", pss=True)
P256 = signer_of("ecdsa-p256")
P384 = signer_of("ecdsa-p384")
P384_SHA256 = signer_of("ecdsa-p384", digest="sha256")
ED = signer_of("ed25519")
ML = signer_of("ml-dsa-44")
ALL = (RSA, PSS, P256, P384, P384_SHA256, ED, ML)
ID = CertID.of(1, CA.certificate)

ECDSA_256 = AlgorithmIdentifier("1.2.840.10045.4.3.2")
CURVE_384 = AlgorithmIdentifier("1.2.840.10045.2.1", der.encode_oid("1.3.132.0.34"))
ANY_EC = AlgorithmIdentifier("1.2.840.10045.2.1")
SHA1_RSA = AlgorithmIdentifier("1.2.840.113549.1.1.5", der.NULL_DER)


def asking(*preferred: PreferredAlgorithm, critical: bool = False) -> Request:
    extension = preferred_extension(*preferred)
    return Request.build(
        ID, extensions=(Extension(extension.oid, critical, extension.value),) if preferred else ()
    )


def test_without_a_preference_the_responders_first_answers() -> None:
    assert choose(ALL, asking(), at=AT) is RSA
    assert choose((ED, RSA), asking(), at=AT) is ED
    assert choose((ED,), asking(PreferredAlgorithm(RSA.algorithm)), at=AT) is ED


@pytest.mark.parametrize("signer", ALL, ids=lambda one: one.certificate.subject)
def test_the_preferred_algorithm_is_made_and_verifies(signer: Signer) -> None:
    """For every kind of key; the answer is judged by our verifier."""
    request = asking(
        PreferredAlgorithm(SHA1_RSA),
        PreferredAlgorithm(AlgorithmIdentifier("1.2.3.4")),
        PreferredAlgorithm(signer.algorithm, key_algorithm(signer.certificate)),
        PreferredAlgorithm(RSA.algorithm),
    )
    chosen = choose(ALL, request, at=AT)
    assert chosen is signer
    given = answer(request, known={ID: GOOD}, signer=chosen, rules=Rules(), at=AT)
    response = Response.parse(given.der)
    assert response.basic is not None
    assert response.basic.signature_algorithm == signer.algorithm
    assert examine(response, Subject(1, CA.certificate), at=AT).good


def test_the_first_preference_that_can_be_met_counts() -> None:
    """RFC 6960 4.4.7.1: in the client's order."""
    both = (PreferredAlgorithm(ED.algorithm), PreferredAlgorithm(RSA.algorithm))
    assert choose(ALL, asking(*both), at=AT) is ED
    assert choose(ALL, asking(*reversed(both)), at=AT) is RSA


def test_the_kind_of_key_may_be_preferred_too() -> None:
    """The same ECDSA with SHA-256, by another curve."""
    assert choose(ALL, asking(PreferredAlgorithm(ECDSA_256)), at=AT) is P256
    assert choose(ALL, asking(PreferredAlgorithm(ECDSA_256, ANY_EC)), at=AT) is P256
    assert choose(ALL, asking(PreferredAlgorithm(ECDSA_256, CURVE_384)), at=AT) is P384_SHA256
    mixed = PreferredAlgorithm(ECDSA_256, key_algorithm(RSA.certificate))
    assert choose(ALL, asking(mixed), at=AT) is RSA  # nobody: our own first


def test_absent_parameters_ask_for_nothing_and_pss_is_not_pkcs1() -> None:
    absent = PreferredAlgorithm(AlgorithmIdentifier(RSA.algorithm.oid))
    assert choose((ED, RSA), asking(absent), at=AT) is RSA
    any_pss = PreferredAlgorithm(AlgorithmIdentifier(PSS.algorithm.oid))
    assert choose((RSA, PSS), asking(any_pss), at=AT) is PSS
    salted = PreferredAlgorithm(AlgorithmIdentifier(PSS.algorithm.oid, der.sequence()))
    assert choose((RSA, PSS), asking(salted), at=AT) is RSA
    exact = PreferredAlgorithm(PSS.algorithm)
    assert choose((RSA, PSS), asking(exact), at=AT) is PSS


def test_red_a_weak_preference_makes_no_weak_answer() -> None:
    """A downgrade by whoever writes the request: SHA-1 and MD5 are never made."""
    weak = [
        PreferredAlgorithm(AlgorithmIdentifier(f"1.2.840.113549.1.1.{n}", der.NULL_DER))
        for n in (4, 5)
    ]
    for critical in (False, True):
        chosen = choose(ALL, asking(*weak, critical=critical), at=AT)
        scheme = scheme_of(chosen.algorithm)
        assert scheme is not None
        assert not scheme.weak


def test_red_a_preferred_signer_that_may_not_sign_does_not() -> None:
    """V2, R15: out of date, of another CA, without the extended key usage."""
    ended = a_signer(CA, "Ended", key_type="ed25519", lifetime=timedelta(days=1))
    foreign = a_signer(a_root("Another"), "Foreign", key_type="ed25519")
    unfit = a_signer(CA, "Unfit", key_type="ed25519", eku=())
    for made in (ended, foreign, unfit):
        twin = Signer(made.certificate, made.key, CA.certificate)
        request = asking(PreferredAlgorithm(ED.algorithm))
        assert choose((RSA, twin), request, at=AT) is RSA
        assert choose((RSA, twin, ED), request, at=AT) is ED
        assert choose((twin, RSA), asking(), at=AT) is RSA
    early = Signer(ended.certificate, ended.key, CA.certificate)
    at = BEGIN + timedelta(hours=1)
    assert choose((RSA, early), asking(PreferredAlgorithm(ED.algorithm)), at=at) is early


def test_where_nobody_may_sign_the_first_says_why() -> None:
    ended = a_signer(CA, "Ended", lifetime=timedelta(days=1))
    twin = Signer(ended.certificate, ended.key, CA.certificate)
    assert choose((twin, twin), asking(), at=AT) is twin


def test_the_algorithm_a_request_is_signed_with_comes_after_preferences() -> None:
    """RFC 6960 4.4.7.2, 3: who signs with it can check it."""
    client = a_server(CA, "client.test", key_type="ed25519")
    assert choose(ALL, signed_request(asking(), client), at=AT) is ED
    preferring = signed_request(asking(PreferredAlgorithm(PSS.algorithm)), client)
    assert choose(ALL, preferring, at=AT) is PSS
    other = a_server(CA, "other.test", key_type="ecdsa-p521")
    assert choose(ALL, signed_request(asking(), other), at=AT) is RSA
