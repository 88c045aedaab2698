"""A private CA for tests: fixed instants, keys made once a process, one short line a certificate.

    ca = a_root()                               # "Test Root", ECDSA P-256
    issuing = an_intermediate(ca)
    server = a_server(issuing, "localhost", must_staple=True)
    signer = a_signer(issuing)                  # delegated OCSP signer
    server.certificate, server.key, server.fullchain_pem, server.key_pem()

Everything is in date at `AT` (for a year from `BEGIN`); programs that look at the real clock need
`at=datetime.now(UTC)`. Serials are random unless `serial=` says otherwise. Keyword arguments go to
`holdfast.pki.issue` unchanged. Two calls with the same `key_type`
and the same `who` get the same key: name another `who` (default: the subject) for another key.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.pki import issue, keys
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Authority, Issued
from holdfast.pki.keys import PrivateKey
from holdfast.pki.tlv import elements, oid_der, tlv

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)  # when everything minted here begins
AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)  # the instant at which tests judge
YEAR = timedelta(days=365)


def a_key(who: str = "anybody", key_type: str = "ecdsa-p256") -> PrivateKey:
    """The same key for the same words, within one process."""
    return _made(who, key_type)


@cache
def _made(who: str, key_type: str) -> PrivateKey:
    return keys.generate(key_type)


def a_root(
    name: str = "Test Root", *, key_type: str = "ecdsa-p256", who: str = "", **wishes: Any
) -> Authority:
    wishes.setdefault("key", a_key(who or name, key_type))
    wishes.setdefault("lifetime", 10 * YEAR)
    return issue.root(name, at=wishes.pop("at", BEGIN), **wishes)


def an_intermediate(
    ca: Authority,
    /,
    name: str = "Test Issuing CA",
    *,
    key_type: str = "ecdsa-p256",
    who: str = "",
    **wishes: Any,
) -> Authority:
    wishes.setdefault("key", a_key(who or name, key_type))
    wishes.setdefault("lifetime", 5 * YEAR)
    return ca.intermediate(name, at=wishes.pop("at", BEGIN), **wishes)


def a_server(
    ca: Authority, /, *names: str, key_type: str = "ecdsa-p256", who: str = "", **wishes: Any
) -> Issued:
    """A server certificate; for "localhost", 127.0.0.1 and ::1 when no name is given."""
    names = names or ("localhost", "127.0.0.1", "::1")
    wishes.setdefault("key", a_key(who or names[0], key_type))
    wishes.setdefault("lifetime", YEAR)
    return ca.server(*names, at=wishes.pop("at", BEGIN), **wishes)


def a_signer(
    ca: Authority,
    /,
    name: str = "Test OCSP Signer",
    *,
    key_type: str = "ecdsa-p256",
    who: str = "",
    **wishes: Any,
) -> Issued:
    """A delegated OCSP signer with id-pkix-ocsp-nocheck, unless the wishes say otherwise."""
    wishes.setdefault("key", a_key(who or name, key_type))
    wishes.setdefault("lifetime", YEAR)
    return ca.delegated_signer(name, at=wishes.pop("at", BEGIN), **wishes)


def resigned(
    certificate: Certificate,
    key: PrivateKey,
    *,
    serial: int | None = None,
    spki: bytes | None = None,
    extensions: bytes | None = None,
    sha1: bool = False,
) -> bytes:
    """The DER of `certificate` with what no builder makes: a zero, negative or endless `serial`,
    an unreadable `spki`, any `extensions` (the elements within the SEQUENCE), a SHA-1 signature;
    signed again with `key`, which must be ECDSA P-256."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    outer = elements(certificate.der, 0)
    assert outer is not None
    tbs = elements(certificate.der, outer[0].start)
    assert tbs is not None
    fields = elements(certificate.der, tbs[0].start, tbs[0].end)
    assert fields is not None
    parts = [certificate.der[f.head : f.end] for f in fields]
    algorithm = tlv(0x30, oid_der("1.2.840.10045.4.1" if sha1 else "1.2.840.10045.4.3.2"))
    parts[2] = algorithm
    if serial is not None:
        length = (serial + (serial < 0)).bit_length() // 8 + 1
        parts[1] = tlv(0x02, serial.to_bytes(length, "big", signed=True))
    if spki is not None:
        parts[6] = spki
    if extensions is not None:
        parts[-1] = tlv(0xA3, tlv(0x30, extensions))
    signed = tlv(0x30, *parts)
    signature = key.sign(signed, ec.ECDSA(hashes.SHA1() if sha1 else hashes.SHA256()))
    return tlv(0x30, signed, algorithm, tlv(0x03, b"\x00" + signature))


def written(issued: Issued | Authority, folder: Path, name: str = "server") -> tuple[Path, Path]:
    """`issued` as files: (`name`.pem, leaf first without the root; `name`.key, mode 0600)."""
    issued = issued.issued if isinstance(issued, Authority) else issued
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(issued.fullchain_pem)
    private(key, issued.key_pem())
    return chain, key


def private(path: Path, data: bytes) -> Path:
    """A file that its owner alone can read, as every key's must be."""
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def subjects(certificates: tuple[Certificate, ...]) -> list[str]:
    """The subjects, for readable assertions about order."""
    return [c.subject for c in certificates]
