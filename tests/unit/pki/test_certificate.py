"""Facts of a certificate, and how odd certificates are borne."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from cryptography import x509

from holdfast.errors import Malformed
from holdfast.pki import issue, keys
from holdfast.pki.certificate import Certificate
from holdfast.pki.tlv import oid_der, tlv
from support.pki import AT, a_key, a_root, a_server, a_signer, an_intermediate, resigned

CA = a_root()
SERVER = a_server(
    CA,
    "www.example",
    "192.0.2.1",
    must_staple=True,
    responder_urls=["http://ocsp.example/"],
    issuer_urls=["http://ca.example/ca.cer"],
    crl_urls=["http://crl.example/1.crl"],
).certificate


def test_the_facts_that_stapling_asks_for() -> None:
    assert SERVER.names == ("www.example", "192.0.2.1")
    assert SERVER.must_staple
    assert not SERVER.must_staple_critical
    assert SERVER.responder_urls == ("http://ocsp.example/",)
    assert SERVER.issuer_urls == ("http://ca.example/ca.cer",)
    assert SERVER.crl_urls == ("http://crl.example/1.crl",)
    assert SERVER.authority_key_id == CA.certificate.subject_key_id
    assert not SERVER.is_ca
    assert CA.certificate.is_ca
    assert SERVER.in_date(AT)
    assert not SERVER.in_date(SERVER.not_before.replace(year=2020))


def test_a_plain_certificate_has_none_of_them() -> None:
    plain = a_server(CA, "plain.example").certificate
    assert not plain.must_staple
    assert plain.responder_urls == plain.crl_urls == plain.issuer_urls == ()
    assert not plain.has_nocheck


def test_a_delegated_signer_by_exact_usage() -> None:
    """V2; the red twin of GnuTLS 1810: a longer OID with the same beginning is another usage."""
    assert a_signer(CA).certificate.is_delegated_signer
    assert a_signer(CA).certificate.has_nocheck
    longer = a_signer(CA, eku=["1.3.6.1.5.5.7.3.9.1", "2.5.29.37.0"], nocheck=False)
    assert not longer.certificate.is_delegated_signer
    assert not longer.certificate.has_nocheck


def test_names_and_key_as_they_stand() -> None:
    """What a CertID hashes is what stands in the certificate, compared with the library's."""
    assert SERVER.subject_der == SERVER.x509.subject.public_bytes()
    assert SERVER.issuer_der == CA.certificate.subject_der
    assert SERVER.spki_der == keys.public_der(a_key("www.example"))
    # SubjectKeyIdentifier is the SHA-1 of the same octets (RFC 5280 4.2.1.2 (1))
    digest = x509.SubjectKeyIdentifier.from_public_key(a_key("www.example").public_key()).digest
    assert hashlib.sha1(SERVER.key_octets).digest() == digest


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # pytest undoes our own filter
@pytest.mark.parametrize("serial", [0, -1, -(1 << 63), 1, 1 << 64, 1 << 200])
def test_any_serial_is_read_whole(serial: int) -> None:
    odd = Certificate(resigned(SERVER, CA.key, serial=serial))
    assert odd.serial == serial
    assert odd.signed_by(CA.certificate)


def test_an_odd_serial_prints_nothing() -> None:
    der = resigned(SERVER, CA.key, serial=-5)
    code = (
        "import sys; from holdfast.pki.certificate import Certificate;"
        "c = Certificate(bytes.fromhex(sys.argv[1])); print(c.serial, c)"
    )
    run = subprocess.run([sys.executable, "-c", code, der.hex()], capture_output=True, check=True)
    assert run.stderr == b""
    assert run.stdout.startswith(b"-5 ")


def test_an_unreadable_key_matters_only_when_asked_for() -> None:
    """CVE-2013-0166: a signer whose key cannot be parsed."""
    spki = tlv(0x30, tlv(0x30, oid_der("1.2.3.4")), tlv(0x03, b"\x00junk"))
    odd = Certificate(resigned(SERVER, CA.key, spki=spki))
    assert odd.names == SERVER.names
    assert odd.spki_der == spki
    assert odd.key_octets == b"junk"
    assert odd.signed_by(CA.certificate)
    assert not SERVER.signed_with_key_of(odd)
    with pytest.raises(Malformed, match="subjectPublicKeyInfo"):
        _ = odd.public_key


def test_an_unreadable_extension_matters_only_when_asked_for() -> None:
    bad = tlv(0x30, oid_der("2.5.29.17"), tlv(0x04, b"\xff\xff"))
    basic = tlv(0x30, oid_der("2.5.29.19"), tlv(0x04, bytes.fromhex("30030101ff")))
    twice = tlv(0x30, oid_der("2.5.29.14"), tlv(0x04, bytes.fromhex("0401aa")))
    odd = Certificate(resigned(SERVER, CA.key, extensions=bad + basic + twice + twice))
    assert odd.is_ca
    assert odd.authority_key_id is None
    with pytest.raises(Malformed, match=r"2\.5\.29\.17"):
        _ = odd.names
    with pytest.raises(Malformed, match="twice"):
        _ = odd.subject_key_id


@pytest.mark.parametrize("key_type", [*keys.KEY_TYPES[:4], "ed25519", "ed448", "ml-dsa-44"])
def test_signatures_of_every_key_type(key_type: str) -> None:
    ca = a_root(f"CA {key_type}", key_type=key_type)
    leaf = a_server(ca).certificate
    assert leaf.signed_by(ca.certificate)
    other = a_root(f"CA {key_type}", key_type=key_type, who="another")
    assert not leaf.signed_by(other.certificate)
    flipped = bytearray(leaf.der)
    flipped[-1] ^= 1
    assert not Certificate(bytes(flipped)).signed_by(ca.certificate)


def test_the_key_signs_whatever_the_name() -> None:
    """V2: the signature is checked, not the name."""
    renamed = a_root("Other name", key=CA.key).certificate
    assert SERVER.signed_with_key_of(renamed)
    assert not SERVER.signed_by(renamed)
    assert not SERVER.signed_with_key_of(an_intermediate(CA).certificate)


def test_a_sha1_signature_is_read() -> None:
    odd = Certificate(resigned(SERVER, CA.key, sha1=True))
    assert odd.x509.signature_algorithm_oid.dotted_string == "1.2.840.10045.4.1"


def test_trailing_bytes_and_size_are_refused() -> None:
    with pytest.raises(Malformed):
        Certificate(SERVER.der + b"\x00")
    with pytest.raises(Malformed, match="more than"):
        Certificate(SERVER.der + bytes(70000))


def test_must_staple_may_be_critical() -> None:
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    leaf = a_server(CA, extensions=[issue.Extra(feature, True)]).certificate
    assert leaf.must_staple
    assert leaf.must_staple_critical


def test_must_staple_beside_a_feature_without_a_name() -> None:
    """cryptography raises KeyError for these."""
    both = issue.raw("1.3.6.1.5.5.7.1.24", bytes.fromhex("3006020200ff020105"))
    leaf = a_server(CA, "f.example", extensions=[both]).certificate
    assert leaf.must_staple
    assert leaf.names == ("f.example",)
    other = issue.raw("1.3.6.1.5.5.7.1.24", bytes.fromhex("3004020200ff"), critical=True)
    assert not a_server(CA, extensions=[other]).certificate.must_staple
    assert a_server(CA, extensions=[other]).certificate.must_staple_critical
    junk = issue.raw("1.3.6.1.5.5.7.1.24", b"\xff")
    with pytest.raises(Malformed, match="TLSFeature"):
        _ = a_server(CA, extensions=[junk]).certificate.must_staple
