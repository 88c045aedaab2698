"""Extensions and the nonce (V5, R6, R16 to R18; RFC 9654)."""

from __future__ import annotations

import pytest

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.extension import (
    KNOWN,
    MAX_EXTENSIONS,
    NAMES,
    NONCE,
    SCT_LIST,
    Extension,
    encode_extensions,
    find,
    nonce_extension,
    nonce_of,
    read_extensions,
)

ONE = Extension("1.2.3", False, b"abc")
TWO = Extension("1.2.4", True, b"")


def read(data: bytes) -> tuple[Extension, ...]:
    found, after = read_extensions(data, 0, len(data), 1, "Extensions")
    assert after == len(data)
    return found


def test_extensions_come_back_in_order_as_they_were() -> None:
    assert read(encode_extensions(1, (TWO, ONE))) == (TWO, ONE)


def test_none_is_written_as_nothing() -> None:
    assert encode_extensions(1, ()) == b""


def test_critical_is_written_only_when_true() -> None:
    assert b"\x01\x01\xff" in TWO.encode()
    assert b"\x01\x01" not in ONE.encode()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (encode_extensions(1, (ONE, ONE)), "extension 1.2.3 stands twice"),
        (encode_extensions(0, (ONE,)), "tag 0xa0 where 0xa1 belongs"),
        (der.tlv(0xA1, der.sequence()), "an empty list"),
        (der.tlv(0xA1), "missing"),
        (der.tlv(0xA1, der.sequence(ONE.encode()), b"\x05\x00"), "trailing bytes"),
        (der.tlv(0xA1, der.sequence(der.sequence(der.encode_oid("1.2.3")))), "extnValue: missing"),
        (
            der.tlv(
                0xA1,
                der.sequence(der.sequence(der.encode_oid("1.2.3"), b"\x01\x01\x00\x04\x00")),
            ),
            "FALSE written out",
        ),
    ],
)
def test_extensions_that_are_not_der(data: bytes, match: str) -> None:
    """V6."""
    with pytest.raises(Malformed, match=match):
        read(data)


def test_k25_their_number_is_bounded() -> None:
    many = tuple(Extension(f"1.2.{n}", False, b"") for n in range(MAX_EXTENSIONS + 1))
    assert len(read(encode_extensions(1, many[:-1]))) == MAX_EXTENSIONS
    with pytest.raises(Malformed, match="more than 32 extensions"):
        read(encode_extensions(1, many))


def test_find_takes_the_exact_oid() -> None:
    assert find((ONE, TWO), "1.2.4") is TWO
    assert find((ONE, TWO), "1.2") is None
    assert find((), "1.2.3") is None


def test_v5_what_is_known_has_a_name() -> None:
    assert NAMES.keys() == KNOWN
    assert {NONCE, SCT_LIST} <= KNOWN


# -- the nonce --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 15, 16, 32, 33, 128])
def test_r17_r18_a_nonce_of_1_to_128_octets(size: int) -> None:
    extension = nonce_extension(b"n" * size)
    assert not extension.critical
    assert nonce_of((ONE, extension), "OCSPRequest") == b"n" * size


@pytest.mark.parametrize("size", [0, 129, 4096])
def test_r16_other_lengths_are_malformed(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 128"):
        nonce_extension(b"n" * size)
    wrong = Extension(NONCE, False, der.octet_string(b"n" * size))
    with pytest.raises(Malformed, match=f"{size} octets; RFC 9654 allows 1 to 128"):
        nonce_of((wrong,), "OCSPRequest")


@pytest.mark.parametrize("value", [b"", b"bare octets", b"\x04\x01n\x00", b"\x03\x02\x00n"])
def test_a_nonce_that_is_no_octet_string_is_malformed(value: bytes) -> None:
    with pytest.raises(Malformed, match=r"OCSPRequest\.nonce"):
        nonce_of((Extension(NONCE, False, value),), "OCSPRequest")


def test_no_nonce_is_none() -> None:
    assert nonce_of((ONE,), "OCSPRequest") is None
