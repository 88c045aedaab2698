"""Which URLs the HTTP client asks, and through which proxy.

Law: a URL is sent as it stands, nothing requoted or normalised, or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from holdfast.errors import OperatorError, Unavailable
from holdfast.net.http_answer import HttpAnswer

MAX_URL = 8192  # characters; servers take no more in a request line
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]*)?")  # no zone: RFC 6874
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """`text` without a fragment; the rest is of it. `host` has no brackets, `target` is what a
    request line names: the path as it stands and the query. `user` and `password` are decoded."""

    text: str
    scheme: str
    host: str
    port: int
    target: str
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def authority(self) -> str:
        """For the Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def environment_proxy(scheme: str, host: str) -> Url | None:
    """What http_proxy, https_proxy, all_proxy and no_proxy say about `host`."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    if not url or proxy_bypass(host):
        return None
    return proxy_url(url if "://" in url else f"http://{url}")


def proxy_url(url: str) -> Url:
    try:
        return checked_url(url, userinfo=True)
    except Unavailable as error:
        raise OperatorError(
            f"proxy {error.message}", hint="give the proxy as http://host:port"
        ) from error


def checked_url(url: str, *, userinfo: bool = False) -> Url:
    """`url` as it stands, nothing requoted; `Unavailable` (bad-url) when it is no http(s) URL.
    `userinfo` may be in it, and is in no message."""
    problem = ""
    try:
        parts = urlsplit(url)
        if parts.scheme.lower() not in ("http", "https"):
            problem = f"not an http or https URL (scheme {parts.scheme!r})"
        elif not parts.hostname:
            problem = "no host in it"
        elif parts.port == 0:
            problem = "port 0"
        elif not userinfo and (parts.username is not None or parts.password is not None):
            problem = "a user name in it"
        elif len(url) > MAX_URL:
            problem = f"longer than {MAX_URL} characters"
        elif not all("!" <= character <= "~" for character in url):
            problem = "characters that must be percent-encoded"
        elif not _HOST.fullmatch(parts.netloc.rpartition("@")[2]):
            problem = "a host name with characters that none has"
        elif parts.hostname.isdecimal():
            problem = "a number for a host"  # the system's resolver would take it for an address
        else:
            text = url.partition("#")[0]
            scheme = parts.scheme.lower()
            target = text.partition("://")[2][len(parts.netloc) :]
            return Url(
                text=text,
                scheme=scheme,
                host=parts.hostname,
                port=parts.port or DEFAULT_PORTS[scheme],
                target=target if target.startswith("/") else f"/{target}",
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
            )
    except ValueError as error:
        # what urllib says of a port may be the half of a password that has a slash
        problem = "the host or port is wrong" if userinfo else str(error)
    shown = re.sub(r"^([^/]*//)?.*@", r"\1***@", url, flags=re.DOTALL) if userinfo else url
    raise Unavailable(f"{shown[:MAX_URL]!r}: {problem[:MAX_URL]}", failure="bad-url")


def redirect_target(method: str, answer: HttpAnswer) -> str | None:
    """Where `answer` sends us, or None when it does not."""
    if answer.status not in (301, 302, 303, 307, 308):
        return None
    location = answer.header("location")
    if location is None:
        return None
    if method != "GET" and answer.status == 303:
        raise Unavailable(f"{answer.url}: a 303 redirect loses the body", failure="redirect")
    try:
        target = urljoin(answer.url, location)
    except ValueError as error:
        raise Unavailable(f"{answer.url}: redirects to {location!r}", failure="redirect") from error
    if answer.url.lower().startswith("https:") and not target.lower().startswith("https:"):
        raise Unavailable(f"{answer.url}: redirects from https to {target!r}", failure="redirect")
    return target
