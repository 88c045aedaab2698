"""CertIDs: four fields compared whole, parameters not; subjects (V1, R2, R28, K13)."""

from __future__ import annotations

import hashlib

import pytest

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.certid import HASH_OIDS, CertID, Subject, issuer_hashes, read_certid
from support.pki import a_root, a_server

CA = a_root()
OTHER = a_root("Other Root")
SERVER = a_server(CA, "www.example", "example", responder_urls=("http://ocsp.example/",))
ID = CertID.of(77, CA.certificate)


@pytest.mark.parametrize("name", HASH_OIDS)
def test_v1_the_hashes_are_of_the_name_and_the_key_octets(name: str) -> None:
    """R28: SHA-1, SHA-256, SHA-384 and SHA-512; without tag, length and unused bits (4.1.1)."""
    certid = CertID.of(77, CA.certificate, name)
    public = CA.certificate.x509.public_key().public_bytes
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = public(Encoding.X962, PublicFormat.UncompressedPoint)
    assert certid.issuer_key_hash == hashlib.new(name, point).digest()
    assert certid.issuer_name_hash == hashlib.new(name, CA.certificate.subject_der).digest()
    assert certid.names(77, CA.certificate)


@pytest.mark.parametrize(
    "other",
    [
        ID._replace(serial=78),
        ID._replace(serial=77 << 8),
        ID._replace(issuer_name_hash=bytes(20)),
        ID._replace(issuer_key_hash=bytes(20)),
        ID._replace(issuer_key_hash=ID.issuer_key_hash[:-1]),
        ID._replace(hash_algorithm="sha256"),
        ID._replace(hash_algorithm="1.2.3"),
    ],
)
def test_v1_each_field_counts(other: CertID) -> None:
    assert other != ID
    assert not other == ID  # noqa: SIM201
    assert other.key != ID.key
    assert not other.names(77, CA.certificate)


def test_v1_null_and_absent_parameters_are_equal() -> None:
    absent = ID._replace(null_parameters=False)
    assert absent == ID
    assert not absent != ID  # noqa: SIM202
    assert hash(absent) == hash(ID)
    assert absent.key == ID.key
    assert absent.encode() != ID.encode()


def test_a_certid_is_no_tuple_of_the_same_fields() -> None:
    assert tuple(ID) != ID


def test_v1_another_issuer_is_not_named() -> None:
    assert not ID.names(77, OTHER.certificate)
    assert not ID.names(78, CA.certificate)


def test_an_unknown_hash_names_nothing_and_cannot_be_asked_for() -> None:
    assert not CertID("1.2.840.113549.2.5", b"", b"", 77).names(77, CA.certificate)
    with pytest.raises(ValueError, match="'md5' is not one of sha1, sha256"):
        CertID.of(77, CA.certificate, "md5")
    with pytest.raises(ValueError, match="not one of"):
        issuer_hashes(CA.certificate, "")


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("name", [*HASH_OIDS, "1.2.840.113549.2.5"])
@pytest.mark.parametrize("serial", [0, 1, -1, 127, 128, 1 << 159])
def test_r2_a_certid_is_echoed_as_it_came(name: str, serial: int, null: bool) -> None:
    """R2: the parameters too, which count for nothing else."""
    certid = CertID(name, b"n" * 20, b"k" * 20, serial, null)
    data = b"before" + certid.encode() + b"after"
    read, after = read_certid(data, 6, len(data), "CertID")
    assert read == certid
    assert read.null_parameters is null
    assert read.encode() == certid.encode()
    assert data[after:] == b"after"


def test_malformed_certids_say_where_in_the_whole_message() -> None:
    """The offset counts from the start of the message, whatever was read before."""
    parts = (der.encode_oid("1.3.14.3.2.26"), b"\x02\x01\x00")
    data = bytes(10) + der.sequence(
        der.sequence(*parts), der.octet_string(b""), der.octet_string(b""), der.encode_integer(1)
    )
    with pytest.raises(Malformed, match="neither NULL nor absent") as caught:
        read_certid(data, 10, len(data), "CertID")
    assert caught.value.what == "CertID.hashAlgorithm"
    assert caught.value.offset == data.index(b"\x02\x01\x00")


def test_the_key_is_a_name_for_files() -> None:
    assert len(ID.key) == 64
    assert set(ID.key) <= set("0123456789abcdef")


# -- subjects ---------------------------------------------------------------------------------


def test_k13_a_subject_is_kept_under_its_sha1_certid() -> None:
    subject = Subject.of(SERVER.certificate, CA.certificate)
    assert subject.certid == CertID.of(SERVER.certificate.serial, CA.certificate, "sha1")
    assert subject.certid_by("sha256").hash_algorithm == "sha256"
    assert subject.responder_urls == ("http://ocsp.example/",)
    assert subject.name == "www.example"


def test_responder_urls_can_be_given() -> None:
    assert Subject.of(SERVER.certificate, CA.certificate, ()).responder_urls == ()


def test_a_subject_without_leaf_is_called_by_its_serial() -> None:
    assert Subject(255, CA.certificate).name == "serial ff"
    assert Subject(255, CA.certificate, OTHER.certificate).name == "CN=Other Root"
