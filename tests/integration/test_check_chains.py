"""`holdfast check` on chains: incomplete, out of order, untrusted, expired, misnamed; and CRLs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from holdfast.pki import issue
from holdfast.pki.extras import Extra
from holdfast.pki.issue import Issued
from holdfast.tls.server import Identity
from support.answers import a_staple, an_answer
from support.check_world import CA, Web, codes, looked
from support.cli import holdfast
from support.processes import ran
from support.tls_peers import openssl_server
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, a_proxy, a_site


def _bare_identity(site: Issued, chain: list[Any]) -> Any:
    return Identity((site.certificate, *chain), key=site.key)


def test_an_incomplete_chain_and_the_issuer_fetched_by_aia(
    loop: Loop, roots: Path, web: Web
) -> None:
    site = a_site(CA, issuer_urls=[web.url + "/issuer"])
    web.answers = {"/issuer": CA.certificate.der}
    with a_proxy(site, loop=loop) as stand:
        stand.proxy.tls.reload([_bare_identity(site, [])])
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots, "--no-crl")
        assert "chain-incomplete" in codes(report)
        assert "chain-untrusted" not in codes(report)
        assert report["leaves"][0]["chain"]["complete"] is False
        assert report["staples"][0]["valid"] is True
        assert report["exit"] == 1
        blind = looked(stand, roots, "--no-fetch")
        assert {"chain-incomplete", "chain-untrusted"} <= codes(blind)


def test_a_chain_out_of_order_and_one_with_too_much(roots: Path, tmp_path: Path) -> None:
    """openssl s_server sends the file as it stands."""
    site, stranger = a_site(CA), a_ca("rsa-2048")
    extra = tmp_path / "extra.pem"
    upper = issue.root("Upper Root", at=YESTERDAY)
    middle = upper.intermediate("Middle CA", at=YESTERDAY, path_length=1)
    lower = middle.intermediate("Lower CA", at=YESTERDAY)
    deep = lower.server("localhost", at=YESTERDAY, responder_urls=[])
    (tmp_path / "deep.pem").write_bytes(upper.issued.pem)
    extra.write_bytes(middle.issued.pem + lower.issued.pem)
    with openssl_server(deep, tmp_path, b"", "-cert_chain", str(extra)) as port:
        report = looked(port, tmp_path / "deep.pem", "--no-fetch")
    assert codes(report) == {"chain-out-of-order", "no-responder-url"}
    assert report["verdict"] == "warning"
    extra.write_bytes(CA.issued.pem + stranger.issued.pem)
    with openssl_server(site, tmp_path, b"", "-cert_chain", str(extra)) as port:
        report = looked(port, roots, "--no-fetch")
    assert codes(report) == {"chain-superfluous", "staple-missing"}


@pytest.mark.parametrize("sends_issuer", [True, False])
def test_curl_does_as_is_told_of_it(tmp_path: Path, sends_issuer: bool) -> None:
    """It makes the CertID from the issuer that was sent, be it the root that it has already."""
    root = issue.root("Upper Root", at=YESTERDAY)
    site, extra, roots = a_site(root), tmp_path / "extra.pem", tmp_path / "roots.pem"
    roots.write_bytes(root.issued.pem)
    extra.write_bytes(root.issued.pem if sends_issuer else a_ca("rsa-2048").issued.pem)
    staple = a_staple(root, site, at=NOW).der
    with openssl_server(site, tmp_path, staple, "-cert_chain", str(extra)) as port:
        report = looked(port, roots, "--no-fetch")
        to = ["--connect-to", f"localhost:443:127.0.0.1:{port}", "https://localhost/"]
        done = ran(["curl", "-sS", "--cert-status", "--cacert", roots, "--max-time", "10", *to])
    told = {row["client"]: row["accepts"] for row in report["clients"]}
    assert told["curl --cert-status"] is sends_issuer
    assert done.returncode == (0 if sends_issuer else 91), done.stderr  # INVALIDCERTSTATUS
    assert ("chain-superfluous" in codes(report)) is not sends_issuer  # a stranger


def test_a_name_makes_no_line_of_its_own(loop: Loop, roots: Path, tmp_path: Path) -> None:
    forged = x509.SubjectAlternativeName([x509.DNSName("a\nexample.org:443: good")])
    site = CA.server(at=YESTERDAY, extensions=[Extra(forged)])
    with openssl_server(site, tmp_path, b"") as port:
        done = holdfast("check", f"127.0.0.1:{port}", "--ca-file", roots, "--no-fetch")
    assert "a\\nexample.org:443: good" in done.out
    assert not any(line.strip().startswith("example.org") for line in done.out.splitlines())


def test_untrusted_expired_and_misnamed(loop: Loop, roots: Path, tmp_path: Path) -> None:
    site = a_site(CA, responder_urls=[])
    with a_proxy(site, loop=loop) as stand:
        stranger = tmp_path / "stranger.pem"
        stranger.write_bytes(a_ca("rsa-2048").issued.pem)
        report = looked(stand, stranger)
        assert "chain-untrusted" in codes(report)
        assert report["leaves"][0]["chain"]["trusted"] is False
        assert report["exit"] == 1
        assert "chain-untrusted" in codes(looked(stand, None))
        misnamed = looked(stand, roots, "--servername", "elsewhere.example")
        assert "certificate-name-mismatch" in codes(misnamed)
        assert misnamed["servername"] == "elsewhere.example"
        later = looked(stand, roots, "--at", "2090-01-01T00:00:00Z")
        assert "certificate-expired" in codes(later)
        earlier = looked(stand, roots, "--at", "2000-01-01T00:00:00Z")
        assert "certificate-not-yet-valid" in codes(earlier)
        by_address = holdfast("check", f"127.0.0.1:{stand.port}", "--ca-file", roots, "--json")
        assert codes(by_address.json["reports"][0]) == {"no-responder-url"}


def test_weak_keys_and_the_crl(loop: Loop, roots: Path, web: Web) -> None:
    site = a_site(CA, responder_urls=[web.url + "/ocsp"], crl_urls=[web.url + "/crl"])
    listed = issue.Revocation(site.certificate.serial, NOW - timedelta(hours=1), reason=1)
    week = NOW + timedelta(days=7)
    web.answers = {"/ocsp": an_answer(CA, site, at=NOW)}
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        web.answers["/crl"] = CA.crl([], this_update=NOW, next_update=week)
        report = looked(stand, roots)
        assert report["findings"] == []
        assert report["crl"]["revoked"] is False
        web.answers["/crl"] = CA.crl([listed], this_update=NOW, next_update=week)
        report = looked(stand, roots)
        assert codes(report) == {"certificate-revoked-by-crl", "crl-disagrees-with-ocsp"}
        assert report["crl"]["revoked"] is True
        assert looked(stand, roots, "--no-crl")["crl"] is None
        web.answers["/crl"] = a_ca("rsa-2048").crl([], this_update=NOW, next_update=week)
        assert codes(looked(stand, roots)) == {"crl-bad-signature"}
        web.answers["/crl"] = b"nonsense"
        assert codes(looked(stand, roots)) == {"crl-unreachable"}
        past = CA.crl([], this_update=YESTERDAY, next_update=YESTERDAY + timedelta(hours=1))
        web.answers["/crl"] = past
        assert codes(looked(stand, roots)) == {"crl-expired"}
