"""The command with keys of every kind of place: a token, an encrypted file, a credential; and a
signer that is renewed while it runs (R15, R30)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest

from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from holdfast.pki import keys, pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Authority
from support.cli import holdfast
from support.pki import a_root, a_signer, private
from support.processes import HOLDFAST, Running, running
from support.softhsm import pin_file, with_key

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(days=1)


def index(folder: Path) -> Path:
    path = folder / "index.txt"
    path.write_text("V\t301231235959Z\t\t01\tunknown\t/CN=a\n")
    return path


@contextmanager
def responder(folder: Path, *tables: str) -> Iterator[tuple[str, Running]]:
    """The address of a responder with two workers and these [[responder.ca]]."""
    settings = folder / "responder.toml"
    head = '[responder]\nlisten = ["127.0.0.1:0"]\nworkers = 2\n'
    settings.write_text(head + "".join(f"[[responder.ca]]\n{table}\n" for table in tables))
    with running([*HOLDFAST, "responder", "-c", settings]) as started:
        words = started.first.decode().split()
        yield next(word.rstrip(",") for word in words if word.startswith("http://")), started


def answer(url: str, issuer: Certificate, serial: int = 1) -> Response:
    data = Request.build(CertID.of(serial, issuer), nonce=os.urandom(16)).encode()
    asked = HttpRequest(url, data, {"Content-Type": "application/ocsp-request"})
    with urlopen(asked, timeout=10) as reply:
        return Response.parse(reply.read())


def is_good(response: Response, issuer: Certificate) -> bool:
    return examine(response, Subject(1, issuer), at=datetime.now(UTC)).good


def ca(folder: Path, name: str, key_type: str = "ecdsa-p256") -> Authority:
    made = a_root(name, key_type=key_type, at=BEGIN)
    (folder / f"{name}.pem").write_bytes(made.issued.pem)
    return made


def test_r15_three_cas_with_keys_in_a_token_a_file_and_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by a token, one by ML-DSA from an encrypted file, one by Ed25519 opened by what systemd
    would hand over; each worker answers for all, by the CertID."""
    book = index(tmp_path)
    first, second, third = (
        ca(tmp_path, "Token"),
        ca(tmp_path, "Lattice", "ml-dsa-65"),
        ca(tmp_path, "Edwards", "ed25519"),
    )
    signs = a_signer(first, "In a token", at=BEGIN, key_type="rsa-2048")
    (tmp_path / "token.pem").write_bytes(signs.pem)
    where = with_key(signs.key, "responder-command")
    private(tmp_path / "pass", b"one\n")
    private(tmp_path / "Lattice.key", keys.encode(second.key, passphrase=b"one"))
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    private(credentials / "ed", b"two\n")
    private(tmp_path / "Edwards.key", keys.encode(third.key, passphrase=b"two"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    with responder(
        tmp_path,
        f'certificate = "Token.pem"\nindex = "{book}"\nsigners = [{{ certificate = "token.pem",'
        f' key = "{where}", passphrase_file = "{pin_file()}" }}]',
        f'certificate = "Lattice.pem"\nindex = "{book}"\nkey = "Lattice.key"\n'
        'passphrase_file = "pass"',
        f'certificate = "Edwards.pem"\nindex = "{book}"\nkey = "Edwards.key"\n'
        'passphrase_file = "credential:ed"',
    ) as (url, _):
        for _ in range(8):  # whichever worker
            for made in (first, second, third):
                given = answer(url, made.certificate)
                assert is_good(given, made.certificate)
        assert not is_good(answer(url, first.certificate), second.certificate)


@pytest.mark.slow
def test_r15_r30_a_signer_renewed_by_the_timer_is_taken_up_without_a_restart(
    tmp_path: Path,
) -> None:
    """Every answer meanwhile is good, and so is the old signer's; the process is the same."""
    folder = tmp_path / "ca"
    assert holdfast("ca", "init", "--ca", folder, "--with-signer").code == 0
    issuer = pem.certificates((folder / "ca.pem").read_bytes(), name="ca.pem")[0]
    table = (
        f'certificate = "{folder}/ca.pem"\nindex = "{index(tmp_path)}"\n'
        f'signers = [{{ certificate = "{folder}/signer.pem", key = "{folder}/signer.key" }}]'
    )
    with responder(tmp_path, table) as (url, started):
        old = answer(url, issuer)
        renew = ("ca", "signer", "--ca", folder, "--renew")
        assert "not due" in holdfast(*renew).out
        done = holdfast(*renew, "--renew-before", "29d", "--lifetime", "60d")
        assert "not due" in done.out
        done = holdfast(*renew, "--renew-before", "59d", "--lifetime", "60d", "--json")
        assert done.json["renewed"] is True
        new = pem.certificates((folder / "signer.pem").read_bytes(), name="signer.pem")[0]
        by_new, deadline = 0, time.monotonic() + 40
        while by_new < 20 and time.monotonic() < deadline:  # in a row: of both workers
            given = answer(url, issuer)
            assert is_good(given, issuer)
            assert given.basic is not None
            by_new = by_new + 1 if given.basic.certificates == (new.der,) else 0
            time.sleep(0.05)
        assert by_new == 20
        assert is_good(old, issuer)
        assert started.child.poll() is None
        assert started.stop(signal.SIGTERM) == 0
