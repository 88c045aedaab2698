"""Keys and names in words, for people; nothing is decided by them."""

from __future__ import annotations

from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from holdfast.pki.unreadable import UNREADABLE


def describe_key(key: object) -> str:
    """A public key's type for people: "ECDSA P-256", "RSA 2048", "Ed25519", "ML-DSA-44"."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        short = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        return f"ECDSA {short.get(key.curve.name, key.curve.name)}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448"
    name = type(key).__name__.removesuffix("PublicKey")
    return {"MLDSA44": "ML-DSA-44", "MLDSA65": "ML-DSA-65", "MLDSA87": "ML-DSA-87"}.get(name, name)


def name_text(der: bytes, read: Callable[[], x509.Name]) -> str:
    """RFC 4514 text of the Name that `read` gives, hexadecimal of `der` when it cannot."""
    try:
        return read().rfc4514_string()
    except UNREADABLE:
        return f"#{der.hex()}"  # RFC 4514 2.4: hexadecimal for what has no string
