"""`holdfast ca` from its making to an index.txt that openssl works with."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from support.cli import Outcome, holdfast
from support.processes import ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = ca(tmp_path / "ca", "init", "--responder-url", "http://127.0.0.1:8888/")
    assert (made.code, made.err) == (0, "")
    return tmp_path / "ca"


def ca(folder: Path, command: str, *words: object) -> Outcome:
    return holdfast("ca", command, "--ca", folder, *words)


def good(folder: Path, command: str, *words: object) -> Outcome:
    done = ca(folder, command, *words)
    assert done.code == 0, done.err
    return done


def certificate(path: Path) -> Certificate:
    return pem.certificates(path.read_bytes(), name=str(path))[0]


def test_init_makes_a_whole_test_pki_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    words = ("--intermediate", "--with-server", "localhost", "--with-signer", "--json")
    made = good(folder, "init", *words).json
    assert made["server"]["names"] == ["localhost", "127.0.0.1", "::1"]
    for key in [*folder.glob("*.key"), *folder.glob("issued/*.key")]:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len([*folder.glob("*.key"), *folder.glob("issued/*.key")]) == 4
    leaf, signer = folder / "issued/localhost.pem", folder / "signer.pem"
    for one in (leaf, signer):
        command = ("openssl", "verify", "-CAfile", folder / "root.pem")
        assert ran([*command, "-untrusted", folder / "ca.pem", one]).returncode == 0
        assert ran([*command, one]).returncode != 0  # the red twin
    chain = pem.certificates((folder / "issued/localhost-fullchain.pem").read_bytes())
    assert [c.subject for c in chain] == ["CN=localhost", "CN=Private CA Issuing CA"]
    assert certificate(signer).is_delegated_signer
    assert certificate(signer).has_nocheck


def test_nobody_else_writes_in_a_new_ca_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert holdfast("ca", "init", "--ca", tmp_path / "ca").code == 0
    finally:
        os.umask(before)
    for folder in (tmp_path / "ca", tmp_path / "ca" / "issued"):
        assert folder.stat().st_mode & 0o777 == 0o755


def test_a_name_with_a_line_end_is_refused(tmp_path: Path) -> None:
    done = holdfast("ca", "init", "--ca", tmp_path / "ca", "--name", "a\nb")
    assert done.code == 2
    assert "control character" in done.err


def test_the_folder_comes_from_the_option_the_group_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holdfast("ca", "--ca", tmp_path / "one", "init").code == 0
    monkeypatch.setenv("HOLDFAST_CA", str(tmp_path / "two"))
    assert holdfast("ca", "init").code == 0
    monkeypatch.delenv("HOLDFAST_CA")
    monkeypatch.chdir(tmp_path)
    assert holdfast("ca", "init").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca", "one", "two"]


@pytest.mark.parametrize("key_type", ["rsa-2048", "ecdsa-p384", "ed25519"])
def test_key_types(tmp_path: Path, key_type: str) -> None:
    folder = tmp_path / "ca"
    good(folder, "init", "--key-type", key_type, "--with-server", "a.test")
    good(folder, "issue", "b.test", "--key-type", "ecdsa-p256")
    for name in ("a.test", "b.test"):
        leaf = folder / f"issued/{name}.pem"
        assert ran(["openssl", "verify", "-CAfile", folder / "root.pem", leaf]).returncode == 0
    assert certificate(folder / "issued/a.test.pem").key_type.lower().startswith(key_type[:2])


def test_issue(folder: Path) -> None:
    words = ("--san", "*.a.test", "--san", "192.0.2.7", "--must-staple", "--lifetime", "3d")
    made = good(folder, "issue", "a.test", *words, "--json").json
    leaf = certificate(folder / "issued/a.test.pem")
    assert leaf.names == ("a.test", "*.a.test", "192.0.2.7")
    assert leaf.must_staple
    assert leaf.not_after - leaf.not_before == timedelta(days=3)
    assert leaf.responder_urls == ("http://127.0.0.1:8888/",)  # remembered
    assert made["serial"] == f"{leaf.serial:x}"
    good(folder, "issue", "b.test", "--responder-url", "http://other.test/")
    assert certificate(folder / "issued/b.test.pem").responder_urls == ("http://other.test/",)
    good(folder, "issue", "*.c.test")
    assert (folder / "issued/_.c.test.pem").exists()


def test_issue_takes_the_key_and_names_of_a_request(folder: Path, tmp_path: Path) -> None:
    request, key = tmp_path / "r.csr", tmp_path / "r.key"
    command = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key]
    command += ["-out", request, "-subj", "/CN=x", "-addext", "subjectAltName=DNS:r.test"]
    assert ran(command).returncode == 0
    good(folder, "issue", "--csr", request)
    leaf = certificate(folder / "issued/r.test.pem")
    assert leaf.names == ("r.test",)
    assert not (folder / "issued/r.test.key").exists()
    public = ran(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"]).stdout
    assert leaf.spki_der == public
    spoiled = bytearray(request.read_bytes())
    spoiled[-60] ^= 1  # within the base64 of the signature
    request.write_bytes(spoiled)
    assert ca(folder, "issue", "s.test", "--csr", request).code == 2


def test_nothing_is_overwritten_silently(folder: Path) -> None:
    good(folder, "issue", "a.test")
    before = (folder / "issued/a.test.pem").read_bytes()
    for words in (("issue", "a.test"), ("init",)):
        done = ca(folder, *words)
        assert done.code == 2
        assert "nothing is overwritten" in done.err
    assert (folder / "issued/a.test.pem").read_bytes() == before
    good(folder, "issue", "a.test", "--replace")
    assert (folder / "issued/a.test.pem").read_bytes() != before


def test_dry_runs_change_nothing(folder: Path, tmp_path: Path) -> None:
    good(folder, "issue", "a.test")
    good(folder, "revoke", "a.test")
    before = snapshot(tmp_path)
    for words in (
        ("issue", "b.test"),
        ("signer",),
        ("unrevoke", "a.test"),
        ("crl",),
        ("export",),
        ("trust", "--bundle", tmp_path / "bundle.pem"),
    ):
        assert "would" in good(folder, *words, "--dry-run").out
    assert "would" in good(tmp_path / "other", "init", "--dry-run").out
    assert snapshot(tmp_path) == before


def test_keys_with_a_passphrase(tmp_path: Path) -> None:
    folder, phrase = tmp_path / "ca", tmp_path / "phrase"
    phrase.write_text("correct horse\n")
    good(folder, "init", "--passphrase-file", phrase)
    assert b"ENCRYPTED" in (folder / "ca.key").read_bytes()
    refused = ca(folder, "issue", "a.test")
    assert refused.code == 2
    assert "passphrase" in refused.err
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    assert ca(folder, "issue", "a.test", "--passphrase-file", wrong).code == 2
    good(folder, "issue", "a.test", "--passphrase-file", phrase)
    good(folder, "crl", "--passphrase-file", phrase)
    assert "correct horse" not in refused.err


def test_revoking_by_file_serial_and_name(folder: Path) -> None:
    names = ("a.test", "b.test", "c.test")
    for name in names:
        good(folder, "issue", name)
    serial = f"{certificate(folder / 'issued/b.test.pem').serial:X}"
    good(folder, "revoke", folder / "issued/a.test.pem", "--reason", "keyCompromise")
    good(folder, "revoke", serial, "--reason", "superseded", "--at", "2026-01-02T03:04:05Z")
    good(folder, "revoke", "c.test")
    rows = {row["name"]: row for row in good(folder, "list", "--json").json["certificates"]}
    assert [rows[n]["state"] for n in names] == ["revoked"] * 3
    assert [rows[n]["reason"] for n in names] == ["keyCompromise", "superseded", None]
    assert rows["b.test"]["revoked_at"] == "2026-01-02T03:04:05Z"
    assert ca(folder, "revoke", "c.test").code == 2
    good(folder, "unrevoke", "c.test")
    rows = {row["name"]: row for row in good(folder, "list", "--json").json["certificates"]}
    assert rows["c.test"]["state"] == "valid"
    assert ca(folder, "unrevoke", "c.test").code == 2
    listed = good(folder, "list").out
    assert "revoked (keyCompromise)" in listed


def test_a_name_that_two_certificates_bear_is_not_guessed(folder: Path) -> None:
    good(folder, "issue", "a.test")
    good(folder, "issue", "a.test", "--replace")
    refused = ca(folder, "revoke", "a.test")
    assert refused.code == 2
    assert "2 certificates" in refused.err
    good(folder, "revoke", folder / "issued/a.test.pem")
    good(folder, "revoke", "a.test")  # one is left


def test_a_strangers_certificate_of_a_known_serial_is_not_revoked(
    folder: Path, tmp_path: Path
) -> None:
    from support.pki import a_root, a_server

    good(folder, "issue", "a.test")
    serial = certificate(folder / "issued/a.test.pem").serial
    other = tmp_path / "other.pem"
    other.write_bytes(a_server(a_root("Stranger"), serial=serial).pem)
    assert ca(folder, "revoke", other).code == 2


def test_crl_as_openssl_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    good(folder, "init", "--intermediate", "--with-server", "a.test")
    good(folder, "revoke", "a.test", "--reason", "keyCompromise")
    good(folder, "revoke", folder / "ca.pem", "--reason", "cACompromise")
    good(folder, "crl", "--lifetime", "2d")
    good(folder, "crl")
    for name, reason in (("crl", "Key Compromise"), ("root-crl", "CA Compromise")):
        signer = folder / ("ca.pem" if name == "crl" else "root.pem")
        command = ["openssl", "crl", "-in", folder / f"{name}.pem", "-noout", "-text"]
        said = ran([*command, "-CAfile", signer, "-verify"])
        assert b"verify OK" in said.stderr
        assert reason.encode() in said.stdout
        command = ["openssl", "crl", "-in", folder / f"{name}.der", "-inform", "DER"]
        assert b"crlNumber=0x02\n" in ran([*command, "-noout", "-crlnumber"]).stdout


def test_openssl_ca_works_on_the_exported_index(folder: Path, tmp_path: Path) -> None:
    """And what it changed there comes back in."""
    for name in ("a.test", "b.test", "c.test"):
        good(folder, "issue", name)
    good(folder, "issue", "c.test", "--replace")  # two valid ones of one subject
    good(folder, "revoke", "a.test", "--reason", "privilegeWithdrawn")
    good(folder, "export")
    config = tmp_path / "openssl.cnf"
    config.write_text(
        f"[ca]\ndefault_ca = d\n[d]\ndatabase = {folder}/index.txt\ncertificate = {folder}/ca.pem\n"
        f"private_key = {folder}/ca.key\ndefault_md = sha256\ndefault_crl_days = 2\n"
        f"crlnumber = {tmp_path}/crlnumber\nserial = {tmp_path}/serial\n"
    )
    (tmp_path / "crlnumber").write_text("01\n")
    openssl_ca = ["openssl", "ca", "-config", config]
    leaf = folder / "issued/b.test.pem"
    done = ran([*openssl_ca, "-revoke", leaf, "-crl_reason", "superseded"])
    assert done.returncode == 0, done.stderr.decode()
    done = ran([*openssl_ca, "-gencrl", "-out", tmp_path / "crl.pem"])
    assert done.returncode == 0, done.stderr.decode()
    said = ran(["openssl", "crl", "-in", tmp_path / "crl.pem", "-noout", "-text"]).stdout
    assert said.count(b"Serial Number") == 2
    assert good(folder, "import", folder / "index.txt", "--json").json["revoked"] == 1
    rows = {row["name"]: row for row in good(folder, "list", "--json").json["certificates"]}
    assert rows["b.test"]["reason"] == "superseded"
    theirs = (folder / "index.txt").read_bytes()
    good(folder, "export")
    assert (folder / "index.txt").read_bytes() == theirs
    good(folder, "unrevoke", "b.test")
    assert "index.txt.old" in good(folder, "export").out
    assert (folder / "index.txt.old").read_bytes() == theirs


def test_openssl_ocsp_answers_from_the_exported_index(folder: Path, tmp_path: Path) -> None:
    for name in ("a.test", "b.test"):
        good(folder, "issue", name)
    good(folder, "revoke", "b.test", "--reason", "keyCompromise")
    good(folder, "export", "-o", tmp_path / "index.txt")
    for name, status in (("a.test", "good"), ("b.test", "revoked")):
        command = ["openssl", "ocsp", "-index", tmp_path / "index.txt", "-CA", folder / "ca.pem"]
        command += ["-rsigner", folder / "ca.pem", "-rkey", folder / "ca.key", "-ndays", "1"]
        command += ["-issuer", folder / "ca.pem", "-cert", folder / f"issued/{name}.pem"]
        done = ran([*command, "-respout", tmp_path / "r.der"])
        assert done.returncode == 0, done.stderr.decode()
        words = ("-C", folder / f"issued/{name}.pem", "-I", folder / "ca.pem", "--json")
        verdict = holdfast("verify", tmp_path / "r.der", *words).json
        assert (verdict["valid"], verdict["certificate_status"]) == (True, status)


def test_what_openssl_ca_issued_comes_in(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.txt"
    index.write_text(
        "R\t301231235959Z\t260102030405Z,keyTime,20260101000000Z\t0ABC\tunknown\t/CN=x\n"
    )
    assert good(folder, "import", index, "--dry-run", "--json").json["new"] == 1
    assert good(folder, "list", "--json").json["certificates"] == []
    good(folder, "import", index)
    (row,) = good(folder, "list", "--json").json["certificates"]
    assert (row["serial"], row["state"], row["reason"]) == ("abc", "revoked", "keyCompromise")


def test_an_instant_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    good(folder, "init", "--at", "2020-01-01T00:00:00Z")
    good(folder, "issue", "a.test", "--at", "2020-02-01T00:00:00Z", "--lifetime", "1d")
    leaf = certificate(folder / "issued/a.test.pem")
    assert leaf.not_before == datetime(2020, 2, 1, tzinfo=UTC)
    (row,) = good(folder, "list", "--json").json["certificates"]
    assert row["state"] == "expired"
    assert json.loads((folder / "ca.json").read_text())["schema"] == 1


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }
