"""What an HTTP server said to the client: status, headers, body, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.net.timeline import Timeline

MAX_RETRY_AFTER = 7 * 86400.0  # seconds; more is not believed


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What a server said. `url` is the one that answered, after `redirects`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    url: str
    redirects: tuple[str, ...]
    address: str  # "ip:port" of the peer; the proxy's when there is one
    timeline: Timeline

    def header(self, name: str) -> str | None:
        """The first value of `name`, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def content_type(self) -> str:
        """Lower case, without parameters; "" when there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def date(self) -> datetime | None:
        return self._instant("date")

    @property
    def expires(self) -> datetime | None:
        return self._instant("expires")

    @property
    def last_modified(self) -> datetime | None:
        return self._instant("last-modified")

    @property
    def etag(self) -> str | None:
        return self.header("etag")

    @property
    def max_age(self) -> int | None:
        """Seconds of Cache-Control's max-age."""
        for member in (self.header("cache-control") or "").split(","):
            name, _, value = member.strip().partition("=")
            if name.lower() == "max-age" and value.strip('"').isdecimal():
                return int(value.strip('"')[:10])
        return None

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks us to wait (RFC 9110 10.2.3), bounded."""
        return parse_retry_after(self.header("retry-after"), now=self.date)

    def _instant(self, name: str) -> datetime | None:
        value = self.header(name)
        return None if value is None else _instant(value)


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header; a date counts from `now`, the server's own Date."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return min(float(value[:12]), MAX_RETRY_AFTER)
    instant = _instant(value)
    if instant is None:
        return None
    since = datetime.now(UTC) if now is None else now
    return min(max((instant - since).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _instant(value: str) -> datetime | None:
    from holdfast.net.http_message import parse_http_date  # a server's module; few ask for dates

    return parse_http_date(value)
