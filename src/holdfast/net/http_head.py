"""The head of a request as it is read: whether to go on, and how.

Laws: what two servers could read in two ways is refused, since one of them may be a cache in front
of the other. RFC 9110 10.1.1, RFC 9112 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.net.http_message import Limits, Reply, plain

# RFC 3986 3.2.2, 3.2.3, RFC 6874: an IP literal or a registered name, which may be empty, and a
# port
_HOST = re.compile(
    rb"(?:\[[0-9A-Za-z:.~_!$&'()*+,;=%-]+\]"
    rb"|(?:[0-9A-Za-z.~_!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a head asks of the reader: `refusal`, or None; `expects`: it waits for 100 Continue."""

    refusal: Reply | None = None
    expects: bool = False


_PLAIN = Said()


def said(headers: Iterable[tuple[bytes, bytes]], version: str, limits: Limits) -> Said:
    """By the headers (names in lower case) of a request of HTTP/`version`."""
    hosts, expects = 0, False
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if _HOST.fullmatch(value) is None:
                return _refused(400, "Host is not HOST or HOST:PORT (RFC 9112 3.2)")
        elif name == b"content-length":  # llhttp has checked that it is one number
            if int(value) > limits.body_bytes:
                return _refused(413, "the body is too large")
        elif name == b"expect" and value.lower() == b"100-continue":
            expects = version == "1.1"
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        return _refused(400, "a request of HTTP/1.1 has one Host (RFC 9112 3.2)")
    return Said(expects=True) if expects else _PLAIN


def without_upgrade(
    method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """The head of a request as if it had not asked for another protocol, and for the last reply."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    lines += [b"%s: %s" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join((*lines, b"connection: close", b"", b""))


def _refused(status: int, why: str) -> Said:
    return Said(refusal=plain(status, why))
