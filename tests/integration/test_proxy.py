"""The proxy before other people's clients: openssl, gnutls-cli, curl. T1, T2, T3.

Every acceptance has its red twin: the same staple revoked, expired, forged or another's is refused
by the client when it is forced on the server, and never leaves the shelf by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.statuses import Revoked
from holdfast.pki.issue import Issued
from support.answers import a_staple, an_answer
from support.tls_world import (
    NOW,
    Loop,
    Stand,
    a_ca,
    a_loop,
    a_proxy,
    a_site,
    curl,
    gnutls,
    openssl,
    roots_file,
    run,
)

CA = a_ca()
RSA = a_site(CA, key_type="rsa-2048")
ECDSA = a_site(CA)
OTHER = a_site(CA, "other.example")
REVOKED = Revoked(NOW - timedelta(hours=2))

GNUTLS = {"1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3"}
SIGNATURES = {"RSA": "rsa_pss_rsae_sha256", "ECDSA": "ECDSA+SHA256"}
GNUTLS_SIGNATURES = {
    "RSA": ":-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256",
    "ECDSA": ":-SIGN-ALL:+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SECP256R1-SHA256",
}
CURL_TLS = {"1.2": ("--tls-max", "1.2"), "1.3": ("--tlsv1.3",)}
SITES = {"RSA": RSA, "ECDSA": ECDSA}
EVERY = [(version, kind) for version in ("1.2", "1.3") for kind in ("RSA", "ECDSA")]


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return roots_file(CA, tmp_path)


@pytest.fixture
def stand(loop: Loop) -> Iterator[Stand]:
    """RSA and ECDSA side by side, a good staple for each."""
    with a_proxy(ECDSA, RSA, loop=loop) as stand:
        for site in (ECDSA, RSA):
            stand.deliver(a_staple(CA, site, at=NOW))
        yield stand


@pytest.mark.parametrize(("version", "kind"), EVERY)
def test_t1_t2_openssl_sees_each_certificates_staple(
    stand: Stand, roots: Path, version: str, kind: str
) -> None:
    options = [f"-tls{version.replace('.', '_')}"]
    options += (
        ["-cipher", f"ECDHE-{kind}-AES128-GCM-SHA256"]
        if version == "1.2"
        else ["-sigalgs", SIGNATURES[kind]]
    )
    code, out = openssl(stand.port, roots, *options)
    assert code == 0, out
    assert "OCSP Response Status: successful" in out
    assert "Cert Status: good" in out
    assert f"{SITES[kind].certificate.serial:X}" in out.upper()
    assert "Verify return code: 0 (ok)" in out


@pytest.mark.parametrize(("version", "kind"), EVERY)
def test_t1_t2_gnutls_accepts_each_certificates_staple(
    stand: Stand, roots: Path, version: str, kind: str
) -> None:
    code, out = gnutls(
        stand.port, roots, priority=GNUTLS[version] + GNUTLS_SIGNATURES[kind] + ":+SIGN-RSA-SHA256"
    )
    assert code == 0, out
    assert "Status: The certificate is trusted" in out
    assert "OCSP status request" in out


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_t1_curl_cert_status_accepts_the_staple(stand: Stand, roots: Path, version: str) -> None:
    code, out = curl(stand.port, roots, *CURL_TLS[version])
    assert code == 0, out
    assert "holdfast proxy" in out


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_t2_curl_cert_status_accepts_either_key(stand: Stand, roots: Path, kind: str) -> None:
    cipher = f"ECDHE-{kind}-AES128-GCM-SHA256"
    code, out = curl(stand.port, roots, "--tls-max", "1.2", "--ciphers", cipher)
    assert code == 0, out


@pytest.mark.parametrize(("version", "kind"), EVERY)
def test_t1_t2_curl_accepts_each_certificates_staple_alone(
    loop: Loop, roots: Path, version: str, kind: str
) -> None:
    """curl cannot choose a signature for TLS 1.3: so the server has one certificate each time;
    after the revocation curl refuses it, whichever it is."""
    site = SITES[kind]
    with a_proxy(site, loop=loop) as alone:
        alone.deliver(a_staple(CA, site, at=NOW))
        code, out = curl(alone.port, roots, *CURL_TLS[version])
        assert code == 0, out
        alone.deliver(a_staple(CA, site, REVOKED, at=NOW))
        code, out = curl(alone.port, roots, *CURL_TLS[version])
        assert code == 91, out


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_t1_who_does_not_ask_gets_no_staple(stand: Stand, version: str, roots: Path) -> None:
    code, out = run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{stand.port}", "-CAfile", roots),
            *("-servername", "localhost", f"-tls{version.replace('.', '_')}", "-msg"),
        ]
    )
    assert code == 0, out
    assert "CertificateStatus" not in out
    assert "OCSP" not in out


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_t3_a_bare_shelf_sends_nothing_and_curl_misses_it(
    roots: Path, loop: Loop, version: str
) -> None:
    with a_proxy(ECDSA, loop=loop) as stand:
        code, out = openssl(stand.port, roots, f"-tls{version.replace('.', '_')}")
        assert code == 0, out
        assert "OCSP response: no response sent" in out
        code, out = curl(stand.port, roots, *CURL_TLS[version])
        assert code == 91, out  # CURLE_SSL_INVALIDCERTSTATUS


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_red_revoked_is_sent_and_every_client_refuses_it(
    stand: Stand, roots: Path, version: str
) -> None:
    for site in (ECDSA, RSA):
        stand.deliver(a_staple(CA, site, REVOKED, at=NOW))
    _, out = openssl(stand.port, roots, f"-tls{version.replace('.', '_')}")
    assert "Cert Status: revoked" in out
    code, out = gnutls(stand.port, roots, priority=GNUTLS[version])
    assert code == 1, out
    assert "revoked" in out
    code, out = curl(stand.port, roots, *CURL_TLS[version])
    assert code == 91, out
    assert "revocation" in out


def test_red_t3_an_expired_staple_never_leaves_the_shelf(loop: Loop, roots: Path) -> None:
    stale = NOW - timedelta(hours=12)
    with a_proxy(ECDSA, loop=loop) as stand:
        stand.deliver(a_staple(CA, ECDSA, at=stale, window=timedelta(hours=3)))
        _, out = openssl(stand.port, roots)
        assert "OCSP response: no response sent" in out


def test_red_t3_another_certificates_staple_never_leaves_the_shelf(loop: Loop, roots: Path) -> None:
    with a_proxy(ECDSA, loop=loop) as stand:
        stand.deliver(a_staple(CA, OTHER, at=NOW))
        _, out = openssl(stand.port, roots)
        assert "OCSP response: no response sent" in out


def _forced(what: str) -> bytes:
    match what:
        case "expired":
            stale = NOW - timedelta(hours=12)
            return an_answer(CA, ECDSA, at=stale, window=timedelta(hours=3))
        case "forged":
            good = bytearray(an_answer(CA, ECDSA, at=NOW))
            good[-1] ^= 1  # the signature's last byte
            return bytes(good)
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("what", ["expired", "forged"])
def test_red_what_the_shelf_would_not_give_is_refused_by_clients_when_forced(
    loop: Loop, roots: Path, version: str, what: str
) -> None:
    answer = _forced(what)
    with a_proxy(ECDSA, loop=loop, staple_for=lambda leaf: answer) as stand:
        code, out = curl(stand.port, roots, *CURL_TLS[version])
        assert code == 91, out
        code, out = gnutls(stand.port, roots, priority=GNUTLS[version])
        assert code == 1, out


def test_t2_each_name_gets_its_own_certificate_and_staple(loop: Loop, roots: Path) -> None:
    sites: dict[str, Issued] = {"localhost": ECDSA, "other.example": OTHER}
    with a_proxy(*sites.values(), loop=loop) as stand:
        for site in sites.values():
            stand.deliver(a_staple(CA, site, at=NOW))
        for name, site in sites.items():
            code, out = openssl(stand.port, roots, "-verify_hostname", name, name=name)
            assert code == 0, out
            assert "Cert Status: good" in out
            assert f"{site.certificate.serial:X}" in out.upper()


def test_the_page_tells_what_is_stapled(stand: Stand, roots: Path) -> None:
    code, out = curl(stand.port, roots)
    assert code == 0
    assert 'class="good"' in out
    assert f"{ECDSA.certificate.serial:x}" in out
    _, out = curl(stand.port, roots, path="/staples.json")
    first = json.loads(out)["staples"][0]
    assert first["stapled"] is True
    assert first["staple"]["certificate_status"] == "good"
    _, out = curl(stand.port, roots, "-o", "/dev/null", "-w", "%{http_code}", path="/nothing")
    assert out == "404"
