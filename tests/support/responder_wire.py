"""An HTTP client on a bare socket: it sends the bytes it is given and reads replies to the letter.

Where a library would tidy the bytes, or forgive the server, this does neither. RFC 9112.
"""

from __future__ import annotations

import base64
import re
import socket
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import quote

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [\x20-\x7e]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*")
MAX_HEAD = 16384


class NotHTTP(AssertionError):
    """The server sent what RFC 9112 does not have."""


@dataclass(frozen=True)
class Got:
    """One reply. `fields`: names in lower case, in the order they came."""

    code: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def field(self, name: str) -> str | None:
        """The value of `name`, which must not stand there twice."""
        found = [value for key, value in self.fields if key == name]
        if len(found) > 1:
            raise NotHTTP(f"{name} twice: {found}")
        return found[0] if found else None


def read_head(head: bytes) -> tuple[int, tuple[tuple[str, str], ...]]:
    """The code and fields of a reply's head, without the empty line."""
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise NotHTTP(f"status line {first!r}")
    fields = []
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise NotHTTP(f"field {line!r}")
        fields.append((found[1].decode().lower(), found[2].decode()))
    return int(status[1]), tuple(fields)


class Wire:
    """One connection. Every read has a deadline."""

    def __init__(self, port: int, *, timeout: float = 10.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kept = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def end(self) -> None:
        """Half-close: no more is sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def reply(self, method: str = "GET") -> Got:
        """The next reply, which answers a request by `method`."""
        while b"\r\n\r\n" not in self._kept:
            if len(self._kept) > MAX_HEAD:
                raise NotHTTP("a head without an end")
            self._more()
        head, _, self._kept = self._kept.partition(b"\r\n\r\n")
        code, fields = read_head(head)
        got = Got(code, fields, b"")
        if got.field("transfer-encoding") is not None:
            raise NotHTTP("a reply whose size was known came in chunks")
        if method == "HEAD" or code < 200 or code in (204, 304):
            return got
        length = got.field("content-length")
        if length is None or not length.isdigit():
            raise NotHTTP(f"Content-Length: {length}")
        while len(self._kept) < int(length):
            self._more()
        body, self._kept = self._kept[: int(length)], self._kept[int(length) :]
        return Got(code, fields, body)

    def ended(self) -> bool:
        """True when the server has closed, cleanly or not, and nothing is left unread."""
        if self._kept:
            return False
        try:
            self._kept = self.sock.recv(65536)
        except ConnectionError:
            return True
        return self._kept == b""

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise NotHTTP(f"the connection ended within a reply: {self._kept[:200]!r}")
        self._kept += data

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def get_bytes(path: str | bytes, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request's head as bytes, the path as it is."""
    raw = path if isinstance(path, bytes) else path.encode("latin-1")
    lines = ["Host: ocsp.test", *fields]
    text = f"HTTP/{version}\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
    return method.encode() + b" " + raw + b" " + text.encode()


def path_of(request: bytes) -> str:
    """The path that RFC 6960 A.1 has for a request."""
    return "/" + quote(base64.b64encode(request).decode(), safe="")


def post_bytes(
    body: bytes, *fields: str, kind: str | None = "application/ocsp-request", path: str = "/"
) -> bytes:
    typed = [] if kind is None else [f"Content-Type: {kind}"]
    length = f"Content-Length: {len(body)}"
    return get_bytes(path, *typed, length, *fields, method="POST") + body


def chunked_bytes(*pieces: bytes, trailer: bytes = b"") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailer + b"\r\n"


def ask(port: int, data: bytes, method: str = "GET") -> Got:
    """Send `data` on a connection of its own and read one reply."""
    with Wire(port) as wire:
        wire.send(data)
        return wire.reply(method)
