"""TLS on memory alone: two pipes and the bytes between them. T1, T2, T6, K2."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import HoldfastError, OperatorError, PeerError, Unavailable
from holdfast.pki.issue import Issued
from holdfast.pki.names import covers, wire_name
from holdfast.tls.client import Authentication, ClientTLS, Version
from holdfast.tls.pipe import Pipe
from holdfast.tls.server import Identity, ServerTLS
from support.pki import a_root, a_server, an_intermediate

CA = an_intermediate(a_root())


def no_staple(leaf: bytes) -> bytes:
    return b""


def identity(issued: Issued) -> Identity:
    return Identity((issued.certificate, *issued.chain), key=issued.key)


def of(*names: str, key_type: str = "ecdsa-p256", ca: object = CA) -> Identity:
    return identity(a_server(ca, *names, key_type=key_type, who=names[0] + key_type))  # type: ignore[arg-type]


def shake(client: ClientTLS, server: Pipe) -> None:
    """Carry bytes until neither end has any."""
    client.begin()
    for _ in range(20):
        up = client.outgoing()
        if up:
            server.receive(up)
        down = server.outgoing()
        if down:
            client.receive(down)
        if not up and not down:
            return
    raise AssertionError("the two never fell silent")


def feed(pipe: Pipe, *pieces: bytes) -> None:
    """Give `pieces`, then the end."""
    for piece in pieces:
        pipe.receive(piece)
    pipe.eof()


def meet(
    tls: ServerTLS,
    name: str | None = "a.example.com",
    *,
    version: Version = "any",
    authentication: Authentication = "any",
    alpn: tuple[str, ...] = (),
) -> tuple[ClientTLS, Pipe]:
    client = ClientTLS(name, version=version, authentication=authentication, alpn=alpn)
    server = tls.connection()
    shake(client, server)
    assert client.established
    assert server.established
    return client, server


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("authentication", "key_type"), [("rsa", "rsa-2048"), ("ecdsa", "ecdsa-p256")]
)
def test_t2_rsa_and_ecdsa_side_by_side(
    version: Version, authentication: Authentication, key_type: str
) -> None:
    both = {k: of("a.example.com", key_type=k) for k in ("rsa-2048", "ecdsa-p256")}
    tls = ServerTLS(list(both.values()), staple_for=no_staple)
    client, _ = meet(tls, version=version, authentication=authentication)
    assert client.version == f"TLSv{version}"
    assert client.chain[0] == both[key_type].leaf.der
    assert [*client.chain[1:]] == [CA.certificate.der]


def test_t2_different_intermediates_are_each_sent_with_their_leaf() -> None:
    other = an_intermediate(a_root(), "Other Issuing CA")
    mine, theirs = of("a.example.com"), of("a.example.com", key_type="rsa-2048", ca=other)
    tls = ServerTLS([mine, theirs], staple_for=no_staple)
    for authentication, ca in (("ecdsa", CA), ("rsa", other)):
        client, _ = meet(tls, authentication=authentication)  # type: ignore[arg-type]
        assert [*client.chain[1:]] == [ca.certificate.der]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_ed25519_certificate_is_served(version: Version) -> None:
    only = of("a.example.com", key_type="ed25519")
    client, _ = meet(ServerTLS([only], staple_for=no_staple), version=version)
    assert client.chain[0] == only.leaf.der


def test_t2_names_choose_the_certificate() -> None:
    first, exact, wide = of("first.example.com"), of("a.example.com"), of("*.example.com")
    tls = ServerTLS([first, wide, exact], staple_for=no_staple)
    for name, chosen in (
        ("a.example.com", exact),
        ("A.Example.COM", exact),
        ("b.example.com", wide),
        ("x.b.example.com", first),
        ("elsewhere.example", first),
        (None, first),
        ("192.0.2.1", first),
    ):
        client, _ = meet(tls, name)
        assert client.chain[0] == chosen.leaf.der, name


def test_t2_a_wildcard_of_the_other_key_type_joins_the_exact_name() -> None:
    exact, wide = of("a.example.com"), of("*.example.com", key_type="rsa-2048")
    tls = ServerTLS([exact, wide], staple_for=no_staple)
    assert meet(tls, authentication="rsa")[0].chain[0] == wide.leaf.der
    assert meet(tls, authentication="ecdsa")[0].chain[0] == exact.leaf.der


def test_t6_reload_swaps_and_the_old_connection_lives() -> None:
    old, new = of("a.example.com"), of("a.example.com", key_type="rsa-2048")
    tls = ServerTLS([old], staple_for=no_staple)
    client, server = meet(tls)
    half = tls.connection()
    tls.reload([new])
    server.send(b"still here")
    assert client.receive(server.outgoing()) == b"still here"
    assert meet(tls)[0].chain[0] == new.leaf.der
    begun = ClientTLS("a.example.com")
    shake(begun, half)
    assert begun.chain[0] == old.leaf.der


def test_reload_that_fails_changes_nothing() -> None:
    tls = ServerTLS([of("a.example.com")], staple_for=no_staple)
    with pytest.raises(OperatorError):
        tls.reload([])
    assert meet(tls)[0].established


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_k2_an_exception_for_a_staple_costs_the_staple_only(version: Version) -> None:
    def broken(leaf: bytes) -> bytes:
        raise RuntimeError("a bug")

    client, _ = meet(ServerTLS([of("a.example.com")], staple_for=broken), version=version)
    assert client.staple == b""


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_t1_the_staple_is_looked_up_only_when_asked(version: Version) -> None:
    asked: list[bytes] = []

    def remember(leaf: bytes) -> bytes:
        asked.append(leaf)
        return b""

    mine = of("a.example.com")
    tls = ServerTLS([mine], staple_for=remember)
    server = tls.connection()
    shake(ClientTLS("a.example.com", version=version, want_staple=False), server)
    assert server.established
    assert asked == []
    meet(tls, version=version)
    assert asked == [mine.leaf.der]


def test_a_key_of_another_certificate_is_the_operators_error() -> None:
    one, other = a_server(CA, "a.example.com"), a_server(CA, "b.example.com")
    with pytest.raises(OperatorError, match="does not belong"):
        Identity((one.certificate,), key=other.key)


def test_an_ml_dsa_key_is_refused_in_words() -> None:
    with pytest.raises(OperatorError, match="ML-DSA-44"):
        ServerTLS([of("a.example.com", key_type="ml-dsa-44")], staple_for=no_staple)


def test_no_identity_at_all() -> None:
    with pytest.raises(OperatorError):
        ServerTLS([], staple_for=no_staple)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("size", [1, 16384, 16385, 300_000])
@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_data_both_ways_in_any_pieces(version: Version, size: int, piece: int) -> None:
    client, server = meet(ServerTLS([of("a.example.com")], staple_for=no_staple), version=version)
    payload = bytes(i * 7 & 0xFF for i in range(size))
    for sender, reader in ((client, server), (server, client)):
        sender.send(payload)
        wire, got = sender.outgoing(), b""
        for start in range(0, len(wire), piece):
            got += reader.receive(wire[start : start + piece])
        assert got == payload


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_close_notify_travels_with_the_last_data(version: Version) -> None:
    client, server = meet(ServerTLS([of("a.example.com")], staple_for=no_staple), version=version)
    server.send(b"bye")
    server.close()
    server.close()
    assert client.receive(server.outgoing()) == b"bye"
    assert client.peer_closed
    client.send(b"half closed still sends")
    assert server.receive(client.outgoing()) == b"half closed still sends"
    client.close()
    assert server.receive(client.outgoing()) == b""
    assert server.peer_closed


def test_alpn_takes_the_servers_preference_and_refuses_nobody() -> None:
    tls = ServerTLS([of("a.example.com")], staple_for=no_staple, alpn=["h2", "http/1.1"])
    assert meet(tls, alpn=("http/1.1", "h2"))[0].alpn == "h2"
    assert meet(tls, alpn=("http/1.1",))[1].alpn == "http/1.1"
    assert meet(tls, alpn=("spdy/9",))[0].alpn == ""
    assert meet(tls)[0].alpn == ""


def test_garbage_is_a_peer_error_with_clear_words() -> None:
    tls = ServerTLS([of("a.example.com")], staple_for=no_staple)
    for garbage, words in (
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "plain HTTP"),
        (b"\x00" * 64, "does not speak TLS"),
        (bytes(range(255, 0, -1)), "does not speak TLS"),
    ):
        with pytest.raises(PeerError, match=words):
            tls.connection().receive(garbage)
    client = ClientTLS("a.example.com")
    client.begin()
    with pytest.raises(PeerError, match="does not speak TLS"):
        client.receive(b"220 mail.example.com ESMTP ready\r\n")


def test_nothing_in_common_is_said_at_both_ends() -> None:
    tls = ServerTLS([of("a.example.com")], staple_for=no_staple)
    client, server = ClientTLS("a.example.com", authentication="rsa"), tls.connection()
    client.begin()
    with pytest.raises(PeerError, match=r"signature algorithms|cipher"):
        server.receive(client.outgoing())
    with pytest.raises(PeerError, match="nothing in common"):
        client.receive(server.outgoing())


def test_an_end_in_mid_handshake_is_unavailable() -> None:
    client = ClientTLS("a.example.com")
    client.begin()
    with pytest.raises(Unavailable, match="in the middle"):
        client.eof()


def test_a_handshake_without_end_is_cut_off() -> None:
    client = ClientTLS("a.example.com")
    client.begin()
    record = b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff" + bytes(16380)
    with pytest.raises(HoldfastError):
        feed(client, *[record] * 100)


def test_every_cut_of_a_flight_is_an_error_of_ours_or_waiting() -> None:
    tls = ServerTLS([of("a.example.com")], staple_for=no_staple)
    client, server = ClientTLS("a.example.com"), tls.connection()
    client.begin()
    server.receive(client.outgoing())
    flight = server.outgoing()
    for position in range(0, len(flight), 7):
        victim = ClientTLS("a.example.com")
        victim.begin()
        broken = bytearray(flight)
        broken[position] ^= 0x55
        with pytest.raises(HoldfastError):
            feed(victim, bytes(broken))


ANY = ServerTLS([of("a.example.com")], staple_for=no_staple)


@given(
    st.lists(st.binary(max_size=80), max_size=5),
    st.sampled_from([b"", b"\x16\x03\x01\x00\x40\x01"]),
)
def test_any_bytes_are_an_error_of_ours_or_waited_for(pieces: list[bytes], prefix: bytes) -> None:
    for pipe in (ANY.connection(), ClientTLS("a.example.com")):
        with contextlib.suppress(HoldfastError):
            feed(pipe, prefix, *pieces)


@pytest.mark.parametrize(
    ("pattern", "host", "answer"),
    [
        ("a.example.com", "A.example.com.", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.com", "example.com", False),
        ("a*.example.com", "ab.example.com", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("*.0.2.1", "192.0.2.1", False),
        ("2001:db8::1", "2001:0db8:0:0::1", True),
        ("localhost", "localhost", True),
    ],
)
def test_names_cover_as_rfc_9525_says(pattern: str, host: str, answer: bool) -> None:
    assert covers(pattern, host) is answer


def test_a_name_is_written_for_the_wire() -> None:
    assert wire_name("Bücher.Example.") == "xn--bcher-kva.example"
    for bad in ("", "a b", "a" * 300, "ü" * 80 + ".example"):
        with pytest.raises(OperatorError):
            wire_name(bad)
