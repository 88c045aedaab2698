"""What is answered, by rules in the settings: `holdfast responder -c`, judged by openssl ocsp and
GnuTLS ocsptool over real sockets (R2, R7, R8, R12, R13, R14, R17 to R19, R28)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import ocsp as asn1

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import NONCE, Extension, find
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.ocsp.request_extensions import (
    PreferredAlgorithm,
    acceptable_extension,
    preferred_extension,
)
from holdfast.ocsp.response import BASIC, Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.pki.issue import Authority, Issued, Revocation
from holdfast.plan.choosing import key_algorithm
from support.messages import signed_request
from support.pki import a_root, a_server, a_signer, an_intermediate, private
from support.processes import HOLDFAST, first_json, ran, running

NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(days=1)
REVOKED_AT = NOW - timedelta(hours=2)
DOUBTED = NOW - timedelta(days=20)


@dataclass
class Desk:
    """A CA with certificates of every fate, requestors of two CAs, and their files."""

    folder: Path
    ca: Authority
    good: Issued
    revoked: Issued
    never: Issued
    client: Issued
    stranger: Issued

    def file(self, name: str) -> Path:
        return self.folder / name

    @contextmanager
    def responder(self, *lines: str, ledger: str = 'index = "index.txt"') -> Iterator[str]:
        """The URL of the command, run with `lines` in its [[responder.ca]]."""
        settings = self.file("holdfast.toml")
        text = ["[responder]", 'listen = ["127.0.0.1:0"]', "workers = 1", "[[responder.ca]]"]
        text += ['certificate = "ca.pem"', ledger]
        if not any(line.startswith("signers") for line in lines):
            text += ['signers = [{ certificate = "signer.pem" }]']
        settings.write_text("\n".join([*text, *lines]) + "\n")
        command = [*HOLDFAST, "responder", "-c", settings, "--json"]
        with running(command, until=b"}\n") as started:
            yield first_json(started)["url"]

    def ocsp(self, url: str, *names: str, more: tuple[object, ...] = ()) -> str:
        """What `openssl ocsp` says of the certificates `names`."""
        asked: list[object] = ["openssl", "ocsp", "-issuer", self.file("ca.pem"), *more]
        for name in names:
            asked += ["-cert", self.file(f"{name}.pem")]
        done = ran([*asked, "-url", url, "-CAfile", self.file("ca.pem")])
        return (done.stdout + done.stderr).decode()

    def asking(self, *names: str, extensions: tuple[Extension, ...] = ()) -> Request:
        ids = [
            CertID.of(getattr(self, name).certificate.serial, self.ca.certificate) for name in names
        ]
        return Request.build(*ids, extensions=extensions)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("rules")
    ca = a_root(at=BEGIN)
    good, revoked, never, client = (
        a_server(ca, name, at=BEGIN) for name in ("good.test", "bad.test", "no.test", "client.test")
    )
    stranger = a_server(a_root("Another", at=BEGIN), "stranger.test", at=BEGIN)
    desk = Desk(folder, ca, good, revoked, never, client, stranger)
    for name in ("good", "revoked", "never", "client", "stranger"):
        issued = getattr(desk, name)
        private(folder / f"{name}.pem", issued.pem + issued.key_pem())
    signer = a_signer(ca, at=BEGIN)
    rsa = a_signer(ca, "RSA Signer", key_type="rsa-2048", at=BEGIN)
    private(folder / "signer.pem", signer.pem + signer.key_pem())
    private(folder / "rsa.pem", rsa.pem + rsa.key_pem())
    (folder / "ca.pem").write_bytes(ca.issued.pem)
    (folder / "index.txt").write_text(
        f"V\t{good.certificate.not_after:%y%m%d%H%M%SZ}\t\t{_hex(good)}\tunknown\t/CN=good\n"
        f"R\t{revoked.certificate.not_after:%y%m%d%H%M%SZ}\t{REVOKED_AT:%y%m%d%H%M%SZ},"
        f"keyTime,{DOUBTED:%Y%m%d%H%M%SZ}\t{_hex(revoked)}\tunknown\t/CN=bad\n"
    )
    crl = ca.crl(
        [Revocation(revoked.certificate.serial, REVOKED_AT, 1, DOUBTED)],
        this_update=BEGIN,
        next_update=NOW + timedelta(days=2),
        number=4711,
    )
    (folder / "ca.crl").write_bytes(crl)
    return desk


def _hex(issued: Issued) -> str:
    text = f"{issued.certificate.serial:X}"
    return text.zfill(len(text) + len(text) % 2)


def posted(url: str, request: Request | bytes) -> bytes:
    data = request if isinstance(request, bytes) else request.encode()
    kind = "Content-Type: application/ocsp-request"
    done = ran(["curl", "-sS", "--data-binary", "@-", "-H", kind, url], stdin=data)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status_of(url: str, request: Request | bytes) -> ResponseStatus:
    return Response.parse(posted(url, request)).response_status


def signed_by(desk: Desk, name: str) -> tuple[object, ...]:
    return ("-signer", desk.file(f"{name}.pem"), "-signkey", desk.file(f"{name}.pem"))


# -- R7 ---------------------------------------------------------------------------------------


def test_r7_openssl_asks_signed_where_a_signature_is_required(desk: Desk) -> None:
    """Signed by a client of the CA, by a stranger, not at all; and with somebody else's key."""
    rules = ('signed_requests = "required"', 'requestors = ["ca.pem"]')
    with desk.responder(*rules) as url:
        for more in ((), ("-no_nonce",)):
            said = desk.ocsp(url, "good", "revoked", more=(*signed_by(desk, "client"), *more))
            assert "Response verify OK" in said
            assert "good.pem: good" in said
            assert "revoked.pem: revoked" in said
            said = desk.ocsp(url, "good", more=more)
            assert "sigrequired (5)" in said
            said = desk.ocsp(url, "good", more=(*signed_by(desk, "stranger"), *more))
            assert "unauthorized (6)" in said
            assert ": good" not in said
        thief = Issued(desk.client.certificate, desk.stranger.key)
        forged = signed_request(desk.asking("good"), thief)
        assert status_of(url, forged) is ResponseStatus.unauthorized
        proved = signed_request(desk.asking("good"), desk.client)
        assert status_of(url, proved) is ResponseStatus.successful
        assert status_of(url, desk.asking("good")) is ResponseStatus.sigRequired


def test_r7_openssl_sends_the_chain_of_its_signature(desk: Desk) -> None:
    """-sign_other: the intermediate comes along, the anchor is the root."""
    root = a_root("Clients' Root", at=BEGIN)
    between = an_intermediate(root, "Clients' CA", at=BEGIN)
    below = a_server(between, "below.test", at=BEGIN)
    private(desk.file("below.pem"), below.pem + below.key_pem())
    desk.file("root.pem").write_bytes(root.issued.pem)
    desk.file("between.pem").write_bytes(between.issued.pem)
    rules = ('signed_requests = "verified"', 'requestors = ["root.pem"]')
    with desk.responder(*rules) as url:
        alone = signed_by(desk, "below")
        assert "unauthorized (6)" in desk.ocsp(url, "good", more=alone)
        along = (*alone, "-sign_other", desk.file("between.pem"))
        assert "good.pem: good" in desk.ocsp(url, "good", more=along)
        assert "good.pem: good" in desk.ocsp(url, "good")


def test_r7_signatures_are_ignored_by_default(desk: Desk) -> None:
    with desk.responder() as url:
        for name in ("client", "stranger"):
            assert "good.pem: good" in desk.ocsp(url, "good", more=signed_by(desk, name))


# -- R2, R8, R17 to R19 -----------------------------------------------------------------------


def test_r2_openssl_reads_each_of_many_serials(desk: Desk) -> None:
    """-serial again and again: good, revoked, never issued, in one request."""
    with desk.responder('never_issued = "unknown"') as url:
        serials = [f"0x{_hex(getattr(desk, n))}" for n in ("good", "never", "revoked", "good")]
        words = [word for serial in serials for word in ("-serial", serial)]
        asked = ["openssl", "ocsp", "-issuer", desk.file("ca.pem"), *words, "-nonce"]
        done = ran([*asked, "-url", url, "-CAfile", desk.file("ca.pem")])
        assert b"Response verify OK" in done.stderr
        assert b"WARNING" not in done.stderr
        said = [line.split(b": ")[1] for line in done.stdout.splitlines() if line.startswith(b"0x")]
        assert said == [b"good", b"unknown", b"revoked", b"good"]


def test_r2_a_certid_of_another_ca_beside_ours(desk: Desk) -> None:
    """Refused whole by default, unknown by setting; never good."""
    ours = CertID.of(desk.good.certificate.serial, desk.ca.certificate)
    other = CertID.of(desk.good.certificate.serial, a_root("Another").certificate)
    request = Request((SingleRequest(ours), SingleRequest(other)))
    with desk.responder() as url:
        assert status_of(url, request) is ResponseStatus.unauthorized
    with desk.responder('other_issuers = "unknown"') as url:
        told = asn1.OCSPResponse.load(posted(url, request), strict=True)
        singles = told.basic_ocsp_response["tbs_response_data"]["responses"]
        assert [one["cert_status"].name for one in singles] == ["good", "unknown"]


def test_r8_acceptable_responses(desk: Desk) -> None:
    with desk.responder() as url:
        for types, expected in (
            ((BASIC,), ResponseStatus.successful),
            (("1.3.6.1.5.5.7.48.1.99",), ResponseStatus.unauthorized),
        ):
            asked = desk.asking("good", extensions=(acceptable_extension(*types),))
            assert status_of(url, asked) is expected


@pytest.mark.parametrize("nonces", ["echoed", "ignored"])
def test_r17_r18_r19_nonces(desk: Desk, nonces: str) -> None:
    """openssl and ocsptool compare the nonce that comes back with theirs."""
    with desk.responder(f'nonces = "{nonces}"') as url:
        said = desk.ocsp(url, "good", more=("-nonce",))
        assert "good.pem: good" in said
        assert ("no nonce in response" in said) is (nonces == "ignored")
        done = gnutls(desk, url)
        if nonces == "echoed":
            assert done.returncode == 0, done.stdout + done.stderr
            assert b"Verifying OCSP Response: Success" in done.stdout
        else:  # who asks with a nonce may insist on it (RFC 9654 2.1)
            assert b"could not read response's nonce" in done.stderr
        ids = desk.asking("good").singles
        for length in (1, 15, 16, 32, 33, 128):
            request = Request.build(ids[0].certid, nonce=bytes(range(length)))
            basic = Response.parse(posted(url, request)).basic
            assert basic is not None
            found = find(basic.extensions, NONCE)
            sent = find(request.extensions, NONCE)
            assert found == (sent if nonces == "echoed" else None)


def gnutls(desk: Desk, url: str) -> subprocess.CompletedProcess[bytes]:
    """ocsptool with a nonce, which it wants back."""
    words = ["ocsptool", f"--ask={url}", "--nonce", "--load-cert", desk.file("good.pem")]
    words += ["--load-issuer", desk.file("ca.pem"), "--load-trust", desk.file("ca.pem")]
    return ran(words)


# -- R12, R14 ---------------------------------------------------------------------------------


def test_r12_openssl_prints_what_is_told(desk: Desk) -> None:
    """Invalidity date and archive cutoff of an index.txt, as another's reader has them."""
    rules = ('tell = ["crl", "invalidity-date"]', 'archive_cutoff = "3650d"')
    with desk.responder(*rules) as url:
        said = desk.ocsp(url, "good", "revoked", more=("-resp_text", "-no_nonce"))
        assert "Response verify OK" in said
        assert "Invalidity Date" in said
        assert DOUBTED.strftime("%b %e %H:%M:%S %Y GMT") in said
        assert said.count("OCSP Archive Cutoff") == 2
        produced = Response.parse(posted(url, desk.asking("good"))).basic
        assert produced is not None
        kept = produced.produced_at - timedelta(days=3650)
        assert kept.strftime("%b %e %H:%M:") in said
    with desk.responder() as url:
        said = desk.ocsp(url, "good", "revoked", more=("-resp_text", "-no_nonce"))
        assert "Invalidity Date" not in said
        assert "Archive Cutoff" not in said


def test_r12_openssl_prints_the_crl_that_is_referred_to(desk: Desk) -> None:
    with desk.responder('tell = ["crl", "invalidity-date"]', ledger='crls = ["ca.crl"]') as url:
        said = desk.ocsp(url, "revoked", more=("-resp_text", "-no_nonce"))
        assert "Response verify OK" in said
        assert "OCSP CRL ID" in said
        assert "crlNum: 1267" in said  # 4711 in hexadecimal
        assert "crlUrl" not in said  # a path is told to nobody
        assert "Invalidity Date" in said


def test_r14_a_lost_ca_key_revokes_everything(desk: Desk) -> None:
    """And the same request without the setting is the green twin."""
    since = NOW - timedelta(days=3)
    with desk.responder() as url:
        assert "good.pem: good" in desk.ocsp(url, "good")
    with desk.responder(f"compromised = {since:%Y-%m-%dT%H:%M:%SZ}") as url:
        said = desk.ocsp(url, "good", "revoked", "never")
        assert "Response verify OK" in said
        for name in ("good", "revoked", "never"):
            assert f"{name}.pem: revoked" in said
        assert "Reason: cACompromise" in said
        assert said.count(since.strftime("%b %e %H:%M:%S %Y GMT")) == 2


# -- R13, R28 ---------------------------------------------------------------------------------


def test_r13_the_client_chooses_among_the_signers(desk: Desk) -> None:
    """Two signers: each is preferred in turn, and openssl verifies what it signed."""
    signers = 'signers = [{ certificate = "signer.pem" }, { certificate = "rsa.pem" }]'
    with desk.responder(signers) as url:
        for name in ("signer", "rsa"):
            signer = _signer(desk, name)
            wish = PreferredAlgorithm(signer.algorithm, key_algorithm(signer.certificate))
            request = desk.asking("good", extensions=(preferred_extension(wish),))
            out = desk.file("preferred.der")
            out.write_bytes(posted(url, request))
            basic = Response.parse(out.read_bytes()).basic
            assert basic is not None
            assert basic.signature_algorithm == signer.algorithm
            words = ["openssl", "ocsp", "-respin", out, "-CAfile", desk.file("ca.pem")]
            words += ["-issuer", desk.file("ca.pem"), "-cert", desk.file("good.pem")]
            done = ran(words)
            assert b"Response verify OK" in done.stderr
            assert b"good.pem: good" in done.stdout


def _signer(desk: Desk, name: str) -> Signer:
    from holdfast.pki import keys, pem

    data = desk.file(f"{name}.pem").read_bytes()
    return Signer(pem.certificates(data)[0], keys.load(data), desk.ca.certificate)


@pytest.mark.parametrize("digests", [("-sha1", "-sha256"), ("-sha256", "-sha1"), ("-sha512",)])
def test_r28_one_answer_for_several_hashes(desk: Desk, digests: tuple[str, ...]) -> None:
    """One response with a single for each hash satisfies openssl by either hash."""
    with desk.responder() as url:
        names = [digest.removeprefix("-") for digest in digests]
        serial = desk.good.certificate.serial
        ids = [CertID.of(serial, desk.ca.certificate, name) for name in names]
        out = desk.file("both.der")
        out.write_bytes(posted(url, Request.build(*ids)))
        for digest in digests:
            words = [
                "openssl",
                "ocsp",
                "-respin",
                out,
                "-CAfile",
                desk.file("ca.pem"),
                "-no_nonce",
                digest,
            ]
            words += ["-issuer", desk.file("ca.pem"), "-cert", desk.file("good.pem")]
            done = ran(words)
            assert b"Response verify OK" in done.stderr
            assert b"good.pem: good" in done.stdout
            assert b"WARNING" not in done.stderr
