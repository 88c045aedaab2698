"""Minting: the certificates and CRLs of a private CA.

Laws: pure; the instant is `at`; the defaults make what a strict client accepts, and every default
can be replaced or left out, because tests need certificates that are wrong in one way only.
RFC 5280; RFC 7633; RFC 6960 4.2.2.2.

    ca = root("Example Root", at=at)
    issuing = ca.intermediate("Example Issuing CA", at=at)
    server = issuing.server("www.example", must_staple=True, responder_urls=[url], at=at)
    server.fullchain_pem, server.key_pem()

Wrong in one way: `extensions=` adds or, where the OID is a default's, replaces; `omit=` leaves
defaults out; `replace(ca, key=other)` (dataclasses) signs with a key that is not the CA's;
`issued.authority` lets a certificate that is no CA issue.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from holdfast.errors import OperatorError
from holdfast.pki import keys, pem
from holdfast.pki.certificate import OCSP_SIGNING, Certificate
from holdfast.pki.crl import REASONS
from holdfast.pki.extras import (
    AKI,
    BASIC_CONSTRAINTS,
    EKU,
    KEY_USAGE,
    NAMES,
    SKI,
    Extra,
    Oid,
    addresses,
    authority_extensions,
    common_name,
    end_of,
    general_name,
    indirect_point,
    key_usage,
    merged,
    raw,
    subject_key_id,
    whole,
)
from holdfast.pki.keys import PrivateKey

__all__ = [
    "AKI",
    "BASIC_CONSTRAINTS",
    "EKU",
    "KEY_USAGE",
    "NAMES",
    "SKI",
    "Authority",
    "Extra",
    "Issued",
    "Revocation",
    "random_serial",
    "raw",
    "root",
]

ROOT_LIFETIME = timedelta(days=3650)
INTERMEDIATE_LIFETIME = timedelta(days=1825)
SERVER_LIFETIME = timedelta(days=90)
SIGNER_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, its private key, and its issuers upward (`chain`, root last)."""

    certificate: Certificate
    key: PrivateKey
    chain: tuple[Certificate, ...] = ()

    @property
    def authority(self) -> Authority:
        """This certificate as an issuer, whether or not it is entitled to be one."""
        return Authority(self.certificate, self.key, self.chain)

    @property
    def pem(self) -> bytes:
        return pem.encode_certificates([self.certificate])

    @property
    def chain_pem(self) -> bytes:
        """The issuers alone, without a self-issued root."""
        return pem.encode_certificates(c for c in self.chain if not c.self_issued)

    @property
    def fullchain_pem(self) -> bytes:
        """What a TLS server sends: the certificate, then its issuers without the root."""
        return self.pem + self.chain_pem

    def key_pem(self, *, passphrase: bytes | None = None) -> bytes:
        """PKCS#8, encrypted when there is a passphrase."""
        return keys.encode(self.key, passphrase=passphrase)


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of a CRL to be made. `reason` is the CRLReason code (RFC 5280 5.3.1; 8 is
    removeFromCRL); `issuer` is for indirect CRLs."""

    serial: int
    at: datetime
    reason: int | None = None
    invalidity_date: datetime | None = None
    issuer: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Authority:
    """Whoever issues: a CA's certificate and key, and its issuers upward."""

    certificate: Certificate
    key: PrivateKey
    chain: tuple[Certificate, ...] = ()

    @property
    def issued(self) -> Issued:
        """The CA's own certificate and key, for its PEM exports."""
        return Issued(self.certificate, self.key, self.chain)

    @property
    def root(self) -> Certificate:
        """The top of the chain."""
        return self.chain[-1] if self.chain else self.certificate

    def intermediate(
        self,
        name: str | x509.Name,
        *,
        at: datetime,
        lifetime: timedelta = INTERMEDIATE_LIFETIME,
        key: PrivateKey | None = None,
        key_type: str = "ecdsa-p256",
        path_length: int | None = 0,
        responder_urls: Sequence[str] = (),
        issuer_urls: Sequence[str] = (),
        crl_urls: Sequence[str] = (),
        serial: int | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        extensions: Iterable[Extra] = (),
        omit: Collection[Oid] = (),
    ) -> Authority:
        """A subordinate CA. With the `key` of an existing CA: a renewal or a cross-certificate."""
        key = key or keys.generate(key_type)
        certificate = self.mint(
            subject=common_name(name),
            key=key,
            at=at,
            lifetime=lifetime,
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            extensions=[
                *authority_extensions(path_length),
                *addresses(responder_urls, issuer_urls, crl_urls),
                *extensions,
            ],
            omit=omit,
        )
        return Authority(certificate, key, (self.certificate, *self.chain))

    def server(
        self,
        *names: str,
        at: datetime,
        lifetime: timedelta = SERVER_LIFETIME,
        key: PrivateKey | None = None,
        key_type: str = "ecdsa-p256",
        must_staple: bool = False,
        responder_urls: Sequence[str] = (),
        issuer_urls: Sequence[str] = (),
        crl_urls: Sequence[str] = (),
        subject: x509.Name | None = None,
        serial: int | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        extensions: Iterable[Extra] = (),
        omit: Collection[Oid] = (),
    ) -> Issued:
        """A TLS server's certificate for `names`, DNS names (wildcards too) and IP addresses."""
        key = key or keys.generate(key_type)
        usual = [
            Extra(x509.BasicConstraints(ca=False, path_length=None), True),
            Extra(key_usage(encipher=isinstance(key, rsa.RSAPrivateKey)), True),
            Extra(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
            *addresses(responder_urls, issuer_urls, crl_urls),
        ]
        if names:
            usual.append(Extra(x509.SubjectAlternativeName([general_name(n) for n in names])))
        if must_staple:
            usual.append(Extra(x509.TLSFeature([x509.TLSFeatureType.status_request])))
        if subject is None:
            # X.520: a common name has at most 64 characters
            short = [name for name in names if len(name) <= 64]
            subject = common_name(short[0] if short else "server")
        certificate = self.mint(
            subject=subject,
            key=key,
            at=at,
            lifetime=lifetime,
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            extensions=[*usual, *extensions],
            omit=omit,
        )
        return Issued(certificate, key, (self.certificate, *self.chain))

    def delegated_signer(
        self,
        name: str | x509.Name = "OCSP Signer",
        *,
        at: datetime,
        lifetime: timedelta = SIGNER_LIFETIME,
        key: PrivateKey | None = None,
        key_type: str = "ecdsa-p256",
        nocheck: bool = True,
        eku: Sequence[str] = (OCSP_SIGNING,),
        ca: bool = False,
        serial: int | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        extensions: Iterable[Extra] = (),
        omit: Collection[Oid] = (),
    ) -> Issued:
        """A delegated OCSP signer (RFC 6960 4.2.2.2). `eku`: dotted OIDs, none for no extension."""
        key = key or keys.generate(key_type)
        usual = [
            Extra(x509.BasicConstraints(ca=ca, path_length=None), True),
            Extra(key_usage(ca=ca), True),
        ]
        if eku:
            usual.append(Extra(x509.ExtendedKeyUsage([Oid(oid) for oid in eku])))
        if nocheck:
            usual.append(Extra(x509.OCSPNoCheck()))
        certificate = self.mint(
            subject=common_name(name),
            key=key,
            at=at,
            lifetime=lifetime,
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            extensions=[*usual, *extensions],
            omit=omit,
        )
        return Issued(certificate, key, (self.certificate, *self.chain))

    def mint(
        self,
        *,
        subject: x509.Name,
        key: PrivateKey,
        at: datetime,
        lifetime: timedelta,
        serial: int | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        extensions: Iterable[Extra] = (),
        omit: Collection[Oid] = (),
    ) -> Certificate:
        """Any certificate; to `extensions`, of which the last of each OID counts, only the key
        identifiers are added. It ends no later than its issuer, unless `not_after` says so."""
        begin = whole(not_before or at)
        if not_after is None:
            not_after = min(end_of(begin, lifetime), self.certificate.not_after)
        return _mint(
            subject=subject,
            issuer=self.certificate.x509.subject,
            public_key=key,
            signing_key=self.key,
            serial=serial,
            not_before=begin,
            not_after=not_after,
            extensions=[subject_key_id(key), self._authority_key_id(), *extensions],
            omit=omit,
        )

    def crl(
        self,
        revoked: Iterable[Revocation] = (),
        *,
        this_update: datetime,
        next_update: datetime,
        number: int | None = 1,
        delta_base: int | None = None,
        indirect: bool = False,
        extensions: Iterable[Extra] = (),
        omit: Collection[Oid] = (),
    ) -> bytes:
        """The DER of a CRL; a delta to the CRL numbered `delta_base` when that is given."""
        usual = [self._authority_key_id()]
        if number is not None:
            usual.append(Extra(x509.CRLNumber(number)))
        if delta_base is not None:
            usual.append(Extra(x509.DeltaCRLIndicator(delta_base), True))
        if indirect:
            usual.append(Extra(indirect_point(), True))
        try:
            builder = x509.CertificateRevocationListBuilder(
                issuer_name=self.certificate.x509.subject,
                # the constructor, because add_revoked_certificate copies the list each time
                revoked_certificates=[_revoked(entry) for entry in revoked],
            )
            builder = builder.last_update(whole(this_update)).next_update(whole(next_update))
            for extra in merged([*usual, *extensions], omit):
                builder = builder.add_extension(extra.value, extra.critical)
            signed = builder.sign(self.key, keys.signing_hash(self.key))  # type: ignore[arg-type]
        except (ValueError, TypeError, OverflowError) as error:
            raise OperatorError(f"cannot make this CRL: {error}") from error
        return signed.public_bytes(Encoding.DER)

    def _authority_key_id(self) -> Extra:
        known = self.certificate.subject_key_id
        if known is not None:
            return Extra(x509.AuthorityKeyIdentifier(known, None, None))
        return Extra(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                self.certificate.x509.public_key()  # type: ignore[arg-type]
            )
        )


def root(
    name: str | x509.Name = "Root CA",
    *,
    at: datetime,
    lifetime: timedelta = ROOT_LIFETIME,
    key: PrivateKey | None = None,
    key_type: str = "ecdsa-p256",
    path_length: int | None = None,
    serial: int | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    extensions: Iterable[Extra] = (),
    omit: Collection[Oid] = (),
) -> Authority:
    """A self-signed CA."""
    key = key or keys.generate(key_type)
    subject = common_name(name)
    certificate = _mint(
        subject=subject,
        issuer=subject,
        public_key=key,
        signing_key=key,
        serial=serial,
        not_before=not_before or at,
        not_after=not_after or end_of(not_before or at, lifetime),
        extensions=[subject_key_id(key), *authority_extensions(path_length), *extensions],
        omit=omit,
    )
    return Authority(certificate, key)


def random_serial() -> int:
    """160 random bits less the sign: always 20 octets, never negative (RFC 5280 4.1.2.2)."""
    octets = bytearray(secrets.token_bytes(20))
    octets[0] = octets[0] & 0x3F | 0x40
    return int.from_bytes(octets, "big")


def _mint(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PrivateKey,
    signing_key: PrivateKey,
    serial: int | None,
    not_before: datetime,
    not_after: datetime,
    extensions: Sequence[Extra],
    omit: Collection[Oid],
) -> Certificate:
    try:
        builder = x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=public_key.public_key(),
            serial_number=random_serial() if serial is None else serial,
        )
        builder = builder.not_valid_before(whole(not_before)).not_valid_after(whole(not_after))
        for extra in merged(extensions, omit):
            builder = builder.add_extension(extra.value, extra.critical)
        signed = builder.sign(signing_key, keys.signing_hash(signing_key))  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError) as error:
        raise OperatorError(f"cannot issue this certificate: {error}") from error
    return Certificate.of(signed)


_FLAGS = {code: flag for flag, code in REASONS.items()}


def _revoked(entry: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(entry.serial, None, [])
    builder = builder.revocation_date(whole(entry.at))
    if entry.reason is not None:
        if entry.reason not in _FLAGS:
            raise ValueError(f"{entry.reason} is no CRLReason")
        builder = builder.add_extension(x509.CRLReason(_FLAGS[entry.reason]), False)
    if entry.invalidity_date is not None:
        builder = builder.add_extension(x509.InvalidityDate(whole(entry.invalidity_date)), False)
    if entry.issuer is not None:
        name = x509.DirectoryName(entry.issuer.x509.subject)
        builder = builder.add_extension(x509.CertificateIssuer([name]), True)
    return builder.build()
