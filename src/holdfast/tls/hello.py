"""What a client's first message says before any of it is answered: the name that it wants.

OpenSSL tells the name only after it has looked at the client's session; a server must choose
before, so that no session of one certificate is resumed under another's name (T5).

Laws: reads a stranger's bytes, so anything gives a `Hello`, or None for "more is to come"; what is
no ClientHello gives one without a name, and is OpenSSL's to refuse. RFC 8446 4.1.2 and 5.1,
RFC 6066 3.
"""

from __future__ import annotations

from dataclasses import dataclass

HANDSHAKE, CLIENT_HELLO = 22, 1  # RFC 8446 B.1 and B.3
SERVER_NAME, HOST_NAME = 0, 0  # RFC 6066 3
MAX_HELLO = 32 * 1024  # bytes; with post-quantum key shares and a session they are under 4 KiB
MAX_NAME = 255  # bytes of a DNS name


@dataclass(frozen=True, slots=True)
class Hello:
    """`server_name` in lower case without a final dot, "" when none that is one was sent."""

    server_name: str = ""


NOTHING = Hello()


def read_hello(data: bytes) -> Hello | None:
    """The ClientHello at the start of `data`; None while it is not whole."""
    message = _message(data)
    if message is None:
        return None if len(data) < MAX_HELLO else NOTHING
    name = _server_name(message)
    return Hello(name) if name else NOTHING


def _message(data: bytes) -> bytes | None:
    """The first handshake message without its header, b"" for what is none."""
    end = len(data)
    if end < 9:
        return None if data[:1] in (b"", b"\x16") else b""
    if data[0] != HANDSHAKE:
        return b""
    first = int.from_bytes(data[3:5], "big")
    if first >= 4:
        if data[5] != CLIENT_HELLO:
            return b""
        size = int.from_bytes(data[6:9], "big")
        if size <= first - 4:  # as nearly all are: in one record
            return data[9 : 9 + size] if end >= 9 + size else None
    joined = bytearray()
    position = 0
    while True:
        if position + 5 > end:
            return None
        if data[position] != HANDSHAKE:
            return b""
        length = int.from_bytes(data[position + 3 : position + 5], "big")
        joined += data[position + 5 : position + 5 + length]
        position += 5 + length
        if len(joined) >= 4:
            if joined[0] != CLIENT_HELLO:
                return b""
            size = int.from_bytes(joined[1:4], "big")
            if len(joined) >= 4 + size:
                return bytes(joined[4 : 4 + size])
        if not length or position > end:
            return b"" if not length else None


def _server_name(message: bytes) -> str:
    """The host name in the server_name extension; "" where there is none, or it is no name."""
    size = len(message)
    position = 34  # legacy_version and random
    if size < position + 1:
        return ""
    position += 1 + message[position]  # legacy_session_id
    position += 2 + int.from_bytes(message[position : position + 2], "big")  # cipher_suites
    if position >= size:
        return ""
    position += 1 + message[position]  # legacy_compression_methods
    position += 2
    while position + 4 <= size:
        kind = (message[position] << 8) | message[position + 1]
        length = (message[position + 2] << 8) | message[position + 3]
        position += 4
        if kind == SERVER_NAME:
            return _host(message[position : position + length])
        position += length
    return ""


def _host(extension: bytes) -> str:
    """Of a ServerNameList with its one host_name."""
    if len(extension) < 5 or extension[2] != HOST_NAME:
        return ""
    length = int.from_bytes(extension[3:5], "big")
    name = extension[5 : 5 + length]
    if len(name) != length or length > MAX_NAME or not name.isascii():
        return ""
    return name.decode("ascii").lower().removesuffix(".")
