"""`holdfast check` on real servers, ours and others', right and wrong in one way each.

The codes, the verdicts, the JSON and the exit codes are a contract.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import serve
from holdfast.ocsp.statuses import UNKNOWN, Revoked
from holdfast.pki import issue
from holdfast.pki.issue import Issued
from holdfast.tls.server import Identity
from support.answers import a_staple, an_answer
from support.cli import Outcome, holdfast
from support.tls_peers import gnutls_serv, openssl_server, plain_server, relay
from support.tls_world import (
    NOW,
    YESTERDAY,
    Loop,
    Stand,
    a_ca,
    a_loop,
    a_proxy,
    a_site,
    roots_file,
)

CA = a_ca()
REVOKED = Revoked(NOW - timedelta(hours=2))


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return roots_file(CA, tmp_path)


class Web:
    """An HTTP server of ours: `answers[path prefix]` is the body, or a Reply."""

    def __init__(self, loop: Loop) -> None:
        self.answers: dict[str, bytes | Reply] = {}
        self.asked = 0
        self._server = loop.run(serve("127.0.0.1", 0, self._answer))
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._loop = loop

    def _answer(self, request: Request) -> Reply:
        self.asked += 1
        for prefix, body in self.answers.items():
            if request.path.startswith(prefix.encode()):
                if isinstance(body, Reply):
                    return body
                return Reply(200, body, ((b"Content-Type", b"application/ocsp-response"),))
        return Reply(404, b"nothing\n")

    def close(self) -> None:
        self._loop.run(self._server.close(grace=0))


@pytest.fixture
def web(loop: Loop) -> Iterator[Web]:
    web = Web(loop)
    yield web
    web.close()


def check(stand: Stand | int, roots: Path | None, *more: object) -> Outcome:
    port = stand if isinstance(stand, int) else stand.port
    trust = [] if roots is None else ["--ca-file", roots]
    return holdfast("check", f"localhost:{port}", "--address", "127.0.0.1", *trust, *more)


def looked(stand: Stand | int, roots: Path | None, *more: object) -> dict[str, Any]:
    outcome = check(stand, roots, "--json", *more)
    document = outcome.json
    assert document["schema"] == "holdfast.check/1", outcome.err
    report: dict[str, Any] = document["reports"][0]
    report["exit"] = outcome.code
    return report


def codes(report: dict[str, Any]) -> set[str]:
    return {found["code"] for found in report["findings"]}


def test_all_is_well_and_the_json_is_the_contract(loop: Loop, roots: Path, web: Web) -> None:
    """T1, T2: both versions, both kinds of key, two handshakes each; the responder agrees."""
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
    assert len(shakes) == 8
    assert {(s["tls"], s["key_type"]) for s in shakes} == {
        (tls, key) for tls in ("TLSv1.2", "TLSv1.3") for key in ("ECDSA P-256", "RSA 2048")
    }
    assert all(s["stapled"] and s["sni"] and s["milliseconds"] > 0 and s["cipher"] for s in shakes)
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
    with a_proxy(a_site(CA, must_staple=True), loop=loop) as stand:
        report = looked(stand, roots, "--no-fetch")
        assert "must-staple-without-staple" in codes(report)
        assert report["verdict"] == "bad"
        assert report["leaves"][0]["must_staple"] is True
    with a_proxy(a_site(CA, must_staple=True, responder_urls=[]), loop=loop) as stand:
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
    with a_proxy(strict, loop=loop, staple_for=sometimes) as stand:
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
    gone = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{gone.getsockname()[1]}/"
    gone.close()
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


# -- chains -----------------------------------------------------------------------------------


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


# -- transport --------------------------------------------------------------------------------


def test_unreachable_is_exit_3_and_one_bad_target_beats_it(loop: Loop, roots: Path) -> None:
    gone = socket.create_server(("127.0.0.1", 0))
    port = gone.getsockname()[1]
    gone.close()
    outcome = check(port, roots, "--json")
    report = outcome.json["reports"][0]
    assert (outcome.code, report["verdict"]) == (3, "unreachable")
    assert report["findings"][0]["code"] == "unreachable"
    with a_proxy(a_site(CA, must_staple=True), loop=loop) as stand:
        both = holdfast(
            "check",
            f"127.0.0.1:{port}",
            f"127.0.0.1:{stand.port}",
            "--no-fetch",
            "--ca-file",
            roots,
        )
        assert both.code == 1
        assert "2 targets" in both.out


def test_a_name_without_an_address_is_unreachable(roots: Path) -> None:
    outcome = holdfast("check", "no-such-host.invalid", "--ca-file", roots, "--json")
    assert outcome.code == 3
    assert outcome.json["reports"][0]["verdict"] == "unreachable"


def test_a_port_that_speaks_no_tls(roots: Path) -> None:
    def play(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with plain_server(play) as port:
        report = looked(port, roots, "--tls", "1.3")
    assert codes(report) == {"tls-handshake-failed"}
    assert (report["verdict"], report["exit"]) == ("bad", 1)


def test_one_version_only_is_no_finding_unless_it_was_asked_for(
    roots: Path, tmp_path: Path
) -> None:
    site = a_site(CA)
    answer = an_answer(CA, site, at=NOW)
    with openssl_server(site, tmp_path, answer, "-tls1_2") as port:
        assert looked(port, roots, "--no-fetch")["findings"] == []
        assert codes(looked(port, roots, "--no-fetch", "--tls", "1.3")) == {"tls-handshake-failed"}


def test_smtp_begins_with_starttls(loop: Loop, roots: Path) -> None:
    site = a_site(CA)
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))

        def play(sock: socket.socket) -> None:
            sock.sendall(b"220 mail\r\n")
            sock.recv(100)
            sock.sendall(b"250-mail\r\n250 STARTTLS\r\n")
            sock.recv(100)
            sock.sendall(b"220 go\r\n")
            relay(sock, stand.port)

        with plain_server(play) as port:
            outcome = holdfast(
                *("check", f"smtp://localhost:{port}", "--address", "127.0.0.1", "--tls", "1.2"),
                *("--handshakes", 1, "--ca-file", roots, "--no-fetch", "--json"),
            )
    report = outcome.json["reports"][0]
    assert report["verdict"] == "good", report
    with plain_server(lambda sock: sock.sendall(b"554 no\r\n")) as port:
        refused = holdfast("check", f"smtp://127.0.0.1:{port}", "--ca-file", roots, "--json")
    assert codes(refused.json["reports"][0]) == {"starttls-refused"}


def test_t1_a_garbage_staple_is_seen_in_both_versions_and_judged_as_a_staple(
    roots: Path, tmp_path: Path
) -> None:
    site = a_site(CA)
    with gnutls_serv(site, tmp_path, b"\x04\x00") as port:
        report = looked(port, roots, "--no-fetch")
    assert codes(report) == {"staple-malformed"}
    assert {s["tls"] for s in report["handshakes"] if s["stapled"]} == {"TLSv1.2", "TLSv1.3"}


# -- words ------------------------------------------------------------------------------------


def test_the_text_tells_findings_by_severity_each_with_a_hint(loop: Loop, roots: Path) -> None:
    site = a_site(CA)
    stale = _expired(site)
    with a_proxy(site, loop=loop, staple_for=lambda leaf: stale) as stand:
        outcome = check(stand, roots, "--no-fetch")
    assert outcome.code == 1
    assert f"localhost:{stand.port}: bad" in outcome.out
    assert "staple-expired" in outcome.out
    assert "hint:" in outcome.out
    assert "expired" in outcome.out
    assert "\x1b[" not in outcome.out
    assert "refused by" in outcome.out


def test_targets_from_a_file(loop: Loop, roots: Path, tmp_path: Path) -> None:
    site = a_site(CA, responder_urls=[])
    with a_proxy(site, loop=loop) as stand:
        listed = tmp_path / "hosts.txt"
        listed.write_text(f"# ours\n127.0.0.1:{stand.port}  # the proxy\n\n")
        outcome = holdfast("check", "-f", listed, "--ca-file", roots, "--json")
    assert [r["target"] for r in outcome.json["reports"]] == [f"127.0.0.1:{stand.port}"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["gopher://localhost"],
        ["localhost:99999"],
        ["a b"],
        ["localhost", "--address", "not-an-ip"],
        ["localhost", "--ca-file", "/nowhere.pem"],
        ["localhost", "--tls", "1.1"],
        ["localhost", "--at", "yesterday"],
        ["localhost", "--handshakes", "0"],
        ["-f", "/nowhere.txt"],
    ],
)
def test_the_operators_errors_are_one_line_a_hint_and_exit_2(words: list[str]) -> None:
    outcome = holdfast("check", *words)
    assert outcome.code == 2
    assert outcome.err.startswith("holdfast: ")
    assert "Traceback" not in outcome.err


def test_an_ipv6_target_and_the_first_address_alone(loop: Loop, roots: Path) -> None:
    site = a_site(CA, "localhost", "127.0.0.1", "::1")
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        loop.run(stand.proxy.listen("::1", stand.port))
        for words in ([f"[::1]:{stand.port}"], [f"localhost:{stand.port}", "--first-address"]):
            outcome = holdfast("check", *words, "--ca-file", roots, "--no-fetch", "--json")
            report = outcome.json["reports"][0]
            assert len(report["addresses"]) == 1
            assert report["verdict"] == "good", report["findings"]


def test_it_ends_in_time_when_nobody_answers(roots: Path) -> None:
    begun = time.monotonic()
    with plain_server(lambda sock: time.sleep(1)) as port:
        outcome = check(port, roots, "--timeout", "0.3", "--tls", "1.3", "--json")
    assert time.monotonic() - begun < 8
    assert codes(json.loads(outcome.stdout)["reports"][0]) == {"tls-handshake-failed"}
