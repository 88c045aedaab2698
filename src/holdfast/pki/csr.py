"""Certificate signing requests: what a CA takes from one. RFC 2986.

Laws: bytes in, facts out; a request whose signature does not fit its own key is refused, because
it proves nobody's possession of that key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast.errors import OperatorError
from holdfast.pki import pem
from holdfast.pki.extras import Extra, key_usage
from holdfast.pki.keys import PrivateKey
from holdfast.pki.kind import Kind


@dataclass(frozen=True, slots=True)
class Requested:
    """`names`: DNS names and addresses asked for. `key` stands where minting takes a private key,
    and has only the public half; `extensions` are those that depend on it."""

    names: tuple[str, ...]
    key: PrivateKey
    extensions: tuple[Extra, ...] = ()


def requested(data: bytes, *, name: str) -> Requested:
    """The request in `data` (PEM, DER or base64), of the file `name`; `OperatorError` when there is
    none that is sound."""
    der = pem.single(data, Kind.REQUEST, name=name)
    try:
        request = x509.load_der_x509_csr(der)
        sound = request.is_signature_valid
        public = request.public_key()
        names = _names(request.extensions)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise OperatorError(f"{name}: a request that cannot be read: {error}") from error
    if not sound:
        raise OperatorError(
            f"{name}: the request's signature does not fit its key", hint="make the request anew"
        )
    enciphers = isinstance(public, rsa.RSAPublicKey)
    extensions = (Extra(key_usage(encipher=True), True),) if enciphers else ()
    return Requested(names, cast("PrivateKey", _PublicHalf(public)), extensions)


def _names(extensions: x509.Extensions) -> tuple[str, ...]:
    try:
        asked = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(n.value) for n in asked if isinstance(n, x509.DNSName | x509.IPAddress))


class _PublicHalf:
    """Answers `public_key()` as a private key does, and can do nothing else."""

    def __init__(self, public: object) -> None:
        self._public = public

    def public_key(self) -> object:
        return self._public
