"""A certificate and the facts that stapling asks of it.

Laws: bytes in, facts out; nothing is verified here but by `signed_by`, whose name says so.
RFC 5280; RFC 7633 for must-staple; RFC 6960 4.2.2.2.1 for id-pkix-ocsp-nocheck.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from holdfast.errors import Malformed
from holdfast.pki.listed import critical_among, listed_extensions
from holdfast.pki.signature import made_by
from holdfast.pki.tlv import (
    CONTEXT_0,
    CONTEXT_3,
    INTEGER,
    SEQUENCE,
    Element,
    children,
    element,
    elements,
    oid_der,
    tlv,
)
from holdfast.pki.unreadable import UNREADABLE
from holdfast.pki.words import describe_key, name_text

MUST_STAPLE = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24")  # RFC 7633 id-pe-tlsfeature
STATUS_REQUEST = 5  # RFC 6066 8: the TLS extension number that RFC 7633 requires
OCSP_NOCHECK = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1.5")  # RFC 6960 4.2.2.2.1
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"  # RFC 6960 4.2.2.2 id-kp-OCSPSigning
_MUST_STAPLE_DER = oid_der(MUST_STAPLE.dotted_string)
LASTING = ("serial", "names", "not_before", "not_after", "must_staple")
_WORKINGS = ("x509", "_outer", "_tbs", "_fields", "_extensions", "_tls_features")
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
        except UNREADABLE as error:
            raise Malformed("Certificate", f"not a DER X.509 certificate: {error}") from error
        self.der = der
        self.name_and_key_hashes: dict[str, tuple[bytes, bytes]] = {}
        """Digests of the subject's name and key by hash name, kept by who computes them."""

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Certificate:
        """The same from a `cryptography` object."""
        return cls(certificate.public_bytes(Encoding.DER))

    def put_away(self) -> None:
        """Read the facts that a keeper asks for, and let go of what they are read from, several
        times their size. Others can still be asked."""
        for fact in LASTING:
            with suppress(Malformed):
                getattr(self, fact)
        for name in _WORKINGS:
            self.__dict__.pop(name, None)

    @classmethod
    def recalled(cls, der: bytes, facts: Mapping[str, object]) -> Certificate:
        """What `put_away` left of a certificate that was read before: `facts` of `LASTING`."""
        certificate = cls.__new__(cls)
        certificate.der, certificate.name_and_key_hashes = der, {}
        certificate.__dict__.update(facts)
        return certificate

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name != "x509":
                raise AttributeError(name)
            self.x509 = x509.load_der_x509_certificate(self.der)  # put away, and asked for again
            return self.x509

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<Certificate {self.subject} serial {self.serial:x}>"

    @cached_property
    def _outer(self) -> tuple[Element, ...]:
        """TBSCertificate, signatureAlgorithm, signature (RFC 5280 4.1)."""
        return tuple(children(self.der))

    @cached_property
    def _tbs(self) -> bytes:
        """What is signed, as it stands."""
        return self.der[self._outer[0].head : self._outer[0].end]

    @cached_property
    def _fields(self) -> tuple[Element, ...]:
        """Where TBSCertificate's fields stand (RFC 5280 4.1), without the version."""
        tbs = self._tbs
        fields = children(tbs)
        return tuple(f for f in fields if f.tag != CONTEXT_0)

    def _field(self, number: int) -> bytes:
        """serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo: 0 to 5."""
        field = self._fields[number]
        return self._tbs[field.head : field.end]

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
        return name_text(self.subject_der, lambda: self.x509.subject)

    @cached_property
    def issuer(self) -> str:
        """RFC 4514 text of the issuer's name, for people only; compare `issuer_der`."""
        return name_text(self.issuer_der, lambda: self.x509.issuer)

    @cached_property
    def subject_der(self) -> bytes:
        """The subject's Name as it stands in the certificate: what issuerNameHash covers."""
        return self._field(4)

    @cached_property
    def issuer_der(self) -> bytes:
        """The issuer's Name as it stands in the certificate."""
        return self._field(2)

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
        except UNREADABLE as error:
            raise Malformed("Certificate.subjectPublicKeyInfo", str(error)) from error

    @cached_property
    def has_readable_key(self) -> bool:
        """False when `public_key` would raise: a curve or an algorithm that is not known here."""
        try:
            return self.public_key is not None
        except Malformed:
            return False

    @cached_property
    def spki_der(self) -> bytes:
        """SubjectPublicKeyInfo as it stands in the certificate, also when no key can be read."""
        return self._field(5)

    @cached_property
    def key_octets(self) -> bytes:
        """The subjectPublicKey BIT STRING without its unused-bits octet: what issuerKeyHash
        covers (RFC 6960 4.1.1)."""
        spki = self.spki_der
        parts = children(spki)
        return spki[parts[1].start + 1 : parts[1].end]

    @cached_property
    def key_sha1(self) -> bytes:
        """SHA-1 of `key_octets`: ResponderID byKey (RFC 6960 4.2.1)."""
        return hashlib.sha1(self.key_octets, usedforsecurity=False).digest()

    @cached_property
    def key_type(self) -> str:
        """For people: "ECDSA P-256", "RSA 2048", "Ed25519"."""
        return describe_key(self.public_key)

    # -- extensions -------------------------------------------------------------------------

    def extension(self, oid: x509.ObjectIdentifier) -> x509.Extension[x509.ExtensionType] | None:
        """The extension, None when absent; `Malformed` when this very one cannot be read or
        stands twice: others' faults do not matter."""
        if self._extensions is None:
            return self._extension_alone(oid)
        try:
            return self._extensions.get_extension_for_oid(oid)
        except x509.ExtensionNotFound:
            return None

    @cached_property
    def _extensions(self) -> x509.Extensions | None:
        """None when one of them, at least, cannot be read."""
        try:
            return self.x509.extensions
        except UNREADABLE:
            return None

    def _extension_alone(
        self, oid: x509.ObjectIdentifier
    ) -> x509.Extension[x509.ExtensionType] | None:
        """The same, read from a copy of the certificate that has no other extension."""
        found = self._raw_extensions(oid)
        if not found:
            return None
        what = f"Certificate.extensions {oid.dotted_string}"
        if len(found) > 1:
            raise Malformed(what, "stands twice")
        tbs = self._tbs
        before = [tbs[f.head : f.end] for f in self._fields if f.tag != CONTEXT_3]
        after = self.der[self._outer[0].end :]
        lone = tlv(
            SEQUENCE,
            tlv(SEQUENCE, *before, tlv(CONTEXT_3, tlv(SEQUENCE, *found))),
            after,
        )
        try:
            return x509.load_der_x509_certificate(lone).extensions.get_extension_for_oid(oid)
        except (*UNREADABLE, x509.ExtensionNotFound) as error:
            raise Malformed(what, str(error)) from error

    def _raw_extensions(self, oid: x509.ObjectIdentifier) -> list[bytes]:
        """The DER of each Extension with `oid`, as it stands."""
        wanted, tbs = oid_der(oid.dotted_string), self._tbs
        return [
            tbs[e.head : e.end]
            for e in listed_extensions(tbs, self._fields)
            if tbs.startswith(wanted, e.start, e.end)
        ]

    @cached_property
    def critical_extensions(self) -> frozenset[bytes]:
        """The OBJECT IDENTIFIERs, DER, of the extensions marked critical, readable or not."""
        return critical_among(self._tbs, listed_extensions(self._tbs, self._fields))

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
        return self._tls_features is not None and STATUS_REQUEST in self._tls_features[1]

    @cached_property
    def must_staple_critical(self) -> bool:
        return self._tls_features is not None and self._tls_features[0]

    @cached_property
    def _tls_features(self) -> tuple[bool, tuple[int, ...]] | None:
        """(critical, features), None when absent. Read here, because cryptography refuses
        features that it has no name for."""
        if _MUST_STAPLE_DER not in self.der:
            return None
        found = self._raw_extensions(MUST_STAPLE)
        if not found:
            return None
        der = found[0]
        parts = children(der)
        value = der[parts[-1].start : parts[-1].end] if parts else b""
        listed = element(value, 0, len(value))
        features = elements(value, listed.start) if listed and listed.tag == SEQUENCE else None
        if features is None or any(f.tag != INTEGER for f in features):
            raise Malformed("Certificate.extensions TLSFeature", "not a SEQUENCE of INTEGER")
        critical = len(parts) == 3 and der[parts[1].start : parts[1].end] == b"\xff"
        numbers = (int.from_bytes(value[f.start : f.end], "big", signed=True) for f in features)
        return critical, tuple(numbers)

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

    @cached_property
    def self_signed(self) -> bool:
        """True when its own key made its signature, which is looked at once."""
        return self.self_issued and self.signed_by(self)

    def signed_by(self, issuer: Certificate) -> bool:
        """True when `issuer`'s key made this certificate's signature and the names agree.

        Nothing else is asked: not dates, not basicConstraints.
        """
        return self.issuer_der == issuer.subject_der and self.signed_with_key_of(issuer)

    def signed_with_key_of(self, issuer: Certificate) -> bool:
        """True when `issuer`'s key made this certificate's signature, whatever the names say: a
        renewed or renamed issuer's other certificate does as well (V2)."""
        _, outer, bits = self._outer
        if self.der[outer.head : outer.end] != self._field(1):
            return False  # RFC 5280 4.1.1.2: the same algorithm inside and outside
        if self.der[bits.start] != 0:
            return False  # a signature is whole octets: no bit of its BIT STRING is unused
        try:
            return made_by(
                issuer.public_key,
                signature=self.x509.signature,
                signed=self._tbs,
                parameters=self.x509.signature_algorithm_parameters,
                digest=self.x509.signature_hash_algorithm,
            )
        except (*UNREADABLE, Malformed):
            return False
