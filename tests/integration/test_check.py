"""`holdfast check` on real servers: the staple, missing, wrong in one way each, and the responder.

The codes, the verdicts, the JSON and the exit codes are a contract.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.net.http_message import Reply
from holdfast.ocsp.statuses import UNKNOWN, Revoked
from holdfast.pki.issue import Issued
from support.answers import a_staple, an_answer
from support.check_world import CA, Web, codes, looked
from support.ports import free_port
from support.tls_peers import gnutls_serv
from support.tls_world import NOW, Loop, a_proxy, a_site

REVOKED = Revoked(NOW - timedelta(hours=2))


def test_all_is_well_and_the_json_is_the_contract(loop: Loop, roots: Path, web: Web) -> None:
    """T1, T2: both versions, both kinds of key, two handshakes each, and one without SNI; the
    responder agrees."""
    ecdsa = a_site(CA, responder_urls=[web.url + "/e"])
    rsa = a_site(CA, key_type="rsa-2048", responder_urls=[web.url + "/r"])
    web.answers = {"/e": an_answer(CA, ecdsa, at=NOW), "/r": an_answer(CA, rsa, at=NOW)}
    with a_proxy(ecdsa, rsa, loop=loop) as stand:
        for site in (ecdsa, rsa):
            stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots)
    assert (report["verdict"], report["exit"], report["findings"]) == ("good", 0, [])
    assert report["target"] == f"localhost:{stand.port}"
    assert report["servername"] == "localhost"
    assert report["addresses"] == [f"127.0.0.1:{stand.port}"]
    shakes = report["handshakes"]
    assert [s["sni"] for s in shakes] == [True] * 8 + [False]
    assert {(s["tls"], s["key_type"]) for s in shakes} == {
        (tls, key) for tls in ("TLSv1.2", "TLSv1.3") for key in ("ECDSA P-256", "RSA 2048")
    }
    assert all(s["stapled"] and s["milliseconds"] > 0 and s["cipher"] for s in shakes)
    assert {s["staple_sha256"] for s in shakes} == {s["sha256"] for s in report["staples"]}
    leaf = next(x for x in report["leaves"] if x["sha256"] == ecdsa.certificate.sha256)
    assert leaf["names"] == ["localhost", "127.0.0.1"]
    assert leaf["serial"] == f"{ecdsa.certificate.serial:x}"
    assert leaf["must_staple"] is False
    assert leaf["responder_urls"] == [web.url + "/e"]
    assert leaf["chain"]["complete"] is True
    assert leaf["chain"]["trusted"] is True
    assert len(leaf["chain"]["certificates"]) == 2
    staple = next(x for x in report["staples"] if x["leaf_sha256"] == leaf["sha256"])
    assert staple["certificate_status"] == "good"
    assert staple["valid"] is True
    assert staple["position"] == 0
    assert staple["signer"] == "issuer"
    assert staple["certid_hash"] == "sha1"
    assert 0 < staple["age_percent"] < 5
    assert staple["this_update"].endswith("Z")
    assert {r["certificate_status"] for r in report["responders"]} == {"good"}
    assert all(r["reachable"] and r["milliseconds"] > 0 for r in report["responders"])
    assert report["crl"] is None
    assert all(client["accepts"] for client in report["clients"])


def _expired(site: Issued) -> bytes:
    return an_answer(CA, site, at=NOW - timedelta(hours=12), window=timedelta(hours=3))


def _forged(site: Issued) -> bytes:
    good = bytearray(an_answer(CA, site, at=NOW))
    good[-1] ^= 1
    return bytes(good)


WRONG: dict[str, tuple[str, str]] = {
    "revoked": ("staple-revoked", "fault"),
    "unknown": ("staple-unknown", "fault"),
    "expired": ("staple-expired", "fault"),
    "forged": ("staple-bad-signature", "fatal"),
    "other": ("staple-wrong-certificate", "fatal"),
    "try-later": ("staple-error-response", "fault"),
    "garbage": ("staple-malformed", "fatal"),
    "sha256": ("staple-certid-sha256", "note"),
    "endless": ("staple-no-next-update", "warning"),
    "long": ("staple-window-too-long", "warning"),
    "old": ("staple-near-expiry", "warning"),
    "future": ("staple-not-yet-valid", "fault"),
}


def _wrong(what: str, site: Issued) -> bytes:
    match what:
        case "revoked":
            return an_answer(CA, site, REVOKED, at=NOW)
        case "unknown":
            return an_answer(CA, site, UNKNOWN, at=NOW)
        case "expired":
            return _expired(site)
        case "forged":
            return _forged(site)
        case "other":
            return an_answer(CA, site, at=NOW, serial=site.certificate.serial + 1)
        case "try-later":
            return bytes.fromhex("30030a0103")
        case "garbage":
            return b"\x30\x80garbage"
        case "sha256":
            return an_answer(CA, site, at=NOW, hash_algorithm="sha256")
        case "endless":
            return an_answer(CA, site, at=NOW, window=None)
        case "long":
            return an_answer(CA, site, at=NOW, window=timedelta(days=30))
        case "old":
            return an_answer(CA, site, at=NOW, window=timedelta(minutes=70))
        case "future":
            return an_answer(CA, site, at=NOW + timedelta(hours=3))
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("what", sorted(WRONG))
def test_red_each_wrong_staple_has_its_code_and_severity(
    roots: Path, tmp_path: Path, what: str, version: str
) -> None:
    """gnutls-serv sends whatever file it is given (OpenSSL would drop some of these)."""
    code, severity = WRONG[what]
    site = a_site(CA)
    with gnutls_serv(site, tmp_path, _wrong(what, site)) as port:
        report = looked(port, roots, "--tls", version, "--no-fetch")
    found = {f["code"]: f["severity"] for f in report["findings"]}
    assert found.get(code) == severity, report["findings"]
    assert report["exit"] == (1 if severity in ("fault", "fatal") else 0)
    assert "tls-handshake-failed" not in found
    expected = {"fault": "bad", "fatal": "bad", "warning": "warning", "note": "good"}[severity]
    assert report["verdict"] == expected
    assert all(f["message"] and f["hint"] and f["spec"] for f in report["findings"])
    if what in ("revoked", "forged", "other"):
        refused = {c["client"]: c["because"] for c in report["clients"] if not c["accepts"]}
        assert refused["firefox"] == code


def test_missing_is_a_warning_a_fault_when_required_and_fatal_when_must(
    loop: Loop, roots: Path
) -> None:
    with a_proxy(a_site(CA), loop=loop) as stand:
        report = looked(stand, roots, "--no-fetch")
        assert codes(report) == {"staple-missing"}
        assert (report["verdict"], report["exit"]) == ("warning", 0)
        report = looked(stand, roots, "--no-fetch", "--require-staple")
        assert (report["verdict"], report["exit"]) == ("bad", 1)
        assert looked(stand, roots, "--no-fetch", "--fail-on", "warning")["exit"] == 1
    with a_proxy(a_site(CA, must_staple=True), loop=loop, serve_unstapled=True) as stand:
        report = looked(stand, roots, "--no-fetch")
        assert "must-staple-without-staple" in codes(report)
        assert report["verdict"] == "bad"
        assert report["leaves"][0]["must_staple"] is True
    bare = a_site(CA, must_staple=True, responder_urls=[])
    with a_proxy(bare, loop=loop, serve_unstapled=True) as stand:
        report = looked(stand, roots)
        assert {"must-staple-without-responder", "must-staple-without-staple"} <= codes(report)


def test_k17_no_responder_is_not_applicable_and_no_fault(loop: Loop, roots: Path) -> None:
    with a_proxy(a_site(CA, responder_urls=[]), loop=loop) as stand:
        report = looked(stand, roots)
        assert (report["verdict"], report["exit"]) == ("not-applicable", 0)
        assert codes(report) == {"no-responder-url"}
        assert report["findings"][0]["severity"] == "note"
        required = looked(stand, roots, "--require-staple")
        assert (required["verdict"], required["exit"]) == ("bad", 1)


def test_intermittent_and_differing_staples(loop: Loop, roots: Path) -> None:
    site = a_site(CA)
    answers = [an_answer(CA, site, at=NOW - timedelta(minutes=n)) for n in range(2)]
    turns = iter(range(1000))

    def sometimes(leaf: bytes) -> bytes:
        return answers[0] if next(turns) % 2 else b""

    with a_proxy(site, loop=loop, staple_for=sometimes) as stand:
        report = looked(stand, roots, "--no-fetch")
        assert codes(report) == {"staple-intermittent"}
        assert report["verdict"] == "warning"
    with a_proxy(site, loop=loop, staple_for=lambda leaf: answers[next(turns) % 2]) as stand:
        assert codes(looked(stand, roots, "--no-fetch")) == {"staple-differs"}
    strict = a_site(CA, must_staple=True)
    answers = [an_answer(CA, strict, at=NOW)]

    def every_other(leaf: bytes) -> bytes:
        """A must-staple certificate's is looked up before the handshake too."""
        return answers[0] if next(turns) // 2 % 2 else b""

    with a_proxy(strict, loop=loop, staple_for=every_other, serve_unstapled=True) as stand:
        found = looked(stand, roots, "--no-fetch")["findings"]
        assert [(f["code"], f["severity"]) for f in found] == [("staple-intermittent", "fault")]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Reply(404, b"no"), "responder-http-error"),
        (Reply(503, b"no"), "responder-http-error"),
        (b"\x30\x03\x0a\x01\x03", "responder-error-response"),
        (b"\x30\x03\x0a\x01\x06", "responder-error-response"),
        (b"<html>hello</html>", "responder-invalid-response"),
        (b"", "responder-invalid-response"),
    ],
)
def test_the_responder_is_asked_now_and_its_trouble_told(
    loop: Loop, roots: Path, web: Web, answer: bytes | Reply, code: str
) -> None:
    site = a_site(CA, responder_urls=[web.url])
    web.answers = {"/": answer}
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots)
        assert codes(report) == {code}
        assert report["responders"][0]["findings"][0]["code"] == code
        assert report["responders"][0]["certificate_status"] is None
        assert report["responders"][0]["reachable"] is True
        asked = web.asked
        assert looked(stand, roots, "--no-fetch")["findings"] == []
        assert web.asked == asked


def test_a_responder_that_is_not_there(loop: Loop, roots: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    site = a_site(CA, responder_urls=[url])
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots)
    assert codes(report) == {"responder-unreachable"}
    assert report["responders"][0]["reachable"] is False


def test_a_responder_that_disagrees_and_one_that_says_revoked_without_a_staple(
    loop: Loop, roots: Path, web: Web
) -> None:
    site = a_site(CA, responder_urls=[web.url])
    web.answers = {"/": an_answer(CA, site, REVOKED, at=NOW)}
    with a_proxy(site, loop=loop) as stand:
        report = looked(stand, roots)
        assert codes(report) == {"staple-missing", "response-revoked"}
        assert report["exit"] == 1
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots)
        assert codes(report) == {"responder-disagrees"}
        assert report["verdict"] == "bad"


def test_a_responder_address_that_is_not_http(loop: Loop, roots: Path) -> None:
    site = a_site(CA, responder_urls=["https://127.0.0.1:1/"])
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        assert codes(looked(stand, roots, "--no-fetch")) == {"responder-url-not-http"}
