"""`verify`, `show`, `fetch` and `urls` on a private CA's files, our responder and openssl's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD, UNKNOWN, CertificateStatus, RevocationReason, Revoked
from holdfast.pki import pem
from holdfast.pki.extras import Extra
from support.cli import holdfast
from support.files_server import serving
from support.pki import AT, a_root, a_server, an_intermediate, private, written
from support.ports import free_port
from support.processes import HOLDFAST, first_json, ran, running
from support.tls_peers import program

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)
HOUR = timedelta(hours=1)
INSTANT = AT.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class World:
    folder: Path

    def file(self, name: str) -> Path:
        return self.folder / name

    def verify(self, response: str, *words: object) -> Any:
        return holdfast("verify", self.file(response), "--at", INSTANT, *words)


ROOT = a_root()
ISSUER = an_intermediate(ROOT)
LEAF = a_server(ISSUER, "www.test", responder_urls=["http://ocsp.test/"])
OTHER = a_root("Other")


def response(
    status: CertificateStatus = GOOD, *, serials: tuple[int, ...] = (LEAF.certificate.serial,)
) -> bytes:
    signer = Signer(certificate=ISSUER.certificate, key=ISSUER.key, issuer=ISSUER.certificate)
    singles = [
        SingleResponse(CertID.of(serial, ISSUER.certificate), status, AT - HOUR, AT + HOUR)
        for serial in serials
    ]
    return signer.respond(singles, produced_at=AT - HOUR)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("commands")
    world = World(folder)
    revoked = Revoked(AT - HOUR, RevocationReason.KEY_COMPROMISE)
    good = response()
    for name, content in {
        "good": good,
        "good.pem": pem.encode("OCSP RESPONSE", good),
        "good.b64": base64.b64encode(good),
        "revoked": response(revoked),
        "unknown": response(UNKNOWN),
        "two": response(serials=(LEAF.certificate.serial, 77)),
        "cut": good[:-3],
        "trailing": good + b"\0",
        "cut.b64": base64.b64encode(good[:-3]),
        "try-later": b"\x30\x03\x0a\x01\x03",
        "leaf.pem": LEAF.pem,
        "leaf.der": LEAF.certificate.der,
        "leaf.b64": base64.b64encode(LEAF.certificate.der),
        "chain.pem": LEAF.fullchain_pem,
        "issuer.pem": ISSUER.issued.pem,
        "issuer.der": ISSUER.certificate.der,
        "bundle.pem": OTHER.issued.pem + ROOT.issued.pem + ISSUER.issued.pem,
        "root.pem": ROOT.issued.pem,
        "other.pem": OTHER.issued.pem,
    }.items():
        world.file(name).write_bytes(content)
    return world


# -- verify -----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["good", "good.pem", "good.b64"])
@pytest.mark.parametrize("leaf", ["leaf.pem", "leaf.der", "leaf.b64"])
@pytest.mark.parametrize("issuer", ["issuer.pem", "issuer.der", "bundle.pem"])
def test_any_encoding_is_told_by_looking(world: World, answer: str, leaf: str, issuer: str) -> None:
    done = world.verify(answer, "--cert", world.file(leaf), "--issuer", world.file(issuer))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("good: ")


def test_the_document(world: World) -> None:
    words = ("-C", world.file("leaf.pem"), "-I", world.file("issuer.pem"), "--json")
    found = world.verify("good", *words).json
    assert {key: found[key] for key in list(found)[:9]} == {
        "schema": "holdfast.verify/1",
        "valid": True,
        "response_status": "successful",
        "certificate_status": "good",
        "revocation": None,
        "this_update": "2026-06-01T11:00:00Z",
        "next_update": "2026-06-01T13:00:00Z",
        "produced_at": "2026-06-01T11:00:00Z",
        "signer": "issuer",
    }
    assert found["findings"] == []


@pytest.mark.parametrize(
    ("name", "valid", "statuses", "codes"),
    [
        ("revoked", True, ("successful", "revoked"), ["response-revoked"]),
        ("unknown", True, ("successful", "unknown"), ["response-unknown"]),
        ("try-later", False, ("tryLater", None), ["response-error-response"]),
        ("cut", False, (None, None), ["response-malformed"]),
        ("trailing", False, (None, None), ["response-malformed"]),
        ("cut.b64", False, (None, None), ["response-malformed"]),
        ("leaf.der", False, (None, None), ["response-malformed"]),
    ],
)
def test_v6_what_is_not_good_exits_1_and_says_why(
    world: World, name: str, valid: bool, statuses: tuple[str | None, str | None], codes: list[str]
) -> None:
    done = world.verify(name, "-C", world.file("chain.pem"), "--json")
    assert done.code == 1
    found = done.json
    assert found["valid"] is valid
    assert (found["response_status"], found["certificate_status"]) == statuses
    assert [one["code"] for one in found["findings"]] == codes
    if name == "revoked":
        assert found["revocation"] == {"time": "2026-06-01T11:00:00Z", "reason": "keyCompromise"}
    text = world.verify(name, "-C", world.file("chain.pem"))
    assert text.code == 1
    assert text.out.startswith(f"{statuses[1]}: " if valid else "invalid: ")
    assert "hint: " in text.out


def test_the_issuer_may_be_in_the_chain_file(world: World) -> None:
    assert world.verify("good", "--cert", world.file("chain.pem")).code == 0
    done = world.verify("good", "--cert", world.file("leaf.pem"))
    assert done.code == 2
    assert "no certificate given is the issuer of CN=www.test" in done.err


def test_without_a_certificate_the_serial_that_is_named_is_judged(world: World) -> None:
    done = world.verify("good", "--issuer", world.file("bundle.pem"), "--json")
    assert done.code == 0
    assert done.json["serial"] == f"{LEAF.certificate.serial:x}"
    assert world.verify("good", "--issuer", world.file("root.pem")).code == 1
    assert world.verify("two", "--issuer", world.file("issuer.pem")).code == 2
    assert world.verify("two", "--cert", world.file("chain.pem")).code == 0
    assert world.verify("good").code == 2


def test_trust_says_where_the_issuers_chain_must_end(world: World) -> None:
    words = ("--issuer", world.file("issuer.pem"), "--json", "--trust")
    assert world.verify("good", *words, world.file("root.pem")).code == 0
    done = world.verify("good", *words, world.file("other.pem"))
    assert done.code == 1
    assert done.json["valid"] is False
    assert [one["code"] for one in done.json["findings"]] == ["chain-untrusted"]


def test_another_issuers_certificate_of_the_same_serial_does_not_pass(world: World) -> None:
    """V1: a response is for one certificate of one issuer."""
    twin = world.file("twin.pem")
    twin.write_bytes(a_server(OTHER, "evil.test", serial=LEAF.certificate.serial).pem)
    done = world.verify("good", "-C", twin, "-I", world.file("issuer.pem"), "--json")
    assert done.code == 1
    assert done.json["valid"] is False


def test_the_options_of_judging(world: World) -> None:
    words = ("-C", world.file("chain.pem"))
    late = (AT + HOUR + timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    good = world.file("good")
    assert holdfast("verify", good, *words, "--at", late).code == 0  # K4: five minutes
    assert holdfast("verify", good, *words, "--at", late, "--skew", "1m").code == 1
    assert world.verify("good", *words, "--max-age", "30m").code == 1
    assert world.verify("good", *words, "--max-age", "2h").code == 0
    assert world.verify("good", *words, "--profile", "browser").code == 0
    assert world.verify("good", *words, "--fail-on", "note").code == 0


# -- show -------------------------------------------------------------------------------------


def test_show_tells_every_field(world: World) -> None:
    shown = holdfast("show", world.file("revoked"), "--json").json["objects"]
    assert len(shown) == 1
    (answer,) = shown[0]["answers"]
    assert answer["serial"] == f"{LEAF.certificate.serial:x}"
    assert answer["reason"] == "keyCompromise"
    assert shown[0]["signature_algorithm"] == "ECDSA with SHA-256"
    text = holdfast("show", world.file("revoked")).out
    for word in ("revoked at", "2026-06-01T11:00:00Z", "responder key hash", "keyCompromise"):
        assert word in text


def test_show_knows_every_kind(world: World) -> None:
    request = Request.build(CertID.of(5, ISSUER.certificate, "sha256"), nonce=b"n" * 32).encode()
    world.file("request").write_bytes(request)
    command = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", world.file("chain.pem")]
    world.file("p7").write_bytes(ran(command).stdout)
    world.file("crl").write_bytes(ISSUER.crl([], this_update=AT, next_update=AT + HOUR, number=7))
    _, key = written(LEAF, world.folder, "mixed")
    for name, words in {
        "request": ("OCSP request", "sha256", "nonce", (b"n" * 32).hex()),
        "good": ("OCSP response", "good", "certificate status"),
        "leaf.pem": ("certificate", "www.test", "http://ocsp.test/", "must staple"),
        "chain.pem": ("certificate 2 of 2", "chain", "CN=Test Root is not in the file"),
        "p7": ("PKCS#7", "www.test"),
        "crl": ("CRL", "number                 7"),
        "try-later": ("tryLater",),
    }.items():
        done = holdfast("show", world.file(name))
        assert done.code == 0, done.err
        for word in words:
            assert word in done.out
    secret = key.read_text().splitlines()[1]
    shown = holdfast("show", key)
    assert "private key" in shown.out
    assert secret not in shown.out


def test_show_of_what_is_cut_short(world: World) -> None:
    done = holdfast("show", world.file("cut"))
    assert done.code == 2
    assert "where" in done.err


# -- urls -------------------------------------------------------------------------------------


def test_urls_of_a_file_and_of_a_live_server(world: World) -> None:
    of_file = holdfast("urls", world.file("chain.pem"), "--json").json["certificates"]
    assert [row["responder_urls"] for row in of_file] == [["http://ocsp.test/"], []]
    chain, key = written(LEAF, world.folder, "server")
    words = ["openssl", "s_server", "-quiet", "-cert", chain, "-key", key]
    words += ["-cert_chain", world.file("issuer.pem")]
    with program(words, lambda port: ["-accept", f"127.0.0.1:{port}"]) as port:
        done = holdfast("urls", f"127.0.0.1:{port}", "--json")
    assert done.json["certificates"] == of_file
    assert "http://ocsp.test/" in holdfast("urls", world.file("leaf.der")).out


def test_urls_of_what_does_not_answer() -> None:
    assert holdfast("urls", f"127.0.0.1:{free_port()}").code == 3


# -- fetch ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A CA's folder with good.test and bad.test, and our responder for it."""
    folder = tmp_path_factory.mktemp("live") / "ca"
    assert holdfast("ca", "init", "--ca", folder, "--with-signer").code == 0
    for name in ("good.test", "bad.test"):
        assert holdfast("ca", "issue", "--ca", folder, name).code == 0
    assert holdfast("ca", "revoke", "--ca", folder, "bad.test", "--reason", "superseded").code == 0
    command = [*HOLDFAST, "responder", "--ca", folder / "ca.pem", "--listen", "127.0.0.1:0"]
    command += ["--signer", folder / "signer.pem", "--key", folder / "signer.key"]
    command += ["--ledger", folder / "ledger.sqlite", "--json"]
    with running(command, until=b"}\n") as started:
        yield folder, str(first_json(started)["url"])


@pytest.mark.parametrize("method", ["get", "post", "auto"])
@pytest.mark.parametrize("hash_algorithm", ["sha1", "sha256"])
def test_fetch_asks_and_verifies(
    live: tuple[Path, str], tmp_path: Path, method: str, hash_algorithm: str
) -> None:
    """K13, K14."""
    folder, url = live
    words = ("-I", folder / "ca.pem", "--url", url, "--method", method, "--hash", hash_algorithm)
    out = tmp_path / "out.der"
    done = holdfast("fetch", folder / "issued/good.test.pem", *words, "--out", out, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["valid"], found["certificate_status"]) == (True, "good")
    assert found["signer"] == "delegate"
    (exchange,) = found["exchanges"]
    assert exchange["method"] == ("POST" if method == "post" else "GET")
    assert {"connect", "first_byte", "parse", "verdict"} <= exchange["milliseconds"].keys()
    again = holdfast("verify", out, "-C", folder / "issued/good.test.pem", "-I", folder / "ca.pem")
    assert again.code == 0


def test_fetch_shows_a_timeline_and_a_revocation(live: tuple[Path, str]) -> None:
    folder, url = live
    words = ("-I", folder / "ca.pem", "--url", url, "--nonce")
    done = holdfast("fetch", folder / "issued/bad.test.pem", *words)
    assert done.code == 1
    assert done.out.startswith("revoked: bad.test")
    for word in ("connect", "first byte", "verdict", " ms "):
        assert word in done.out


def test_fetch_keeps_nothing_that_does_not_verify(live: tuple[Path, str], tmp_path: Path) -> None:
    _, url = live
    out, stranger = tmp_path / "out.der", tmp_path / "stranger.pem"
    out.write_bytes(b"what was there")
    stranger.write_bytes(a_server(OTHER, "no.test", at=BEGIN).pem)
    (tmp_path / "other.pem").write_bytes(OTHER.issued.pem)
    words = ("-I", tmp_path / "other.pem", "--url", url, "--out", out, "--json")
    done = holdfast("fetch", stranger, *words)
    assert done.code == 3
    assert done.json["error"]["class"] == "PeerError"
    assert done.err.startswith("holdfast: ")
    assert out.read_bytes() == b"what was there"


def test_fetch_dry_run_names_the_url_and_asks_nobody(world: World) -> None:
    done = holdfast("fetch", world.file("chain.pem"), "--dry-run", "--json").json
    (would,) = done["would"]
    assert would["method"] == "GET"
    assert would["url"].startswith("http://ocsp.test/M")
    request = Request.parse(base64.b64decode(done["request"]))
    assert request.singles[0].certid.serial == LEAF.certificate.serial


def test_fetch_of_a_certificate_without_a_responder(world: World, tmp_path: Path) -> None:
    """K17."""
    chain, _ = written(a_server(ISSUER, "plain.test"), tmp_path)
    done = holdfast("fetch", chain)
    assert done.code == 3
    assert "stapling does not apply" in done.err


def test_fetch_from_the_guides_openssl_command(tmp_path: Path) -> None:
    """`openssl ocsp -index index.txt -port P -rsigner ca.pem -CA ca.pem`: an empty index, the CA
    signing, certificate and key in one file; then an index that knows the certificate."""
    ca = a_root("Guide CA", at=BEGIN)
    private(tmp_path / "ca.pem", ca.issued.pem + ca.issued.key_pem())
    leaf = a_server(ca, "guide.test", at=BEGIN)
    (tmp_path / "leaf.pem").write_bytes(leaf.pem)
    serial = f"{leaf.certificate.serial:X}"
    for index, code, status in (
        ("", 1, "unknown"),
        (f"V\t301231235959Z\t\t{serial}\tunknown\t/CN=guide.test\n", 0, "good"),
        (f"R\t301231235959Z\t260101000000Z\t{serial}\tunknown\t/CN=guide.test\n", 1, "revoked"),
    ):
        (tmp_path / "index.txt").write_text(index)
        words = ["openssl", "ocsp", "-index", tmp_path / "index.txt", "-CA", tmp_path / "ca.pem"]
        words += ["-rsigner", tmp_path / "ca.pem", "-port", "0"]
        with running(words, until=b"PID=") as started:  # ACCEPT [::]:40123 PID=77
            port = int(started.first.split()[1].rpartition(b":")[2])
            url = f"http://127.0.0.1:{port}/"
            done = holdfast(
                "fetch", tmp_path / "leaf.pem", "-I", tmp_path / "ca.pem", "--url", url, "--json"
            )
        assert done.json["certificate_status"] == status, done.err
        assert done.json["valid"] is True
        assert done.code == code


def test_fetch_finds_the_issuer_where_the_certificate_says(
    live: tuple[Path, str], tmp_path: Path
) -> None:
    """K16."""
    folder, url = live
    with serving({b"/ca.crt": (folder / "ca.pem").read_bytes()}) as where:
        words = ("--issuer-url", f"{where}/ca.crt", "--responder-url", url)
        issued = holdfast("ca", "issue", "--ca", folder, "aia.test", *words)
        assert issued.code == 0, issued.err
        done = holdfast("fetch", folder / "issued/aia.test.pem")
    assert done.code == 0, done.err
    alone = holdfast("fetch", folder / "issued/aia.test.pem")
    assert alone.code == 3


def test_fetch_tells_an_error_once(world: World) -> None:
    """A refused connection in words."""
    done = holdfast("fetch", world.file("chain.pem"), "--url", "http://127.0.0.1:1/")
    assert done.code == 3
    assert (done.out + done.err).count("connection refused") == 1


def test_a_name_in_a_certificate_makes_no_line_of_its_own(tmp_path: Path) -> None:
    forged = "a\nexample.org:443: good"
    ca = a_root()
    names = x509.SubjectAlternativeName([x509.DNSName(forged)])
    url = "http://127.0.0.1:1/\nexample.org:443: good"
    leaf = ca.server(
        at=AT,
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, forged)]),
        responder_urls=[url],
        extensions=[Extra(names)],
    )
    (tmp_path / "leaf.pem").write_bytes(leaf.pem + ca.issued.pem)
    for words in (["show"], ["urls"], ["fetch", "--dry-run"], ["fetch"]):
        done = holdfast(*words, tmp_path / "leaf.pem")
        told = (done.out + done.err).splitlines()
        assert not any(line.lstrip().startswith("example.org") for line in told), told
        assert any("\\nexample.org" in line for line in told), told
