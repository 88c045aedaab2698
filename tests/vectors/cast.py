"""Who appears in the vectors: a root, its issuing CA, impostors, delegates right and wrong.

All keys come from names (`builders.key_from`), all serials are fixed, all signatures but ML-DSA's
are deterministic: minting again gives the same certificates. The world: everything begins with
2025 or 2026, and is judged, unless a case says otherwise, at `AT`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.ocsp import der
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import GOOD, CertificateStatus, ResponderID, SingleResponse
from holdfast.pki import issue
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Authority, Issued
from support.builders import by_key, key_from, resigned, response_data, signed_response, with_key

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
SKEW = timedelta(minutes=5)
EARLY = datetime(2025, 1, 1, tzinfo=UTC)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
THIS = datetime(2026, 6, 1, tzinfo=UTC)
NEXT = datetime(2026, 6, 8, tzinfo=UTC)

CERTIFICATES: dict[str, Certificate] = {}  # the table at the top of the file


def _enter(name: str, certificate: Certificate) -> Certificate:
    assert name not in CERTIFICATES
    CERTIFICATES[name] = certificate
    return certificate


# -- certificates -----------------------------------------------------------------------------


def _root(short: str, name: str, serial: int) -> Authority:
    key = key_from(short)
    made = issue.root(name, key=key, serial=serial, at=EARLY, lifetime=3650 * DAY)
    return Authority(_enter(short, resigned(made.certificate, key)), key)


def sub(
    parent: Authority, short: str, name: str, serial: int, kind: str = "ecdsa-p256", **wishes: Any
) -> Authority:
    """A CA below `parent`, entered as `short`."""
    key = wishes.pop("key", None) or key_from(short, kind)
    wishes.setdefault("lifetime", 1825 * DAY)
    made = parent.intermediate(
        name, key=key, serial=serial, at=wishes.pop("at", EARLY), path_length=None, **wishes
    )
    certificate = _enter(short, resigned(made.certificate, parent.key))
    return Authority(certificate, key, (parent.certificate, *parent.chain))


def leaf(parent: Authority, short: str, serial: int, **wishes: Any) -> Issued:
    """A server certificate of `parent`, entered as `short`."""
    key = key_from(short)
    wishes.setdefault("lifetime", 365 * DAY)
    made = parent.server(
        f"{short}.example", key=key, serial=serial, at=wishes.pop("at", BEGIN), **wishes
    )
    return replace(made, certificate=_enter(short, resigned(made.certificate, parent.key)))


def delegate(parent: Authority, who: str, serial: int, **wishes: Any) -> Issued:
    """A delegated signer; `digest` is what `parent` signs its certificate with, `forged_by` the
    key that does so instead of `parent`'s."""
    kind, digest = wishes.pop("kind", "ecdsa-p256"), wishes.pop("digest", "")
    key = wishes.pop("key", None) or key_from(who, kind)
    signing_key = wishes.pop("forged_by", parent.key)
    wishes.setdefault("lifetime", 365 * DAY)
    made = parent.delegated_signer(
        wishes.pop("name", f"Signer {who}"),
        key=key,
        serial=serial,
        at=wishes.pop("at", BEGIN),
        **wishes,
    )
    return replace(made, certificate=resigned(made.certificate, signing_key, digest=digest))


ROOT = _root("root", "Vector Root", 1)
CA = sub(ROOT, "ca", "Vector CA", 2)
LEAF = leaf(CA, "leaf", 0x1122334455)
OTHER_LEAF = leaf(CA, "other-leaf", 0x66778899AA)
LONG_LEAF = leaf(CA, "long-leaf", int("7f" + "a5" * 19, 16))
HIGH_LEAF = leaf(CA, "high-leaf", 0x80C0FFEE)
ENDLESS_LEAF = leaf(
    CA, "endless-leaf", 0x99, not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
)
RSA_CA = sub(ROOT, "rsa-ca", "Vector RSA CA", 3, "rsa-2048")
RSA_LEAF = leaf(RSA_CA, "rsa-leaf", 0x2001)
SIBLING = sub(ROOT, "sibling-ca", "Vector Sibling CA", 4)
IMPOSTOR = _root("impostor-ca", "Vector CA", 5)  # the CA's name, another key
RENAMED = sub(ROOT, "renamed-ca", "Vector CA Renamed", 6, key=CA.key)  # its key, another name
RENEWED = sub(ROOT, "renewed-ca", "Vector CA", 7, key=CA.key)  # its name and key, issued again
OLD_CA = sub(
    ROOT, "old-ca", "Vector Old CA", 8, not_after=datetime(2026, 5, 1, tzinfo=UTC)
)  # ended a month before AT
BY_KIND = {
    kind: sub(ROOT, f"{kind}-ca", f"Vector {kind} CA", 16 + number, kind)
    for number, kind in enumerate(
        ("ecdsa-p384", "ecdsa-p521", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
    )
} | {"rsa-2048": RSA_CA, "ecdsa-p256": CA}

SIGNER = delegate(CA, "signer", 100)
LEAF_ID = CertID.of(LEAF.certificate.serial, CA.certificate)
OTHER_ID = CertID.of(OTHER_LEAF.certificate.serial, CA.certificate)
TRUSTED = delegate(SIBLING, "trusted", 101)
_enter("trusted-responder", TRUSTED.certificate)
OLD_TRUSTED = delegate(SIBLING, "old-trusted", 102, lifetime=30 * DAY)
_enter("old-trusted-responder", OLD_TRUSTED.certificate)


def bad_point(issued: Issued) -> bytes:
    """The DER of `issued`'s certificate with a key that is no point of its curve."""
    spki = bytearray(
        issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    spki[-1] ^= 1
    return with_key(issued.certificate, bytes(spki), CA.key)


NOT_CA = x509.BasicConstraints(ca=False, path_length=None)


# -- answers ----------------------------------------------------------------------------------


def says(
    certificate_status: CertificateStatus = GOOD,
    *,
    of: CertID = LEAF_ID,
    this: datetime = THIS,
    until: datetime | None = NEXT,
    extensions: tuple[Extension, ...] = (),
) -> SingleResponse:
    return SingleResponse(of, certificate_status, this, until, extensions)


def answer(
    *singles: SingleResponse | bytes,
    by: Authority | Issued = CA,
    named: ResponderID | bytes | None = None,
    produced: datetime | bytes = THIS,
    extensions: Any = (),
    certs: Any = None,
    digest: str = "",
) -> bytes:
    """A response to be right unless told otherwise: signed `by`, whose certificate it carries
    when that is not a CA."""
    tbs = data(*singles, by=by, named=named, produced=produced, extensions=extensions)
    if certs is None:
        certs = () if isinstance(by, Authority) else (by.certificate,)
    return signed_response(by.key, tbs, certs, digest=digest)


def data(
    *singles: SingleResponse | bytes,
    by: Authority | Issued = CA,
    named: ResponderID | bytes | None = None,
    produced: datetime | bytes = THIS,
    extensions: Any = (),
    **parts: bytes,
) -> bytes:
    """The ResponseData of `answer`."""
    return response_data(
        by_key(by.certificate) if named is None else named,
        produced,
        singles or (says(),),
        extensions,
        **parts,
    )


# -- cases ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Minted:
    """A case to be written. `expect`: "good", "revoked" or "unknown" when valid; "not good" and
    so on when the single is found but the response is not valid; "nothing" when none is found;
    "malformed"; or the response_status of an error response."""

    id: str
    rule: str
    says: str
    response: bytes
    expect: str
    codes: tuple[str, ...]
    twin: str
    leaf: str | None
    serial: int
    issuer: str
    at: datetime
    policy: dict[str, Any]
    severities: dict[str, str] = field(default_factory=dict)


CASES: list[Minted] = []
BASE = "answers-the-certificate"  # the green case that differs from most red ones in one thing


def case(
    id: str,
    rule: str,
    told: str,
    response: bytes,
    expect: str,
    *codes: str,
    twin: str = BASE,
    leaf: str | None = "leaf",
    serial: int | None = None,
    issuer: str = "ca",
    at: datetime = AT,
    severities: dict[str, str] | None = None,
    **policy: Any,
) -> None:
    """Enter a case. `codes`: every finding there must be, without "response-"."""
    if serial is not None:
        leaf = None
    elif leaf is not None:
        serial = CERTIFICATES[leaf].serial
    assert serial is not None
    CASES.append(
        Minted(
            id, rule, told, response, expect,
            tuple(sorted(f"response-{code}" for code in codes)),
            twin, leaf, serial, issuer, at, policy,
            {f"response-{code}": severity for code, severity in (severities or {}).items()},
        )
    )  # fmt: skip


def flipped(response: bytes, old: bytes, new: bytes) -> bytes:
    """`response` with the one place that reads `old` reading `new`: no length changes."""
    assert response.count(old) == 1
    assert len(old) == len(new)
    return response.replace(old, new)


def inside_out(response: bytes, *path: int) -> tuple[int, int, int]:
    """(begin, content, end) of the element reached by child numbers from the outermost."""
    begin, limit = 0, len(response)
    _, start, stop = der.element(response, begin, limit, "message")
    for number in path:
        position = start
        for _ in range(number):
            _, _, position = der.element(response, position, stop, "message")
        begin = position
        _, start, stop = der.element(response, position, stop, "message")
    return begin, start, stop
