"""Which URLs the HTTP client asks, and through which proxy.

Law: a URL is sent as it stands, nothing requoted or normalised, or not at all.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from yarl import URL

from holdfast.errors import OperatorError, Unavailable
from holdfast.net.http_answer import HttpAnswer


def environment_proxy(scheme: str, host: str) -> URL | None:
    """What http_proxy, https_proxy, all_proxy and no_proxy say about `host`."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    if not url or proxy_bypass(host):
        return None
    return proxy_url(url if "://" in url else f"http://{url}")


def proxy_url(url: str) -> URL:
    try:
        return checked_url(url, userinfo=True)
    except Unavailable as error:
        raise OperatorError(
            f"proxy {error.message}", hint="give the proxy as http://host:port"
        ) from error


def checked_url(url: str, *, userinfo: bool = False) -> URL:
    """`url` as it stands, nothing requoted; `Unavailable` (bad-url) when it is no http(s) URL."""
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
        elif not all("!" <= character <= "~" for character in url):
            problem = "characters that must be percent-encoded"
        else:
            return URL(url.partition("#")[0], encoded=True)
    except ValueError as error:
        problem = str(error)
    raise Unavailable(f"{url!r}: {problem}", failure="bad-url")


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
