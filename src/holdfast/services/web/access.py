"""Who asks, and what they may: the client's address behind proxies, and the right to refresh.

Laws: X-Forwarded-For is believed of the configured proxies only, read from its end; the right to
change something needs the token where one is set, else a request that was made on this machine, by
no proxy, under a name of this machine (a name of others' that leads here is DNS rebinding), and by
no page of another site.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from holdfast.net.proxy_protocol import networks, within

_FORWARDING = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """One request: `peer` is the connection's address, `headers` by name, whatever their case."""

    peer: str
    headers: Mapping[str, str]


class Access:
    """What the settings allow."""

    def __init__(self, *, token: str = "", trust_forwarded: tuple[str, ...] = ()) -> None:
        self._token = token.encode()
        self._proxies = networks(trust_forwarded)

    @property
    def wants_token(self) -> bool:
        return bool(self._token)

    def is_proxy(self, host: str) -> bool:
        return within(host, self._proxies)

    def client(self, asker: Asker) -> str:
        """The address of the client: the last one that no trusted proxy has added."""
        if not self.is_proxy(asker.peer):
            return asker.peer
        found = asker.peer
        for text in reversed(asker.headers.get("X-Forwarded-For", "").split(",")):
            try:
                found = str(ipaddress.ip_address(text.strip()))
            except ValueError:
                break
            if not self.is_proxy(found):
                break
        return found

    def refusal(self, asker: Asker, given: str) -> str:
        """Why `asker`, who gave the token `given`, may not refresh; "" when they may."""
        if from_elsewhere(asker.headers):
            return "this was asked by a page of another site"
        if self._token:
            good = hmac.compare_digest(given.encode("utf-8", "replace"), self._token)
            return "" if good else "the token is missing or wrong"
        if not _loopback(asker.peer) or any(name in asker.headers for name in _FORWARDING):
            return "without a token in the settings only this machine itself may refresh"
        if not _own_name(asker.headers.get("Host", "")):
            return "ask under a name of this machine, as 127.0.0.1 or localhost"
        return ""


def from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site's page made this request."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("Origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc.lower() != headers.get("Host", "").lower()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _own_name(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    return name == "localhost" or _loopback(name)
