"""What several CRLs say together of one CA's certificates.

Laws: bytes and instants in, facts out. A list counts only when the CA signed it, or a CRL issuer
that the operator named and the list is indirect, and when every critical extension is understood;
of two of one scope the one with the greater number counts, whichever came later; a delta counts
only with the full CRL it belongs to. That a serial is on no list means good only when the lists
together speak of every certificate and every reason. RFC 5280 5.2.3, 5.2.4, 5.2.5, 6.3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from holdfast.errors import OperatorError
from holdfast.pki.certificate import Certificate
from holdfast.pki.crl import Crl, CrlEntry, combine

# The names in ReasonFlags of RFC 5280 4.2.1.13 that a partition by reasons has to make up.
ALL_REASONS = frozenset(
    flag.value
    for flag in x509.ReasonFlags
    if flag not in (x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl)
)


@dataclass(frozen=True, slots=True)
class CrlView:
    """`revoked`: by serial, of the one CA; `next_update`: the instant at which the first of the
    lists ends, and with it what can be said; `ends_first`: the name of that list."""

    revoked: Mapping[int, CrlEntry]
    next_update: datetime
    ends_first: str
    lists: tuple[Crl, ...]
    names: tuple[str, ...] = ()  # of the lists, in their order

    def list_of(self, entry: CrlEntry) -> tuple[str, Crl] | None:
        """The name and the list that `entry`, one of `revoked`, stands on."""
        key = entry.issuer_der, entry.serial
        for name, crl in zip(self.names, self.lists, strict=True):
            if crl.entries.get(key) is entry:
                return name, crl
        return None


def objection(crl: Crl, *, ca: Certificate, issuers: Iterable[Certificate] = ()) -> str:
    """Why `crl` must not be believed about `ca`'s certificates, or "" when it may."""
    signer = next((one for one in (ca, *issuers) if crl.signed_by(one)), None)
    if signer is None:
        return f"a CRL of {crl.issuer} that neither {ca.subject} nor a named CRL issuer signed"
    if not _may_sign(signer):
        return f"a CRL signed by {signer.subject}, whose key usage has no cRLSign"
    if crl.issuer_der != ca.subject_der and not crl.indirect:
        return f"a CRL of {crl.issuer} that is not indirect: it speaks of its own certificates only"
    if crl.unknown_critical:
        return f"a CRL with the critical extension {crl.unknown_critical[0]}, which is not known"
    if crl.only_attribute_certificates:
        return "a CRL of attribute certificates only"
    if crl.next_update is None:
        return "a CRL without nextUpdate, which would never end (RFC 5280 5.1.2.5)"
    return ""


def supersedes(new: Crl, held: Crl) -> bool:
    """True unless `new`, of the scope and kind of `held`, is the older by number or by time."""
    return _age(new) >= _age(held)


def view(named: Iterable[tuple[str, Crl]], *, ca: Certificate) -> CrlView:
    """What the (name, list) pairs say of `ca`'s certificates; each was judged by `objection`.

    Raises `OperatorError` when a delta has no full CRL to go with, or there is no full CRL.
    """
    fulls: dict[object, tuple[str, Crl]] = {}
    deltas: dict[object, tuple[str, Crl]] = {}
    for name, crl in named:
        kept = deltas if crl.is_delta else fulls
        before = kept.get(crl.scope)
        if before is None or supersedes(crl, before[1]):
            kept[crl.scope] = (name, crl)
    if not fulls:
        raise OperatorError("no full CRL among them", hint="a delta needs its full CRL beside it")
    for scope, (name, delta) in deltas.items():
        if scope not in fulls:
            raise OperatorError(
                f"{name}: the full CRL of this delta is missing (number {delta.delta_base} or"
                f" later of {delta.issuer})",
                hint="give the full CRL of the same issuer and distribution point as well",
            )
    revoked: dict[int, CrlEntry] = {}
    used: list[tuple[str, Crl]] = []
    for scope, (name, base) in fulls.items():
        used.append((name, base))
        delta_name, change = deltas.get(scope, ("", None))
        if change is not None and base.number is not None and change.number is not None:
            # a new full CRL says all that the deltas before it said
            change = change if change.number > base.number else None
        if change is not None:
            used.append((delta_name, change))
        for (issuer_der, serial), entry in combine(base, change).entries.items():
            if issuer_der == ca.subject_der:
                revoked[serial] = entry
    ends, ends_first = min(
        (crl.next_update, name) for name, crl in used if crl.next_update is not None
    )
    lists, names = tuple(crl for _, crl in used), tuple(name for name, _ in used)
    return CrlView(revoked, ends, ends_first, lists, names)


def blind_spot(lists: Iterable[Crl], *, ca: Certificate) -> str:
    """Of what the full CRLs do not speak, so that a serial on none of them may be revoked all the
    same; "" when they speak of everything. Parts by distribution point cannot be told from here."""
    fulls = [crl for crl in lists if not crl.is_delta]
    issues_cas = _path_length(ca) != 0
    for name, skipped in (("users", "only_ca_certificates"), ("CAs", "only_user_certificates")):
        if name == "CAs" and not issues_cas:
            continue
        speaking = [crl for crl in fulls if not getattr(crl, skipped)]
        if not speaking:
            return f"the certificates of {name}"
        reasons = [crl.only_some_reasons for crl in speaking]
        if None not in reasons:
            missing = ALL_REASONS - frozenset().union(*(r for r in reasons if r is not None))
            if missing:
                return f"revocations for {', '.join(sorted(missing))}"
    return ""


def _may_sign(signer: Certificate) -> bool:
    usage = signer.extension(x509.KeyUsage.oid)
    return usage is None or bool(getattr(usage.value, "crl_sign", False))


def _path_length(ca: Certificate) -> int | None:
    found = ca.extension(x509.BasicConstraints.oid)
    value: int | None = None if found is None else getattr(found.value, "path_length", None)
    return value


def _age(crl: Crl) -> tuple[int, datetime]:
    return (-1 if crl.number is None else crl.number), crl.this_update
