"""Signature algorithms: what is signed verifies, the table is closed, weak ones are named (V4)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519

from holdfast.errors import Malformed, OperatorError
from holdfast.ocsp import der
from holdfast.ocsp.algorithms import (
    RSA_PSS,
    AlgorithmIdentifier,
    read_algorithm,
    scheme_of,
    signing,
    signing_together,
)
from support.builders import (
    ECDSA_OIDS,
    RSA_OIDS,
    key_from,
    pss_parameters,
    rsa_pkcs1,
    rsa_pss,
    signature,
)

KINDS = (
    "rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "ed448", "ml-dsa-44",
    "ml-dsa-65", "ml-dsa-87",
)  # fmt: skip
MESSAGE = b"ResponseData"
RSA = key_from("algorithms", "rsa-2048")


def verifies(algorithm: AlgorithmIdentifier, key: Any, made: bytes, message: bytes) -> bool:
    scheme = scheme_of(algorithm)
    assert scheme is not None
    return scheme.verifies(key.public_key(), made, message)


@pytest.mark.parametrize("kind", KINDS)
def test_v4_what_is_signed_verifies_and_nothing_else_does(kind: str) -> None:
    key = key_from("algorithms", kind)
    algorithm, make = signing(key)
    made = make(MESSAGE)
    assert verifies(algorithm, key, made, MESSAGE)
    assert not verifies(algorithm, key, made, MESSAGE + b"!")
    assert not verifies(algorithm, key, made[:-1], MESSAGE)
    assert not verifies(algorithm, key, b"", MESSAGE)
    assert not verifies(algorithm, key_from("stranger", kind), made, MESSAGE)


@pytest.mark.parametrize("kind", KINDS)
def test_v4_what_is_signed_together_is_as_if_signed_alone(kind: str) -> None:
    key = key_from("algorithms", kind)
    messages = [MESSAGE + bytes([number]) for number in range(5)]
    ways = [{}, {"digest": "sha512"}] if kind.startswith(("rsa", "ecdsa")) else [{}]
    for way in [*ways, *([{"pss": True}] if kind.startswith("rsa") else [])]:
        algorithm, _ = signing(key, **way)  # type: ignore[arg-type]
        made = signing_together(key, **way)(messages)  # type: ignore[arg-type]
        assert len(made) == len(messages)
        for message, one in zip(messages, made, strict=True):
            assert verifies(algorithm, key, one, message)
            assert not verifies(algorithm, key, one, MESSAGE)
    assert signing_together(key)([]) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_v4_a_key_of_another_kind_never_verifies(kind: str, other: str) -> None:
    """No scheme falls over a key that is not its own."""
    key = key_from("algorithms", kind)
    algorithm, make = signing(key)
    stranger = key_from("stranger", other)
    assert not verifies(algorithm, stranger, make(MESSAGE), MESSAGE)


@pytest.mark.parametrize(
    ("kind", "digest", "oid"),
    [
        ("rsa-2048", None, "1.2.840.113549.1.1.11"),
        ("rsa-2048", "sha512", "1.2.840.113549.1.1.13"),
        ("ecdsa-p256", None, ECDSA_OIDS["sha256"]),
        ("ecdsa-p384", None, ECDSA_OIDS["sha384"]),
        ("ecdsa-p521", None, ECDSA_OIDS["sha512"]),
        ("ecdsa-p521", "sha256", ECDSA_OIDS["sha256"]),
        ("ed25519", None, "1.3.101.112"),
        ("ed448", None, "1.3.101.113"),
        ("ml-dsa-44", None, "2.16.840.1.101.3.4.3.17"),
        ("ml-dsa-65", None, "2.16.840.1.101.3.4.3.18"),
        ("ml-dsa-87", None, "2.16.840.1.101.3.4.3.19"),
    ],
)
def test_the_algorithm_fits_the_key(kind: str, digest: str | None, oid: str) -> None:
    """R13."""
    algorithm, _ = signing(key_from("algorithms", kind), digest=digest)
    assert algorithm.oid == oid
    assert algorithm.parameters == (der.NULL_DER if kind.startswith("rsa") else b"")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_v4_pss_both_ways(digest: str) -> None:
    algorithm, make = signing(RSA, pss=True, digest=digest)
    assert algorithm == AlgorithmIdentifier(
        RSA_PSS, pss_parameters(digest, digest, int(digest[3:]) // 8)
    )
    assert verifies(algorithm, RSA, make(MESSAGE), MESSAGE)
    by_hand = rsa_pss(RSA, MESSAGE, digest)
    assert by_hand[0] == algorithm
    assert verifies(algorithm, RSA, by_hand[1], MESSAGE)
    assert not verifies(algorithm, RSA, by_hand[1], MESSAGE + b"!")


@pytest.mark.parametrize("digest", RSA_OIDS)
def test_v4_rsa_made_by_hand(digest: str) -> None:
    """SHA-1 and MD5 verify, so that they can be told apart from forgeries; they are weak."""
    algorithm, made = rsa_pkcs1(RSA, MESSAGE, digest)
    scheme = scheme_of(algorithm)
    assert scheme is not None
    assert scheme.weak == {"md5": "MD5", "sha1": "SHA-1"}.get(digest, "")
    assert digest == "md5" or scheme.verifies(RSA.public_key(), made, MESSAGE)
    assert not scheme.verifies(RSA.public_key(), made, b"")


@pytest.mark.parametrize("digest", ECDSA_OIDS)
def test_v4_ecdsa_by_every_hash(digest: str) -> None:
    key = key_from("algorithms")
    algorithm, made = signature(key, MESSAGE, digest=digest)
    scheme = scheme_of(algorithm)
    assert scheme is not None
    assert scheme.weak == ("SHA-1" if digest == "sha1" else "")
    assert scheme.verifies(key.public_key(), made, MESSAGE)


@pytest.mark.parametrize(
    "algorithm",
    [
        AlgorithmIdentifier("1.2.3"),
        AlgorithmIdentifier("1.2.840.113549.1.1.1", der.NULL_DER),  # rsaEncryption
        AlgorithmIdentifier("1.2.840.113549.1.1.2", der.NULL_DER),  # MD2
        AlgorithmIdentifier("1.2.840.113549.1.1.11", b"\x02\x01\x00"),
        AlgorithmIdentifier(ECDSA_OIDS["sha256"], der.NULL_DER),
        AlgorithmIdentifier("1.3.101.112", der.NULL_DER),
        AlgorithmIdentifier("2.16.840.1.101.3.4.3.17", der.NULL_DER),
        AlgorithmIdentifier(RSA_PSS),
        AlgorithmIdentifier(RSA_PSS, der.NULL_DER),
        AlgorithmIdentifier(RSA_PSS, pss_parameters("sha256", "sha512", 32)),
        AlgorithmIdentifier(RSA_PSS, pss_parameters("sha256", "sha1", 32)),
        AlgorithmIdentifier(RSA_PSS, pss_parameters("sha256", "sha256", 513)),
        AlgorithmIdentifier(RSA_PSS, pss_parameters("sha256", "sha256", -1)),
        AlgorithmIdentifier(RSA_PSS, pss_parameters("md5", "md5", 16)),
        AlgorithmIdentifier(RSA_PSS, pss_parameters("sha256", "sha256", 32) + b"\x00"),
        AlgorithmIdentifier(RSA_PSS, der.sequence(der.tlv(0xA3, der.encode_integer(2)))),
        AlgorithmIdentifier(RSA_PSS, der.sequence(der.tlv(0xA4, der.encode_integer(1)))),
        AlgorithmIdentifier(
            RSA_PSS, der.sequence(der.tlv(0xA1, der.sequence(der.encode_oid("1.2.3"))))
        ),
    ],
)
def test_v4_the_table_is_closed(algorithm: AlgorithmIdentifier) -> None:
    """What is not in it, or has other parameters, is no scheme at all."""
    assert scheme_of(algorithm) is None


def test_v4_pss_at_its_defaults_is_sha1() -> None:
    scheme = scheme_of(AlgorithmIdentifier(RSA_PSS, der.sequence()))
    assert scheme is not None
    assert (scheme.name, scheme.weak) == ("RSA-PSS with SHA-1", "SHA-1")


def test_other_keys_cannot_sign() -> None:
    with pytest.raises(OperatorError, match="X25519PrivateKey cannot sign OCSP responses") as told:
        signing(x25519.X25519PrivateKey.generate())
    assert told.value.hint


def test_algorithms_are_read_at_their_place() -> None:
    data = b"before" + AlgorithmIdentifier("1.2.3", b"\x05\x00").encode() + b"after"
    read, after = read_algorithm(data, 6, len(data), "Noun")
    assert read == AlgorithmIdentifier("1.2.3", b"\x05\x00")
    assert data[after:] == b"after"


@pytest.mark.parametrize(
    ("parts", "match", "offset"),
    [
        ((), "missing", 8),
        ((b"\x06\x01\x80",), "not DER", 10),
        ((b"\x06\x01\x2a\x30\x80",), "indefinite", 11),
        ((b"\x06\x01\x2a\x05\x00\x05\x00",), "2 trailing bytes", 13),
    ],
)
def test_malformed_algorithms_say_where(parts: tuple[bytes, ...], match: str, offset: int) -> None:
    """The offset counts from the start of the message, also out of a cache."""
    data = b"before" + der.sequence(*parts) + b"after"
    for _ in range(2):
        with pytest.raises(Malformed, match=match) as caught:
            read_algorithm(data, 6, len(data), "Noun")
        assert caught.value.offset == offset
