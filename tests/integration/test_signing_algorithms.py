"""Every algorithm that signs, from the key's file to a foreign judge (R1, R9, R15, V4).

OpenSSL's `ocsp` and GnuTLS's `ocsptool` judge RSA, RSA-PSS, ECDSA and Ed25519. The ML-DSA of
RFC 9881 is in neither before OpenSSL 3.5 and GnuTLS 3.8.9: there `cryptography` reads the response
and checks the signature, and the two are asked only to refuse it; where they are newer they judge.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.x509 import ocsp

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.findings import FAULT
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from holdfast.pki import keys
from holdfast.pki.issue import Authority, Issued
from holdfast.sources.signer_files import SignerPlace, load_signer
from holdfast.sources.signing import Signing
from support.clock import FakeClock
from support.ledgers import TwoEntries
from support.pki import AT, a_root, a_server, a_signer, private
from support.processes import ran

KINDS = ("rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "ml-dsa-44", "ml-dsa-65")
PAIRS = [*((kind, False) for kind in KINDS), ("rsa-2048", True)]
PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(params=["delegate", "CA"])
def role(request: pytest.FixtureRequest) -> str:
    word: str = request.param
    return word


def answered(
    kind: str, pss: bool, role: str, folder: Path, at: datetime = AT
) -> tuple[Authority, bytes]:
    """The CA, and an answer about its serial 1, signed with an encrypted key from a file."""
    begin = at - timedelta(days=1)
    ca = a_root(f"Root {kind}", key_type=kind, at=begin)
    made: Issued = ca.issued
    if role == "delegate":
        made = a_signer(ca, f"Signer {kind}", key_type=kind, at=begin)
    (folder / "signer.pem").write_bytes(made.pem)
    (folder / "ca.pem").write_bytes(ca.issued.pem)
    private(folder / "signer.key", keys.encode(made.key, passphrase=PASSPHRASE))
    private(folder / "passphrase", PASSPHRASE + b"\n")
    place = SignerPlace(
        certificate=str(folder / "signer.pem"),
        key=str(folder / "signer.key"),
        passphrase=str(folder / "passphrase"),
        pss=pss,
    )
    signer = load_signer(place, ca.certificate)
    source = Signing(signer=signer, ledger=TwoEntries(), clock=FakeClock(at))
    asked = Request.build(Subject(1, ca.certificate).certid).encode()
    given = asyncio.run(source.answer_bytes(asked))
    (folder / "good.der").write_bytes(given.der)
    return ca, given.der


def forged(der: bytes, at: datetime = AT) -> bytes:
    """The same with another nextUpdate in it."""
    stamp = f"{at + timedelta(hours=12):%Y%m%d%H%M%S}Z".encode()
    later = f"{at + timedelta(hours=13):%Y%m%d%H%M%S}Z".encode()
    assert der.count(stamp) == 1
    return der.replace(stamp, later)


@pytest.mark.parametrize(("kind", "pss"), PAIRS)
def test_r15_v4_what_is_signed_is_believed_and_what_was_changed_is_not(
    kind: str, pss: bool, role: str, tmp_path: Path
) -> None:
    ca, der = answered(kind, pss, role, tmp_path)
    subject = Subject(1, ca.certificate)
    verdict = examine(Response.parse(der), subject, at=AT)
    assert verdict.good, verdict.findings
    assert verdict.signer_role == ("issuer" if role == "CA" else "delegate")
    red = examine(Response.parse(forged(der)), subject, at=AT)
    assert any(found.code == "response-bad-signature" for found in red.findings)
    assert all(found.severity < FAULT for found in verdict.findings)


@pytest.mark.parametrize(("kind", "pss"), PAIRS)
def test_r1_r9_openssl_judges_alike(kind: str, pss: bool, role: str, tmp_path: Path) -> None:
    _, der = answered(kind, pss, role, tmp_path)
    (tmp_path / "forged.der").write_bytes(forged(der))
    able = not kind.startswith("ml-dsa") or _openssl() >= (3, 5)
    for name, right in (("good.der", able), ("forged.der", False)):
        done = ran(
            [
                *("openssl", "ocsp", "-respin", tmp_path / name, "-CAfile", tmp_path / "ca.pem"),
                *("-issuer", tmp_path / "ca.pem", "-serial", "1", "-no_nonce"),
                *("-attime", str(int(AT.timestamp()))),
            ]
        )
        assert (b"Response verify OK" in done.stderr) is right, done.stderr


@pytest.mark.parametrize(("kind", "pss"), [pair for pair in PAIRS if not pair[0].startswith("ml")])
def test_r1_r9_gnutls_judges_alike(kind: str, pss: bool, role: str, tmp_path: Path) -> None:
    """It looks at the real clock; here it is told who signed."""
    now = datetime.now(UTC)
    _, der = answered(kind, pss, role, tmp_path, now)
    (tmp_path / "forged.der").write_bytes(forged(der, now))
    for name, right in (("good.der", True), ("forged.der", False)):
        done = ran(
            [
                *("ocsptool", "--verify-response", "--load-response", tmp_path / name),
                *("--load-signer", tmp_path / "signer.pem"),
            ]
        )
        assert (b"Verifying OCSP Response: Success" in done.stdout) is right, done.stdout
        assert (done.returncode == 0) is right


@pytest.mark.parametrize("kind", ["ml-dsa-44", "ml-dsa-65"])
def test_v4_ml_dsa_is_read_and_checked_by_cryptography(
    kind: str, role: str, tmp_path: Path
) -> None:
    ca, der = answered(kind, False, role, tmp_path)
    read = ocsp.load_der_ocsp_response(der)
    assert read.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert read.serial_number == 1
    oids = {"ml-dsa-44": "2.16.840.1.101.3.4.3.17", "ml-dsa-65": "2.16.840.1.101.3.4.3.18"}
    assert read.signature_algorithm_oid.dotted_string == oids[kind]
    certificate = ca.certificate.x509 if role == "CA" else read.certificates[0]
    key: Any = certificate.public_key()
    assert isinstance(key, (mldsa.MLDSA44PublicKey, mldsa.MLDSA65PublicKey))
    key.verify(read.signature, read.tbs_response_bytes)
    with pytest.raises(InvalidSignature):
        key.verify(read.signature, forged(read.tbs_response_bytes))
    if role == "delegate":
        issuer = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
        certificate.verify_directly_issued_by(issuer)


def test_the_size_of_answers_is_what_the_pages_say(tmp_path: Path) -> None:
    """docs/how-to/responder-keys.md tells how long answers get."""
    sizes = {}
    for kind in ("ecdsa-p256", "rsa-2048", "ed25519", "ml-dsa-44", "ml-dsa-65"):
        sizes[kind] = len(answered(kind, False, "CA", tmp_path)[1])
    assert sizes["ecdsa-p256"] < 300
    assert sizes["ed25519"] < 300
    assert sizes["rsa-2048"] < 500
    assert 2500 < sizes["ml-dsa-44"] < 2700
    assert 3400 < sizes["ml-dsa-65"] < 3600


def test_a_server_certificate_of_each_kind_is_no_signer(tmp_path: Path) -> None:
    """The red twin of a delegate: the CA issued it, and not for this."""
    for kind in KINDS:
        ca = a_root(f"Root {kind}", key_type=kind)
        server = a_server(ca)
        (tmp_path / "s.pem").write_bytes(server.pem)
        private(tmp_path / "s.key", server.key_pem())
        place = SignerPlace(certificate=str(tmp_path / "s.pem"), key=str(tmp_path / "s.key"))
        signer = load_signer(place, ca.certificate)
        assert "lacks the extended key usage OCSPSigning" in signer.objection(AT)


def _openssl() -> tuple[int, ...]:
    words = ran(["openssl", "version"]).stdout.split()
    return tuple(int(part) for part in words[1].split(b".")[:2])
