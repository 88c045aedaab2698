"""The answers before verifiers that others wrote: OpenSSL, GnuTLS, NSS, Go, and ours.

Each judge has its red twin: answers that somebody else signed, over the same ledger.
"""

from __future__ import annotations

import base64
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.ocsp.certid import Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.statuses import Good, Revoked
from holdfast.ocsp.verify import examine_bytes
from support.pki import a_root, a_signer, private
from support.ports import free_port
from support.processes import ran
from support.responder_judge import error_objections, read, states_of
from support.responder_wire import Got, ask, get_bytes, path_of, post_bytes
from support.responder_world import BEGIN, RunningResponder, World, a_responder

SIGNERS = ("delegate", "issuer", "RSA delegate", "by name")


@dataclass
class Judged:
    """`answers`: the base URL of a responder of each kind of signer; `forged`: of a wrong one."""

    world: World
    url: str
    forged: str
    nss: Path = field(init=False)

    def __post_init__(self) -> None:
        self.nss = self.world.folder / "nss"
        if self.nss.exists():
            return
        self.nss.mkdir()
        store = f"sql:{self.nss}"
        assert ran(["certutil", "-N", "-d", store, "--empty-password"]).returncode == 0
        for name, trust in (("ca", "C,,"), ("good", ",,"), ("revoked", ",,"), ("never", ",,")):
            words = ["-d", store, "-n", name, "-t", trust, "-i", self.world.file(f"{name}.pem")]
            assert ran(["certutil", "-A", *words]).returncode == 0


@pytest.fixture(scope="module")
def forged(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningResponder]:
    """A CA of the same name with another key, which answers for the same serials as if for them."""
    folder = tmp_path_factory.mktemp("forged")
    other = a_root(at=BEGIN, who="somebody else")
    private(folder / "both.pem", other.issued.pem + other.issued.key_pem())
    with a_responder(folder, "--ca", folder / "both.pem", "--index", world.index) as started:
        yield started


@pytest.fixture(scope="module", params=SIGNERS)
def judged(
    request: pytest.FixtureRequest, world: World, forged: RunningResponder
) -> Iterator[Judged]:
    rsa = world.file("rsa.pem")
    if not rsa.exists():
        signer = a_signer(world.ca, "Test RSA Signer", key_type="rsa-2048", at=BEGIN)
        private(rsa, signer.pem + signer.key_pem())
    delegate = ["--ca", world.file("ca.pem"), "--signer", world.file("signer.pem")]
    words = {
        "delegate": delegate,
        "issuer": ["--ca", world.file("both.pem")],
        "RSA delegate": ["--ca", world.file("ca.pem"), "--signer", rsa],
        "by name": [*delegate, "--responder-id", "name"],
    }[request.param]
    with a_responder(world.folder, *words, "--index", world.index) as started:
        yield Judged(world, started.url, forged.url)


# -- OpenSSL --------------------------------------------------------------------------------


def openssl(world: World, url: str, *more: object) -> subprocess.CompletedProcess[bytes]:
    words = ["-issuer", world.file("ca.pem"), "-cert", world.file("good.pem")]
    words += ["-cert", world.file("revoked.pem"), "-CAfile", world.file("ca.pem")]
    return ran(["openssl", "ocsp", "-url", url, *words, *more])


@pytest.mark.parametrize("more", [["-nonce"], ["-no_nonce"]])
def test_openssl_agrees(judged: Judged, more: list[str]) -> None:
    """R1, R2, R9, R10, R17: one request for two certificates, verified to the CA."""
    done = openssl(judged.world, judged.url, *more)
    assert b"Response verify OK" in done.stderr
    assert b"WARNING" not in done.stderr
    assert b"good.pem: good" in done.stdout
    assert b"revoked.pem: revoked" in done.stdout
    assert b"Reason: keyCompromise" in done.stdout


def test_openssl_refuses_the_forged_answer(world: World, forged: RunningResponder) -> None:
    done = openssl(world, forged.url)
    assert b"Response verify OK" not in done.stderr


# -- GnuTLS ---------------------------------------------------------------------------------


def gnutls(world: World, url: str, name: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    certificate = f"--load-cert={world.file(f'{name}.pem')}"
    issuer = f"--load-issuer={world.file('ca.pem')}"
    return ran(["ocsptool", f"--ask={url}", issuer, certificate, *more])


@pytest.mark.parametrize("more", [["--nonce"], []])
def test_gnutls_agrees(judged: Judged, more: list[str]) -> None:
    """R1, R9, R10, R17: its nonce has 23 octets."""
    done = gnutls(judged.world, judged.url, "good", *more)
    assert done.returncode == 0, done.stderr
    assert b"Verifying OCSP Response: Success" in done.stdout
    assert b"Certificate Status: good" in done.stdout
    assert (b"Nonce: " in done.stdout) is bool(more)
    done = gnutls(judged.world, judged.url, "revoked", *more)
    assert b"Verifying OCSP Response: Success" in done.stdout
    assert b"Certificate Status: revoked" in done.stdout
    assert re.search(rb"Revocation time: .* UTC", done.stdout)


def test_gnutls_refuses_the_forged_answer(world: World, forged: RunningResponder) -> None:
    done = gnutls(world, forged.url, "good")
    assert b"Verifying OCSP Response: Success" not in done.stdout
    assert b"Verifying OCSP Response: Failure" in done.stdout + done.stderr or done.returncode


def test_gnutls_is_told_that_a_serial_was_never_issued(judged: Judged) -> None:
    """R11."""
    done = gnutls(judged.world, judged.url, "never")
    assert b"Response Status: unauthorized" in done.stdout
    assert b"Status: good" not in done.stdout


# -- NSS ------------------------------------------------------------------------------------


def nss(judged: Judged, url: str, name: str, *words: str) -> bytes:
    known = ["-d", f"sql:{judged.nss}", "-l", url, "-t", "ca"]
    done = ran(["ocspclnt", *words, name, *known])
    return done.stdout + done.stderr


def test_nss_agrees(judged: Judged) -> None:
    """R1, R9, R10, R11: Mozilla's library asks, and verifies to the CA."""
    assert b"succeeded" in nss(judged, judged.url, "good", "-S")
    assert b"has been revoked" in nss(judged, judged.url, "revoked", "-S")
    assert b"refused this request as unauthorized" in nss(judged, judged.url, "never", "-S")
    assert b"succeeded" in nss(judged, judged.url, "good", "-u", "s", "-V")
    assert b"has been revoked" in nss(judged, judged.url, "revoked", "-u", "s", "-V")


def test_nss_refuses_the_forged_answer(judged: Judged) -> None:
    said = nss(judged, judged.forged, "good", "-S")
    assert b"succeeded" not in said
    assert b"failed" in said


# -- Go, through cfssl ----------------------------------------------------------------------


@dataclass
class Cfssl:
    """Go's crypto/ocsp reads answers from a file, and serves by POST those that it could verify."""

    folder: Path

    def takes(self, answers: list[bytes], asked: bytes) -> bytes | None:
        """What it answers to `asked` when it was given `answers`; None when it took none."""
        ready = self.folder / "answers.txt"
        ready.write_bytes(b"".join(base64.b64encode(one) + b"\n" for one in answers))
        port = free_port()
        words = ["-address", "127.0.0.1", "-port", str(port), "-responses", str(ready)]
        with subprocess.Popen(["cfssl", "ocspserve", *words], stderr=subprocess.PIPE) as child:
            try:
                assert child.stderr is not None
                for line in child.stderr:
                    if b"Now listening" in line:
                        return _patiently(port, post_bytes(asked)).body
                return None
            finally:
                child.kill()


def _patiently(port: int, data: bytes) -> Got:
    for _ in range(200):
        try:
            return ask(port, data)
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port}")


def test_go_reads_and_verifies(judged: Judged, tmp_path: Path) -> None:
    """R1, R2, R9: what it took it gives again; a spoilt signature it takes not."""
    world = judged.world
    serial = world.good_one.certificate.serial
    asked = world.asks(serial)
    port = int(judged.url.split(":")[2].split("/")[0])
    answer = ask(port, get_bytes(path_of(asked))).body
    assert states_of(Cfssl(tmp_path).takes([answer], asked) or b"") == [(serial, "good")]
    if not read(answer).basic_ocsp_response["certs"].native:
        return  # Go verifies with the certificate that comes with the answer
    at = answer.index(b"\x18\x0f") + 3
    spoilt = answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :]
    served = Cfssl(tmp_path).takes([spoilt], asked)
    assert served is None or error_objections(served) == []


# -- ours -----------------------------------------------------------------------------------


def test_our_verifier_agrees(judged: Judged) -> None:
    """R1, R2, R9, R10: valid, and of the right certificate_status; the forged one is not."""
    world = judged.world
    for issued, kind in ((world.good_one, Good), (world.revoked_one, Revoked)):
        subject = Subject.of(issued.certificate, world.ca.certificate)
        asked = Request.build(subject.certid).encode()
        for url, valid in ((judged.url, True), (judged.forged, False)):
            port = int(url.split(":")[2].split("/")[0])
            body = ask(port, get_bytes(path_of(asked))).body
            verdict = examine_bytes(body, subject, at=datetime.now(UTC))
            assert verdict.valid is valid
            assert isinstance(verdict.certificate_status, kind) or not valid
