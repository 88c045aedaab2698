"""What is told of clients is what they do: gnutls-cli, curl, openssl, Chromium, on real servers."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.statuses import UNKNOWN, Revoked
from holdfast.pki.issue import Issued
from support.answers import an_answer
from support.check_world import CA, looked
from support.tls_peers import gnutls_serv
from support.tls_world import NOW, a_site, curl, gnutls, openssl

SITE = a_site(CA)
MUST = a_site(CA, must_staple=True)


def _forged() -> bytes:
    good = bytearray(an_answer(CA, SITE, at=NOW))
    good[-1] ^= 1
    return bytes(good)


CASES: dict[str, tuple[Issued, bytes]] = {
    "good": (SITE, an_answer(CA, SITE, at=NOW)),
    "revoked": (SITE, an_answer(CA, SITE, Revoked(NOW - timedelta(hours=2)), at=NOW)),
    "unknown": (SITE, an_answer(CA, SITE, UNKNOWN, at=NOW)),
    "expired": (
        SITE,
        an_answer(CA, SITE, at=NOW - timedelta(hours=12), window=timedelta(hours=3)),
    ),
    "future": (SITE, an_answer(CA, SITE, at=NOW + timedelta(hours=3))),
    "forged": (SITE, _forged()),
    "unauthorised": (SITE, an_answer(CA, SITE, at=NOW, signer=a_site(CA))),
    "other": (SITE, an_answer(CA, SITE, at=NOW, serial=99)),
    "garbage": (SITE, b"garbage"),
    "tryLater": (SITE, bytes.fromhex("30030a0103")),
    "none": (SITE, b""),
    "must-staple, none": (MUST, b""),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_of_them_is_what_they_do(roots: Path, tmp_path: Path, case: str) -> None:
    site, staple = CASES[case]
    with gnutls_serv(site, tmp_path, staple) as port:
        report = looked(port, roots, "--no-fetch", "--handshakes", 1, "--tls", "1.3")
        does = {
            "gnutls-cli": gnutls(port, roots)[0] == 0,
            "curl --cert-status": curl(port, roots)[0] == 0,
            "openssl s_client": openssl(port, roots)[0] == 0,
        }
    told = {row["client"]: row["accepts"] for row in report["clients"]}
    assert {name: told[name] for name in does} == does
    assert set(told) == {*does, "firefox", "chrome", "safari", "go", "java"}
    assert all(row["rule"] and row["source"] for row in report["clients"])
    assert all((row["because"] is None) is row["accepts"] for row in report["clients"])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["good", "revoked", "expired", "forged", "must-staple, none"])
def test_what_is_told_of_chrome_is_what_chromium_does(
    roots: Path, tmp_path: Path, case: str
) -> None:
    store = tmp_path / ".pki" / "nssdb"
    store.mkdir(parents=True)
    certutil = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True, timeout=30)
    trust = [*certutil, "-A", "-n", "root", "-t", "C,,", "-i", str(roots)]
    subprocess.run(trust, check=True, timeout=30)
    site, staple = CASES[case]
    with gnutls_serv(site, tmp_path, staple) as port:
        report = looked(port, roots, "--no-fetch", "--handshakes", 1, "--tls", "1.3")
        words = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu"]
        words += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
        done = subprocess.run(
            [*words, f"https://localhost:{port}/"],
            capture_output=True,
            timeout=60,
            check=False,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )
    told = {row["client"]: row["accepts"] for row in report["clients"]}
    assert told["chrome"] is (b"GNUTLS" in done.stdout.upper() or b"<pre>" in done.stdout.lower())
