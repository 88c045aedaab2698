"""STARTTLS: the few plain words before TLS begins, one row for each protocol.

A dialogue is a list of steps: send these bytes, or read one message and see that it agrees. No I/O:
`Starttls` takes and gives bytes. Laws: what a peer says is bounded; a refusal is `Refused`, a
broken word `Malformed`; not one byte after the agreement is read in the clear (CVE-2011-0411).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import Malformed, PeerError

MAX_DIALOGUE = 64 * 1024  # bytes a server may say before TLS; EHLO answers are under 2 KiB
OURS = "holdfast.invalid"  # how we name ourselves; RFC 2606


class Refused(PeerError):
    """The server did not agree to STARTTLS."""


@dataclass(frozen=True, slots=True)
class Send:
    """`data` with `{host}` replaced; the bytes are ASCII or have no braces."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Read one message. `whole(buffer)` gives its length, 0 while it is not whole; `agrees` is a
    pattern that must be found in it."""

    whole: Callable[[bytes], int]
    agrees: bytes
    what: str


Step = Send | Expect


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The steps of one protocol, its usual port and its specification."""

    port: int
    spec: str
    steps: tuple[Step, ...]


class Starttls:
    """One dialogue under way: send `outgoing()`, give `receive()` what came, until `done`."""

    def __init__(self, scheme: str, *, host: str) -> None:
        self._dialogue = DIALOGUES[scheme]
        self._scheme = scheme
        self._host = host.encode("ascii", "ignore")
        self._left = list(self._dialogue.steps)
        self._buffer = b""
        self._heard = 0
        self._out = b""
        self._advance()

    @property
    def done(self) -> bool:
        """The next byte either way is TLS."""
        return not self._left

    def outgoing(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> None:
        """Raise `Refused` when the server says no, `Malformed` when it speaks another language."""
        self._heard += len(data)
        self._buffer += data
        if self._heard > MAX_DIALOGUE:
            raise Malformed(self._scheme, f"more than {MAX_DIALOGUE} bytes before TLS")
        self._advance()

    def eof(self) -> None:
        """The server ended the connection."""
        said = _quoted(self._buffer)
        raise Refused(
            f"{self._scheme}: the server closed the connection before TLS began"
            + (f", after {said}" if said else ""),
            hint="is this the port of that protocol, and STARTTLS turned on?",
        )

    def _advance(self) -> None:
        while self._left:
            step = self._left[0]
            if isinstance(step, Send):
                self._out += step.data.replace(b"{host}", self._host)
            else:
                length = step.whole(self._buffer)
                if not length:
                    return
                message, self._buffer = self._buffer[:length], self._buffer[length:]
                if not re.search(step.agrees, message, re.DOTALL | re.MULTILINE | re.IGNORECASE):
                    raise Refused(
                        f"{self._scheme}: {step.what} was expected, the server said"
                        f" {_quoted(message)}",
                        hint="turn STARTTLS on in that server, or check the port",
                    )
            del self._left[0]
        if self._buffer:
            raise Malformed(
                self._scheme,
                f"{len(self._buffer)} bytes in the clear after the agreement to TLS",
                hint="a server that mixes plain text into TLS can be injected into: CVE-2011-0411",
            )


def _quoted(message: bytes) -> str:
    text = message[-200:].decode("latin-1").strip()
    return repr(text) if text else ""


# -- when is a message whole? Each gives its length, or 0 --------------------------------------


def _line(buffer: bytes) -> int:
    return buffer.find(b"\n") + 1


def _reply(buffer: bytes) -> int:
    """SMTP, FTP, NNTP: lines "250-..." up to one "250 ..." (RFC 5321 4.2.1)."""
    found = re.search(rb"^\d{3}(?: [^\n]*|\r?)\n", buffer, re.MULTILINE)
    if found is not None:
        return found.end()
    first = buffer.partition(b"\n")
    if first[1] and not re.match(rb"\d{3}[- \r\n]", buffer):
        return len(first[0]) + 1  # another protocol: let the pattern refuse it
    return 0


def _until(pattern: bytes) -> Callable[[bytes], int]:
    def whole(buffer: bytes) -> int:
        found = re.search(pattern, buffer, re.MULTILINE | re.DOTALL | re.IGNORECASE)
        return found.end() if found is not None else 0

    return whole


def _octets(count: int) -> Callable[[bytes], int]:
    return lambda buffer: count if len(buffer) >= count else 0


def _ber(buffer: bytes) -> int:
    """LDAP: one BER element (RFC 4511 5.1)."""
    if len(buffer) < 2:
        return 0
    if buffer[0] != 0x30:
        return len(buffer)
    length, start = buffer[1], 2
    if length & 0x80:
        start += length & 0x7F
        if length in (0x80, 0xFF) or length & 0x7F > 4:
            raise Malformed("ldap", "a length that LDAP does not use", offset=1)
        if len(buffer) < start:
            return 0
        length = int.from_bytes(buffer[2:start], "big")
    return start + length if len(buffer) >= start + length else 0


def _mysql_packet(buffer: bytes) -> int:
    if len(buffer) < 4:
        return 0
    end = 4 + int.from_bytes(buffer[:3], "little")
    return end if len(buffer) >= end else 0


def _tpkt(buffer: bytes) -> int:
    if len(buffer) < 4:
        return 0
    if buffer[0] != 3:
        return len(buffer)
    end = max(int.from_bytes(buffer[2:4], "big"), 4)
    return end if len(buffer) >= end else 0


def _mail(greeting: bytes) -> tuple[Step, ...]:
    return (
        Expect(_reply, rb"\A220", "a 220 greeting"),
        Send(greeting + b" " + OURS.encode() + b"\r\n"),
        Expect(_reply, rb"^250[- ]STARTTLS\s*$", "STARTTLS among the extensions"),
        Send(b"STARTTLS\r\n"),
        Expect(_reply, rb"\A220", "220 to STARTTLS"),
    )


def _xmpp(namespace: bytes) -> tuple[Step, ...]:
    return (
        Send(
            b"<?xml version='1.0'?><stream:stream xmlns='" + namespace + b"'"
            b" xmlns:stream='http://etherx.jabber.org/streams' to='{host}' version='1.0'>"
        ),
        Expect(
            _until(rb"</stream:features>|<stream:features\s*/>|</?stream:error|</stream:stream>"),
            rb"<starttls\b[^>]*urn:ietf:params:xml:ns:xmpp-tls",
            "starttls among the stream's features",
        ),
        Send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        Expect(
            _until(rb"<(?:\w+:)?(?:proceed|failure)\b[^>]*>(?:\s*</(?:\w+:)?proceed>)?"),
            rb"<(?:\w+:)?proceed\b",
            "proceed",
        ),
    )


_LDAP_OID = b"1.3.6.1.4.1.1466.20037"
_MYSQL_SSL = 0x0800 | 0x0200 | 0x8000  # CLIENT_SSL, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION

DIALOGUES: dict[str, Dialogue] = {
    "smtp": Dialogue(25, "RFC 3207", _mail(b"EHLO")),
    "lmtp": Dialogue(24, "RFC 2033", _mail(b"LHLO")),
    "imap": Dialogue(
        143,
        "RFC 3501 6.2.1",
        (
            Expect(_line, rb"\A\* OK", "an OK greeting"),
            Send(b"a1 STARTTLS\r\n"),
            Expect(_until(rb"^a1 [^\n]*\n"), rb"^a1 OK", "OK to STARTTLS"),
        ),
    ),
    "pop3": Dialogue(
        110,
        "RFC 2595 4",
        (
            Expect(_line, rb"\A\+OK", "a +OK greeting"),
            Send(b"STLS\r\n"),
            Expect(_line, rb"\A\+OK", "+OK to STLS"),
        ),
    ),
    "ftp": Dialogue(
        21,
        "RFC 4217 4",
        (
            Expect(_reply, rb"\A220", "a 220 greeting"),
            Send(b"AUTH TLS\r\n"),
            Expect(_reply, rb"\A234", "234 to AUTH TLS"),
        ),
    ),
    "xmpp": Dialogue(5222, "RFC 6120 5", _xmpp(b"jabber:client")),
    "xmpp-server": Dialogue(5269, "RFC 6120 5", _xmpp(b"jabber:server")),
    "ldap": Dialogue(
        389,
        "RFC 4511 4.14",
        (
            # LDAPMessage 1, ExtendedRequest [APPLICATION 23] with requestName [0]
            Send(b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + _LDAP_OID),
            # messageID 1, ExtendedResponse [APPLICATION 24], resultCode ENUMERATED success
            Expect(
                _ber,
                rb"\A\x30.{1,5}?\x02\x01\x01\x78(?:[\x00-\x7f]|\x81.|\x82..|\x84....)\x0a\x01\x00",
                "resultCode success",
            ),
        ),
    ),
    "postgres": Dialogue(
        5432,
        "PostgreSQL protocol 54.7, SSLRequest",
        (Send(bytes.fromhex("0000000804d2162f")), Expect(_octets(1), rb"\AS", "S to SSLRequest")),
    ),
    "mysql": Dialogue(
        3306,
        "MySQL protocol, SSLRequest",
        (
            # handshake V10: version text, thread id, 8 bytes, 0, then the low capability flags;
            # CLIENT_SSL is bit 3 of their high byte
            Expect(
                _mysql_packet,
                rb"\A...\x00\x0a[^\x00]*\x00.{4}.{8}\x00."
                rb"[\x08-\x0f\x18-\x1f\x28-\x2f\x38-\x3f\x48-\x4f\x58-\x5f\x68-\x6f\x78-\x7f"
                rb"\x88-\x8f\x98-\x9f\xa8-\xaf\xb8-\xbf\xc8-\xcf\xd8-\xdf\xe8-\xef\xf8-\xff]",
                "a handshake with CLIENT_SSL",
            ),
            Send(
                b"\x20\x00\x00\x01"
                + _MYSQL_SSL.to_bytes(4, "little")
                + (1 << 24).to_bytes(4, "little")
                + b"\x2d"
                + bytes(23)
            ),
        ),
    ),
    "sieve": Dialogue(
        4190,
        "RFC 5804 2.2",
        (
            Expect(
                _until(rb"^(?:OK|NO|BYE)\b[^\n]*\n"), rb'^"STARTTLS"', "STARTTLS as a capability"
            ),
            Send(b"STARTTLS\r\n"),
            Expect(_until(rb"^(?:OK|NO|BYE)\b[^\n]*\n"), rb"^OK", "OK to STARTTLS"),
        ),
    ),
    "nntp": Dialogue(
        119,
        "RFC 4642 2.2",
        (
            Expect(_reply, rb"\A20[01]", "a 200 greeting"),
            Send(b"STARTTLS\r\n"),
            Expect(_reply, rb"\A382", "382 to STARTTLS"),
        ),
    ),
    "irc": Dialogue(
        6667,
        "IRCv3 tls",
        (
            Send(b"STARTTLS\r\n"),
            Expect(
                _until(rb"^(?::\S+ )?(?:670|691|4\d\d|ERROR)\b[^\n]*\n"),
                rb"^(?::\S+ )?670\b",
                "670 to STARTTLS",
            ),
        ),
    ),
    "rdp": Dialogue(
        3389,
        "MS-RDPBCGR 2.2.1.1",
        (
            # X.224 connection request with RDP_NEG_REQ for TLS and CredSSP
            Send(bytes.fromhex("030000130ee000000000000100080003000000")),
            Expect(_tpkt, rb"\A\x03\x00..\x0e\xd0.{5}\x02", "RDP_NEG_RSP"),
        ),
    ),
}

DIRECT: dict[str, int] = {
    "https": 443,
    "tls": 443,
    "smtps": 465,
    "imaps": 993,
    "pop3s": 995,
    "ftps": 990,
    "ldaps": 636,
    "nntps": 563,
    "ircs": 6697,
}
"""Schemes that speak TLS from the first byte, and their ports."""
