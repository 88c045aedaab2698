"""One handshake, and what it showed: also what a client library would not let through."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.net.dial import PUBLIC_ONLY, Address
from holdfast.net.probe import probe
from holdfast.ocsp.statuses import Revoked
from holdfast.pki.issue import Issued
from holdfast.tls.observation import Observation
from support.answers import a_staple, an_answer
from support.ports import free_port
from support.processes import ran
from support.tls_peers import gnutls_serv, openssl_server, plain_server, relay
from support.tls_world import NOW, Loop, Stand, a_ca, a_loop, a_proxy, a_site

CA = a_ca()
ECDSA, RSA = a_site(CA), a_site(CA, key_type="rsa-2048")


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@pytest.fixture
def stand(loop: Loop) -> Iterator[Stand]:
    with a_proxy(ECDSA, RSA, loop=loop) as stand:
        for site in (ECDSA, RSA):
            stand.deliver(a_staple(CA, site, at=NOW))
        yield stand


def look(loop: Loop, port: int, **wishes: Any) -> Observation:
    wishes.setdefault("server_name", "localhost")
    wishes.setdefault("timeout", 5.0)
    return loop.run(probe(Address(socket.AF_INET, "127.0.0.1", port), **wishes))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("authentication", "site"), [("rsa", RSA), ("ecdsa", ECDSA)])
def test_t1_everything_is_recorded(
    loop: Loop, stand: Stand, version: Any, authentication: Any, site: Issued
) -> None:
    seen = look(loop, stand.port, version=version, authentication=authentication)
    assert seen.error is None
    assert seen.address == f"127.0.0.1:{stand.port}"
    assert seen.sni == "localhost"
    assert seen.tls == f"TLSv{version}"
    assert seen.cipher
    assert seen.key_type == site.certificate.key_type
    assert seen.milliseconds > 0
    assert seen.chain == (site.certificate.der, CA.certificate.der)
    assert seen.staples == (stand.shelf.lookup(site.certificate.der, NOW), None)
    assert seen.staple_sha256


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_no_handshake_is_ever_resumed(loop: Loop, tmp_path: Path, version: Any) -> None:
    """curl's CVE-2024-0853: a resumed session carries no staple to check. A server that hands out
    tickets shows its certificates and its staple every time; s_client, which resumes, does not."""
    staple = a_staple(CA, ECDSA, at=NOW).der
    with openssl_server(ECDSA, tmp_path, staple) as port:
        for _ in range(4):
            seen = look(loop, port, version=version)
            assert seen.error is None
            assert seen.leaf == ECDSA.certificate.der
            assert seen.staple == staple
        session = tmp_path / "session"
        flag = f"-tls{version.replace('.', '_')}"
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", flag, "-status"]
        ask = b"GET / HTTP/1.0\r\n\r\n"
        ran([*words, "-ign_eof", "-sess_out", session], stdin=ask)
        resumed = ran([*words, "-ign_eof", "-sess_in", session], stdin=ask).stdout
        assert b"Reused, TLSv" in resumed


def test_an_address_is_not_sent_as_sni(loop: Loop, stand: Stand) -> None:
    assert look(loop, stand.port, server_name="127.0.0.1").sni is None
    assert look(loop, stand.port, server_name=None).sni is None


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_that_staples_garbage_is_seen_with_it(
    loop: Loop, tmp_path: Path, version: Any
) -> None:
    """gnutls-serv sends any file; OpenSSL would end this handshake before showing a thing."""
    garbage = b"\x30\x03this is no response"
    with gnutls_serv(ECDSA, tmp_path, garbage) as port:
        seen = look(loop, port, version=version)
    assert seen.chain[0] == ECDSA.certificate.der
    assert seen.staples[0] == garbage
    assert seen.error is not None
    assert seen.error.kind == "tls-handshake-failed"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_of_others_with_another_certificates_staple(
    loop: Loop, tmp_path: Path, version: Any
) -> None:
    wrong = an_answer(CA, RSA, Revoked(NOW), at=NOW)
    with gnutls_serv(ECDSA, tmp_path, wrong) as port:
        seen = look(loop, port, version=version)
    assert seen.staple == wrong


@pytest.mark.parametrize("group", ["P-384", "X25519"])
def test_a_hello_retry_request_does_not_disturb_the_tap(
    loop: Loop, tmp_path: Path, group: str
) -> None:
    answer = an_answer(CA, ECDSA, at=NOW)
    with openssl_server(ECDSA, tmp_path, answer, "-groups", group) as port:
        seen = look(loop, port, version="1.3")
    assert (seen.error, seen.staple, seen.tls) == (None, answer, "TLSv1.3")


@pytest.mark.parametrize(
    "suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
)
def test_the_tap_knows_every_cipher_we_offer(loop: Loop, tmp_path: Path, suite: str) -> None:
    answer = an_answer(CA, ECDSA, at=NOW)
    with openssl_server(ECDSA, tmp_path, answer, "-ciphersuites", suite) as port:
        seen = look(loop, port, version="1.3")
    assert (seen.error, seen.staple, seen.cipher) == (None, answer, suite)


def test_a_version_the_server_does_not_speak(loop: Loop, tmp_path: Path) -> None:
    with openssl_server(ECDSA, tmp_path, b"", "-tls1_2") as port:
        assert look(loop, port, version="1.2").error is None
        seen = look(loop, port, version="1.3")
    assert seen.error is not None
    assert "version" in seen.error.problem
    assert not seen.seen


def test_a_closed_port_is_unreachable(loop: Loop) -> None:
    port = free_port()
    seen = look(loop, port)
    assert seen.error is not None
    assert (seen.error.kind, seen.error.failure) == ("unreachable", "refused")


def test_k25_an_address_that_the_policy_refuses_is_not_dialled(loop: Loop, stand: Stand) -> None:
    seen = look(loop, stand.port, policy=PUBLIC_ONLY)
    assert seen.error is not None
    assert seen.error.failure == "address-refused"
    assert stand.proxy.handshakes == 0


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\0\2\2\x28", b""]
)
def test_a_server_of_another_kind_is_a_failed_handshake(loop: Loop, said: bytes) -> None:
    def play(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(said)

    with plain_server(play) as port:
        seen = look(loop, port)
    assert seen.error is not None
    assert seen.error.kind == "tls-handshake-failed"


def test_a_server_that_says_nothing_is_left_at_the_deadline(loop: Loop) -> None:
    with plain_server(lambda sock: time.sleep(0.5)) as port:
        seen = look(loop, port, timeout=0.2)
    assert seen.error is not None
    assert seen.error.failure == "timeout"


def test_starttls_first(loop: Loop, tmp_path: Path) -> None:
    """A mail server of ours: three lines, then it hands the socket to a TLS server."""
    with a_proxy(ECDSA, loop=loop) as stand:

        def play(sock: socket.socket) -> None:
            sock.sendall(b"220 mail\r\n")
            sock.recv(100)
            sock.sendall(b"250-mail\r\n250 STARTTLS\r\n")
            sock.recv(100)
            sock.sendall(b"220 go\r\n")
            relay(sock, stand.port)

        with plain_server(play) as port:
            seen = look(loop, port, starttls="smtp")
    assert seen.error is None
    assert seen.chain[0] == ECDSA.certificate.der


def test_red_starttls_refused(loop: Loop) -> None:
    with plain_server(lambda sock: sock.sendall(b"554 go away\r\n")) as port:
        seen = look(loop, port, starttls="smtp")
    assert seen.error is not None
    assert seen.error.kind == "starttls-refused"
    assert "554 go away" in seen.error.problem


def mail(after: bytes = b"", *, at_once: bool) -> Callable[[socket.socket], None]:
    """A mail server that agrees, and puts `after` behind it, in the same segment or the next."""

    def play(sock: socket.socket) -> None:
        sock.sendall(b"220 mail\r\n")
        sock.recv(100)
        sock.sendall(b"250-mail\r\n250 STARTTLS\r\n")
        sock.recv(100)
        sock.sendall(b"220 go\r\n" + (after if at_once else b""))
        if not at_once:
            sock.recv(4000)  # the ClientHello
            sock.sendall(after)
            sock.recv(4000)

    return play


@pytest.mark.parametrize("at_once", [True, False])
def test_red_plain_text_injected_before_tls_is_told(loop: Loop, at_once: bool) -> None:
    """CVE-2011-0411, seen from the client: text behind the agreement is not TLS's."""
    with plain_server(mail(b"250 AUTH PLAIN\r\n", at_once=at_once)) as port:
        seen = look(loop, port, starttls="smtp")
    assert seen.error is not None
    assert not seen.seen
    assert seen.error.kind == "starttls-refused"
    assert "in the clear" in seen.error.problem
    assert "250 AUTH PLAIN" in seen.error.problem
    assert "CVE-2011-0411" in seen.error.hint


def test_an_alert_after_the_agreement_is_the_handshakes_failure(loop: Loop) -> None:
    alert = b"\x15\x03\x03\x00\x02\x02\x28"
    with plain_server(mail(alert, at_once=False)) as port:
        seen = look(loop, port, starttls="smtp")
    assert seen.error is not None
    assert seen.error.kind == "tls-handshake-failed"
    assert not seen.error.hint


def test_a_server_that_greets_nobody_is_told_by_the_scheme_to_try(loop: Loop) -> None:
    with plain_server(lambda sock: sock.recv(100)) as port:
        seen = look(loop, port, starttls="smtp", timeout=0.3)
    assert seen.error is not None
    assert (seen.error.kind, seen.error.failure) == ("starttls-refused", "timeout")
    assert "smtps://" in seen.error.hint
    with plain_server(lambda sock: time.sleep(0.4)) as port:
        seen = look(loop, port, starttls="postgres", timeout=0.3)
    assert seen.error is not None
    assert "ssl = on" in seen.error.hint


def test_red_a_dialogue_that_drips_or_floods_is_bounded(loop: Loop) -> None:
    def drip(sock: socket.socket) -> None:
        for _ in range(200):
            sock.sendall(b"220-wait\r\n")
            time.sleep(0.02)

    def flood(sock: socket.socket) -> None:
        for _ in range(1000):
            sock.sendall(b"220-more\r\n" * 100)

    with plain_server(drip) as port:
        began = time.monotonic()
        seen = look(loop, port, starttls="smtp", timeout=0.3)
        assert time.monotonic() - began < 3
    assert seen.error is not None
    assert (seen.error.kind, seen.error.failure) == ("starttls-refused", "timeout")
    with plain_server(flood) as port:
        seen = look(loop, port, starttls="smtp")
    assert seen.error is not None
    assert seen.error.kind == "starttls-refused"
    assert "more than 65536 bytes before TLS" in seen.error.problem
