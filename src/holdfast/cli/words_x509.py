"""Certificates, CRLs and signing requests in words: plain objects that `show` prints.

Law: every field and extension is told; what cannot be read is told as hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from holdfast.errors import Malformed
from holdfast.pki.certificate import Certificate
from holdfast.pki.crl import Crl, CrlEntry
from holdfast.pki.words import describe_key

Words = dict[str, Any]

# x509.ExtensionType -> the name that RFC 5280, 6960, 6962 and 7633 give it
_NAMES = {
    "1.3.6.1.5.5.7.1.1": "authority information access",
    "1.3.6.1.5.5.7.1.24": "TLS feature",
    "1.3.6.1.5.5.7.48.1.5": "id-pkix-ocsp-nocheck",
    "1.3.6.1.4.1.11129.2.4.2": "signed certificate timestamps",
    "1.3.6.1.4.1.11129.2.4.3": "precertificate poison",
    "2.5.29.9": "subject directory attributes",
    "2.5.29.14": "subject key identifier",
    "2.5.29.15": "key usage",
    "2.5.29.17": "subject alternative name",
    "2.5.29.18": "issuer alternative name",
    "2.5.29.19": "basic constraints",
    "2.5.29.20": "CRL number",
    "2.5.29.27": "delta CRL indicator",
    "2.5.29.28": "issuing distribution point",
    "2.5.29.30": "name constraints",
    "2.5.29.31": "CRL distribution points",
    "2.5.29.32": "certificate policies",
    "2.5.29.33": "policy mappings",
    "2.5.29.35": "authority key identifier",
    "2.5.29.36": "policy constraints",
    "2.5.29.37": "extended key usage",
    "2.5.29.46": "freshest CRL",
    "2.5.29.54": "inhibit anyPolicy",
}
_USAGES = (
    ("digital_signature", "digitalSignature"),
    ("content_commitment", "nonRepudiation"),
    ("key_encipherment", "keyEncipherment"),
    ("data_encipherment", "dataEncipherment"),
    ("key_agreement", "keyAgreement"),
    ("key_cert_sign", "keyCertSign"),
    ("crl_sign", "cRLSign"),
)


def certificate_words(certificate: Certificate) -> Words:
    words = {"kind": "certificate", **certificate_summary(certificate)}
    words["version"] = certificate.x509.version.value + 1
    words["signature_algorithm"] = _algorithm(certificate.x509)
    words["must_staple"] = _or_text(lambda: certificate.must_staple)
    try:
        extensions = list(certificate.x509.extensions)
    except (ValueError, x509.DuplicateExtension) as error:
        words["extensions"] = f"cannot be read: {error}"
        return words
    words["extensions"] = _extensions(extensions)
    return words


def certificate_summary(certificate: Certificate) -> Words:
    """Who it is, in a few fields."""
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "key": _or_text(lambda: certificate.key_type),
        "sha256": certificate.sha256,
    }


def crl_words(crl: Crl, *, most: int | None) -> Words:
    """`most` entries at the most; None: all."""
    entries = islice(crl.entries.values(), most)
    try:
        extensions = _extensions(crl.x509.extensions)
    except (ValueError, x509.DuplicateExtension) as error:
        raise Malformed("CertificateList.crlExtensions", str(error)) from error
    words = {
        "kind": "delta CRL" if crl.is_delta else "CRL",
        "issuer": crl.issuer,
        "this_update": crl.this_update,
        "next_update": crl.next_update,
        "number": crl.number,
        "signature_algorithm": _algorithm(crl.x509),
        "extensions": extensions,
        "entry_count": len(crl),
        "entries": [_entry(entry, crl) for entry in entries],
    }
    if most is not None and len(crl) > most:
        words["more"] = f"{len(crl) - most} more entries; --all shows them"
    return words


def csr_words(data: bytes) -> Words:
    """A certificate signing request (PKCS#10)."""
    try:
        request = x509.load_der_x509_csr(data)
        return {
            "kind": "certificate signing request",
            "subject": request.subject.rfc4514_string(),
            "key": describe_key(request.public_key()),
            "signature_algorithm": _algorithm(request),
            "signature_valid": request.is_signature_valid,
            "extensions": _extensions(request.extensions),
        }
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise Malformed("CertificationRequest", str(error)) from error


def _entry(entry: CrlEntry, crl: Crl) -> Words:
    from holdfast.ocsp.statuses import RevocationReason

    words: Words = {"serial": f"{entry.serial:x}", "revoked_at": entry.revoked_at}
    if entry.reason is not None:
        reason = RevocationReason.by_code(entry.reason)
        words["reason"] = str(entry.reason) if reason is None else reason.text
    if entry.invalidity_date is not None:
        words["invalidity_date"] = entry.invalidity_date
    if entry.issuer_der != crl.issuer_der:
        from holdfast.cli.words_ocsp import name_text

        words["certificate_issuer"] = name_text(entry.issuer_der)
    return words


def _algorithm(
    signed: x509.Certificate | x509.CertificateRevocationList | x509.CertificateSigningRequest,
) -> str:
    oid = signed.signature_algorithm_oid
    name = getattr(oid, "_name", "")
    return oid.dotted_string if not name or name == "Unknown OID" else name


def _or_text(read: Any) -> object:
    try:
        return read()
    except Malformed as error:
        return f"cannot be read: {error.problem}"


def _extensions(extensions: Iterable[x509.Extension[Any]]) -> list[Words]:
    found = []
    for one in extensions:
        dotted = one.oid.dotted_string
        words: Words = {"name": _NAMES.get(dotted, "not known"), "oid": dotted}
        if one.critical:
            words["critical"] = True
        words["value"] = _value(one.value)
        found.append(words)
    return found


def _value(value: Any) -> object:
    match value:
        case x509.BasicConstraints():
            length = "" if value.path_length is None else f", path length {value.path_length}"
            return f"CA{length}" if value.ca else "not a CA"
        case x509.KeyUsage():
            return [name for attribute, name in _USAGES if getattr(value, attribute)]
        case x509.ExtendedKeyUsage():
            return [_oid(oid) for oid in value]
        case x509.SubjectAlternativeName() | x509.IssuerAlternativeName():
            return [_general(name) for name in value]
        case x509.AuthorityInformationAccess():
            return [f"{_oid(a.access_method)}: {_general(a.access_location)}" for a in value]
        case x509.CRLDistributionPoints() | x509.FreshestCRL():
            return [_general(name) for point in value for name in point.full_name or ()]
        case x509.SubjectKeyIdentifier():
            return value.digest.hex()
        case x509.AuthorityKeyIdentifier():
            return "" if value.key_identifier is None else value.key_identifier.hex()
        case x509.TLSFeature():
            return [f.name for f in value]
        case x509.OCSPNoCheck():
            return "yes"
        case x509.CertificatePolicies():
            return [policy.policy_identifier.dotted_string for policy in value]
        case x509.PrecertificateSignedCertificateTimestamps():
            return [f"{sct.log_id.hex()} at {sct.timestamp:%Y-%m-%dT%H:%M:%SZ}" for sct in value]
        case x509.CRLNumber() | x509.DeltaCRLIndicator():
            return value.crl_number
        case x509.NameConstraints():
            return [
                *(f"permitted {_general(name)}" for name in value.permitted_subtrees or ()),
                *(f"excluded {_general(name)}" for name in value.excluded_subtrees or ()),
            ]
        case x509.IssuingDistributionPoint():
            return _point(value)
        case x509.UnrecognizedExtension():
            return value.value.hex()
        case _:
            try:
                octets: bytes = value.public_bytes()
            except (NotImplementedError, AttributeError):
                return repr(value)
            return octets.hex()


def _point(point: x509.IssuingDistributionPoint) -> list[str]:
    flags = {
        "indirect": point.indirect_crl,
        "only user certificates": point.only_contains_user_certs,
        "only CA certificates": point.only_contains_ca_certs,
        "only attribute certificates": point.only_contains_attribute_certs,
    }
    reasons = [f"only {reason.value}" for reason in point.only_some_reasons or ()]
    names = [_general(name) for name in point.full_name or ()]
    return [*names, *(word for word, held in flags.items() if held), *sorted(reasons)]


def _oid(oid: x509.ObjectIdentifier) -> str:
    name = getattr(oid, "_name", "Unknown OID")
    return oid.dotted_string if name == "Unknown OID" else name


def _general(name: x509.GeneralName) -> str:
    match name:
        case x509.DirectoryName():
            return name.value.rfc4514_string()
        case x509.OtherName():
            return f"{name.type_id.dotted_string} {name.value.hex()}"
        case x509.RegisteredID():
            return name.value.dotted_string
        case _:
            return str(name.value)
