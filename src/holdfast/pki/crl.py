"""Certificate revocation lists: full, delta and indirect.

Laws: bytes in, facts out; nothing is believed until `Crl.signed_by` says so. Entries are keyed by
the certificate's issuer and serial, because an indirect CRL speaks for several CAs.
RFC 5280 5, 5.2.4 (deltas), 5.2.5 and 5.3.3 (indirect).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from cryptography import x509

from holdfast.errors import Malformed, OperatorError
from holdfast.pki.certificate import Certificate
from holdfast.pki.tlv import INTEGER, element, elements
from holdfast.pki.unreadable import UNREADABLE

MAX_CRL = 64 * 1024 * 1024  # bytes; the largest public CRLs are tens of megabytes

Known = TypeVar("Known", bound=x509.ExtensionType)

# RFC 5280 5.3.1
REASONS = {
    x509.ReasonFlags.unspecified: 0,
    x509.ReasonFlags.key_compromise: 1,
    x509.ReasonFlags.ca_compromise: 2,
    x509.ReasonFlags.affiliation_changed: 3,
    x509.ReasonFlags.superseded: 4,
    x509.ReasonFlags.cessation_of_operation: 5,
    x509.ReasonFlags.certificate_hold: 6,
    x509.ReasonFlags.remove_from_crl: 8,
    x509.ReasonFlags.privilege_withdrawn: 9,
    x509.ReasonFlags.aa_compromise: 10,
}
REMOVE_FROM_CRL = 8

# What is understood here. RFC 5280 5.2 and 5.3: a CRL with any other critical extension must not
# be used to tell that a certificate is not revoked.
_KNOWN = frozenset(
    {
        x509.CRLNumber.oid,
        x509.DeltaCRLIndicator.oid,
        x509.IssuingDistributionPoint.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.FreshestCRL.oid,
    }
)


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """One revoked certificate. `issuer_der`: the name of the CA that issued it; `reason`: the
    CRLReason code (RFC 5280 5.3.1), None when not said."""

    issuer_der: bytes
    serial: int
    revoked_at: datetime
    reason: int | None = None
    invalidity_date: datetime | None = None


class Crl:
    """One CRL: its DER and the facts read from it, each read once, when asked."""

    def __init__(self, der: bytes) -> None:
        """Take `der`, one DER CRL without trailing bytes; raise `Malformed` otherwise."""
        if len(der) > MAX_CRL:
            raise Malformed("CertificateList", f"{len(der)} bytes, more than {MAX_CRL}")
        try:
            self.x509 = x509.load_der_x509_crl(der)
        except UNREADABLE as error:
            raise Malformed("CertificateList", f"not a DER CRL: {error}") from error
        self.der = der

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crl) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<Crl {self.issuer} of {self.this_update:%Y-%m-%dT%H:%M:%SZ}>"

    @cached_property
    def issuer_der(self) -> bytes:
        """The issuer's Name as it stands in the list."""
        tbs = self.x509.tbs_certlist_bytes
        outer = element(tbs, 0, len(tbs))
        fields = (elements(tbs, outer.start) if outer else None) or []
        name = fields[2 if fields[0].tag == INTEGER else 1]  # after version and signature
        return tbs[name.head : name.end]

    def __len__(self) -> int:
        """Entries as they stand in the list."""
        return len(self.x509)

    @cached_property
    def issuer(self) -> str:
        """RFC 4514 text, for people only; compare `issuer_der`."""
        try:
            return self.x509.issuer.rfc4514_string()
        except UNREADABLE:
            return f"#{self.issuer_der.hex()}"

    @cached_property
    def this_update(self) -> datetime:
        return self.x509.last_update_utc

    @cached_property
    def next_update(self) -> datetime | None:
        return self.x509.next_update_utc

    def current(self, at: datetime) -> bool:
        """True from this_update until before next_update; a CRL without one does not end."""
        return self.this_update <= at and (self.next_update is None or at < self.next_update)

    # -- extensions -------------------------------------------------------------------------

    @cached_property
    def _extensions(self) -> x509.Extensions:
        try:
            return self.x509.extensions
        except UNREADABLE as error:
            raise Malformed("CertificateList.crlExtensions", str(error)) from error

    @cached_property
    def number(self) -> int | None:
        found = _value(self._extensions, x509.CRLNumber)
        return found.crl_number if found else None

    @cached_property
    def delta_base(self) -> int | None:
        """BaseCRLNumber: the least number of the full CRLs that this delta goes with (RFC 5280
        5.2.4); None for a full CRL."""
        found = _value(self._extensions, x509.DeltaCRLIndicator)
        return found.crl_number if found else None

    @property
    def is_delta(self) -> bool:
        return self.delta_base is not None

    @cached_property
    def authority_key_id(self) -> bytes | None:
        found = _value(self._extensions, x509.AuthorityKeyIdentifier)
        return found.key_identifier if found else None

    @cached_property
    def _point(self) -> x509.IssuingDistributionPoint | None:
        return _value(self._extensions, x509.IssuingDistributionPoint)

    @property
    def scope(self) -> tuple[bytes, bytes | None, x509.IssuingDistributionPoint | None]:
        """What a CRL has in common with those that come after it and with its deltas (RFC 5280
        5.2.4): issuer, key and issuing distribution point."""
        return self.issuer_der, self.authority_key_id, self._point

    @property
    def indirect(self) -> bool:
        return self._point is not None and self._point.indirect_crl

    @property
    def only_user_certificates(self) -> bool:
        return self._point is not None and self._point.only_contains_user_certs

    @property
    def only_ca_certificates(self) -> bool:
        return self._point is not None and self._point.only_contains_ca_certs

    @property
    def only_attribute_certificates(self) -> bool:
        return self._point is not None and self._point.only_contains_attribute_certs

    @property
    def only_some_reasons(self) -> frozenset[str] | None:
        """The reasons that the CRL is confined to, by name; None when it speaks for all."""
        if self._point is None or self._point.only_some_reasons is None:
            return None
        return frozenset(reason.value for reason in self._point.only_some_reasons)

    @cached_property
    def point_urls(self) -> tuple[str, ...]:
        """Addresses of the issuing distribution point."""
        names = self._point.full_name if self._point else None
        return _urls(names or ())

    @cached_property
    def delta_urls(self) -> tuple[str, ...]:
        """Where deltas are to be had (freshestCRL)."""
        found = _value(self._extensions, x509.FreshestCRL)
        return tuple(url for point in found or () for url in _urls(point.full_name or ()))

    @cached_property
    def unknown_critical(self) -> tuple[str, ...]:
        """Dotted OIDs of critical extensions that are not understood here."""
        return tuple(
            e.oid.dotted_string for e in self._extensions if e.critical and e.oid not in _KNOWN
        )

    # -- entries ----------------------------------------------------------------------------

    @cached_property
    def entries(self) -> Mapping[tuple[bytes, int], CrlEntry]:
        """All entries by (issuer name DER, serial); of two with one key the later in the list."""
        return {(entry.issuer_der, entry.serial): entry for entry in self._each()}

    def entry(self, serial: int, issuer: Certificate | None = None) -> CrlEntry | None:
        """What the CRL says of `serial` of `issuer` (default: the CRL's own)."""
        name = self.issuer_der if issuer is None else issuer.subject_der
        if not self.indirect and not self.is_delta and name == self.issuer_der:
            try:  # without reading every entry
                found = self.x509.get_revoked_certificate_by_serial_number(serial)
            except UNREADABLE as error:
                raise Malformed("CertificateList.revokedCertificates", str(error)) from error
            return None if found is None else _entry(found, name)
        return self.entries.get((name, serial))

    def covers(self, certificate: Certificate) -> bool:
        """True when the CRL's scope includes `certificate`, whose issuer's name is the CRL's or
        for which an indirect CRL may speak. Distribution points are not compared."""
        if certificate.issuer_der != self.issuer_der and not self.indirect:
            return False
        if self.only_attribute_certificates:
            return False
        return not (
            self.only_ca_certificates if not certificate.is_ca else self.only_user_certificates
        )

    def _each(self) -> Iterator[CrlEntry]:
        # RFC 5280 5.3.3: without certificateIssuer, an entry's is that of the entry before it
        issuer = self.issuer_der
        try:
            for revoked in self.x509:
                named = _value(revoked.extensions, x509.CertificateIssuer)
                if named is not None:
                    issuer = _directory_name(named)
                yield _entry(revoked, issuer)
        except UNREADABLE as error:
            raise Malformed("CertificateList.revokedCertificates", str(error)) from error

    # -- relations --------------------------------------------------------------------------

    def signed_by(self, issuer: Certificate) -> bool:
        """True when the name is `issuer`'s and its key made the signature; no more is asked."""
        if issuer.subject_der != self.issuer_der:
            return False
        try:
            return self.x509.is_signature_valid(issuer.x509.public_key())  # type: ignore[arg-type]
        except UNREADABLE:
            return False


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a full CRL, or a full CRL with a delta, says; made by `combine`."""

    this_update: datetime
    next_update: datetime | None
    number: int | None
    issuer_der: bytes
    entries: Mapping[tuple[bytes, int], CrlEntry]

    def entry(self, serial: int, issuer: Certificate | None = None) -> CrlEntry | None:
        name = self.issuer_der if issuer is None else issuer.subject_der
        return self.entries.get((name, serial))


def combine(base: Crl, delta: Crl | None = None) -> Revocations:
    """`base` brought up to `delta` (RFC 5280 5.2.4); both are verified by the caller.

    Raises `OperatorError` when they do not belong together.
    """
    if base.is_delta:
        raise OperatorError("a delta CRL where a full CRL belongs", hint="give the full CRL first")
    entries = dict(base.entries)
    newest = base
    if delta is not None:
        _belong(base, delta)
        for key, entry in delta.entries.items():
            if entry.reason == REMOVE_FROM_CRL:
                entries.pop(key, None)
            else:
                entries[key] = entry
        newest = delta
    return Revocations(
        newest.this_update, newest.next_update, newest.number, base.issuer_der, entries
    )


def _belong(base: Crl, delta: Crl) -> None:
    """RFC 5280 5.2.4 (a) to (d): same issuer and scope; numbers that follow."""
    hint = "give a delta that was issued for this full CRL"
    if delta.delta_base is None:
        raise OperatorError("a full CRL where a delta CRL belongs", hint=hint)
    if base.scope != delta.scope:
        raise OperatorError("the delta CRL is of another issuer or scope", hint=hint)
    if base.number is None or delta.number is None:
        raise OperatorError("a CRL without a number has no deltas", hint=hint)
    if base.number < delta.delta_base:
        raise OperatorError(
            f"the full CRL has number {base.number}, the delta needs {delta.delta_base} or later",
            hint="fetch the newer full CRL",
        )
    if base.number >= delta.number:
        raise OperatorError(
            f"the delta CRL (number {delta.number}) is not newer than the full CRL ({base.number})",
            hint="the full CRL alone says it all",
        )


def _entry(revoked: x509.RevokedCertificate, issuer_der: bytes) -> CrlEntry:
    try:
        reason = _value(revoked.extensions, x509.CRLReason)
        invalid = _value(revoked.extensions, x509.InvalidityDate)
    except UNREADABLE as error:
        raise Malformed("CertificateList.crlEntryExtensions", str(error)) from error
    return CrlEntry(
        issuer_der,
        revoked.serial_number,
        revoked.revocation_date_utc,
        None if reason is None else REASONS[reason.reason],
        None if invalid is None else invalid.invalidity_date_utc,
    )


def _value(extensions: x509.Extensions, wanted: type[Known]) -> Known | None:
    try:
        return extensions.get_extension_for_class(wanted).value
    except x509.ExtensionNotFound:
        return None


def _urls(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    return tuple(n.value for n in names if isinstance(n, x509.UniformResourceIdentifier))


def _directory_name(issuer: x509.CertificateIssuer) -> bytes:
    for name in issuer:
        if isinstance(name, x509.DirectoryName):
            return name.value.public_bytes()
    raise ValueError("certificateIssuer without a directory name")
