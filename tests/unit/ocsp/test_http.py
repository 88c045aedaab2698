"""The GET path and the POST types by hand-written examples (K14, R24; more in tests/property)."""

from __future__ import annotations

import pytest

from holdfast.errors import Malformed
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.http import REQUEST_TYPE, RESPONSE_TYPE, decode_get_path, get_url
from holdfast.ocsp.request import Request

# 30 03 0a 01 06: base64 MAMKAQY=
DER = bytes.fromhex("30030a0106")


def test_the_media_types_are_the_rfcs() -> None:
    """RFC 6960 A.1."""
    assert REQUEST_TYPE == "application/ocsp-request"
    assert RESPONSE_TYPE == "application/ocsp-response"


@pytest.mark.parametrize("base", ["http://h/ocsp", "http://h/ocsp/", "http://h/ocsp//"])
def test_k14_one_slash_and_the_padding_encoded(base: str) -> None:
    assert get_url(base, DER) == "http://h/ocsp/MAMKAQY%3D"


def test_k14_the_example_of_rfc_6960() -> None:
    """A.1: {url}/{url-encoding of base-64 encoding of the DER encoding of the OCSPRequest}."""
    request = Request.build(CertID("sha1", b"\xff\xff\xff" + b"\x00" * 17, b"k" * 20, 1)).encode()
    url = get_url("http://h", request)
    assert url is not None
    assert "%2F%2F%2F" in url
    assert "/" not in url.removeprefix("http://h/")


def test_k14_too_long_is_for_post() -> None:
    assert get_url("http://h", b"\x30" * 300) is None


@pytest.mark.parametrize(
    "path", [b"/MAMKAQY%3D", b"/MAMKAQY=", b"/MAMKAQY", b"//MAMKAQY%3d", b"/MAMKAQY=?a=b"]
)
def test_r24_lenient_in_what_is_read(path: bytes) -> None:
    assert decode_get_path(path) == DER


def test_r24_a_prefix_is_cut_off() -> None:
    assert decode_get_path(b"/ca1/MAMKAQY%3D", b"/ca1") == DER
    assert decode_get_path(b"/ca1/MAMKAQY%3D", b"/ca1/") == DER


def test_r24_nothing_and_not_base64_are_told_apart() -> None:
    with pytest.raises(Malformed, match="no request in it"):
        decode_get_path(b"/")
    with pytest.raises(Malformed, match="not base64"):
        decode_get_path(b"/favicon.ico")
    with pytest.raises(Malformed, match="more than 8192"):
        decode_get_path(b"/" + b"A" * 8192)
