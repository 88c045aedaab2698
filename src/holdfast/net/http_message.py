"""What an HTTP server's handler is given and gives back.

Laws: a request's target is the client's bytes, never decoded or normalised (R24); a reply's head is
encoded once, when the reply is made, so that a reply that is kept costs nothing to send again.
RFC 9110, RFC 9112.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class Request:
    """One request. `target` is raw; header names are lower case. Not frozen: made per request."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    version: str  # "1.1" or "1.0"
    peer: str

    @property
    def path(self) -> bytes:
        """The target without its query, and without `http://authority` when a proxy's client."""
        return origin_form(self.target).partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]

    def header(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case)."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. Content-Length, Date and Connection are the server's to add.

    `close` ends the connection after it. A CR or LF in a header is a bug: `ValueError`.
    """

    status: int = 200
    body: bytes = b""
    headers: Headers = ()
    close: bool = False
    head: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lines = [b"HTTP/1.1 %d %s" % (self.status, _REASONS.get(self.status, b"Unknown"))]
        for name, value in self.headers:
            if b"\r" in value or b"\n" in value or not name or not _TOKEN.issuperset(name):
                raise ValueError(f"not an HTTP header: {name!r}: {value!r}")
            lines.append(b"%s: %s" % (name, value))
        if not self.bodiless:
            lines.append(b"Content-Length: %d" % len(self.body))
        object.__setattr__(self, "head", b"\r\n".join(lines) + b"\r\n")

    @property
    def bodiless(self) -> bool:
        """RFC 9110 6.4.1: 1xx, 204 and 304 have no content."""
        return self.status < 200 or self.status in (204, 304)


class Wire(Protocol):
    """The connection, as a `Raw` reply gets it."""

    async def write(self, data: bytes, /) -> None:
        """Send `data`; returns when the transport wants more."""

    def reset(self) -> None:
        """End the connection at once with a TCP reset."""

    async def gone(self) -> None:
        """Return when the client has ended the connection."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A reply that writes its own bytes, right or wrong; the connection is closed after it."""

    play: Callable[[Wire], Awaitable[None]]


Answer = Reply | Raw
Handler = Callable[[Request], Answer | Awaitable[Answer]]
"""What answers. It may return the answer itself (the fast path: no task is made) or an awaitable,
which is cancelled when the client goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may cost. Seconds and bytes."""

    connections: int = 10_000
    head_bytes: int = 16 * 1024  # request line and headers
    target_bytes: int = 8 * 1024  # of which the request target; RFC 9110 4.1 asks for 8000
    headers: int = 100
    body_bytes: int = 64 * 1024
    idle_seconds: float = 30.0  # between requests
    head_seconds: float = 10.0  # from a request's first byte to the end of its headers
    body_seconds: float = 20.0  # from there to the end of its body
    write_seconds: float = 20.0  # without the client reading anything
    pipelined: int = 64  # requests waiting on one connection before it is read no further

    def seconds_of(self, stage: str) -> float:
        """How long a client may take for a stage of its request: idle, head or body."""
        seconds = {"idle": self.idle_seconds, "head": self.head_seconds}
        return seconds.get(stage, self.body_seconds)


def plain(status: int, message: str, *, close: bool = False, headers: Headers = ()) -> Reply:
    """A reply of one line of text, never cached."""
    return Reply(
        status,
        message.encode() + b"\n",
        (
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Cache-Control", b"no-store"),
            *headers,
        ),
        close,
    )


def http_date(instant: datetime) -> bytes:
    """IMF-fixdate (RFC 9110 5.6.7), whatever the locale."""
    at = instant.astimezone(UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} "
        f"{at.hour:02}:{at.minute:02}:{at.second:02} GMT"
    ).encode()


def parse_http_date(text: str) -> datetime | None:
    """An HTTP date in any of the three forms of RFC 9110 5.6.7, or None."""
    from email.utils import parsedate_to_datetime

    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def origin_form(target: bytes) -> bytes:
    """`http://host/path?query` without its scheme and authority; anything else unchanged."""
    if target[:7].lower() == b"http://":
        slash = target.find(b"/", 7)
        return target[slash:] if slash >= 0 else b"/"
    return target


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """The comma-separated members of every header `name` (lower case), trimmed and lower-cased."""
    return [
        member.strip().lower()
        for key, value in headers
        if key == name
        for member in value.split(b",")
    ]


_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
