"""Signing requests: names and key are taken, a signature that does not fit is refused."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from holdfast.errors import OperatorError
from holdfast.pki import keys
from holdfast.pki.csr import requested
from support.pki import BEGIN, a_key, a_root

SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])


def a_request(key_type: str, *names: str) -> x509.CertificateSigningRequest:
    key = a_key("requester", key_type)
    builder = x509.CertificateSigningRequestBuilder(subject_name=SUBJECT)
    if names:
        asked = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(asked, critical=False)
    return builder.sign(key, keys.signing_hash(key))  # type: ignore[arg-type]


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "rsa-2048", "ed25519"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_the_key_and_the_names_end_in_the_certificate(key_type: str, encoding: Encoding) -> None:
    asked = requested(a_request(key_type, "a.test", "b.test").public_bytes(encoding), name="r")
    assert asked.names == ("a.test", "b.test")
    made = a_root().server(*asked.names, at=BEGIN, key=asked.key, extensions=asked.extensions)
    assert made.certificate.spki_der == keys.public_der(a_key("requester", key_type))
    usage = made.certificate.extension(x509.KeyUsage.oid)
    assert usage is not None
    assert isinstance(usage.value, x509.KeyUsage)
    assert usage.value.key_encipherment is (key_type == "rsa-2048")


def test_no_names_are_none() -> None:
    assert requested(a_request("ecdsa-p256").public_bytes(Encoding.DER), name="r").names == ()


def test_a_request_whose_signature_does_not_fit_is_refused() -> None:
    der = bytearray(a_request("ed25519", "a.test").public_bytes(Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(OperatorError, match="r: the request's signature does not fit its key"):
        requested(bytes(der), name="r")


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(OperatorError, match="a certificate, not a"):
        requested(a_root().issued.pem, name="r")
