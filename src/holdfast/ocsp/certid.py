"""CertID: how OCSP names a certificate; Subject: the certificate that a question is about.

RFC 6960 4.1.1. Two CertIDs are equal when all four fields are; hash parameters NULL and absent
count as equal (V1), serials are compared whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.pki.certificate import Certificate

HASH_OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_HASH_NAMES = {oid: name for name, oid in HASH_OIDS.items()}


class CertID(NamedTuple):
    """`hash_algorithm`: "sha1", "sha256", "sha384", "sha512" or, unknown to us, a dotted OID.

    `null_parameters` tells whether the hash's parameters are NULL or absent, so that a CertID is
    echoed as it came (R2); it takes no part in comparison.
    """

    hash_algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    null_parameters: bool = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CertID) and self[:4] == other[:4]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:4])

    @classmethod
    def of(cls, serial: int, issuer: Certificate, hash_algorithm: str = "sha1") -> CertID:
        """The CertID of the certificate `serial` that `issuer` issued. `ValueError` for a hash
        that is not of HASH_OIDS."""
        name_hash, key_hash = issuer_hashes(issuer, hash_algorithm)
        return cls(hash_algorithm, name_hash, key_hash, serial)

    def encode(self) -> bytes:
        oid = HASH_OIDS.get(self.hash_algorithm, self.hash_algorithm)
        return der.sequence(
            der.sequence(der.encode_oid(oid), der.NULL_DER if self.null_parameters else b""),
            der.octet_string(self.issuer_name_hash),
            der.octet_string(self.issuer_key_hash),
            der.encode_integer(self.serial),
        )

    @property
    def key(self) -> str:
        """64 hex digits, equal for equal CertIDs: a name for files and store keys."""
        canonical = CertID(
            self.hash_algorithm, self.issuer_name_hash, self.issuer_key_hash, self.serial
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    def names(self, serial: int, issuer: Certificate) -> bool:
        """True when this is the CertID of `serial` by `issuer`, by whatever hash it uses."""
        if self.serial != serial or self.hash_algorithm not in HASH_OIDS:
            return False
        name_hash, key_hash = issuer_hashes(issuer, self.hash_algorithm)
        return self.issuer_key_hash == key_hash and self.issuer_name_hash == name_hash


def issuer_hashes(issuer: Certificate, hash_algorithm: str) -> tuple[bytes, bytes]:
    """(issuerNameHash, issuerKeyHash) of certificates that `issuer` issued."""
    known = issuer.name_and_key_hashes.get(hash_algorithm)
    if known is not None:
        return known
    if hash_algorithm not in HASH_OIDS:
        raise ValueError(f"CertID hash {hash_algorithm!r} is not one of {', '.join(HASH_OIDS)}")
    made = (
        hashlib.new(hash_algorithm, issuer.subject_der, usedforsecurity=False).digest(),
        hashlib.new(hash_algorithm, issuer.key_octets, usedforsecurity=False).digest(),
    )
    issuer.name_and_key_hashes[hash_algorithm] = made
    return made


CA_TAG = 4  # octets


def ca_tag(issuer: Certificate) -> bytes:
    """A CA by its name and key, in `CA_TAG` octets: the same for its renewed certificate. Whoever
    keeps answers of several compares `ca_mark` too."""
    return ca_mark(issuer)[:CA_TAG]


def ca_mark(issuer: Certificate) -> bytes:
    """A CA by its name and key, in 32 octets that no other CA shares."""
    return hashlib.sha256(der.sequence(issuer.subject_der, issuer.spki_der)).digest()


def serial_octets(serial: int) -> bytes:
    """The content octets of a serial's INTEGER."""
    return serial.to_bytes(
        (serial if serial >= 0 else ~serial).bit_length() // 8 + 1, "big", signed=True
    )


def serials_octets(serials: Sequence[int]) -> list[bytes]:
    """`serial_octets` of each, in half of the time where none is negative, as RFC 5280 4.1.2.2
    has it."""
    try:
        return [serial.to_bytes(serial.bit_length() // 8 + 1, "big") for serial in serials]
    except OverflowError:
        return [serial_octets(serial) for serial in serials]


def read_certid(data: bytes, position: int, end: int, what: str) -> tuple[CertID, int]:
    """(CertID, position after) of the CertID at `position`."""
    start, stop = der.take(data, position, end, der.SEQUENCE, what)
    # The serial is last; what stands before it is the same for a whole CA, so it is read once.
    try:
        serial_at = start + 2 + data[start + 1]
        serial_at += 2 + data[serial_at + 1]
        serial_at += 2 + data[serial_at + 1]
    except IndexError:
        serial_at = stop
    name, name_hash, key_hash, null = _issuer_part(data[start : min(serial_at, stop)], start)
    serial, after = der.integer(data, serial_at, stop, "CertID.serialNumber")
    if after != stop:
        der.finish(after, stop, what)
    return CertID(name, name_hash, key_hash, serial, null), stop


@lru_cache(maxsize=4096)
def _issuer_part(content: bytes, offset: int) -> tuple[str, bytes, bytes, bool]:
    """(hash name, issuerNameHash, issuerKeyHash, parameters are NULL), read strictly."""
    end = len(content)
    try:
        start, stop = der.take(content, 0, end, der.SEQUENCE, "CertID.hashAlgorithm")
        name, null = _hash_algorithm(content, start, stop)
        name_start, name_end = der.take(
            content, stop, end, der.OCTET_STRING, "CertID.issuerNameHash"
        )
        key_start, key_end = der.take(
            content, name_end, end, der.OCTET_STRING, "CertID.issuerKeyHash"
        )
        der.finish(key_end, end, "CertID")
    except Malformed as error:
        raise Malformed(error.what, error.problem, offset=offset + error.offset) from None
    return name, content[name_start:name_end], content[key_start:key_end], null


def _hash_algorithm(content: bytes, start: int, stop: int) -> tuple[str, bool]:
    """(name, parameters are NULL) of an AlgorithmIdentifier's content; others are refused."""
    what = "CertID.hashAlgorithm"
    oid, after = der.oid(content, start, stop, what)
    parameters = content[after:stop]
    if parameters not in (b"", der.NULL_DER):
        raise Malformed(what, "parameters that are neither NULL nor absent", offset=after)
    return _HASH_NAMES.get(oid, oid), parameters == der.NULL_DER


@dataclass(frozen=True, slots=True)
class Subject:
    """The certificate a question is about: its serial and issuer, and the rest where known.

    `leaf` is None when only a CertID was given (a responder's case, and `verify` without --cert).
    """

    serial: int
    issuer: Certificate
    leaf: Certificate | None = None
    responder_urls: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        leaf: Certificate,
        issuer: Certificate,
        responder_urls: tuple[str, ...] | None = None,
    ) -> Subject:
        """The subject `leaf`; `responder_urls` default to those in it."""
        urls = leaf.responder_urls if responder_urls is None else responder_urls
        return cls(leaf.serial, issuer, leaf, urls)

    @property
    def certid(self) -> CertID:
        """By SHA-1: what clients ask with (K13), and the key of every store."""
        return CertID.of(self.serial, self.issuer)

    def certid_by(self, hash_algorithm: str) -> CertID:
        return CertID.of(self.serial, self.issuer, hash_algorithm)

    @property
    def name(self) -> str:
        """For people: the first DNS name, else the subject, else the serial."""
        if self.leaf is None:
            return f"serial {self.serial:x}"
        return self.leaf.names[0] if self.leaf.names else self.leaf.subject
