"""Building blocks of OCSP messages for tests: keys from names, signatures and lies of any kind.

Everything here is a function of its arguments (ML-DSA signatures excepted), so that a vector file
can be minted again and come out the same:

    ca = resigned(issue.root("Vector CA", key=key_from("ca"), serial=1, at=BEGIN), ...)
    Forge(key_from("ca")).response(tbs)                 # signed as its key usually signs
    rsa_pkcs1(key, tbs, "md5")                          # by the raw private operation

No private key is kept anywhere: `key_from("ca")` is derived from the word "ca". The keys are for
tests and worth nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from math import gcd, isqrt
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier, signing
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension, encode_extensions
from holdfast.ocsp.response import (
    BASIC,
    ResponderID,
    ResponderKey,
    ResponderName,
    SingleResponse,
    encode_responder_id,
)
from holdfast.pki.certificate import Certificate

_CURVES: dict[str, ec.EllipticCurve] = {
    "ecdsa-p256": ec.SECP256R1(),
    "ecdsa-p384": ec.SECP384R1(),
    "ecdsa-p521": ec.SECP521R1(),
}
_ORDERS = {
    "ecdsa-p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ecdsa-p384": (1 << 384) - (1 << 190),  # a little below the order, which is all that matters
    "ecdsa-p521": (1 << 521) - (1 << 261),
}
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
HASH_OIDS = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha224": "2.16.840.1.101.3.4.2.4",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
RSA_OIDS = {"md5": 4, "sha1": 5, "sha224": 14, "sha256": 11, "sha384": 12, "sha512": 13}
ECDSA_OIDS = {
    "sha1": "1.2.840.10045.4.1",
    "sha224": "1.2.840.10045.4.3.1",
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}


# -- keys -------------------------------------------------------------------------------------


@cache
def key_from(who: str, kind: str = "ecdsa-p256") -> Any:
    """The private key of `kind` that belongs to the word `who`, the same on every machine."""
    seed = f"holdfast test key: {kind} of {who}"
    match kind:
        case "rsa-2048":
            return _rsa_key(seed)
        case "ed25519":
            return ed25519.Ed25519PrivateKey.from_private_bytes(_octets(seed, 32))
        case "ed448":
            return ed448.Ed448PrivateKey.from_private_bytes(_octets(seed, 57))
        case "ml-dsa-44":
            return mldsa.MLDSA44PrivateKey.from_seed_bytes(_octets(seed, 32))
        case "ml-dsa-65":
            return mldsa.MLDSA65PrivateKey.from_seed_bytes(_octets(seed, 32))
        case "ml-dsa-87":
            return mldsa.MLDSA87PrivateKey.from_seed_bytes(_octets(seed, 32))
        case _:
            number = int.from_bytes(_octets(seed, 80), "big") % (_ORDERS[kind] - 1) + 1
            return ec.derive_private_key(number, _CURVES[kind])


def _octets(seed: str, count: int) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(count)


_SMALL = [p for p in range(3, 2000) if all(p % q for q in range(2, isqrt(p) + 1))]


def _rsa_key(seed: str) -> rsa.RSAPrivateKey:
    p, q = (_prime(f"{seed}, {name}") for name in "pq")
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1) // gcd(p - 1, q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    )
    return numbers.private_key()


def _prime(seed: str, bits: int = 1024) -> int:
    number = int.from_bytes(_octets(seed, bits // 8), "big") | 3 << (bits - 2) | 1
    while any(number % p == 0 for p in _SMALL) or not _probably_prime(number):
        number += 2
    return number


def _probably_prime(number: int) -> bool:
    """Miller-Rabin to the bases of the first primes."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19):
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = pow(power, 2, number)
            if power == number - 1:
                break
        else:
            return False
    return True


# -- signatures -------------------------------------------------------------------------------


def signature(key: Any, message: bytes, *, digest: str = "") -> tuple[AlgorithmIdentifier, bytes]:
    """(algorithm, signature) as `key` usually signs, ECDSA by RFC 6979: the same each time."""
    match key:
        case rsa.RSAPrivateKey():
            return rsa_pkcs1(key, message, digest or "sha256")
        case ec.EllipticCurvePrivateKey():
            short = digest or {384: "sha384", 521: "sha512"}.get(key.curve.key_size, "sha256")
            how = ec.ECDSA(_DIGESTS[short], deterministic_signing=True)
            return AlgorithmIdentifier(ECDSA_OIDS[short]), key.sign(message, how)
        case _:
            algorithm, make = signing(key)
            return algorithm, make(message)


def rsa_pkcs1(
    key: rsa.RSAPrivateKey, message: bytes, digest: str, *, parameters: bytes = der.NULL_DER
) -> tuple[AlgorithmIdentifier, bytes]:
    """RFC 8017 8.2.1 by hand, for the hashes that libraries rightly refuse to sign."""
    hashed = hashlib.new(digest, message, usedforsecurity=False).digest()
    info = der.sequence(
        der.sequence(der.encode_oid(HASH_OIDS[digest]), der.NULL_DER), der.octet_string(hashed)
    )
    size = (key.key_size + 7) // 8
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(info)) + b"\x00" + info
    oid = f"1.2.840.113549.1.1.{RSA_OIDS[digest]}"
    return AlgorithmIdentifier(oid, parameters), _rsa_operation(key, padded)


def rsa_pss(
    key: rsa.RSAPrivateKey,
    message: bytes,
    digest: str,
    *,
    mask: str = "",
    salt: bytes | None = None,
    parameters: bytes | None = None,
) -> tuple[AlgorithmIdentifier, bytes]:
    """RFC 8017 8.1.1 and 9.1.1 with a salt from the message; `parameters` may lie about it."""
    mask = mask or digest
    hashed = hashlib.new(digest, message, usedforsecurity=False).digest()
    salt = hashed[::-1] if salt is None else salt
    size = (key.key_size + 7) // 8
    block = hashlib.new(digest, bytes(8) + hashed + salt, usedforsecurity=False).digest()
    data = bytes(size - len(salt) - len(block) - 2) + b"\x01" + salt
    masked = bytes(a ^ b for a, b in zip(data, _mgf1(block, len(data), mask), strict=True))
    padded = bytes((masked[0] & 0x7F,)) + masked[1:] + block + b"\xbc"
    if parameters is None:
        parameters = pss_parameters(digest, mask, len(salt))
    return AlgorithmIdentifier("1.2.840.113549.1.1.10", parameters), _rsa_operation(key, padded)


def pss_parameters(digest: str, mask: str, salt: int) -> bytes:
    """RSASSA-PSS-params in DER: what equals its default (SHA-1, 20) is left away."""
    parts = b""
    if digest != "sha1":
        parts += der.tlv(0xA0, _hash_identifier(digest))
    if mask != "sha1":
        mgf1 = der.encode_oid("1.2.840.113549.1.1.8")
        parts += der.tlv(0xA1, der.sequence(mgf1, _hash_identifier(mask)))
    if salt != 20:
        parts += der.tlv(0xA2, der.encode_integer(salt))
    return der.sequence(parts)


def _hash_identifier(name: str) -> bytes:
    return der.sequence(der.encode_oid(HASH_OIDS[name]), der.NULL_DER)


def _mgf1(seed: bytes, size: int, digest: str) -> bytes:
    made = b""
    for counter in range(size // 20 + 1):
        block = seed + counter.to_bytes(4, "big")
        made += hashlib.new(digest, block, usedforsecurity=False).digest()
    return made[:size]


def _rsa_operation(key: rsa.RSAPrivateKey, padded: bytes) -> bytes:
    numbers = key.private_numbers()
    made = pow(int.from_bytes(padded, "big"), numbers.d, numbers.public_numbers.n)
    return made.to_bytes(len(padded), "big")


def resigned(
    certificate: Certificate, key: Any, *, digest: str = "", extra: bytes = b""
) -> Certificate:
    """`certificate` with its signature made again by `key`, the same each time.

    `digest` may be one that libraries refuse; the algorithm inside TBSCertificate follows it.
    """
    algorithm, _ = signature(key, b"", digest=digest)
    tbs = _with_algorithm(certificate.x509.tbs_certificate_bytes, algorithm.encode())
    _, made = signature(key, tbs, digest=digest)
    return Certificate(der.sequence(tbs, algorithm.encode(), der.encode_bit_string(made)) + extra)


def _with_algorithm(tbs: bytes, algorithm: bytes) -> bytes:
    """TBSCertificate with `algorithm` in its field `signature` (RFC 5280 4.1.2.3)."""
    parts = children(tbs)
    number = 2 if parts[0][0] == 0xA0 else 1
    parts[number] = algorithm
    return der.sequence(*parts)


def with_key(certificate: Certificate, spki: bytes, key: Any) -> bytes:
    """The DER of `certificate` with another SubjectPublicKeyInfo, signed again by `key`."""
    parts = children(certificate.x509.tbs_certificate_bytes)
    parts[parts.index(certificate.spki_der)] = spki
    algorithm, made = signature(key, tbs := der.sequence(*parts))
    return der.sequence(tbs, algorithm.encode(), der.encode_bit_string(made))


def children(data: bytes) -> list[bytes]:
    """The elements inside the one element `data`, each whole."""
    _, position, end = der.element(data, 0, len(data), "element")
    found = []
    while position < end:
        _, _, stop = der.element(data, position, end, "element")
        found.append(data[position:stop])
        position = stop
    return found


# -- responses --------------------------------------------------------------------------------


def by_key(certificate: Certificate) -> ResponderKey:
    return ResponderKey(hashlib.sha1(certificate.key_octets, usedforsecurity=False).digest())


def by_name(certificate: Certificate) -> ResponderName:
    return ResponderName(certificate.subject_der)


def response_data(
    responder_id: ResponderID | bytes,
    produced_at: datetime | bytes,
    singles: Iterable[SingleResponse | bytes],
    extensions: Sequence[Extension] | bytes = (),
    *,
    version: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """ResponseData whose every part may be given as bytes, right or wrong."""
    responder = (
        responder_id if isinstance(responder_id, bytes) else encode_responder_id(responder_id)
    )
    produced = produced_at if isinstance(produced_at, bytes) else der.encode_time(produced_at)
    listed = [one if isinstance(one, bytes) else one.encode() for one in singles]
    last = extensions if isinstance(extensions, bytes) else encode_extensions(1, tuple(extensions))
    return der.sequence(version, responder, produced, der.sequence(*listed), last, after)


def single_response(
    certid: CertID | bytes,
    certificate_status: bytes = b"\x80\x00",
    *,
    this_update: bytes,
    next_update: bytes = b"",
    extensions: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """SingleResponse from bytes, right or wrong."""
    named = certid if isinstance(certid, bytes) else certid.encode()
    return der.sequence(named, certificate_status, this_update, next_update, extensions, after)


def basic_response(
    tbs: bytes,
    algorithm: bytes,
    signature_bits: bytes,
    certificates: Iterable[Certificate | bytes] = (),
    *,
    after: bytes = b"",
) -> bytes:
    """BasicOCSPResponse; `algorithm` and `signature_bits` are whole elements."""
    sent = [one if isinstance(one, bytes) else one.der for one in certificates]
    certs = der.tlv(0xA0, der.sequence(*sent)) if sent else b""
    return der.sequence(tbs, algorithm, signature_bits, certs, after)


def wrapped(basic: bytes, *, kind: str = BASIC, code: bytes = b"\x0a\x01\x00") -> bytes:
    """The OCSPResponse round `basic`."""
    inner = der.sequence(der.encode_oid(kind), der.octet_string(basic))
    return der.sequence(code, der.tlv(0xA0, inner))


def signed_response(
    key: Any,
    tbs: bytes,
    certificates: Iterable[Certificate | bytes] = (),
    *,
    digest: str = "",
    made: tuple[AlgorithmIdentifier, bytes] | None = None,
) -> bytes:
    """A whole OCSPResponse: `tbs` signed by `key`, or with the signature `made`."""
    algorithm, octets = signature(key, tbs, digest=digest) if made is None else made
    return wrapped(
        basic_response(tbs, algorithm.encode(), der.encode_bit_string(octets), certificates)
    )
