"""Private keys: generated, loaded from bytes, described, and told whether they fit a certificate.

Laws: bytes in, keys out; nothing is written here, and neither key nor passphrase ever stands in a
message. RFC 5958 (PKCS#8), RFC 7468.
"""

from __future__ import annotations

from typing import TypeAlias, cast, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from holdfast.errors import OperatorError
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.kind import Kind
from holdfast.pki.unreadable import UNREADABLE
from holdfast.pki.words import describe_key

PrivateKey: TypeAlias = CertificateIssuerPrivateKeyTypes  # any key that can sign certificates

MAX_KEY = 1024 * 1024  # bytes; a key with its whole chain in one file stays far below
_GIVE = "give the private key as PEM or DER (PKCS#8, PKCS#1 or SEC 1)"

KEY_TYPES = (
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "ed25519",
    "ed448",
    "ml-dsa-44",
    "ml-dsa-65",
    "ml-dsa-87",
)


def generate(key_type: str = "ecdsa-p256") -> PrivateKey:
    """A new private key of one of `KEY_TYPES`; `OperatorError` for any other word."""
    try:
        match key_type:
            case "ecdsa-p256":
                return ec.generate_private_key(ec.SECP256R1())
            case "ecdsa-p384":
                return ec.generate_private_key(ec.SECP384R1())
            case "ecdsa-p521":
                return ec.generate_private_key(ec.SECP521R1())
            case "rsa-1024" | "rsa-2048" | "rsa-3072" | "rsa-4096":  # 1024: for tests of weak keys
                return rsa.generate_private_key(65537, int(key_type[4:]))
            case "ed25519":
                return ed25519.Ed25519PrivateKey.generate()
            case "ed448":
                return ed448.Ed448PrivateKey.generate()
            case "ml-dsa-44":
                return mldsa.MLDSA44PrivateKey.generate()
            case "ml-dsa-65":
                return mldsa.MLDSA65PrivateKey.generate()
            case "ml-dsa-87":
                return mldsa.MLDSA87PrivateKey.generate()
            case _:
                raise OperatorError(
                    f"unknown key type {key_type!r}", hint="one of " + ", ".join(KEY_TYPES)
                )
    except UnsupportedAlgorithm as error:
        raise OperatorError(f"this build cannot make {key_type} keys: {error}") from error


def signing_hash(key: PrivateKey) -> hashes.HashAlgorithm | None:
    """The hash that a signature by `key` is made with; None where the algorithm brings its own."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        # RFC 5753 and NIST SP 800-57: a hash as strong as the curve
        if key.curve.key_size > 384:
            return hashes.SHA512()
        return hashes.SHA384() if key.curve.key_size > 256 else hashes.SHA256()
    if isinstance(key, rsa.RSAPrivateKey):
        return hashes.SHA256()
    return None


def public_der(key: PrivateKey) -> bytes:
    """The SubjectPublicKeyInfo of `key`."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def fits(key: PrivateKey, certificate: Certificate) -> bool:
    """True when `key` is the private half of the key in `certificate`."""
    return public_der(key) == certificate.spki_der


def describe(key: PrivateKey) -> str:
    """For people: "ECDSA P-256", "RSA 2048"; says nothing secret."""
    return describe_key(key.public_key())


def encode(key: PrivateKey, *, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 PEM, encrypted when there is a passphrase."""
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def load(data: bytes, *, passphrase: bytes | None = None, name: str = "key") -> PrivateKey:
    """The one private key in `data` (PEM, DER or base64; certificates may stand beside it).

    `name` is the file's, for messages. Raises `OperatorError` when there is none, when there are
    several, or when the passphrase is missing or wrong.
    """
    if not data.strip():
        raise OperatorError(f"{name}: is empty", hint=_GIVE)
    blocks = pem.decode(data, name=name, limit=MAX_KEY)
    found = [b for b in blocks if b.kind in (Kind.PRIVATE_KEY, Kind.ENCRYPTED_KEY)]
    if not found:
        kinds = " and ".join(dict.fromkeys(block.kind.value for block in blocks))
        raise OperatorError(f"{name}: holds no private key, but {kinds}", hint=_GIVE)
    if len(found) > 1:
        raise OperatorError(f"{name}: {len(found)} private keys where one belongs", hint=_GIVE)
    return _loaded(found[0], passphrase, name)


def _loaded(block: pem.Block, passphrase: bytes | None, name: str) -> PrivateKey:
    place = f"{name}, line {block.line}" if block.line else name
    if block.label == "OPENSSH PRIVATE KEY":
        raise OperatorError(f"{place}: an OpenSSH key, not one for TLS", hint=_GIVE)
    encrypted = block.kind is Kind.ENCRYPTED_KEY or any("ENCRYPTED" in h for h in block.headers)
    if encrypted and not passphrase:
        raise OperatorError(
            f"{place}: the private key is encrypted and no passphrase was given",
            hint="give the file that holds its passphrase",
        )
    try:
        # a passphrase given for a key that needs none is no reason to refuse the key
        secret = passphrase if encrypted else None
        if block.headers:  # OpenSSL's old encryption stands in PEM headers
            key = load_pem_private_key(pem.rewritten(block), secret)
        else:
            key = load_der_private_key(block.der, secret)
    except UNREADABLE:  # their texts may speak of the content
        if encrypted:
            raise OperatorError(
                f"{place}: the passphrase does not open the private key",
                hint="see that the passphrase file is this key's; its first line counts",
            ) from None
        raise OperatorError(
            f"{place}: a private key that cannot be read",
            hint="openssl pkey -in FILE -noout -text shows whether the key is whole",
        ) from None
    if not isinstance(key, get_args(PrivateKey)):
        raise OperatorError(
            f"{place}: a {type(key).__name__}, which cannot sign",
            hint="use an RSA, ECDSA, Ed25519, Ed448 or ML-DSA key",
        )
    return cast("PrivateKey", key)


def passphrase_of(data: bytes) -> bytes:
    """The passphrase in a passphrase file: its first line without the line end."""
    return data.split(b"\n", 1)[0].removesuffix(b"\r")
