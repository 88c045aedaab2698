"""The PROXY protocol's headers: as the specification has them, cut, wrong and random. T7."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import Malformed, OperatorError
from holdfast.net.proxy_protocol import (
    SIGNATURE,
    Ends,
    Tls,
    Version,
    networks,
    read_header,
    within,
    write_header,
)

V4 = Ends(("192.0.2.1", 56324), ("192.0.2.2", 443))
V6 = Ends(("2001:db8::1", 56324), ("2001:db8::2", 443))
MIXED = Ends(("192.0.2.1", 1), ("2001:db8::2", 443))
MAPPED = Ends(("::ffff:192.0.2.1", 56324), ("::ffff:192.0.2.2", 443))
TLS = Tls(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256", alpn="h2", server_name="a.example")


def test_t7_version_1_is_the_line_of_the_specification() -> None:
    assert write_header("v1", V4) == b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"
    assert write_header("v1", V6) == b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
    assert write_header("v1", MAPPED) == write_header("v1", V4)  # of a socket for both families
    assert write_header("v1", Ends(("", 0), ("", 0))) == b"PROXY UNKNOWN\r\n"


def test_t7_version_2_is_the_block_of_the_specification() -> None:
    addresses = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + b"\xdc\x04\x01\xbb"
    assert write_header("v2", V4) == SIGNATURE + b"\x21\x11\x00\x0c" + addresses
    header = write_header("v2", V4, TLS)
    assert header.startswith(SIGNATURE + b"\x21\x11")
    assert b"\x01\x00\x02h2" in header
    assert b"\x02\x00\x09a.example" in header
    # 2.2.6: client_ssl is said, a client certificate is not
    assert b"\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3" in header


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("ends", [V4, V6])
@pytest.mark.parametrize("tls", [None, TLS])
def test_what_is_written_is_read_and_every_cut_is_waited_for(
    version: Version, ends: Ends, tls: Tls | None
) -> None:
    header = write_header(version, ends, tls)
    assert read_header(header + b"\x16\x03\x01") == (ends, len(header))
    for end in range(len(header)):
        assert read_header(header[:end]) is None, end


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_two_families_meet_in_the_larger(version: Version) -> None:
    read = read_header(write_header(version, MIXED))
    assert read is not None
    assert read[0] is not None
    assert ip_address(read[0].source[0]) == ip_address("::ffff:192.0.2.1")


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 +443\r\n",
        b"PROXY TCP4 2001:db8::1 192.0.2.2 56324 443\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2  56324 443\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 56324 443\r\n",
        b"PROXY TCP4 localhost 192.0.2.2 56324 443\r\n",
        b"PROXY " + b"A" * 101,
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_red_what_is_no_header_is_malformed(header: bytes) -> None:
    with pytest.raises(Malformed, match="PROXY header"):
        read_header(header)


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN what ever\r\n", SIGNATURE + b"\x20\x00\x00\x00"],
)
def test_who_speaks_for_itself(header: bytes) -> None:
    assert read_header(header + b"rest") == (None, len(header))


@given(st.binary(max_size=200), st.sampled_from([b"", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"!"]))
def test_any_bytes_are_read_waited_for_or_malformed(data: bytes, start: bytes) -> None:
    with contextlib.suppress(Malformed):
        read = read_header(start + data)
        assert read is None or read[1] <= len(start + data)


def test_networks_and_who_is_within() -> None:
    nets = networks(["10.0.0.0/8", "::1", " 192.0.2.7 "])
    for host, answer in (
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::1", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::2", False),
        ("", False),
        ("localhost", False),
    ):
        assert within(host, nets) is answer, host
    assert not within("10.1.2.3", ())


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "", "10.0.0.0/33"])
def test_red_what_is_no_network_is_the_operators_error(text: str) -> None:
    with pytest.raises(OperatorError, match="not a network"):
        networks([text])
