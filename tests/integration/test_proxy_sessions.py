"""Must-staple certificates without a staple, and resumption, before others' clients. T4, T5."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.statuses import Revoked
from holdfast.pki.issue import Issued
from holdfast.servers.shelf import Shelf
from support.answers import a_staple
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
    identity,
    openssl,
    roots_file,
)

CA = a_ca()
MUST = a_site(CA, must_staple=True)
PLAIN = a_site(CA)
PLAIN_RSA = a_site(CA, key_type="rsa-2048")
OTHER = a_site(CA, "other.example")
VERSIONS = ("1.2", "1.3")


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return roots_file(CA, tmp_path)


def tls(version: str) -> str:
    return f"-tls{version.replace('.', '_')}"


def serial(issued: Issued) -> str:
    return f"{issued.certificate.serial:X}"


# -- T4 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("asking", ["-status", "-quiet"])
def test_t4_a_must_staple_certificate_without_a_staple_is_refused_with_an_alert(
    loop: Loop, roots: Path, version: str, asking: str
) -> None:
    with a_proxy(MUST, loop=loop) as stand:
        code, out = openssl(stand.port, roots, tls(version), asking)
        assert code == 1, out
        assert "alert handshake failure" in out
        assert "BEGIN CERTIFICATE" not in out
        (event, facts), *_ = stand.events
        assert event == "not-served"
        assert "must-staple" in facts["error"]
        assert f"{MUST.certificate.serial:x}" in facts["error"]
        assert "serve_unstapled" in facts["hint"]


@pytest.mark.parametrize("version", VERSIONS)
def test_t4_with_its_staple_it_is_served_and_when_that_ends_it_is_not(
    loop: Loop, roots: Path, version: str
) -> None:
    staple = a_staple(CA, MUST, at=NOW)
    with a_proxy(MUST, loop=loop) as stand:
        stand.deliver(staple)
        assert openssl(stand.port, roots, tls(version))[0] == 0
        assert gnutls(stand.port, roots)[0] == 0
        assert curl(stand.port, roots)[0] == 0
        stand.loop.run(stand.shelf.withdraw(staple.certid))
        assert openssl(stand.port, roots, tls(version))[0] == 1


@pytest.mark.parametrize("what", ["expired", "anothers"])
def test_red_t3_t4_a_staple_that_may_not_be_sent_is_none(
    loop: Loop, roots: Path, what: str
) -> None:
    with a_proxy(MUST, loop=loop) as stand:
        if what == "expired":
            old = NOW - timedelta(hours=12)
            stand.deliver(a_staple(CA, MUST, at=old, window=timedelta(hours=3)))
        else:
            stand.deliver(a_staple(CA, OTHER, at=NOW))
        assert openssl(stand.port, roots)[0] == 1


def test_t4_a_withheld_revocation_is_no_staple(loop: Loop) -> None:
    shelf = Shelf(on_revoked="withhold")
    loop.run(shelf.deliver(a_staple(CA, MUST, Revoked(NOW), at=NOW)))
    assert not shelf.lookup(MUST.certificate.der, NOW)


@pytest.mark.parametrize("version", VERSIONS)
def test_t4_the_setting_serves_it_with_an_alarm_and_clients_that_know_refuse(
    loop: Loop, roots: Path, version: str
) -> None:
    with a_proxy(MUST, loop=loop, serve_unstapled=True) as stand:
        code, out = openssl(stand.port, roots, tls(version))
        assert code == 0, out
        assert "no response sent" in out
        assert gnutls(stand.port, roots)[0] == 1  # it reads the extension
        openssl(stand.port, roots, tls(version))
        alarms = [facts for event, facts in stand.events if event == "alarm"]
        assert len(alarms) == 1  # not one for each handshake
        assert alarms[0]["certificate"] == "localhost"


@pytest.mark.parametrize("version", VERSIONS)
def test_t4_t2_the_certificate_of_the_other_key_type_is_shown_in_its_place(
    loop: Loop, roots: Path, version: str
) -> None:
    with a_proxy(MUST, PLAIN_RSA, loop=loop) as stand:
        code, out = openssl(stand.port, roots, tls(version))
        assert code == 0, out
        assert "Server public key is 2048 bit" in out
        stand.deliver(a_staple(CA, MUST, at=NOW))
        _, out = openssl(stand.port, roots, tls(version))
        assert serial(MUST) in out.upper()


def test_t4_other_names_are_served_as_ever(loop: Loop, roots: Path) -> None:
    with a_proxy(MUST, OTHER, loop=loop) as stand:
        assert openssl(stand.port, roots)[0] == 1
        assert openssl(stand.port, roots, name="other.example")[0] == 0


# -- T5 -------------------------------------------------------------------------------------------


class Client:
    """Python's OpenSSL, which can offer any session to any name."""

    def __init__(self, stand: Stand, roots: Path, version: str) -> None:
        self.stand = stand
        self.context = ssl.create_default_context(cafile=str(roots))
        self.context.check_hostname = False
        exact = ssl.TLSVersion.TLSv1_2 if version == "1.2" else ssl.TLSVersion.TLSv1_3
        self.context.minimum_version = self.context.maximum_version = exact
        self.session: ssl.SSLSession | None = None

    def meet(self, name: str = "localhost", *, offer: ssl.SSLSession | None = None) -> bool:
        """One handshake and one answer; whether `offer` was resumed. `session` is then its own."""
        with (
            socket.create_connection(("127.0.0.1", self.stand.port), timeout=10) as sock,
            self.context.wrap_socket(sock, server_hostname=name, session=offer) as wrapped,
        ):
            wrapped.sendall(b"GET /staples.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert wrapped.recv(1000).startswith(b"HTTP/1.1 200")
            self.session = wrapped.session
            return bool(wrapped.session_reused)


@pytest.mark.parametrize("version", VERSIONS)
def test_t5_a_session_is_resumed_and_needs_no_staple(loop: Loop, roots: Path, version: str) -> None:
    staple = a_staple(CA, MUST, at=NOW)
    with a_proxy(MUST, loop=loop) as stand:
        stand.deliver(staple)
        client = Client(stand, roots, version)
        assert not client.meet()
        assert client.meet(offer=client.session)
        stand.loop.run(stand.shelf.withdraw(staple.certid))
        assert client.meet(offer=client.session)  # it saw the staple when it began
        with pytest.raises(ssl.SSLError):
            client.meet()
        names = [event for event, _ in stand.events]
        assert names == ["not-served"]


@pytest.mark.parametrize("version", VERSIONS)
def test_t5_openssls_client_resumes(loop: Loop, roots: Path, tmp_path: Path, version: str) -> None:
    with a_proxy(PLAIN, loop=loop) as stand:
        kept = tmp_path / "session"
        request = b"GET / HTTP/1.0\r\n\r\n"
        first = (tls(version), "-sess_out", kept, "-ign_eof")  # tickets come after the handshake
        code, out = openssl(stand.port, roots, *first, stdin=request)
        assert code == 0, out
        assert "\nNew, TLSv1" in out
        code, out = openssl(stand.port, roots, tls(version), "-sess_in", kept, stdin=request)
        assert code == 0, out
        assert "\nReused, TLSv1" in out


@pytest.mark.parametrize("version", VERSIONS)
def test_red_t5_after_a_reload_the_certificate_must_be_seen_anew(
    loop: Loop, roots: Path, version: str
) -> None:
    """Also of the same certificate: it is reloaded because something is not as it was."""
    with a_proxy(PLAIN, loop=loop) as stand:
        client = Client(stand, roots, version)
        client.meet()
        before = client.session
        assert client.meet(offer=before)
        stand.proxy.tls.reload([identity(PLAIN)])
        assert not client.meet(offer=before)
        stand.proxy.tls.reload([identity(OTHER)])
        assert not client.meet(offer=before)


@pytest.mark.parametrize("version", VERSIONS)
def test_red_t5_a_session_of_one_name_is_none_of_another(
    loop: Loop, roots: Path, version: str
) -> None:
    """RFC 6066 3, and what CVE-2025-23419 of nginx was about."""
    with a_proxy(PLAIN, OTHER, loop=loop) as stand:
        client = Client(stand, roots, version)
        client.meet("localhost")
        mine = client.session
        assert not client.meet("other.example", offer=mine)
        assert client.meet("other.example", offer=client.session)
        assert client.meet("localhost", offer=mine)


@pytest.mark.parametrize("version", VERSIONS)
def test_red_t5_a_forged_ticket_is_a_full_handshake(loop: Loop, roots: Path, version: str) -> None:
    """Of another server that has the same certificate, but not the keys of its tickets."""
    with a_proxy(PLAIN, loop=loop) as one, a_proxy(PLAIN, loop=loop) as two:
        client = Client(one, roots, version)
        client.meet()
        client.stand = two
        assert not client.meet(offer=client.session)
