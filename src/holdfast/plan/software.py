"""Server software: what ends TLS at a target, as far as its answers honestly tell.

Laws: pure. The `Server` header names who wrote the answer, which behind a proxy is not who holds
the certificate: it is believed where the TLS end itself spoke, that is to plain HTTP at its TLS
port, or to a request that whoever reads HTTP first must refuse (RFC 9112 5.1). When in doubt
`unknown`. Sources: nginx `ngx_http_special_response.c` (497), Apache `modules/ssl/ssl_util.c` and
`server/protocol.c`, Go `net/http/server.go` ("HTTP request to an HTTPS server"), HAProxy
`src/http.c` (HTTP_400), http.sys (Microsoft-HTTPAPI).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["apache", "nginx", "haproxy", "iis", "caddy", "unknown"]

_PRODUCTS: dict[str, Kind] = {
    "apache": "apache",
    "nginx": "nginx",
    "openresty": "nginx",  # nginx with Lua: its configuration is nginx's
    "haproxy": "haproxy",
    "microsoft-iis": "iis",
    "caddy": "caddy",
}
_HAPROXY_400 = b"<h1>400 Bad request</h1>\nYour browser sent an invalid request."
_GO_PLAIN = b"Client sent an HTTP request to an HTTPS server."
_SHOWN = 60  # characters of a header


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The first bytes of what came back; empty when nothing did. `head`: to a HEAD request over
    TLS; `refusal`: to one that is not HTTP; `plain`: to plain HTTP at the TLS port."""

    head: bytes = b""
    refusal: bytes = b""
    plain: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """`because`: what it was told by. `behind`: what the `Server` header says of a server that does
    not end TLS itself, as far as is known."""

    name: Kind
    version: str = ""
    because: str = ""
    behind: str = ""

    @property
    def text(self) -> str:
        """For a person."""
        called = {"apache": "Apache", "haproxy": "HAProxy", "iis": "IIS", "caddy": "Caddy"}
        name = called.get(self.name, self.name)
        return f"{name} {self.version}" if self.version else name

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "version": self.version or None,
            "because": self.because or None,
            "behind": self.behind or None,
        }


def recognised(answers: Answers) -> Software:
    """Who ends TLS there."""
    header = server_header(answers.head) or server_header(answers.refusal)
    name, version = product(server_header(answers.plain))
    if name != "unknown":
        because = "it answers plain HTTP at its TLS port itself"
        return Software(name=name, version=version, because=because)
    name, version = product(header)
    if _GO_PLAIN in answers.plain:  # every Go program answers so; that it is Caddy, Caddy says
        if name == "caddy":
            return Software(name="caddy", version=version, because="it answers as Go does")
        return Software(name="unknown", because="a program written in Go", behind=header)
    if _HAPROXY_400 in answers.refusal:
        behind = "" if name in ("unknown", "haproxy") else header
        because = "it refuses a faulty request in HAProxy's words"
        return Software(name="haproxy", because=because, behind=behind)
    if server_header(answers.refusal).lower().startswith("microsoft-httpapi"):
        version = version if name == "iis" else ""
        return Software(name="iis", version=version, because="Windows' http.sys answers")
    if not (answers.head or answers.refusal or answers.plain):
        return Software(name="unknown", because="it does not speak HTTP")
    because = "nothing that ends TLS there tells what it is"
    return Software(name="unknown", because=because, behind=header)


def server_header(answer: bytes) -> str:
    """The `Server` header of an HTTP answer, printable and short; "" where there is none."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    if not head.startswith("HTTP/"):
        return ""
    for line in head.split("\r\n")[1:]:
        field, colon, value = line.partition(":")
        if colon and field.lower() == "server":
            return "".join(c for c in value.strip() if c.isascii() and c.isprintable())[:_SHOWN]
    return ""


def product(header: str) -> tuple[Kind, str]:
    """(what it is, its version or "") by a `Server` header, RFC 9110 10.2.4."""
    found = re.match(r"([A-Za-z-]+)(?:/([0-9][0-9A-Za-z.+-]*))?", header)
    if found is None:
        return "unknown", ""
    return _PRODUCTS.get(found[1].lower(), "unknown"), found[2] or ""
