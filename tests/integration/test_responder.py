"""Our responder before programs that others wrote: openssl ocsp by POST, curl by GET."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.extension import EXTENDED_REVOKE, find
from holdfast.ocsp.http import get_url
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import Good, ResponseStatus, RevocationReason, Revoked
from holdfast.ocsp.verify import examine
from holdfast.pki.issue import Authority, Issued
from holdfast.seams import LedgerEntry
from holdfast.stores.index_txt import write_index
from support.cli import holdfast
from support.pki import a_root, a_server, a_signer, private
from support.processes import HOLDFAST, first_json, ran, running

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)


@dataclass
class World:
    """A CA with one good and one revoked certificate, and its files in `folder`."""

    folder: Path
    ca: Authority
    good: Issued
    revoked: Issued
    never: Issued

    @property
    def index(self) -> Path:
        return self.folder / "index.txt"

    def write(self) -> None:
        rows = [
            LedgerEntry(self.good.certificate.serial, NOW + timedelta(days=90)),
            LedgerEntry(
                self.revoked.certificate.serial,
                NOW + timedelta(days=90),
                NOW - timedelta(hours=2),
                RevocationReason.KEY_COMPROMISE,
            ),
        ]
        self.index.write_bytes(write_index(rows, at=NOW))

    def file(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("responder")
    ca = a_root(at=BEGIN)
    world = World(
        folder, ca, *(a_server(ca, name, at=BEGIN) for name in ("good.test", "bad.test", "no.test"))
    )
    signer = a_signer(ca, at=BEGIN)
    (folder / "ca.pem").write_bytes(ca.issued.pem)
    private(folder / "ca.key", ca.issued.key_pem())
    private(folder / "both.pem", ca.issued.pem + ca.issued.key_pem())
    private(folder / "signer.pem", signer.pem + signer.key_pem())
    for name in ("ca.key", "both.pem", "signer.pem"):
        (folder / name).chmod(0o600)
    for name in ("good", "revoked", "never"):
        (folder / f"{name}.pem").write_bytes(getattr(world, name).pem)
    world.write()
    return world


@pytest.fixture(scope="module", params=["delegate", "issuer"])
def url(request: pytest.FixtureRequest, world: World) -> Iterator[str]:
    words = {
        "delegate": ["--ca", world.file("ca.pem"), "--signer", world.file("signer.pem")],
        "issuer": ["--ca", world.file("both.pem")],
    }[request.param]
    with ExitStack() as stack:
        command = [*HOLDFAST, "responder", *words, "--index", world.index]
        command += ["--listen", "127.0.0.1:0", "--json"]
        started = stack.enter_context(running(command, until=b"}\n"))
        yield first_json(started)["url"]


def openssl_ocsp(
    world: World, url: str, name: str, *more: object
) -> subprocess.CompletedProcess[bytes]:
    issuer, leaf = world.file("ca.pem"), world.file(f"{name}.pem")
    # The order counts: -issuer and -sha256 hold for the certificates named after them.
    asked = ["-issuer", issuer, *more, "-cert", leaf, "-url", url, "-CAfile", issuer]
    return ran(["openssl", "ocsp", *asked])


def posted(url: str, asked: Request) -> subprocess.CompletedProcess[bytes]:
    kind = "Content-Type: application/ocsp-request"
    return ran(["curl", "-sS", "--data-binary", "@-", "-H", kind, url], stdin=asked.encode())


def test_openssl_verifies_a_good_answer_by_post(world: World, url: str) -> None:
    """R1, R2, R9: id and nonce echoed, the signer found, the window current."""
    done = openssl_ocsp(world, url, "good")
    assert b"Response verify OK" in done.stderr
    assert b"good.pem: good" in done.stdout
    assert b"WARNING" not in done.stderr


@pytest.mark.parametrize("digest", ["-sha1", "-sha256", "-sha384", "-sha512"])
def test_every_certid_hash_is_understood(world: World, url: str, digest: str) -> None:
    """R28."""
    done = openssl_ocsp(world, url, "good", digest)
    assert b": good" in done.stdout


def test_openssl_reads_when_and_why_a_certificate_was_revoked(world: World, url: str) -> None:
    """R10."""
    done = openssl_ocsp(world, url, "revoked")
    assert b"Response verify OK" in done.stderr
    assert b"revoked.pem: revoked" in done.stdout
    assert b"Reason: keyCompromise" in done.stdout
    assert (NOW - timedelta(hours=2)).strftime("%H:%M:%S %Y GMT").encode() in done.stdout


def test_a_serial_never_issued_is_not_good(world: World, url: str) -> None:
    """R11: unauthorized by default."""
    done = openssl_ocsp(world, url, "never")
    assert b"unauthorized (6)" in done.stdout + done.stderr
    assert b": good" not in done.stdout


def test_the_nonce_is_echoed(world: World, url: str) -> None:
    """R17: openssl compares it and warns when it is missing."""
    done = openssl_ocsp(world, url, "good", "-nonce")
    assert b"Response verify OK" in done.stderr
    assert b"no nonce" not in done.stderr


def test_two_certificates_in_one_request(world: World, url: str) -> None:
    """R2: two singles in the order asked."""
    done = openssl_ocsp(world, url, "good", "-cert", world.file("revoked.pem"))
    assert b"good.pem: good" in done.stdout
    assert b"revoked.pem: revoked" in done.stdout


def test_curl_gets_an_answer_that_openssl_verifies(world: World, url: str) -> None:
    """R21, R23, R24: GET with the caching headers; the same answer is not sent twice."""
    asked = Request.build(CertID.of(world.good.certificate.serial, world.ca.certificate))
    target = get_url(url, asked.encode())
    assert target is not None
    out, heads = world.file("get.der"), world.file("heads.txt")
    done = ran(["curl", "-sS", "-o", out, "-D", heads, target])
    assert done.returncode == 0
    read = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in heads.read_text().splitlines())
    }
    assert read["content-type"] == "application/ocsp-response"
    assert "max-age=3600, public, no-transform, must-revalidate" in read["cache-control"]
    assert read["expires"].endswith("GMT")
    assert read["last-modified"].endswith("GMT")
    asked_for = ["-issuer", world.file("ca.pem"), "-cert", world.file("good.pem")]
    again = ran(
        [
            "curl",
            "-sS",
            "-o",
            "-",
            "-w",
            "%{http_code}",
            "-H",
            f"If-None-Match: {read['etag']}",
            target,
        ]
    )
    assert again.stdout == b"304"
    judged = ran(["openssl", "ocsp", "-respin", out, *asked_for, "-CAfile", world.file("ca.pem")])
    assert b"Response verify OK" in judged.stderr
    assert b": good" in judged.stdout


@pytest.mark.parametrize(
    "spell",
    [
        lambda b64: "/" + quote(b64, safe=""),
        lambda b64: "//" + b64,
        lambda b64: "/" + b64.rstrip("="),
        lambda b64: "/" + b64.replace("+", "-").replace("/", "_"),
        lambda b64: "/" + b64.replace("+", "%20"),
        lambda b64: "/" + b64 + "?from=cache",
    ],
)
def test_every_spelling_of_a_get_path_is_read(
    world: World, url: str, spell: Callable[[str], str]
) -> None:
    """R24."""
    asked = Request.build(CertID.of(world.good.certificate.serial, world.ca.certificate))
    path = spell(base64.b64encode(asked.encode()).decode())
    done = ran(["curl", "-sS", "--path-as-is", url.rstrip("/") + path])
    response = Response.parse(done.stdout)
    subject = Subject.of(world.good.certificate, world.ca.certificate)
    assert examine(response, subject, at=datetime.now(UTC)).good


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/!!!", b"", ResponseStatus.malformedRequest),
        ("GET", "/MDAwMDA", b"", ResponseStatus.malformedRequest),
        ("POST", "/", b"", ResponseStatus.malformedRequest),
        ("POST", "/", b"\x30\x80\x00\x00", ResponseStatus.malformedRequest),
    ],
)
def test_garbage_is_malformed_request(
    url: str, method: str, path: str, body: bytes, expected: ResponseStatus
) -> None:
    """R4, R5, R22: an error response, without bytes, that nobody caches."""
    words = ["curl", "-sS", "-i", "--path-as-is", url.rstrip("/") + path]
    if method == "POST":
        words += ["-H", "Content-Type: application/ocsp-request", "--data-binary", "@-"]
    done = ran(words, stdin=body)
    head, _, sent = done.stdout.partition(b"\r\n\r\n")
    assert b"no-store" in head
    assert Response.parse(sent).response_status is expected


def test_the_root_says_what_it_is_and_other_methods_are_refused(url: str) -> None:
    """R25."""
    assert b"OCSP responder" in ran(["curl", "-sS", url]).stdout
    done = ran(["curl", "-sS", "-i", "-X", "PUT", "-d", "x", url])
    assert b" 405 " in done.stdout.split(b"\r\n")[0]
    assert b"Allow: GET, HEAD, POST" in done.stdout


def test_a_changed_index_is_read_again(world: World, url: str) -> None:
    """R32: the very next answer is the new one."""
    kept, new = world.index.read_bytes(), world.index.with_suffix(".new")
    try:
        serial = world.good.certificate.serial
        rows = [
            LedgerEntry(one, NOW + timedelta(days=9), NOW, RevocationReason.SUPERSEDED)
            for one in (serial, world.revoked.certificate.serial)
        ]
        new.write_bytes(write_index(rows, at=NOW))
        new.replace(world.index)  # as openssl ca puts a new one there
        done = openssl_ocsp(world, url, "good")
        assert b"good.pem: revoked" in done.stdout
        world.index.write_text("V\tnonsense\n")
        done = openssl_ocsp(world, url, "good")
        assert b"trylater (3)" in done.stdout + done.stderr
    finally:
        new.write_bytes(kept)
        new.replace(world.index)
    assert b"good.pem: good" in openssl_ocsp(world, url, "good").stdout


def test_check_judges_one_answer_of_each_kind(world: World) -> None:
    """R33."""
    words = ["responder", "--ca", world.file("both.pem"), "--index", world.index, "--check"]
    done = holdfast(*words)
    assert done.code == 0, done.err
    assert done.out.count("clean") >= 2
    assert "never issued" in done.out


def test_an_empty_index_is_valid_and_knows_nobody(world: World, tmp_path: Path) -> None:
    empty = tmp_path / "index.txt"
    empty.touch()
    command = [*HOLDFAST, "responder", "--ca", world.file("both.pem"), "--index", empty]
    command += ["--listen", "127.0.0.1:0", "--json", "--never-issued", "unknown"]
    with running(command, until=b"}\n") as started:
        done = openssl_ocsp(world, first_json(started)["url"], "good")
        assert b"good.pem: unknown" in done.stdout
        assert started.stop() == 0


def test_a_never_issued_serial_may_be_told_as_revoked(world: World, tmp_path: Path) -> None:
    """R11: extended revoked is certificateHold since 1970 with the extension in the response."""
    empty = tmp_path / "index.txt"
    empty.touch()
    command = [*HOLDFAST, "responder", "--ca", world.file("both.pem"), "--index", empty]
    command += ["--listen", "127.0.0.1:0", "--json", "--never-issued", "revoked"]
    with running(command, until=b"}\n") as started:
        url = first_json(started)["url"]
        done = openssl_ocsp(world, url, "never")
        asked = Request.build(CertID.of(world.never.certificate.serial, world.ca.certificate))
        response = Response.parse(posted(url, asked).stdout)
    assert b"never.pem: revoked" in done.stdout
    assert b"certificateHold" in done.stdout
    assert response.basic is not None
    assert find(response.basic.extensions, EXTENDED_REVOKE) is not None


def test_our_own_verdict_agrees(world: World, url: str) -> None:
    """The answer openssl accepts is good for our verifier, and its twin is revoked."""
    for issued, kind in ((world.good, Good), (world.revoked, Revoked)):
        asked = Request.build(CertID.of(issued.certificate.serial, world.ca.certificate))
        done = posted(url, asked)
        subject = Subject.of(issued.certificate, world.ca.certificate)
        verdict = examine(Response.parse(done.stdout), subject, at=datetime.now(UTC))
        assert verdict.valid
        assert isinstance(verdict.certificate_status, kind)


def test_a_key_that_others_can_read_is_told_and_used(world: World, tmp_path: Path) -> None:
    """The published guide's combined file is often 0644: it works, and the operator hears of it."""
    both = tmp_path / "both.pem"
    both.write_bytes(world.file("both.pem").read_bytes())
    both.chmod(0o644)
    done = ran([*HOLDFAST, "responder", "--ca", both, "--index", world.index, "--check"])
    assert done.returncode == 0
    assert b"others can read (mode 0644); chmod 640" in done.stderr
    both.chmod(0o600)
    quiet = ran([*HOLDFAST, "responder", "--ca", both, "--index", world.index, "--check"])
    assert quiet.stderr == b""
