"""STARTTLS: the few plain words before TLS begins, played from a row of the table.

No I/O: `Starttls` takes and gives bytes. Laws: what a peer says is bounded; a refusal is `Refused`,
a broken word `Malformed`; not one byte after the agreement is read in the clear (CVE-2011-0411).
"""

from __future__ import annotations

import re

from holdfast.errors import Malformed, PeerError
from holdfast.tls.dialogue import Expect, Send, quoted
from holdfast.tls.starttls_table import DIALOGUES, DIRECT

__all__ = ["DIALOGUES", "DIRECT", "MAX_DIALOGUE", "Injected", "Refused", "Starttls"]

MAX_DIALOGUE = 64 * 1024  # bytes a server may say before TLS; EHLO answers are under 2 KiB
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._:%-]")  # names and addresses, nothing else
_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # RFC 8446 5.1: type and legacy version
_TYPES = b"\x14\x15\x16\x17"


class Refused(PeerError):
    """The server did not agree to STARTTLS."""


class Injected(PeerError):
    """Plain text came where TLS had to begin; somebody else may have sent it."""


class Starttls:
    """One dialogue under way: send `outgoing()`, give `receive()` what came, until `done`.

    `host` is what a protocol that names the server calls it.
    """

    def __init__(self, scheme: str, *, host: str) -> None:
        self._dialogue = DIALOGUES[scheme]
        self._scheme = scheme
        # It comes to stand in XMPP's stream header, where a quote would end it
        self._host = _NOT_A_NAME.sub("", host).encode("ascii")
        self._left = list(self._dialogue.steps)
        self._buffer = b""
        self._heard = 0
        self._out = b""
        self._advance()

    @property
    def done(self) -> bool:
        """The next byte either way is TLS."""
        return not self._left

    @property
    def advice(self) -> str:
        """What to do when the server says no, or nothing (more)."""
        if self._heard or not self._dialogue.greets:
            return self._dialogue.advice
        return self._other_scheme("a server that does not greet often speaks TLS at once")

    def outgoing(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> None:
        """Raise `Refused` when the server says no, `Malformed` when it speaks another language,
        `Injected` when more than its agreement came."""
        self._heard += len(data)
        self._buffer += data
        if self._heard > MAX_DIALOGUE:
            raise Malformed(self._scheme, f"more than {MAX_DIALOGUE} bytes before TLS")
        if self._heard == len(self._buffer) and _RECORD.match(self._buffer):
            raise Refused(
                f"{self._scheme}: the server answered with a record of TLS, not in plain words",
                hint=self._other_scheme("it speaks TLS from the first byte"),
            )
        self._advance()

    def first_record(self, data: bytes) -> None:
        """What the server sent first after the agreement: raise `Injected` if it is no TLS."""
        if data and data[0] not in _TYPES:
            raise self._injected(data)

    def eof(self) -> None:
        """The server ended the connection."""
        said = quoted(self._buffer)
        hint = self.advice
        if not self._heard and not self._dialogue.greets:
            hint = (
                self._other_scheme("a server that speaks TLS at once may end so") + f"; or {hint}"
            )
        raise Refused(
            f"{self._scheme}: the server closed the connection before TLS began"
            + (f", after {said}" if said else ""),
            hint=hint,
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
                        f" {step.said(message) or 'an empty line'}",
                        hint=self._refusal_hint(step, message),
                    )
            del self._left[0]
        if self._buffer:
            raise self._injected(self._buffer)

    def _injected(self, data: bytes) -> Injected:
        return Injected(
            f"{self._scheme}: {len(data)} bytes in the clear came after the agreement to TLS:"
            f" {quoted(data)}",
            failure="injected",
            hint="somebody on the way may have put them there, and a client that reads them as if"
            " TLS had brought them is fooled (CVE-2011-0411): look at what is on the way, and"
            " update the server",
        )

    def _refusal_hint(self, step: Expect, message: bytes) -> str:
        if step.turned_away is not None and re.search(step.turned_away, message, re.DOTALL):
            return (
                "it speaks another protocol, or wants nothing of this machine: look at the port, at"
                " that server's log and at whom it lets in"
            )
        return step.advice or f"{self._dialogue.advice}; or look at the port"

    def _other_scheme(self, why: str) -> str:
        return f"{why}: check {self._dialogue.direct}://HOST:PORT instead, or another port"
