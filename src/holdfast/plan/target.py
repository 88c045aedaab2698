"""A target: what a person writes to name a TLS server, and what it comes to.

`host`, `host:port`, `[v6]:port`, `https://host/path`, `smtp://host` and the like; the scheme
decides the port and whether STARTTLS comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from holdfast.errors import OperatorError
from holdfast.pki.names import is_address, wire_name
from holdfast.tls.starttls import DIALOGUES, DIRECT


@dataclass(frozen=True, slots=True)
class Target:
    """`text` is what was written; `host` has no brackets; `starttls` is a protocol or None."""

    text: str
    host: str
    port: int
    starttls: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Raise `OperatorError` for what names no server."""
        written = text.strip()
        scheme, mark, rest = written.partition("://")
        scheme = scheme.lower() if mark else ""
        rest = rest if mark else written
        if scheme and scheme not in DIALOGUES and scheme not in DIRECT:
            raise _unfit(text, f"the scheme {scheme!r} is not known", _SCHEMES)
        starttls = scheme if scheme in DIALOGUES else None
        usual = DIALOGUES[scheme].port if starttls else DIRECT.get(scheme, 443)
        host, port = _host_port(text, rest, usual)
        return cls(written, host, port, starttls)

    @property
    def protocol(self) -> str:
        """The row of the STARTTLS table that is spoken there, before TLS or within it; "" where
        HTTP may be."""
        if self.starttls is not None:
            return self.starttls
        scheme, mark, _ = self.text.partition("://")
        return _WITHIN.get(DIRECT.get(scheme.lower(), self.port) if mark else self.port, "")

    def __str__(self) -> str:
        return self.text


_WITHIN = {DIRECT[row.direct]: scheme for scheme, row in DIALOGUES.items() if row.direct != "tls"}
"""The protocols that have a port with TLS from the first byte, by that port."""


def protocol_of(text: str) -> str:
    """`Target.protocol` of what was written; "" for what names no server."""
    try:
        return Target.parse(text).protocol
    except OperatorError:
        return ""


_SCHEMES = "one of " + ", ".join([*sorted(DIRECT), *sorted(DIALOGUES)])
_SHAPE = "write host, host:port, [v6 address]:port or scheme://host"


def _host_port(text: str, rest: str, usual: int) -> tuple[str, int]:
    if is_address(rest) and ":" in rest:  # a bare IPv6 address
        return rest, usual
    try:
        parts = urlsplit("//" + rest)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _unfit(text, str(error), _SHAPE) from error
    if not host or "@" in parts.netloc or port == 0:
        raise _unfit(text, "no host and port can be read from it", _SHAPE)
    if not is_address(host.partition("%")[0]):
        host = wire_name(host)
        if not set(host) <= _NAME:
            raise _unfit(text, f"{host!r} is not a host name", _SHAPE)
    return host, port or usual


_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")


def _unfit(text: str, problem: str, hint: str) -> OperatorError:
    return OperatorError(f"{text!r} is not a target: {problem}", hint=hint)


def parse_list(data: str, *, name: str) -> list[Target]:
    """The targets of a file: one a line, `#` begins a comment."""
    targets = []
    for number, line in enumerate(data.splitlines(), 1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        try:
            targets.append(Target.parse(word))
        except OperatorError as error:
            raise OperatorError(
                f"{name}, line {number}: {error.message}", hint=error.hint
            ) from None
    return targets
