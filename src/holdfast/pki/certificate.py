"""A certificate and the facts that stapling asks of it.

Laws: bytes in, facts out; nothing is verified here but by `signed_by`, whose name says so.
RFC 5280; RFC 7633 for must-staple; RFC 6960 4.2.2.2.1 for id-pkix-ocsp-nocheck.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from holdfast.errors import Malformed

MUST_STAPLE = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24")  # RFC 7633 id-pe-tlsfeature
OCSP_NOCHECK = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1.5")  # RFC 6960 4.2.2.2.1
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"  # RFC 6960 4.2.2.2 id-kp-OCSPSigning
MAX_CERTIFICATE = 65536  # bytes; the largest seen in the field (ML-DSA, many SANs) is under 32 KiB


class Certificate:
    """One X.509 certificate: its DER and the facts read from it, each read once, when asked.

    Two certificates are equal when their bytes are.
    """

    def __init__(self, der: bytes) -> None:
        """Take `der`, one DER certificate without trailing bytes; raise `Malformed` otherwise."""
        if len(der) > MAX_CERTIFICATE:
            raise Malformed("Certificate", f"{len(der)} bytes, more than {MAX_CERTIFICATE}")
        try:
            self.x509 = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise Malformed("Certificate", f"not a DER X.509 certificate: {error}") from error
        self.der = der

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Certificate:
        """The same from a `cryptography` object."""
        return cls(certificate.public_bytes(Encoding.DER))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<Certificate {self.subject} serial {self.serial:x}>"

    # -- identity ---------------------------------------------------------------------------

    @cached_property
    def sha256(self) -> str:
        """Fingerprint, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def serial(self) -> int:
        return self.x509.serial_number

    @cached_property
    def subject(self) -> str:
        """RFC 4514 text, for people only; compare `subject_der`."""
        return _name_text(self.x509.subject)

    @cached_property
    def issuer(self) -> str:
        """RFC 4514 text of the issuer's name, for people only; compare `issuer_der`."""
        return _name_text(self.x509.issuer)

    @cached_property
    def subject_der(self) -> bytes:
        return self.x509.subject.public_bytes()

    @cached_property
    def issuer_der(self) -> bytes:
        return self.x509.issuer.public_bytes()

    @cached_property
    def not_before(self) -> datetime:
        return self.x509.not_valid_before_utc

    @cached_property
    def not_after(self) -> datetime:
        return self.x509.not_valid_after_utc

    def in_date(self, at: datetime) -> bool:
        """True when `at` (aware) is within the validity, both ends included (RFC 5280 4.1.2.5)."""
        return self.not_before <= at <= self.not_after

    # -- key --------------------------------------------------------------------------------

    @cached_property
    def public_key(self) -> object:
        """The key as `cryptography` gives it; `Malformed` when it has none that can be read."""
        try:
            return self.x509.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Malformed("Certificate.subjectPublicKeyInfo", str(error)) from error

    @cached_property
    def spki_der(self) -> bytes:
        """SubjectPublicKeyInfo as it stands in the certificate, also when no key can be read."""
        tbs = self.x509.tbs_certificate_bytes
        position = _content(tbs, 0)
        if tbs[position] == 0xA0:  # [0] version
            position = _end(tbs, position)
        for _ in range(5):  # serialNumber, signature, issuer, validity, subject
            position = _end(tbs, position)
        return tbs[position : _end(tbs, position)]

    @cached_property
    def key_octets(self) -> bytes:
        """The subjectPublicKey BIT STRING without its unused-bits octet: what issuerKeyHash
        covers (RFC 6960 4.1.1)."""
        spki = self.spki_der
        bit_string = _end(spki, _content(spki, 0))
        return spki[_content(spki, bit_string) + 1 :]

    @cached_property
    def key_type(self) -> str:
        """For people: "ECDSA P-256", "RSA 2048", "Ed25519"."""
        return describe_key(self.public_key)

    # -- extensions -------------------------------------------------------------------------

    def extension(self, oid: x509.ObjectIdentifier) -> x509.Extension[x509.ExtensionType] | None:
        try:
            return self._extensions.get_extension_for_oid(oid)
        except x509.ExtensionNotFound:
            return None

    @cached_property
    def _extensions(self) -> x509.Extensions:
        try:
            return self.x509.extensions
        except (ValueError, x509.DuplicateExtension) as error:
            raise Malformed("Certificate.extensions", str(error)) from error

    @cached_property
    def is_ca(self) -> bool:
        found = self.extension(x509.BasicConstraints.oid)
        return (
            found is not None
            and isinstance(found.value, x509.BasicConstraints)
            and (found.value.ca)
        )

    @cached_property
    def extended_key_usages(self) -> tuple[str, ...] | None:
        """Dotted OIDs, or None when the extension is absent."""
        found = self.extension(x509.ExtendedKeyUsage.oid)
        if found is None or not isinstance(found.value, x509.ExtendedKeyUsage):
            return None
        return tuple(usage.dotted_string for usage in found.value)

    @cached_property
    def is_delegated_signer(self) -> bool:
        """Carries id-kp-OCSPSigning exactly; anyExtendedKeyUsage does not count (RFC 6960
        4.2.2.2)."""
        return OCSP_SIGNING in (self.extended_key_usages or ())

    @cached_property
    def has_nocheck(self) -> bool:
        return self.extension(OCSP_NOCHECK) is not None

    @cached_property
    def must_staple(self) -> bool:
        """RFC 7633: the TLS feature extension names status_request (5)."""
        found = self.extension(MUST_STAPLE)
        if found is None or not isinstance(found.value, x509.TLSFeature):
            return False
        return x509.TLSFeatureType.status_request in list(found.value)

    @cached_property
    def must_staple_critical(self) -> bool:
        found = self.extension(MUST_STAPLE)
        return found is not None and found.critical

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Subject alternative names as text (DNS names and IP addresses), in order."""
        found = self.extension(x509.SubjectAlternativeName.oid)
        if found is None or not isinstance(found.value, x509.SubjectAlternativeName):
            return ()
        return tuple(
            str(name.value)
            for name in found.value
            if isinstance(name, (x509.DNSName, x509.IPAddress))
        )

    @cached_property
    def responder_urls(self) -> tuple[str, ...]:
        """AIA id-ad-ocsp addresses, in order (RFC 5280 4.2.2.1)."""
        return self._access_urls(AuthorityInformationAccessOID.OCSP)

    @cached_property
    def issuer_urls(self) -> tuple[str, ...]:
        """AIA id-ad-caIssuers addresses, in order."""
        return self._access_urls(AuthorityInformationAccessOID.CA_ISSUERS)

    def _access_urls(self, method: x509.ObjectIdentifier) -> tuple[str, ...]:
        found = self.extension(x509.AuthorityInformationAccess.oid)
        if found is None or not isinstance(found.value, x509.AuthorityInformationAccess):
            return ()
        return tuple(
            access.access_location.value
            for access in found.value
            if access.access_method == method
            and isinstance(access.access_location, x509.UniformResourceIdentifier)
        )

    @cached_property
    def crl_urls(self) -> tuple[str, ...]:
        """CRL distribution point addresses, in order."""
        found = self.extension(x509.CRLDistributionPoints.oid)
        if found is None or not isinstance(found.value, x509.CRLDistributionPoints):
            return ()
        return tuple(
            name.value
            for point in found.value
            for name in point.full_name or ()
            if isinstance(name, x509.UniformResourceIdentifier)
        )

    @cached_property
    def subject_key_id(self) -> bytes | None:
        found = self.extension(x509.SubjectKeyIdentifier.oid)
        if found is None or not isinstance(found.value, x509.SubjectKeyIdentifier):
            return None
        return found.value.digest

    @cached_property
    def authority_key_id(self) -> bytes | None:
        found = self.extension(x509.AuthorityKeyIdentifier.oid)
        if found is None or not isinstance(found.value, x509.AuthorityKeyIdentifier):
            return None
        return found.value.key_identifier

    # -- relations --------------------------------------------------------------------------

    @cached_property
    def self_issued(self) -> bool:
        return self.subject_der == self.issuer_der

    def signed_by(self, issuer: Certificate) -> bool:
        """True when `issuer`'s key made this certificate's signature and the names agree.

        Nothing else is asked: not dates, not basicConstraints.
        """
        try:
            self.x509.verify_directly_issued_by(issuer.x509)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


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


def _name_text(name: x509.Name) -> str:
    try:
        return name.rfc4514_string()
    except ValueError:
        return repr(name.public_bytes()[:64])


def _content(der: bytes, position: int) -> int:
    """Where the content of the TLV at `position` begins; the DER is known to be valid."""
    length = der[position + 1]
    return position + 2 + (length & 0x7F if length & 0x80 else 0)


def _end(der: bytes, position: int) -> int:
    """Where the TLV at `position` ends."""
    length = der[position + 1]
    if not length & 0x80:
        return position + 2 + length
    count = length & 0x7F
    return position + 2 + count + int.from_bytes(der[position + 2 : position + 2 + count], "big")
