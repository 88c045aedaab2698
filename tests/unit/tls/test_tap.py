"""The tap: raw staples out of the flight, also those that OpenSSL would not let through."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import HoldfastError, Malformed
from holdfast.tls.client import ClientTLS, Version
from holdfast.tls.server import Identity, ServerTLS
from holdfast.tls.tap import Entry, Flight, read_flight
from support.answers import an_answer
from support.pki import AT, a_root, a_server, an_intermediate

CA = an_intermediate(a_root())
SITE = a_server(CA, "a.example.com")
ANSWER = an_answer(CA, SITE, at=AT)
VERSIONS: list[Version] = ["1.2", "1.3"]


def captured(version: Version, staple: bytes = ANSWER, *, want: bool = True) -> ClientTLS:
    """A client after its handshake with a server that sends `staple`."""
    identity = Identity((SITE.certificate, *SITE.chain), key=SITE.key)
    server = ServerTLS([identity], staple_for=lambda leaf: staple).connection()
    client = ClientTLS("a.example.com", version=version, want_staple=want)
    client.begin()
    while not client.established:
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    return client


@pytest.mark.parametrize("version", VERSIONS)
def test_t1_the_staple_and_the_chain_are_read(version: Version) -> None:
    client = captured(version)
    flight = read_flight(bytes(client.captured), client.secrets)
    assert flight == Flight(
        (Entry(SITE.certificate.der, ANSWER), Entry(CA.certificate.der)),
        f"TLSv{version}",
        whole=True,
    )
    assert client.staple == ANSWER


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("want", [True, False])
def test_red_no_staple_is_none_asked_or_not(version: Version, want: bool) -> None:
    client = captured(version, b"" if want else ANSWER, want=want)
    flight = read_flight(bytes(client.captured), client.secrets)
    assert [entry.staple for entry in flight.entries] == [None, None]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_flight_in_any_part_gives_what_came_whole(version: Version) -> None:
    client = captured(version)
    whole = bytes(client.captured)
    lengths = set()
    for end in range(0, len(whole), 11):
        flight = read_flight(whole[:end], client.secrets)
        lengths.add(len(flight.entries))
        if flight.entries and flight.entries[0].staple is not None:
            assert flight.entries[0].staple == ANSWER
    assert 0 in lengths


def test_without_the_secret_a_tls13_flight_tells_its_version_only() -> None:
    client = captured("1.3")
    assert read_flight(bytes(client.captured)) == Flight((), "TLSv1.3")


def test_a_wrong_secret_is_malformed() -> None:
    client = captured("1.3")
    lines = [b"SERVER_HANDSHAKE_TRAFFIC_SECRET 00 " + b"00" * n for n in (32, 48, 5)]
    for line in [*lines, b"SERVER_HANDSHAKE_TRAFFIC_SECRET 00 xyz"]:
        with pytest.raises(Malformed):
            read_flight(bytes(client.captured), [line])


def test_garbage_of_a_server_that_openssl_refuses_is_still_seen() -> None:
    """TLS 1.2: what a server put into CertificateStatus is shown byte for byte."""
    client = captured("1.2")
    flight = bytes(client.captured)
    assert ANSWER in flight
    garbage = b"\xff" * len(ANSWER)
    broken = flight.replace(ANSWER, garbage)
    assert read_flight(broken).entries[0].staple == garbage
    victim = ClientTLS("a.example.com", version="1.2")
    victim.begin()
    with pytest.raises(HoldfastError):
        victim.receive(broken)
    assert read_flight(bytes(victim.captured), victim.secrets).entries[0].staple == garbage


@pytest.mark.parametrize(
    "status",
    [
        b"\x01\x00\x00\x00",  # an empty one
        b"\x02\x00\x00\x02\x30\x00",  # of another type
        b"\x01\x00\x00\x09\x30\x00",  # shorter than it says
        b"\x01\x00\x00\x02\x30\x00\xff",  # with bytes behind it
        b"",
    ],
)
def test_what_is_no_certificate_status_is_shown_as_it_was_sent(status: bytes) -> None:
    """The chain before it is not lost either; OpenSSL ends the handshake at each of them."""
    client = captured("1.2")
    sent = b"\x01" + len(ANSWER).to_bytes(3, "big") + ANSWER
    flight = bytes(client.captured)
    begin = flight.index(sent) - 4
    record = begin - 5
    message = b"\x16" + len(status).to_bytes(3, "big") + status
    header = b"\x16\x03\x03" + len(message).to_bytes(2, "big")
    broken = flight[:record] + header + message + flight[begin + 4 + len(sent) :]
    seen = read_flight(broken)
    empty = status == b"\x01\x00\x00\x00"
    assert seen.entries[0] == Entry(SITE.certificate.der, b"" if empty else status)
    assert seen.whole
    victim = ClientTLS("a.example.com", version="1.2")
    victim.begin()
    with pytest.raises(HoldfastError):
        victim.receive(broken)


def test_a_record_of_another_protocol_is_malformed() -> None:
    with pytest.raises(Malformed, match="TLS record"):
        read_flight(b"HTTP/1.1 400 Bad Request\r\n")


@given(st.binary(max_size=400))
def test_any_bytes_give_a_flight_or_malformed(data: bytes) -> None:
    for prefix in (b"", b"\x16\x03\x03" + len(data).to_bytes(2, "big")):
        with contextlib.suppress(Malformed):
            assert isinstance(read_flight(prefix + data), Flight)


SEEDS = {version: captured(version) for version in VERSIONS}


@settings(max_examples=300)
@given(st.sampled_from(VERSIONS), st.integers(0, 1 << 20), st.integers(0, 255), st.integers(0, 3))
def test_a_flight_with_any_byte_changed_gives_a_flight_or_malformed(
    version: Version, where: int, value: int, grow: int
) -> None:
    client = SEEDS[version]
    data = bytearray(client.captured)
    data[where % len(data)] = value
    data[where % len(data) : where % len(data)] = bytes(grow)
    with contextlib.suppress(Malformed):
        assert isinstance(read_flight(bytes(data), client.secrets), Flight)
