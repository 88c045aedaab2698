"""`holdfast proxy` as a process: its own staples, a keeper's, signals, errors. T1 to T3, T6."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.ocsp.statuses import GOOD, Revoked
from holdfast.stores.files import FOLDER, FileStore
from support.answers import a_staple
from support.cli import holdfast
from support.pki import private, written
from support.proxy_process import Responder, running
from support.tls_peers import plain_server
from support.tls_world import NOW, a_ca, a_loop, a_site, curl, gnutls, openssl, roots_file

CA = a_ca()


@pytest.fixture(scope="module")
def responder() -> Iterator[Responder]:
    with a_loop() as loop:
        responder = Responder(loop, CA)
        yield responder
        responder.close()


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return roots_file(CA, tmp_path)


def test_its_own_staples_for_rsa_and_ecdsa(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    ecdsa = responder.site("/e")
    rsa = responder.site("/r", key_type="rsa-2048")
    words: list[object] = []
    for name, site in (("e", ecdsa), ("r", rsa)):
        chain, key = written(site, tmp_path, name)
        words += ["--cert", chain, "--key", key]
    with running(tmp_path, *words) as proxy:
        rows = proxy.announced["certificates"]
        assert [row["staple"] for row in rows] == ["staple good", "staple good"]
        for sigalgs in ("ECDSA+SHA256", "rsa_pss_rsae_sha256"):
            code, out = openssl(proxy.port, roots, "-sigalgs", sigalgs)
            assert code == 0, out
            assert "Cert Status: good" in out
        assert gnutls(proxy.port, roots)[0] == 0
        assert curl(proxy.port, roots)[0] == 0


def test_red_revoked_at_the_responder_is_refused_by_clients(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    chain, key = written(responder.site("/revoked"), tmp_path)
    responder.says = Revoked(NOW)
    try:
        with running(tmp_path, "--cert", chain, "--key", key) as proxy:
            assert gnutls(proxy.port, roots)[0] == 1
            assert curl(proxy.port, roots)[0] == 91
        with running(tmp_path, "--cert", chain, "--key", key, "--on-revoked", "withhold") as proxy:
            assert "no response sent" in openssl(proxy.port, roots)[1]
    finally:
        responder.says = GOOD


def test_a_running_keepers_staples(roots: Path, tmp_path: Path) -> None:
    site = a_site(CA)
    chain, key = written(site, tmp_path)
    state = tmp_path / "state"
    store = FileStore(state / FOLDER)
    store.write(a_staple(CA, site, at=NOW))
    with running(tmp_path, "--cert", chain, "--key", key, "--keeper", state) as proxy:
        assert curl(proxy.port, roots)[0] == 0
        store.write(a_staple(CA, site, Revoked(NOW), at=NOW))
        proxy.said("certificate_status=revoked")
        assert curl(proxy.port, roots)[0] == 91


def test_an_upstream_behind_it(responder: Responder, roots: Path, tmp_path: Path) -> None:
    chain, key = written(responder.site("/up"), tmp_path)

    def play(sock: Any) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    with plain_server(play) as port:
        words = ["--cert", chain, "--key", key, "--upstream", f"http://127.0.0.1:{port}"]
        with running(tmp_path, *words) as proxy:
            code, out = curl(proxy.port, roots)
    assert (code, out) == (0, "hello")


def test_t6_k18_sighup_serves_the_new_certificate_with_its_staple(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    old, new = responder.site("/old"), responder.site("/new")
    chain, key = written(old, tmp_path)
    with running(tmp_path, "--cert", chain, "--key", key) as proxy:
        written(new, tmp_path)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.said("reloaded certificates=1")
        _, out = openssl(proxy.port, roots)
        assert f"{new.certificate.serial:X}".lstrip("0") in out.upper()
        assert "Cert Status: good" in out  # K18: not before its staple is there
        chain.write_text("rubbish")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.said("reload-failed")
        assert curl(proxy.port, roots)[0] == 0


def test_sigterm_ends_it_cleanly(responder: Responder, tmp_path: Path) -> None:
    chain, key = written(responder.site("/term"), tmp_path)
    with running(tmp_path, "--cert", chain, "--key", key) as proxy:
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(timeout=10) == 0
    assert "Traceback" not in (tmp_path / "stderr").read_text()


def test_a_responder_that_is_down_at_the_start_does_not_keep_it_from_serving(
    roots: Path, tmp_path: Path
) -> None:
    chain, key = written(a_site(CA), tmp_path)
    with running(tmp_path, "--cert", chain, "--key", key) as proxy:
        assert proxy.announced["certificates"][0]["stapled"] is False
        assert openssl(proxy.port, roots)[0] == 0


def test_a_port_that_is_taken_is_told_before_anybody_is_asked(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as asked,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        url = f"http://127.0.0.1:{asked.getsockname()[1]}/"
        chain, key = written(a_site(CA, responder_urls=[url]), tmp_path)
        port = taken.getsockname()[1]
        outcome = holdfast("proxy", "--cert", chain, "--key", key, "--listen", f"127.0.0.1:{port}")
        assert outcome.code == 2
        assert "the port is in use" in outcome.err
        asked.setblocking(False)
        with pytest.raises(BlockingIOError):
            asked.accept()


def test_a_key_with_a_passphrase_and_a_file_that_holds_both(
    responder: Responder, roots: Path, tmp_path: Path
) -> None:
    site = responder.site("/both")
    both = tmp_path / "both.pem"
    private(both, site.fullchain_pem + site.key_pem(passphrase=b"open sesame"))
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    with running(tmp_path, "--cert", both, "--key-passphrase-file", secret) as proxy:
        assert curl(proxy.port, roots)[0] == 0
    wrong = tmp_path / "wrong"
    wrong.write_text("nope\n")
    outcome = holdfast("proxy", "--cert", both, "--key-passphrase-file", wrong)
    assert outcome.code == 2
    assert "nope" not in outcome.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--cert", "{a}"], "holds no private key"),
        (["--cert", "{a}", "--key", "{b.key}"], "does not belong"),
        (["--cert", "{a}", "--cert", "{b}", "--key", "{a.key}"], "2 certificates and 1 keys"),
        (["--cert", "/nowhere", "--key", "{a.key}"], "/nowhere"),
        (["--cert", "{a}", "--key", "/nowhere"], "/nowhere"),
        (["--cert", "{garbage}", "--key", "{a.key}"], "garbage"),
        (["--cert", "{a.key}", "--key", "{a.key}"], "certificate"),
        (["--cert", "{a}", "--key", "{a}"], "private key"),
        (["--cert", "{a}", "--key", "{a.key}", "--upstream", "https://x"], "not an upstream"),
        (["--cert", "{a}", "--key", "{a.key}", "--keeper", "/nowhere"], "no such state folder"),
        (["--cert", "{a}", "--key", "{a.key}", "--listen", "nonsense"], "not an address"),
        (["--cert", "{a}", "--key", "{a.key}", "--listen", "192.0.2.1:0"], "cannot listen"),
        ([], "--cert"),
    ],
)
def test_the_operators_errors_are_one_line_a_hint_and_exit_2(
    tmp_path: Path, words: list[str], told: str
) -> None:
    places = {}
    for name in ("a", "b"):
        places[name], places[f"{name}.key"] = written(
            a_site(CA, f"{name}.example", responder_urls=[]), tmp_path, name
        )
    places["garbage"] = tmp_path / "garbage"
    places["garbage"].write_bytes(os.urandom(100))
    filled = [str(places.get(word.strip("{}"), word)) for word in words]
    outcome = holdfast("proxy", *filled)
    assert outcome.code == 2
    assert told in outcome.err
    assert outcome.err.startswith("holdfast: ")
    assert "Traceback" not in outcome.err
