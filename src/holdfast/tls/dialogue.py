"""A dialogue: the plain words of one protocol before TLS, as steps; and how its messages are read.

Laws: shapes and pure functions only; `whole` functions look at bytes that a peer sent and give a
length or 0, never more than there is. What a server said is told in words where its protocol is
binary: LDAP's result (RFC 4511 4.1.9), MySQL's error, RDP's failure code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import Malformed

QUOTED = 200  # bytes of what a server said, its last ones


def quoted(message: bytes) -> str:
    """What a server said, for a message to the operator; "" for nothing."""
    lines = message[-QUOTED:].decode("latin-1").split("\n")
    text = " / ".join(line.strip() for line in lines if line.strip())
    return repr(text) if text else ""


@dataclass(frozen=True, slots=True)
class Send:
    """`data` with `{host}` replaced; the bytes are ASCII or have no braces."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Read one message. `whole(buffer)` gives its length, 0 while it is not whole; `agrees` is a
    pattern that must be found in it; `said` tells in words what another message means, and one
    in which `turned_away` is found is not about TLS: the server wants nothing of us. `advice`: what
    to do where the row's is not it."""

    whole: Callable[[bytes], int]
    agrees: bytes
    what: str
    said: Callable[[bytes], str] = quoted
    turned_away: bytes | None = None
    advice: str = ""


Step = Send | Expect


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """The steps of one protocol, its usual port and its specification.

    `direct`: the scheme of the same protocol with TLS from the first byte. `advice`: how an
    operator turns TLS on in the servers that people run; `stapling`: which of them can staple.
    """

    port: int
    spec: str
    steps: tuple[Step, ...]
    direct: str
    advice: str
    stapling: str

    @property
    def greets(self) -> bool:
        """The server speaks first."""
        return isinstance(self.steps[0], Expect)


# -- when is a message whole? Each gives its length, or 0 --------------------------------------


def line(buffer: bytes) -> int:
    return buffer.find(b"\n") + 1


def reply(buffer: bytes) -> int:
    """SMTP, FTP, NNTP: lines "250-..." up to one "250 ..." (RFC 5321 4.2.1)."""
    found = re.search(rb"^\d{3}(?: [^\n]*|\r?)\n", buffer, re.MULTILINE)
    if found is not None:
        return found.end()
    first = buffer.partition(b"\n")
    if first[1] and not re.match(rb"\d{3}[- \r\n]", buffer):
        return len(first[0]) + 1  # another protocol: let the pattern refuse it
    return 0


def until(pattern: bytes) -> Callable[[bytes], int]:
    def whole(buffer: bytes) -> int:
        found = re.search(pattern, buffer, re.MULTILINE | re.DOTALL | re.IGNORECASE)
        return found.end() if found is not None else 0

    return whole


def octet(buffer: bytes) -> int:
    return min(len(buffer), 1)


def ber(buffer: bytes) -> int:
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


def mysql_packet(buffer: bytes) -> int:
    if len(buffer) < 4:
        return 0
    end = 4 + int.from_bytes(buffer[:3], "little")
    return end if len(buffer) >= end else 0


def tpkt(buffer: bytes) -> int:
    """RDP: one TPKT (RFC 1006 6)."""
    if len(buffer) < 4:
        return 0
    if buffer[0] != 3:
        return len(buffer)
    end = max(int.from_bytes(buffer[2:4], "big"), 4)
    return end if len(buffer) >= end else 0


# -- what does a message mean? -----------------------------------------------------------------

_LDAP_RESULTS = {
    1: "operationsError",
    2: "protocolError",
    8: "strongerAuthRequired",
    10: "referral",
    13: "confidentialityRequired",
    51: "busy",
    52: "unavailable",
    53: "unwillingToPerform",
    80: "other",
}
_LDAP_RESULT = re.compile(  # ExtendedResponse: resultCode, matchedDN, diagnosticMessage
    rb"\x78(?:[\x00-\x7f]|\x81.|\x82..|\x84....)\x0a\x01(.)\x04([\x00-\x7f])", re.DOTALL
)


def ldap_result(message: bytes) -> str:
    found = _LDAP_RESULT.search(message)
    if found is None:
        return quoted(message)
    code = found[1][0]
    rest = message[found.end() + found[2][0] :]
    text = rest[2 : 2 + rest[1]] if rest[:1] == b"\x04" and len(rest) > 1 else b""
    words = f"resultCode {code} ({_LDAP_RESULTS.get(code, 'see RFC 4511 4.1.9')})"
    return f"{words}, {quoted(text)}" if text.strip() else words


def postgres_answer(message: bytes) -> str:
    return {b"N": "N, that is no TLS", b"E": "E, that is an error"}.get(message, quoted(message))


def mysql_greeting(message: bytes) -> str:
    """Protocol::HandshakeV10, or an ERR_Packet."""
    body = message[4:]
    if body[:1] == b"\xff" and len(body) >= 3:
        return f"error {int.from_bytes(body[1:3], 'little')}, {quoted(body[3:]) or 'no more'}"
    if body[:1] == b"\x0a":
        return f"{quoted(body[1:].partition(bytes(1))[0]) or 'no version'} without CLIENT_SSL"
    return quoted(message)


_RDP_FAILURES = {  # MS-RDPBCGR 2.2.1.2.2
    1: "SSL_REQUIRED_BY_SERVER",
    2: "SSL_NOT_ALLOWED_BY_SERVER",
    3: "SSL_CERT_NOT_ON_SERVER",
    4: "INCONSISTENT_FLAGS",
    5: "HYBRID_REQUIRED_BY_SERVER",
    6: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
}


def rdp_answer(message: bytes) -> str:
    """X.224 connection confirm, with or without RDP_NEG_FAILURE."""
    if message[:1] != b"\x03" or message[5:6] != b"\xd0":
        return quoted(message)
    if message[11:12] == b"\x03":
        code = int.from_bytes(message[15:19], "little")
        return f"RDP_NEG_FAILURE {code} ({_RDP_FAILURES.get(code, 'see MS-RDPBCGR 2.2.1.2.2')})"
    return "a connection with RDP's own encryption, without TLS"
