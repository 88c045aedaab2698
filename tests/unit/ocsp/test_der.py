"""The strict reader and writer of DER: X.690's restrictions, and the forms that are right (V6)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from holdfast.errors import Malformed
from holdfast.ocsp import der


def refused(data: bytes, read: object, match: str, offset: int) -> None:
    with pytest.raises(Malformed, match=match) as caught:
        read(data, 0, len(data), "Noun")  # type: ignore[operator]
    assert caught.value.what == "Noun"
    assert caught.value.offset == offset
    assert caught.value.message == f"Noun: {caught.value.problem} (at byte {offset})"


# -- lengths ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths_are_written_minimal_and_read_back(size: int) -> None:
    data = der.octet_string(b"x" * size)
    start, stop = der.take(data, 0, len(data), der.OCTET_STRING, "Noun")
    assert stop - start == size
    assert stop == len(data)
    assert start == 2 + (size > 127) + (size > 255) + (size > 65535)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x30\x80\x00\x00", "indefinite length"),
        (b"\x30\x81\x00", "more octets than DER allows"),
        (b"\x30\x81\x7f" + b"x" * 127, "more octets than DER allows"),
        (b"\x30\x82\x00\xff" + b"x" * 255, "more octets than DER allows"),
        (b"\x30\x85\x00\x00\x00\x00\x00", "a length of 5 octets"),
        (b"\x30\xff", "a length of 127 octets"),
        (b"\x30\x82\x01", "ends within its header"),
        (b"\x30", "ends within its header"),
        (b"\x30\x01", "claims 1 bytes where 0 are left"),
        (b"\x30\x84\xff\xff\xff\xff", "claims 4294967295 bytes where 0 are left"),
        (b"", "missing"),
        (b"\x31\x00", "tag 0x31 where 0x30 belongs"),
    ],
)
def test_lengths_that_are_not_der(data: bytes, match: str) -> None:
    refused(data, lambda *a: der.take(*a[:3], der.SEQUENCE, a[3]), match, 0)


def test_an_element_ends_with_its_container() -> None:
    """V6: what lies beyond the container is not read, though the message goes on."""
    data = b"\x04\x02ab"
    assert der.take(data, 0, 4, der.OCTET_STRING, "Noun") == (2, 4)
    with pytest.raises(Malformed, match="claims 2 bytes where 1 are left"):
        der.take(data, 0, 3, der.OCTET_STRING, "Noun")


def test_whole_refuses_trailing_bytes() -> None:
    assert der.whole(b"\x30\x00", der.SEQUENCE, "Noun") == (2, 2)
    with pytest.raises(Malformed, match="2 trailing bytes") as caught:
        der.whole(b"\x30\x00\x05\x00", der.SEQUENCE, "Noun")
    assert caught.value.offset == 2


@pytest.mark.parametrize("tag", [0x1F, 0x3F, 0xBF])
def test_tag_numbers_above_30_are_refused(tag: int) -> None:
    refused(bytes((tag, 0x1F, 0)), der.element, "a tag number above 30", 0)


# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, "020100"), (1, "020101"), (127, "02017f"), (128, "02020080"), (255, "020200ff"),
        (256, "02020100"), (32767, "02027fff"), (32768, "0203008000"), (-1, "0201ff"),
        (-128, "020180"), (-129, "0202ff7f"), (1 << 159, "0215" + "00" + "80" + "00" * 19),
    ],
)  # fmt: skip
def test_integers_are_minimal_both_ways(value: int, octets: str) -> None:
    data = bytes.fromhex(octets)
    assert der.encode_integer(value) == data
    assert der.integer(data, 0, len(data), "Noun") == (value, len(data))


@pytest.mark.parametrize(
    ("octets", "match"),
    [
        ("0200", "an integer of 0 octets"),
        ("02020000", "more octets than DER allows"),
        ("0202007f", "more octets than DER allows"),
        ("0202ffff", "more octets than DER allows"),
        ("0202ff80", "more octets than DER allows"),
        ("0241" + "01" * 65, "an integer of 65 octets"),
    ],
)
def test_integers_that_are_not_der(octets: str, match: str) -> None:
    refused(bytes.fromhex(octets), der.integer, match, 2)


def test_booleans_are_00_or_ff() -> None:
    assert der.boolean(b"\x01\x01\xff", 0, 3, "Noun") == (True, 3)
    assert der.boolean(b"\x01\x01\x00", 0, 3, "Noun") == (False, 3)
    for data in (b"\x01\x01\x01", b"\x01\x00", b"\x01\x02\xff\xff"):
        refused(data, der.boolean, "a BOOLEAN that is not DER", 2)


def test_bit_strings_are_of_whole_octets() -> None:
    assert der.bit_string(der.encode_bit_string(b"ab"), 0, 5, "Noun") == (3, 5)
    assert der.bit_string(b"\x03\x01\x00", 0, 3, "Noun") == (3, 3)
    for data in (b"\x03\x00", b"\x03\x02\x01\x80", b"\x03\x01\x08"):
        refused(data, der.bit_string, "not of whole octets", 2)


@pytest.mark.parametrize(
    ("dotted", "octets"),
    [
        ("1.3.6.1.5.5.7.48.1.1", "06092b0601050507300101"),
        ("0.0", "060100"), ("0.39", "060127"), ("1.0", "060128"), ("2.0", "060150"),
        ("2.999.3", "0603883703"), ("2.5.29.37.0", "0604551d2500"),
        ("1.2.840.113549.1.1.11", "06092a864886f70d01010b"),
        ("2.48.16384", "060581008180" + "00"),
    ],
)  # fmt: skip
def test_object_identifiers_both_ways(dotted: str, octets: str) -> None:
    data = bytes.fromhex(octets)
    assert der.oid(data, 0, len(data), "Noun") == (dotted, len(data))
    assert der.encode_oid(dotted) == data


@pytest.mark.parametrize("octets", ["0600", "06018f", "0602802b", "06032b8001", "0641" + "01" * 65])
def test_object_identifiers_that_are_not_der(octets: str) -> None:
    refused(bytes.fromhex(octets), der.oid, "an OBJECT IDENTIFIER that is not DER", 2)


@pytest.mark.parametrize(
    "instant",
    [
        datetime(1, 1, 1, tzinfo=UTC), datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)  # fmt: skip
def test_times_both_ways(instant: datetime) -> None:
    """R20: whole seconds, Zulu."""
    data = der.encode_time(instant)
    assert len(data) == 17
    assert der.generalized_time(data, 0, 17, "Noun") == (instant, 17)


def test_times_are_written_in_whole_seconds_of_utc() -> None:
    """R20."""
    there = datetime.fromisoformat("2026-06-01T14:30:15.999999+02:00")
    assert der.encode_time(there) == b"\x18\x0f20260601123015Z"


@pytest.mark.parametrize(
    "text",
    [
        "20260601120000", "2026060112000Z", "202606011200Z", "20260601120000.0Z",
        "20260601120000+0000", "20261301120000Z", "20260229120000Z", "20260601240000Z",
        "20260601126000Z", "20260601120060Z", "00000601120000Z", "2026-06-01T12Z0", "",
        "20260601120000z", "+0260601120000Z", " 0260601120000Z", "2026060112000٠Z",
    ],
)  # fmt: skip
def test_times_of_another_form(text: str) -> None:
    """RFC 5280 4.1.2.5.2."""
    data = der.tlv(der.GENERALIZED_TIME, text.encode())
    refused(data, der.generalized_time, "is not a time of the form YYYYMMDDHHMMSSZ", 2)


def test_context_tags() -> None:
    assert (der.context(0), der.context(2), der.context(1, constructed=False)) == (0xA0, 0xA2, 0x81)
