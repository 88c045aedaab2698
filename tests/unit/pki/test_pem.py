"""Any bytes to certificates and CRLs, told by looking."""

from __future__ import annotations

import base64
import subprocess
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from holdfast.errors import Malformed, OperatorError
from holdfast.pki import pem
from holdfast.pki.kind import Kind, kind_of
from support.pki import AT, a_root, a_server, an_intermediate

ROOT = a_root()
CA = an_intermediate(ROOT)
LEAF = a_server(CA)
BOTH = (LEAF.certificate, CA.certificate)
CRL = CA.crl(this_update=AT, next_update=AT + timedelta(days=1))
BUNDLE = LEAF.fullchain_pem
P7 = pkcs7.serialize_certificates([c.x509 for c in BOTH], Encoding.DER)
DOTTED = BUNDLE.replace(b"-----BEGIN", b"subject=CN = x\nBag Attributes: <none>\n-----BEGIN")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(BUNDLE, id="pem"),
        pytest.param(BUNDLE.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(BUNDLE.replace(b"\n", b"\r"), id="cr"),
        pytest.param(BUNDLE.replace(b"\n", b"\n   "), id="indented"),
        pytest.param(DOTTED, id="text-around"),
        pytest.param(b"\xef\xbb\xbf" + BUNDLE, id="byte-order-mark"),
        pytest.param(BUNDLE.decode().encode("utf-16"), id="utf-16"),
        pytest.param(BUNDLE.replace(b" CERT", b" X509 CERT"), id="x509-label"),
        pytest.param(BUNDLE.replace(b" CERT", b" TRUSTED CERT"), id="trusted-label"),
        pytest.param(BUNDLE + LEAF.key_pem() + pem.encode("X509 CRL", CRL), id="with-key-and-crl"),
        pytest.param(b"".join(c.der for c in BOTH), id="der-concatenated"),
        pytest.param(base64.b64encode(b"".join(c.der for c in BOTH)), id="base64"),
        pytest.param(base64.urlsafe_b64encode(BOTH[0].der + BOTH[1].der), id="base64url"),
        pytest.param(base64.encodebytes(b"".join(c.der for c in BOTH)), id="base64-in-lines"),
        pytest.param(P7, id="pkcs7-der"),
        pytest.param(pem.encode("PKCS7", P7), id="pkcs7-pem"),
        pytest.param(pem.encode("CERTIFICATE", P7), id="pkcs7-under-a-wrong-label"),
        pytest.param(base64.b64encode(P7), id="pkcs7-base64"),
    ],
)
def test_certificates_in_every_dress(data: bytes) -> None:
    assert set(pem.certificates(data, name="f.pem")) == set(BOTH)
    assert set(pem.certificates(data)) == set(BOTH)


def test_openssl_trust_settings_and_crls_in_pkcs7(tmp_path: object) -> None:
    """Written by openssl: x509 -trustout, crl2pkcs7."""

    def openssl(*arguments: str, data: bytes) -> bytes:
        run = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True)
        return run.stdout

    trusted = openssl("x509", "-trustout", "-addtrust", "serverAuth", data=LEAF.pem)
    assert b"TRUSTED" in trusted
    assert pem.certificates(trusted) == (LEAF.certificate,)
    bundle = openssl("crl2pkcs7", "-certfile", "/dev/stdin", "-nocrl", data=BUNDLE)
    assert set(pem.certificates(bundle)) == set(BOTH)
    with_crl = openssl("crl2pkcs7", data=pem.encode("X509 CRL", CRL))
    assert [c.der for c in pem.crls(with_crl)] == [CRL]


@pytest.mark.parametrize(
    ("data", "says", "hint"),
    [
        pytest.param(b"", "is empty", "PEM", id="empty"),
        pytest.param(b" \r\n", "is empty", "PEM", id="blank"),
        pytest.param(LEAF.key_pem(), "is a private key, not a certificate", "key's", id="key"),
        pytest.param(
            LEAF.key_pem(passphrase=b"x"), "is an encrypted private key", "key's", id="locked-key"
        ),
        pytest.param(CRL, "is a CRL, not a certificate", "CRL is asked", id="crl"),
        pytest.param(b"\x30\x03\x0a\x01\x03", "is an OCSP response", "show", id="ocsp"),
        pytest.param(b"<!DOCTYPE html><p>404", "is a web page", "PEM", id="html"),
        pytest.param(b"\x00\x01\x02garbage", "neither PEM, DER nor base64", "PEM", id="garbage"),
        pytest.param(b"\x30\x05hello", "holds no certificate", "PEM", id="other-der"),
        pytest.param(b"---- BEGIN CERTIFICATE ----\n", "no line -----BEGIN", "PEM", id="dashes"),
        pytest.param(
            b"\n" + LEAF.pem[:300], "line 2: a CERTIFICATE block without an END", "whole", id="cut"
        ),
        pytest.param(
            LEAF.pem.replace(b"END CERT", b"END X509 CERT"),
            "names another",
            "repair",
            id="end-label",
        ),
        pytest.param(b"-----BEGIN CERT", "closing dashes", "repair", id="begin-line"),
        pytest.param(LEAF.pem.replace(b"M", b"\x80", 1), "not base64", "whole", id="not-base64"),
        pytest.param(LEAF.pem.replace(b"\n", b"\\n"), "not base64", "real line ends", id="escaped"),
        pytest.param(
            CA.issued.pem + pem.encode("CERTIFICATE", b"0\x03\x02\x01\x05"),
            "a certificate that cannot",
            "",
            id="bad-second",
        ),
        pytest.param(LEAF.certificate.der + b"junk", "4 bytes that are not DER", "PEM", id="tail"),
        pytest.param(P7[:40], "holds no certificate", "PEM", id="cut-pkcs7"),
    ],
)
def test_whatever_else_is_refused_by_name_with_a_way_out(data: bytes, says: str, hint: str) -> None:
    with pytest.raises(OperatorError) as caught:
        pem.certificates(data, name="dir/f.pem")
    assert caught.value.message.startswith("dir/f.pem")
    assert says in caught.value.message
    assert hint in caught.value.hint
    with pytest.raises(Malformed):  # a peer's bytes: nobody's file
        pem.certificates(data)


def test_the_line_of_the_block_is_told() -> None:
    first = CA.issued.pem
    bad = first + b"\n\n" + pem.encode("CERTIFICATE", b"0\x03\x02\x01\x05")
    line = first.count(b"\n") + 3
    with pytest.raises(OperatorError, match=f"f, line {line}: "):
        pem.certificates(bad, name="f")


def test_requests_and_bundles_are_recognised(tmp_path: object) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    request = x509.CertificateSigningRequestBuilder(LEAF.certificate.x509.subject)
    csr = request.sign(LEAF.key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert kind_of(csr) is Kind.REQUEST
    p12 = pkcs12.serialize_key_and_certificates(
        b"x",
        LEAF.key,  # type: ignore[arg-type]
        LEAF.certificate.x509,
        None,
        BestAvailableEncryption(b"x"),
    )
    assert kind_of(p12) is Kind.PKCS12
    with pytest.raises(OperatorError) as caught:
        pem.certificates(p12, name="f.p12")
    assert "openssl pkcs12" in caught.value.hint
    assert kind_of(LEAF.certificate.spki_der) is Kind.PUBLIC_KEY


def test_decode_is_for_any_block() -> None:
    der = b"\x30\x03\x0a\x01\x03"
    for data in (der, base64.b64encode(der), pem.encode("OCSP RESPONSE", der)):
        assert pem.single(data, Kind.OCSP_RESPONSE, name="r") == der
    # trailing bytes are the strict parser's to judge
    assert pem.single(der + b"\x00", Kind.OCSP_RESPONSE, name="r") == der + b"\x00"
    assert pem.single(b"\x30\x01\xff", Kind.OCSP_RESPONSE) == b"\x30\x01\xff"
    with pytest.raises(OperatorError, match="is a certificate, not an OCSP response"):
        pem.single(LEAF.pem, Kind.OCSP_RESPONSE, name="r")
    with pytest.raises(OperatorError, match="2 of a certificate"):
        pem.single(BUNDLE, Kind.CERTIFICATE, name="r")


def test_encode_is_what_others_write() -> None:
    assert LEAF.pem == LEAF.certificate.x509.public_bytes(Encoding.PEM)
    assert pem.decode(pem.encode("ANY THING", b"\x01\x02"))[0].der == b"\x01\x02"


def test_sizes_are_bounded() -> None:
    with pytest.raises(OperatorError, match="more than 100"):
        pem.certificates(BUNDLE, name="f", limit=100)
