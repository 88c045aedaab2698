"""GET and POST as bytes: a request becomes a URL (K14), a path becomes a request (R24)."""

from __future__ import annotations

import base64
import re
from random import Random
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import Malformed
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.http import MAX_GET_URL, decode_get_path, get_url
from holdfast.ocsp.request import Request

# A request whose base64 holds "//", "+" and padding: what goes wrong on the way.
AWKWARD = Request.build(CertID("sha1", b"\xff" * 20, b"\xfb\xef\xbe" * 6 + b"\xfb\xef", 0x3FFBEF))
DER = AWKWARD.encode()
TEXT = base64.b64encode(DER).decode()
ALL = ("//", "+", "=")

SPELLINGS = {  # what arrives -> how it was spelt
    "percent-encoded whole": quote(TEXT, safe=""),
    "percent-encoded in lower case": quote(TEXT, safe="").replace("%2F", "%2f").replace(
        "%2B", "%2b"
    ),
    "%2F%2F": TEXT.replace("/", "%2F"),
    "raw //": TEXT,
    "raw +": TEXT.replace("/", "%2F").replace("=", "%3D"),
    "%2B": TEXT.replace("+", "%2B"),
    "%20 for +": TEXT.replace("+", "%20"),
    "missing padding": TEXT.rstrip("="),
    "missing padding, encoded": quote(TEXT.rstrip("="), safe=""),
    "base64url": TEXT.replace("+", "-").replace("/", "_"),
    "base64url without padding": TEXT.replace("+", "-").replace("/", "_").rstrip("="),
    "every character encoded": "".join(f"%{ord(c):02X}" for c in TEXT),
}  # fmt: skip


def test_the_awkward_request_is_awkward() -> None:
    assert all(piece in TEXT for piece in ALL)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("before", ["/", "//", "///", ""])
@pytest.mark.parametrize("after", ["", "?", "?x=1&y=//"])
def test_r24_every_spelling_is_read(spelling: str, before: str, after: str) -> None:
    """R24, R27: raw, encoded, one slash or more, a query string."""
    assert decode_get_path((before + SPELLINGS[spelling] + after).encode()) == DER


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("prefix", ["/ocsp", "/ocsp/", "/a/b/c", "/ca%201"])
@pytest.mark.parametrize("slash", ["/", "//"])
def test_r27_behind_a_prefix(spelling: str, prefix: str, slash: str) -> None:
    """R24, R27: a prefix per CA, with or without its own slash."""
    path = prefix.rstrip("/") + slash + SPELLINGS[spelling]
    assert decode_get_path(path.encode(), prefix.encode()) == DER


@pytest.mark.parametrize(
    "path",
    [
        b"", b"/", b"//", b"/?", b"?x", b"/====", b"/MFE%", b"/MFE%zz", b"/MF*E", b"/M", b"/MFEwT",
        b"/MFE\xff", b"/MFE%00", b"/MF=E", b"/favicon.ico", b"/" + b"M" * 10_000, b"/%3D%3D",
        b"/\x00", b"/MFEw\n", b"/MFEw#fragment",
    ],
)  # fmt: skip
def test_r24_what_is_no_base64_is_malformed(path: bytes) -> None:
    """R5, R24: and nothing else is ever raised."""
    with pytest.raises(Malformed, match="OCSP GET path"):
        decode_get_path(path)


def test_another_prefix_is_no_request() -> None:
    """The red twin of the prefixes: /other/... below /ocsp is not cut at the same length."""
    try:
        read = decode_get_path(b"/other/" + TEXT.encode(), b"/ocsp")
    except Malformed:
        return
    assert read != DER


# -- making them ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base",
    ["http://ocsp.example", "http://ocsp.example/", "http://ocsp.example//", "http://h:8080/ca/1/"],
)
def test_k14_exactly_one_slash_and_nothing_unsafe(base: str) -> None:
    """K14: base64, then percent-encoded, after exactly one slash."""
    url = get_url(base, DER)
    assert url is not None
    stem = base.rstrip("/")
    assert url.startswith(stem + "/")
    tail = url[len(stem) + 1 :]
    assert re.fullmatch(r"(?:[A-Za-z0-9]|%2F|%2B|%3D)+", tail)
    assert decode_get_path(b"/" + tail.encode()) == DER


def test_k14_the_whole_url_counts_to_255_bytes() -> None:
    """K14: at 255 bytes GET, at 256 POST."""
    tail = get_url("http://h", DER)
    assert tail is not None
    room = MAX_GET_URL - len(tail)
    assert len(get_url("http://h" + "x" * room, DER) or "") == 255
    assert get_url("http://h" + "x" * (room + 1), DER) is None


def test_k14_a_request_of_one_sha1_certid_fits_a_usual_url() -> None:
    """K13, K14: and one with a nonce of 32 octets, or by SHA-512, needs POST."""
    certid = CertID("sha1", b"\xaa" * 20, b"\xbb" * 20, 1 << 158)
    url = "http://ocsp.example.org/ca"
    assert get_url(url, Request.build(certid).encode())
    assert get_url(url, Request.build(certid, nonce=b"n" * 128).encode()) is None
    long = CertID("sha512", b"\xaa" * 64, b"\xbb" * 64, 1 << 158)
    assert get_url(url, Request.build(long).encode()) is None


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_k14_r24_what_goes_out_comes_in(rng: Random) -> None:
    """K14, R24: any DER that begins as requests do, through the URL and back."""
    data = b"\x30" + rng.randbytes(rng.randrange(1, 150))
    url = get_url("http://responder.example/ocsp", data)
    if url is None:
        assert len(quote(base64.b64encode(data), safe="")) > 255 - 30
        return
    path = url.removeprefix("http://responder.example").encode()
    assert decode_get_path(path, b"/ocsp") == data


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=10))
def test_r24_any_path_gives_bytes_or_malformed(path: bytes, prefix: bytes) -> None:
    """K25, R24."""
    try:
        assert isinstance(decode_get_path(path, prefix), bytes)
    except Malformed as error:
        assert "OCSP GET path" in str(error)  # noqa: PT017
