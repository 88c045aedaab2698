"""`holdfast check` when servers cannot be reached or speak something else, and in its own words."""

from __future__ import annotations

import json
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest

from support.answers import a_staple, an_answer
from support.check_world import CA, check, codes, looked
from support.cli import holdfast
from support.ports import free_port
from support.tls_peers import gnutls_serv, openssl_server, plain_server, relay
from support.tls_world import NOW, Loop, a_proxy, a_site


def test_unreachable_is_exit_3_and_one_bad_target_beats_it(loop: Loop, roots: Path) -> None:
    port = free_port()
    outcome = check(port, roots, "--json")
    report = outcome.json["reports"][0]
    assert (outcome.code, report["verdict"]) == (3, "unreachable")
    assert report["findings"][0]["code"] == "unreachable"
    with a_proxy(a_site(CA, must_staple=True), loop=loop, serve_unstapled=True) as stand:
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


def test_the_text_tells_findings_by_severity_each_with_a_hint(loop: Loop, roots: Path) -> None:
    site = a_site(CA)
    stale = an_answer(CA, site, at=NOW - timedelta(hours=12), window=timedelta(hours=3))
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
