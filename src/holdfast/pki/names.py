"""Host names in TLS: how they are written on the wire, and which certificate names cover them.

RFC 6125 6.4.3 and RFC 9525 6.3: a wildcard is the whole left-most label and stands for exactly one
label; comparison ignores ASCII case and a trailing dot. An IP address matches only itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from holdfast.errors import OperatorError


def wire_name(host: str) -> str:
    """`host` as SNI and SANs write it: lower case, no trailing dot, IDNA for non-ASCII labels.

    Raise `OperatorError` for a name that cannot be written so.
    """
    bare = host.strip().rstrip(".")
    try:
        wire = bare.encode("ascii").decode() if bare.isascii() else bare.encode("idna").decode()
    except UnicodeError as error:
        raise OperatorError(
            f"{host!r} is not a host name: {error}", hint="write the name as DNS has it"
        ) from error
    if not wire or len(wire) > 253 or any(c.isspace() or c == "\0" for c in wire):
        raise OperatorError(f"{host!r} is not a host name", hint="write the name as DNS has it")
    return wire.lower()


def is_address(host: str) -> bool:
    """True for an IPv4 or IPv6 literal, which is never sent as SNI (RFC 6066 3)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def covers(pattern: str, host: str) -> bool:
    """True when the certificate name `pattern` stands for `host`."""
    if is_address(host) or is_address(pattern):
        return (
            is_address(host)
            and is_address(pattern)
            and ipaddress.ip_address(host) == ipaddress.ip_address(pattern)
        )
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == host
    label, dot, parent = host.partition(".")
    return bool(label and dot) and parent == pattern[2:] and "." in parent


def any_covers(patterns: Iterable[str], host: str) -> bool:
    return any(covers(pattern, host) for pattern in patterns)
