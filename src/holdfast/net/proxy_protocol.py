"""The PROXY protocol, versions 1 and 2: whose connection this is, said before its first byte.

Laws: reads what a load balancer sent, so anything gives a header, None for "more is to come", or a
`Malformed`; nothing longer than the protocol allows is waited for. A header that is missing where
it must be is an error, never a guess: who may send one is decided by address, before it is read.
https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from holdfast.errors import Malformed, OperatorError

Version = Literal["v1", "v2"]
Place = tuple[str, int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1 = 107  # bytes, 2.1
MAX_V2 = 16 + 4096  # bytes; 2.2 asks for 536 at least, and our TLVs are names
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
ALPN, AUTHORITY, SSL = 0x01, 0x02, 0x20  # 2.2.1 to 2.2.5
SSL_VERSION, SSL_CIPHER = 0x21, 0x23
CLIENT_SSL = 0x01
NO_CLIENT_CERTIFICATE = b"\x00\x00\x00\x01"  # `verify` is 0 only for one that was verified


@dataclass(frozen=True, slots=True)
class Ends:
    """A client's connection: where it comes from and where it went to."""

    source: Place
    target: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What version 2 can say of the client's TLS."""

    version: str = ""
    cipher: str = ""
    alpn: str = ""
    server_name: str = ""


def write_header(version: Version, ends: Ends, tls: Tls | None = None) -> bytes:
    """What is sent to the upstream before the client's bytes; version 1 has no room for `tls`."""
    source, target = _address(ends.source[0]), _address(ends.target[0])
    if source is None or target is None:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else SIGNATURE + bytes([LOCAL, 0, 0, 0])
    if source.version != target.version:
        source, target = _as_v6(source), _as_v6(target)
    if version == "v1":
        line = f"PROXY TCP{source.version} {source} {target} {ends.source[1]} {ends.target[1]}\r\n"
        return line.encode("ascii")
    block = source.packed + target.packed
    block += ends.source[1].to_bytes(2, "big") + ends.target[1].to_bytes(2, "big")
    if tls is not None:
        block += _tls(tls)
    family = TCP4 if source.version == 4 else TCP6
    return SIGNATURE + bytes([PROXY, family]) + len(block).to_bytes(2, "big") + block


def read_header(data: bytes) -> tuple[Ends | None, int] | None:
    """(ends, length) of the header that `data` begins with; None while it is not whole.

    The ends are None where the sender speaks for itself, as in its own health checks.
    """
    if data.startswith(SIGNATURE):
        return _read_v2(data)
    if data.startswith(b"PROXY "):
        return _read_v1(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise Malformed("PROXY header", "neither version 1 nor 2", hint=_HINT)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """`10.0.0.0/8`, `::1`, ...; `OperatorError` for anything else."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip()))
        except ValueError as error:
            raise OperatorError(
                f"{text!r} is not a network: {error}", hint="write it as 10.0.0.0/8 or 192.0.2.7"
            ) from error
    return tuple(found)


def within(host: str, nets: tuple[Network, ...]) -> bool:
    """Whether the address `host` is in one of `nets`."""
    if not nets:
        return False
    address = _address(host)
    return address is not None and any(
        address.version == net.version and address in net for net in nets
    )


_HINT = "let the load balancer send it (haproxy: send-proxy-v2), or leave its address out"


def _read_v1(data: bytes) -> tuple[Ends | None, int] | None:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise Malformed("PROXY header", f"version 1 without an end in {MAX_V1} bytes")
        return None
    words = data[:end].decode("ascii", "replace").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return None, end + 2
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise Malformed("PROXY header", "version 1 with other words than TCP4, TCP6 or UNKNOWN")
    try:
        kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
        source, target = kind(words[2]), kind(words[3])
        ports = [_port(words[4]), _port(words[5])]
    except ValueError as error:
        raise Malformed("PROXY header", f"version 1: {error}") from error
    return Ends((str(source), ports[0]), (str(target), ports[1])), end + 2


def _port(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 5 or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


def _read_v2(data: bytes) -> tuple[Ends | None, int] | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (LOCAL, PROXY):
        raise Malformed("PROXY header", f"version 2 with the command {command:#04x}", offset=12)
    if 16 + length > MAX_V2:
        raise Malformed("PROXY header", f"version 2 of {length} bytes", offset=14)
    if len(data) < 16 + length:
        return None
    if command == LOCAL or family not in (TCP4, TCP6):
        return None, 16 + length
    size = 4 if family == TCP4 else 16
    if length < 2 * size + 4:
        raise Malformed("PROXY header", "version 2 too short for its addresses", offset=14)
    block = data[16 : 16 + length]
    source, target = (str(ipaddress.ip_address(block[start : start + size])) for start in (0, size))
    ports = [int.from_bytes(block[at : at + 2], "big") for at in (2 * size, 2 * size + 2)]
    return Ends((source, ports[0]), (target, ports[1])), 16 + length


def _tls(tls: Tls) -> bytes:
    block = b"".join(
        _tlv(kind, text.encode("ascii", "replace"))
        for kind, text in ((ALPN, tls.alpn), (AUTHORITY, tls.server_name))
        if text
    )
    inner = bytes([CLIENT_SSL]) + NO_CLIENT_CERTIFICATE
    inner += _tlv(SSL_VERSION, tls.version.encode("ascii", "replace"))
    inner += _tlv(SSL_CIPHER, tls.cipher.encode("ascii", "replace"))
    return block + _tlv(SSL, inner)


def _tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def _address(host: str) -> Address | None:
    """The address, an IPv4 one in IPv6 clothes undressed; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _as_v6(address: Address) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(b"\x00" * 10 + b"\xff\xff" + address.packed)
