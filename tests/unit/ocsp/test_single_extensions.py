"""Archive cutoff, CRL reference, invalidity date (R12): read as written, else `Malformed`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asn1crypto import ocsp as asn1

from holdfast.errors import Malformed
from holdfast.ocsp import der
from holdfast.ocsp.extension import ARCHIVE_CUTOFF, CRL_REFERENCE, INVALIDITY_DATE, Extension
from holdfast.ocsp.single_extensions import (
    CrlID,
    archive_cutoff,
    archive_cutoff_extension,
    crl_extension,
    crl_reference,
    invalidity_date,
    invalidity_date_extension,
)

THEN = datetime(2019, 3, 4, 5, 6, 7, tzinfo=UTC)
URL = "http://ca.test/ca.crl"
URL_DER = der.tlv(0xA0, der.tlv(der.IA5_STRING, URL.encode()))
NUMBER_DER = der.tlv(0xA1, der.encode_integer(7))
TIME_DER = der.tlv(0xA2, der.encode_time(THEN))


@pytest.mark.parametrize("url", [None, URL])
@pytest.mark.parametrize("number", [None, 0, 7, 1 << 159])
@pytest.mark.parametrize("made_at", [None, THEN])
def test_r12_a_crl_reference_is_read_as_written(
    url: str | None, number: int | None, made_at: datetime | None
) -> None:
    crl = CrlID(url, number, made_at)
    written = crl_extension(crl)
    assert not written.critical
    assert crl_reference((written,)) == crl
    read = asn1.CrlId.load(written.value, strict=True)
    assert read["crl_url"].native == url
    assert read["crl_num"].native == number
    assert read["crl_time"].native == made_at


def test_r12_times_are_read_as_written() -> None:
    """R20: whole seconds, Zulu."""
    late = THEN.replace(microsecond=999_999)
    for write, read in (
        (archive_cutoff_extension, archive_cutoff),
        (invalidity_date_extension, invalidity_date),
    ):
        written = write(late)
        assert written.value == der.tlv(der.GENERALIZED_TIME, b"20190304050607Z")
        assert read((written,)) == THEN
        assert not written.critical
        assert read(()) is None
    assert crl_reference(()) is None


def test_what_is_no_crl_reference_is_not_written() -> None:
    with pytest.raises(ValueError, match="negative"):
        CrlID(number=-1).encode()
    with pytest.raises(UnicodeEncodeError):
        CrlID("http://ä.test/").encode()


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (b"", "missing"),
        (b"\x04\x00", "tag 0x04"),
        (der.sequence(NUMBER_DER, URL_DER), "trailing"),
        (der.sequence(URL_DER, URL_DER), "trailing"),
        (der.sequence(URL_DER) + b"\x00", "trailing"),
        (der.sequence(der.tlv(0xA0, b"\x0c\x01a")), "tag 0x0c where 0x16"),
        (der.sequence(der.tlv(0xA0, b"\x16\x01\xe4")), "not ASCII"),
        (der.sequence(der.tlv(0xA0, b"\x16\x01a\x05\x00")), "trailing"),
        (der.sequence(der.tlv(0xA1, b"\x02\x01\xff")), "negative"),
        (der.sequence(der.tlv(0xA1, b"\x02\x01\x01\x00")), "trailing"),
        (der.sequence(der.tlv(0xA2, b"\x17\x0d190304050607Z")), "tag 0x17"),
        (der.sequence(TIME_DER, b"\x05\x00"), "trailing"),
    ],
)
def test_r12_what_is_no_crl_reference_is_malformed(value: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        crl_reference((Extension(CRL_REFERENCE, False, value),))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x18\x00",
        der.encode_time(THEN) + b"\x00",
        der.tlv(der.GENERALIZED_TIME, b"20190304050607.5Z"),
        der.tlv(der.GENERALIZED_TIME, b"20190304050607+0100"),
        der.tlv(der.GENERALIZED_TIME, b"20191304050607Z"),
        der.sequence(der.encode_time(THEN)),
    ],
)
def test_r12_what_is_no_time_is_malformed(value: bytes) -> None:
    for oid, read in ((ARCHIVE_CUTOFF, archive_cutoff), (INVALIDITY_DATE, invalidity_date)):
        with pytest.raises(Malformed):
            read((Extension(oid, False, value),))
