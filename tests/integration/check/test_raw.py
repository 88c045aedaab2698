"""Every byte that a server sends as a staple is seen and judged, also what OpenSSL refuses."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import GOOD
from support.answers import an_answer
from support.check_world import CA, codes, looked
from support.tls_peers import gnutls_serv, openssl_server
from support.tls_world import NOW, a_site


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("what", ["text", "cut", "behind", "error", "zero"])
def test_garbage_is_shown_byte_for_byte_and_judged(
    roots: Path, tmp_path: Path, what: str, version: str
) -> None:
    site = a_site(CA)
    good = an_answer(CA, site, at=NOW)
    sent = {
        "text": b"<html>503 Service Unavailable</html>",
        "cut": good[:-20],
        "behind": good + b"\0\0",
        "error": bytes.fromhex("30030a0106"),
        "zero": b"\0",
    }[what]
    with gnutls_serv(site, tmp_path, sent) as port:
        report = looked(port, roots, "--tls", version, "--no-fetch", "--handshakes", 1)
    wanted = "staple-error-response" if what == "error" else "staple-malformed"
    assert codes(report) == {wanted}
    assert (report["verdict"], report["exit"]) == ("bad", 1)
    shake = report["handshakes"][0]
    digest = hashlib.sha256(sent).hexdigest()
    assert shake["staples"] == [{"position": 0, "bytes": len(sent), "sha256": digest}]
    assert report["staples"][0]["bytes"] == len(sent)
    assert report["staples"][0]["begins"] == sent[:32].hex()


@pytest.mark.parametrize("size", [20_000, 64_000])
def test_a_staple_that_is_too_large_for_openssl_is_read_to_its_end(
    roots: Path, tmp_path: Path, size: int
) -> None:
    """TLS 1.2: OpenSSL gives up at the header of a CertificateStatus over 16 KB."""
    site = a_site(CA)
    sent = an_answer(CA, site, at=NOW) + b"\0" * size
    with gnutls_serv(site, tmp_path, sent) as port:
        report = looked(port, roots, "--tls", "1.2", "--no-fetch", "--handshakes", 1)
    assert report["staples"][0]["bytes"] == len(sent)
    assert "staple-malformed" in codes(report)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_large_one_is_no_failed_handshake_and_who_ends_at_it_is_told(
    roots: Path, tmp_path: Path, version: str
) -> None:
    """The limit of 16 KB is OpenSSL's own in TLS 1.2: the other clients go on."""
    site = a_site(CA)
    padding = Extension("1.3.6.1.4.1.99999.1", False, bytes(20_000))
    single = SingleResponse(CertID.of(site.certificate.serial, CA.certificate), GOOD, NOW, None)
    single = single._replace(next_update=NOW + timedelta(days=4))
    signer = Signer(CA.certificate, CA.key, CA.certificate)
    sent = signer.respond([single], produced_at=NOW, extensions=(padding,))
    only = f"NORMAL:-VERS-ALL:+VERS-TLS{version}"
    with gnutls_serv(site, tmp_path, sent, "--priority", only) as port:
        report = looked(port, roots, "--tls", version, "--no-fetch", "--handshakes", 1)
    assert codes(report) == {"staple-too-large"}
    assert (report["verdict"], report["exit"]) == ("warning", 0)
    ends = {row["client"]: row["because"] for row in report["clients"] if not row["accepts"]}
    message = report["findings"][0]["message"]
    if version == "1.2":
        assert set(ends) == {"curl --cert-status", "openssl s_client"}
        assert set(ends.values()) == {"staple-too-large"}
        assert message.endswith("and in TLS 1.2 clients on OpenSSL end the connection at it")
    else:
        assert ends == {}


@pytest.mark.parametrize("hash_algorithm", ["sha1", "sha256"])
def test_red_a_good_one_is_what_it_is(roots: Path, tmp_path: Path, hash_algorithm: str) -> None:
    site = a_site(CA)
    good = an_answer(CA, site, at=NOW, hash_algorithm=hash_algorithm)
    Response.parse(good)
    with openssl_server(site, tmp_path, good) as port:
        report = looked(port, roots, "--no-fetch", "--handshakes", 1)
    assert codes(report) <= {"staple-certid-sha256"}
    assert report["verdict"] == "good"
    assert report["staples"][0]["sha256"] == hashlib.sha256(good).hexdigest()
