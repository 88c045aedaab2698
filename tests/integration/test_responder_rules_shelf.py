"""Answers signed ahead, and rules under which they must not be given: `holdfast presign` fills a
store, `holdfast responder` serves from it (R7, R14, R19, R28)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import BasicResponse, Response
from holdfast.ocsp.statuses import Good, ResponseStatus, Revoked
from holdfast.pki.issue import Issued
from support.messages import signed_request
from support.pki import a_root, a_server, a_signer, private
from support.processes import HOLDFAST, first_json, ran, running

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)
CA = a_root(at=BEGIN)
GOOD = a_server(CA, "good.test", at=BEGIN)
SERIAL = GOOD.certificate.serial


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which GOOD is good, by SHA-1 and SHA-256."""
    folder = tmp_path_factory.mktemp("shelf")
    signer: Issued = a_signer(CA, at=BEGIN)
    (folder / "ca.pem").write_bytes(CA.issued.pem)
    private(folder / "signer.pem", signer.pem + signer.key_pem())
    text = f"{SERIAL:X}"
    text = text.zfill(len(text) + len(text) % 2)
    end = f"{GOOD.certificate.not_after:%y%m%d%H%M%SZ}"
    (folder / "index.txt").write_text(f"V\t{end}\t\t{text}\tunknown\t/CN=good\n")
    settings(folder)
    done = ran([*HOLDFAST, "presign", "-c", folder / "holdfast.toml", "--processes", "1"])
    assert done.returncode == 0, done.stderr
    return folder


def settings(folder: Path, *lines: str) -> Path:
    text = ["[responder]", 'listen = ["127.0.0.1:0"]', "workers = 1", "[[responder.ca]]"]
    text += ['certificate = "ca.pem"', 'index = "index.txt"', 'store = "shelf"']
    text += ['hashes = ["sha1", "sha256"]', 'signers = [{ certificate = "signer.pem" }]']
    path = folder / "holdfast.toml"
    path.write_text("\n".join([*text, *lines]) + "\n")
    return path


@contextmanager
def responder(folder: Path, *lines: str) -> Iterator[str]:
    command = [*HOLDFAST, "responder", "-c", settings(folder, *lines), "--json"]
    with running(command, until=b"}\n") as started:
        yield first_json(started)["url"]


def plain(hash_algorithm: str = "sha1", nonce: bytes | None = None) -> Request:
    return Request.build(CertID.of(SERIAL, CA.certificate, hash_algorithm), nonce=nonce)


def posted(url: str, request: Request) -> Response:
    kind = "Content-Type: application/ocsp-request"
    done = ran(["curl", "-sS", "--data-binary", "@-", "-H", kind, url], stdin=request.encode())
    return Response.parse(done.stdout)


def basic_of(response: Response) -> BasicResponse:
    assert response.basic is not None, response.response_status
    return response.basic


def test_r28_r19_what_was_signed_ahead_is_given_by_either_hash(folder: Path) -> None:
    """The very same octets by SHA-1 and SHA-256, and openssl takes them; SHA-512 and nonces are
    signed when they are asked for."""
    with responder(folder) as url:
        by_either = [posted(url, plain(name)) for name in ("sha1", "sha256")]
        assert by_either[0].der == by_either[1].der
        hashes = [one.certid.hash_algorithm for one in basic_of(by_either[0]).singles]
        assert hashes == ["sha1", "sha256"]
        (folder / "held.der").write_bytes(by_either[0].der)
        (folder / "good.pem").write_bytes(GOOD.pem)
        for name in ("-sha1", "-sha256"):
            words = ["openssl", "ocsp", "-respin", folder / "held.der", "-no_nonce", name]
            words += ["-issuer", folder / "ca.pem", "-cert", folder / "good.pem"]
            done = ran([*words, "-CAfile", folder / "ca.pem"])
            assert b"Response verify OK" in done.stderr
            assert b"good.pem: good" in done.stdout
        live = basic_of(posted(url, plain("sha512")))
        assert [one.certid.hash_algorithm for one in live.singles] == ["sha512"]
        nonced = [posted(url, plain(nonce=b"n" * 32)).der for _ in range(2)]
        assert by_either[0].der not in nonced
        assert len(basic_of(Response.parse(nonced[0])).singles) == 1


def test_r7_red_a_store_gives_nothing_to_who_must_sign(folder: Path) -> None:
    """Plain requests, which the store would answer, are the very ones to be refused."""
    client = a_server(CA, "client.test", at=BEGIN)
    rules = ('signed_requests = "required"', 'requestors = ["ca.pem"]')
    with responder(folder, *rules) as url:
        for name in ("sha1", "sha256"):
            refused = posted(url, plain(name))
            assert refused.response_status is ResponseStatus.sigRequired
        proved = basic_of(posted(url, signed_request(plain(), client)))
        assert isinstance(proved.singles[0].certificate_status, Good)


def test_r14_red_a_store_that_says_good_is_not_believed_once_the_ca_is_lost(folder: Path) -> None:
    """From the first answer, though nobody has signed the store anew."""
    since = NOW - timedelta(days=3)
    with responder(folder) as url:
        assert isinstance(basic_of(posted(url, plain())).singles[0].certificate_status, Good)
    with responder(folder, f"compromised = {since:%Y-%m-%dT%H:%M:%SZ}") as url:
        for name in ("sha1", "sha256"):
            said = basic_of(posted(url, plain(name))).singles[0].certificate_status
            assert isinstance(said, Revoked)
            assert said.at == since
