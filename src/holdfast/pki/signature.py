"""Whether a key made a signature, for certificates.

Laws: the algorithm that the signature claims and the kind of key must agree; whether the algorithm
is strong enough is another question, asked elsewhere. RFC 5280 4.1.1.2.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa


def made_by(
    key: object,
    *,
    signature: bytes,
    signed: bytes,
    parameters: object,
    digest: hashes.HashAlgorithm | None,
) -> bool:
    """True when the public `key` verifies `signature` over `signed`.

    `parameters` and `digest` are what `cryptography` read from the AlgorithmIdentifier. What it
    raises for keys that it cannot use is left to the caller.
    """
    try:
        match key:
            case rsa.RSAPublicKey():
                if not isinstance(parameters, padding.PKCS1v15 | padding.PSS) or digest is None:
                    return False
                key.verify(signature, signed, parameters, digest)
            case ec.EllipticCurvePublicKey():
                if not isinstance(parameters, ec.ECDSA):
                    return False
                key.verify(signature, signed, parameters)
            case (
                ed25519.Ed25519PublicKey()
                | ed448.Ed448PublicKey()
                | mldsa.MLDSA44PublicKey()
                | mldsa.MLDSA65PublicKey()
                | mldsa.MLDSA87PublicKey()
            ):
                if parameters is not None:
                    return False
                key.verify(signature, signed)
            case _:
                return False
    except InvalidSignature:
        return False
    return True
