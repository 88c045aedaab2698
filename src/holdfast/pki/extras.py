"""Extensions and names to be minted: what `issue` puts into certificates and CRLs.

Laws: values only; what RFC 5280 wants critical is critical, unless the caller says otherwise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID, NameOID

from holdfast.errors import OperatorError
from holdfast.pki.keys import PrivateKey

Oid = x509.ObjectIdentifier

# What `omit` takes, for the defaults set here
SKI = ExtensionOID.SUBJECT_KEY_IDENTIFIER
AKI = ExtensionOID.AUTHORITY_KEY_IDENTIFIER
BASIC_CONSTRAINTS = ExtensionOID.BASIC_CONSTRAINTS
KEY_USAGE = ExtensionOID.KEY_USAGE
EKU = ExtensionOID.EXTENDED_KEY_USAGE
NAMES = ExtensionOID.SUBJECT_ALTERNATIVE_NAME


@dataclass(frozen=True, slots=True)
class Extra:
    """One more extension, or one instead of a default of the same OID."""

    value: x509.ExtensionType
    critical: bool = False


def raw(oid: str, der: bytes, *, critical: bool = False) -> Extra:
    """Any extension at all: `der` becomes the content of extnValue as it is, well-formed or not."""
    return Extra(x509.UnrecognizedExtension(Oid(oid), der), critical)


def merged(extensions: Iterable[Extra], omit: Collection[Oid]) -> list[Extra]:
    """One of each OID, the last given, where the first stood."""
    merged: dict[Oid, Extra] = {}
    for extra in extensions:
        merged[extra.value.oid] = extra
    return [extra for oid, extra in merged.items() if oid not in omit]


def whole(instant: datetime) -> datetime:
    """Whole seconds of aware UTC: all that RFC 5280 4.1.2.5 can carry."""
    if instant.tzinfo is None:
        raise OperatorError(f"{instant} has no time zone", hint="give an aware instant, in UTC")
    return instant.astimezone(UTC).replace(microsecond=0)


def end_of(begin: datetime, lifetime: timedelta) -> datetime:
    try:
        return begin + lifetime
    except OverflowError as error:
        raise OperatorError(
            f"a lifetime of {lifetime.days} days ends after the year 9999",
            hint="give a shorter one",
        ) from error


def common_name(name: str | x509.Name) -> x509.Name:
    if isinstance(name, x509.Name):
        return name
    if not name.isprintable():
        raise OperatorError(
            f"{name!r} cannot be a common name: it holds a control character",
            hint="write the name in one line of letters",
        )
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise OperatorError(
            f"{name!r} cannot be a common name: {error}", hint="use 1 to 64 characters"
        ) from error


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        text = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise OperatorError(f"{name!r} is not a DNS name: {error}") from error
    if not text or len(text) > 253 or set(text) & set(" /:@\t\r\n"):
        raise OperatorError(
            f"{name!r} is neither a DNS name nor an IP address",
            hint="give names like www.example.org, *.example.org, 192.0.2.1 or 2001:db8::1",
        )
    if any(len(label) > 63 for label in text.split(".")):
        raise OperatorError(
            f"{name!r} is not a DNS name: one of its labels is longer than 63 characters",
            hint="RFC 1035 allows 63 between two dots",
        )
    return x509.DNSName(text)


def subject_key_id(key: PrivateKey) -> Extra:
    return Extra(x509.SubjectKeyIdentifier.from_public_key(key.public_key()))


def authority_extensions(path_length: int | None) -> list[Extra]:
    return [
        Extra(x509.BasicConstraints(ca=True, path_length=path_length), True),
        # digitalSignature, so that the CA may sign OCSP responses itself
        Extra(key_usage(ca=True), True),
    ]


def key_usage(*, ca: bool = False, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def addresses(
    responder_urls: Sequence[str], issuer_urls: Sequence[str], crl_urls: Sequence[str]
) -> list[Extra]:
    extras = []
    access = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
        for method, urls in (
            (AuthorityInformationAccessOID.OCSP, responder_urls),
            (AuthorityInformationAccessOID.CA_ISSUERS, issuer_urls),
        )
        for url in urls
    ]
    if access:
        extras.append(Extra(x509.AuthorityInformationAccess(access)))
    points = [
        x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
        for url in crl_urls
    ]
    if points:
        extras.append(Extra(x509.CRLDistributionPoints(points)))
    return extras


def indirect_point() -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=True,
        only_contains_attribute_certs=False,
    )
