"""ocsp/quick_request: what it recognises the general reader reads to the same values (R5, R28)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import Malformed
from holdfast.ocsp.certid import CertID, ca_tag, serial_octets
from holdfast.ocsp.quick_request import CERTID_AT, QuickRequests
from holdfast.ocsp.request import Request
from support.pki import a_root

AT = datetime(2026, 11, 1, tzinfo=UTC)
CA, OTHER, STRANGER = (a_root(name, at=AT).certificate for name in ("one", "two", "three"))
QUICK = QuickRequests([CA, OTHER], ("sha1", "sha256"))


def asked(serial: int, issuer: object = CA, hash_algorithm: str = "sha1") -> bytes:
    return Request.build(CertID.of(serial, issuer, hash_algorithm)).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize("hash_algorithm", ["sha1", "sha256"])
@pytest.mark.parametrize("issuer", [CA, OTHER], ids=["CA", "OTHER"])
@pytest.mark.parametrize("length", range(1, 21))
def test_plain_requests_are_recognised(hash_algorithm: str, issuer: object, length: int) -> None:
    serial = int.from_bytes(b"\x7f" + bytes(range(1, length)), "big")
    data = asked(serial, issuer, hash_algorithm)
    assert QUICK.read(data) == (ca_tag(issuer), serial_octets(serial))  # type: ignore[arg-type]
    assert data[CERTID_AT:].endswith(serial_octets(serial))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0",
        asked(5)[:-1],
        asked(5) + b"\x00",
        asked(5, STRANGER),
        asked(5, CA, "sha384"),
        Request.build(CertID.of(5, CA), nonce=bytes(16)).encode(),
        Request.build(CertID.of(5, CA), CertID.of(6, CA)).encode(),
        asked(-5),
        asked(1 << 190),
        Request.build(CertID.of(5, CA)._replace(null_parameters=False)).encode(),
        asked(0x1234)[:-2] + b"\x00\x34",  # not minimal: R5
        asked(0x1234)[:-2] + b"\xff\x34",  # negative
    ],
    ids=range(13),
)
def test_everything_else_is_the_general_readers(data: bytes) -> None:
    assert QUICK.read(data) is None


def test_a_hash_that_is_not_asked_for_is_not_recognised() -> None:
    """R28: what the shelf does not speak by is signed live."""
    alone = QuickRequests([CA], ("sha1",))
    assert alone.read(asked(5)) is not None
    assert alone.read(asked(5, CA, "sha256")) is None


@settings(max_examples=600, deadline=None)
@given(
    serial=st.integers(min_value=0, max_value=(1 << 160) - 1),
    hash_algorithm=st.sampled_from(["sha1", "sha256"]),
    at=st.integers(min_value=0, max_value=130),
    octet=st.integers(min_value=0, max_value=255),
    cut=st.integers(min_value=0, max_value=3),
)
def test_law_damaged_or_not_it_reads_what_the_general_reader_reads(
    serial: int, hash_algorithm: str, at: int, octet: int, cut: int
) -> None:
    data = bytearray(asked(serial, CA, hash_algorithm))
    if at < len(data):
        data[at] = octet
    whole = bytes(data[: len(data) - cut])
    found = QUICK.read(whole)
    if found is None:
        return
    try:
        request = Request.parse(whole)
    except Malformed as error:
        raise AssertionError(f"{whole.hex()} is malformed, and was recognised") from error
    (single,) = request.singles
    assert request.extensions == single.extensions == ()
    assert single.certid.names(single.certid.serial, CA)
    assert found == (ca_tag(CA), serial_octets(single.certid.serial))
