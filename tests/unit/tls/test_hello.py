"""The name in a ClientHello, read before OpenSSL reads it. T2, T5."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tls.hello import MAX_HELLO, Hello, read_hello


def a_hello(name: str | None, *, alpn: tuple[str, ...] = ()) -> bytes:
    """One that OpenSSL, as Python has it, really sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(into, out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def fragmented(hello: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes (RFC 8446 5.1)."""
    body, out = hello[5:], b""
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        out += hello[:3] + len(piece).to_bytes(2, "big") + piece
    return out


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("a.example.com", "a.example.com"),
        ("A.Example.COM", "a.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a." * 100 + "example", "a." * 100 + "example"),
        (None, ""),
    ],
)
def test_t2_the_name_that_openssl_sends(sent: str | None, read: str) -> None:
    assert read_hello(a_hello(sent, alpn=("h2", "http/1.1"))) == Hello(read)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 40, 100])
def test_a_hello_in_many_records_is_the_same(size: int) -> None:
    hello = a_hello("a.example.com")
    assert read_hello(fragmented(hello, size)) == Hello("a.example.com")


@pytest.mark.parametrize("size", [1, 7, 1 << 14])
def test_every_cut_is_waited_for(size: int) -> None:
    hello = fragmented(a_hello("a.example.com"), size)
    # records of one octet are six long: each fifth cut comes by every place in one
    for end in range(1, len(hello), 5 if size == 1 else 1):
        assert read_hello(hello[:end]) is None, end
    assert read_hello(hello) == Hello("a.example.com")


def test_a_hello_without_end_is_waited_for_only_so_long() -> None:
    endless = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380)
    assert read_hello(endless) is None
    assert read_hello(endless + (b"\x16\x03\x01\x40\x00" + bytes(16384)) * 2) == Hello()
    assert MAX_HELLO < 3 * 16384


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n", b"\x00" * 20, b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x80", b"x"],
)
def test_what_is_no_hello_is_openssls_to_refuse(garbage: bytes) -> None:
    assert read_hello(garbage) == Hello()


@given(st.binary(max_size=300))
def test_any_bytes_give_a_hello_or_are_waited_for(data: bytes) -> None:
    for start in (b"", b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c"):
        assert read_hello(start + data) in (None, Hello()) or data


@given(st.integers(0, 500), st.integers(0, 255))
def test_a_spoiled_hello_gives_some_name_of_ascii(position: int, value: int) -> None:
    hello = bytearray(a_hello("a.example.com"))
    hello[position % len(hello)] = value
    read = read_hello(bytes(hello))
    assert read is None or read.server_name.isascii()
