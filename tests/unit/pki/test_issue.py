"""Minting: safe by default, wrong in one way when wished; openssl agrees."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from holdfast.errors import OperatorError
from holdfast.pki import issue, keys
from support.pki import AT, BEGIN, YEAR, a_key, a_root, a_server, a_signer, an_intermediate, written

ROOT = a_root()
CA = an_intermediate(ROOT)


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_openssl_accepts_the_chain_strictly(key_type: str, tmp_path: Path) -> None:
    root = a_root("R", key_type=key_type)
    ca = an_intermediate(root, "I", key_type=key_type)
    leaf = a_server(ca, "www.example", "192.0.2.1", key_type=key_type, must_staple=True)
    chain, _ = written(leaf, tmp_path)
    anchor = tmp_path / "root.pem"
    anchor.write_bytes(root.issued.pem)
    verify = ["openssl", "verify", "-x509_strict", "-attime", str(int(AT.timestamp()))]
    verify += ["-CAfile", str(anchor), "-untrusted", str(chain), "-purpose", "sslserver"]
    for name in (["-verify_hostname", "www.example"], ["-verify_ip", "192.0.2.1"]):
        run = subprocess.run([*verify, *name, str(chain)], capture_output=True, check=False)
        assert run.returncode == 0, run.stderr
    crl = tmp_path / "crl.der"
    crl.write_bytes(ca.crl([issue.Revocation(5, AT, 1)], this_update=AT, next_update=AT + YEAR))
    issuer = tmp_path / "ca.pem"
    issuer.write_bytes(ca.issued.pem)
    checked = subprocess.run(
        ["openssl", "crl", "-inform", "der", "-in", crl, "-CAfile", issuer, "-noout"],
        capture_output=True,
        check=True,
    )
    assert b"verify OK" in checked.stderr + checked.stdout


def test_serials_are_random_positive_and_20_octets() -> None:
    serials = {issue.random_serial() for _ in range(100)}
    assert len(serials) == 100
    assert all(153 <= serial.bit_length() <= 159 for serial in serials)
    assert a_server(CA, serial=7).certificate.serial == 7


def test_nothing_outlives_its_issuer_unless_told_to() -> None:
    leaf = a_server(CA, lifetime=50 * YEAR).certificate
    assert leaf.not_after == CA.certificate.not_after
    longer = a_server(CA, not_after=BEGIN + 50 * YEAR).certificate
    assert longer.not_after > CA.certificate.not_after


def test_defaults_can_be_left_out_or_replaced() -> None:
    bare = a_server(
        CA, omit=[issue.SKI, issue.AKI, issue.EKU, issue.NAMES, issue.KEY_USAGE]
    ).certificate
    assert bare.subject_key_id is None
    assert bare.authority_key_id is None
    assert bare.extended_key_usages is None
    assert bare.names == ()
    constraints = issue.Extra(x509.BasicConstraints(ca=True, path_length=None), True)
    assert a_server(CA, extensions=[constraints]).certificate.is_ca
    raw = a_server(CA, extensions=[issue.raw("1.2.3.4", b"\xff", critical=True)]).certificate
    found = raw.extension(x509.ObjectIdentifier("1.2.3.4"))
    assert found is not None
    assert found.critical


def test_a_delegated_signer_and_its_bad_siblings() -> None:
    good = a_signer(CA).certificate
    assert good.is_delegated_signer
    assert good.has_nocheck
    assert not good.is_ca
    assert good.signed_by(CA.certificate)
    assert a_signer(CA, eku=()).certificate.extended_key_usages is None
    assert a_signer(CA, ca=True).certificate.is_ca
    stale = a_signer(CA, not_before=BEGIN, not_after=AT - timedelta(days=1)).certificate
    assert not stale.in_date(AT)
    forged = a_signer(replace(CA, key=a_key("forger"))).certificate
    assert not forged.signed_by(CA.certificate)
    assert forged.issuer_der == CA.certificate.subject_der


def test_pem_exports() -> None:
    leaf = a_server(CA)
    assert leaf.chain == (CA.certificate, ROOT.certificate)
    assert leaf.fullchain_pem.count(b"BEGIN CERTIFICATE") == 2  # without the root
    assert CA.root == ROOT.certificate
    assert keys.fits(keys.load(leaf.key_pem()), leaf.certificate)
    assert b"ENCRYPTED" in leaf.key_pem(passphrase=b"x")


def test_long_and_international_names() -> None:
    long = ".".join(["a" * 60, "b" * 60, "example"])
    leaf = a_server(CA, long, "bücher.example").certificate
    assert leaf.names == (long, "xn--bcher-kva.example")


@pytest.mark.parametrize("name", ["", "a b", "http://x/", "a" * 300, "x" * 64 + "ü.example"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(OperatorError):
        a_server(CA, name, who="names")


def test_what_cannot_be_minted_is_the_operators_error() -> None:
    with pytest.raises(OperatorError, match="cannot issue"):
        a_server(CA, serial=-1)
    with pytest.raises(OperatorError, match="cannot issue"):
        a_server(CA, not_after=BEGIN - YEAR)
    with pytest.raises(OperatorError, match="time zone"):
        a_server(CA, at=AT.replace(tzinfo=None))
    with pytest.raises(OperatorError, match="common name"):
        a_root("", who="x")
    with pytest.raises(OperatorError, match="cannot make this CRL"):
        CA.crl([issue.Revocation(5, AT, 7)], this_update=AT, next_update=AT + YEAR)
