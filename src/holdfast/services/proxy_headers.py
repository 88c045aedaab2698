"""What of a request's and an answer's head is passed on by http mode, and what is refused.

Laws: a request whose end two programs could see differently is refused, never mended; what a client
says about whom it speaks for is dropped unless it is trusted, and that before anything of ours is
added; headers of one hop end here. What llhttp refuses by itself is not repeated.
RFC 9110 5 to 7, RFC 9112 2 to 7; RFC 7239.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

Header = tuple[bytes, bytes]

# RFC 9110 7.6.1 and what is older; `Proxy` would become a variable of CGI programs (CVE-2016-5385)
ONE_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization"),
        *(b"proxy-authenticate", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy"),
    )
)
ABOUT_CLIENTS = frozenset(
    (
        *(b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"),
        *(b"x-forwarded-port", b"x-forwarded-ssl", b"x-forwarded-server", b"x-real-ip"),
    )
)
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%-]*(:[0-9]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE)


class Refused(Exception):
    """The request is not passed on; `status` and `why` are what its client is told."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(slots=True)
class RequestHead:
    """What came: `headers` as the client wrote them."""

    method: bytes
    target: bytes
    version: str
    headers: Sequence[Header]


@dataclass(slots=True)
class Passed:
    """What goes on. `length` is the body's, None for one of unknown length, in chunks."""

    head: bytes
    length: int | None
    websocket: bool


def pass_request(
    head: RequestHead, *, upgrades: bool, peer: str, trusted: bool, authority: bytes
) -> Passed:
    """The request as the upstream gets it; `Refused` when it gets none.

    `upgrades`: llhttp saw an upgrade in it. `authority` is the upstream's, for a client of HTTP/1.0
    that names no host.
    """
    if head.version not in ("1.1", "1.0"):
        raise Refused(505, f"HTTP/{head.version} is not spoken here")
    if head.method == b"CONNECT":
        raise Refused(405, "this is no proxy of that kind")
    length: int | None = 0
    hosts: list[bytes] = []
    named: set[bytes] = set()  # by Connection: of one hop too
    wants = b""
    forwarded: list[bytes] = []
    proto = b""
    kept: list[tuple[bytes, bytes, bytes]] = []
    for name, value in head.headers:
        low = name.lower()
        if low in ONE_HOP:
            if low == b"connection":
                named.update(word.strip().lower() for word in value.split(b","))
            elif low == b"transfer-encoding":
                _refuse_unless_chunked(value, head.version)
                length = None
            elif low == b"upgrade":
                wants = value.strip().lower()
            continue
        if low == b"host":
            hosts.append(value)
            continue
        same = low.replace(b"_", b"-") if b"_" in low else low  # as CGI programs see it
        if same in ABOUT_CLIENTS:
            if trusted and same == low:
                if low == b"x-forwarded-for":
                    forwarded.append(value)
                    continue
                if low == b"x-forwarded-proto":
                    proto = value
                    continue
                kept.append((low, name, value))
            continue
        if low == b"content-length":
            length = int(value)  # llhttp has seen that it is one number, and alone
        kept.append((low, name, value))
    target, host = _where(head, hosts, authority)
    websocket = upgrades and wants == b"websocket"
    if upgrades and length != 0:
        raise Refused(400, "an upgrade with a body")  # llhttp cannot tell where it ends
    if websocket and head.method != b"GET":
        raise Refused(400, "a WebSocket begins with GET")
    lines = [b"%s %s HTTP/1.1\r\nHost: %s\r\n" % (head.method, target, host)]
    lines += [b"%s: %s\r\n" % (name, value) for low, name, value in kept if low not in named]
    lines.append(b"X-Forwarded-For: %s\r\n" % b", ".join([*forwarded, peer.encode("ascii")]))
    lines.append(b"X-Forwarded-Proto: %s\r\n" % (proto or b"https"))
    if length is None:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif length and b"content-length" in named:
        raise Refused(400, "Content-Length is not of one hop")
    if websocket:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    lines.append(b"\r\n")
    return Passed(b"".join(lines), length, websocket)


def _refuse_unless_chunked(value: bytes, version: str) -> None:
    if value.strip().lower() != b"chunked":
        raise Refused(501, "a Transfer-Encoding other than chunked")
    if version == "1.0":
        raise Refused(400, "Transfer-Encoding in HTTP/1.0")  # RFC 9112 6.1


def _where(head: RequestHead, hosts: list[bytes], authority: bytes) -> tuple[bytes, bytes]:
    """(target, host) as the upstream gets them."""
    target = head.target
    if b"#" in target:
        raise Refused(400, "a fragment in the request target")
    if len(hosts) > 1 or (not hosts and head.version == "1.1"):
        raise Refused(400, "not exactly one Host")  # RFC 9112 3.2
    host = hosts[0].strip() if hosts else authority
    if _HOST.fullmatch(host) is None:
        raise Refused(400, "a Host that is none")
    if target.startswith(b"/") or (target == b"*" and head.method == b"OPTIONS"):
        return target, host
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refused(400, "a request target that is no path")
    if hosts and absolute[1].lower() != host.lower():
        raise Refused(400, "a request target with another host than Host")
    path = absolute[2]
    return path if path.startswith(b"/") else b"/" + path, host


@dataclass(slots=True)
class Answer:
    """An answer's head as the client gets it. `chunks`: its body is sent in chunks of ours."""

    head: bytes
    chunks: bool
    keep: bool


def pass_answer(
    status: int,
    reason: bytes,
    headers: Sequence[Header],
    *,
    bodiless: bool,
    version: str,
    keep: bool,
) -> Answer:
    """`version` is the client's; `keep`: its connection may go on. A body without a length ends
    with the connection for a client of HTTP/1.0."""
    named: set[bytes] = set()
    measured = False
    kept: list[tuple[bytes, bytes, bytes]] = []
    for name, value in headers:
        low = name.lower()
        if low in ONE_HOP:
            if low == b"connection":
                named.update(word.strip().lower() for word in value.split(b","))
            elif low == b"proxy-authenticate":
                kept.append((low, name, value))
            continue
        if low == b"content-length":
            measured = True
        kept.append((low, name, value))
    chunks = not bodiless and not measured and version == "1.1"
    if not bodiless and not measured and version == "1.0":
        keep = False
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, reason)]
    lines += [
        b"%s: %s\r\n" % (name, value)
        for low, name, value in kept
        if low not in named or low == b"content-length"
    ]
    if chunks:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if not keep:
        lines.append(b"Connection: close\r\n")
    elif version == "1.0":
        lines.append(b"Connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return Answer(b"".join(lines), chunks, keep)


def interim(status: int, reason: bytes, headers: Sequence[Header]) -> bytes:
    """A 1xx answer, as it goes on to a client of HTTP/1.1."""
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, reason)]
    lines += [b"%s: %s\r\n" % h for h in headers if h[0].lower() not in ONE_HOP]
    return b"".join(lines) + b"\r\n"


def switching(reason: bytes, headers: Sequence[Header]) -> bytes:
    """101, as it goes on."""
    lines = [b"HTTP/1.1 101 %s\r\n" % reason]
    lines += [b"%s: %s\r\n" % h for h in headers if h[0].lower() not in ONE_HOP]
    return b"".join(lines) + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
