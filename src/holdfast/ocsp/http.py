"""OCSP over HTTP as bytes and text: the GET path and the POST body, without any network.

RFC 6960 Appendix A, RFC 9919 6. GET is right while the whole URL has at most 255 bytes (K14); the
base64 is percent-encoded (`+ / =`), and exactly one `/` stands before it. Reading a path is
lenient as responders must be (R24): `%2F%2F`, raw `//`, raw `+`, `%20` for `+`, base64url, missing
padding, a prefix, a query string.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import quote, unquote_to_bytes

from holdfast.errors import Malformed

REQUEST_TYPE = "application/ocsp-request"
RESPONSE_TYPE = "application/ocsp-response"
MAX_GET_URL = 255  # bytes, "the whole URL", RFC 9919 6 (was RFC 5019 5)
MAX_PATH = 8192  # bytes of a path that is read at all

_FROM_URLSAFE = bytes.maketrans(b"-_ ", b"+/+")


def get_url(base: str, request: bytes) -> str | None:
    """The URL that asks `request` (DER) of the responder at `base` by GET; None when it would be
    longer than 255 bytes and POST is due."""
    url = f"{base.rstrip('/')}/{quote(base64.b64encode(request), safe='')}"
    return url if len(url.encode()) <= MAX_GET_URL else None


def decode_get_path(path: bytes, prefix: bytes = b"") -> bytes:
    """The DER request in the raw request-target `path` (never normalised), after `prefix`.

    Raises `Malformed` when it holds no base64. The path may be of absolute form no longer: give
    what follows the authority.
    """
    if len(path) > MAX_PATH:
        raise Malformed("OCSP GET path", f"{len(path)} bytes, more than {MAX_PATH}")
    text = path.split(b"?", 1)[0]
    trimmed = prefix.rstrip(b"/")
    if trimmed and text.startswith(trimmed):
        text = text[len(trimmed) :]
    # Base64 of DER begins with "M" (0x30), never with "/": leading slashes are the path's.
    text = unquote_to_bytes(text).lstrip(b"/").translate(_FROM_URLSAFE).rstrip(b"=")
    if not text:
        raise Malformed("OCSP GET path", "no request in it")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("OCSP GET path", f"not base64: {error}") from error
