"""One real handshake with one address, and what it showed.

Laws: one deadline bounds all of it; the address policy is asked by `dial`; whatever the other side
does ends in an `Observation`, never in an exception; key material is forgotten at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import time

from holdfast.errors import HoldfastError, Malformed, PeerError, Unavailable
from holdfast.net.dial import OPERATOR, Address, AddressPolicy, connect
from holdfast.pki.certificate import Certificate
from holdfast.tls.client import Authentication, ClientTLS, Version
from holdfast.tls.observation import Failure, FailureKind, Observation
from holdfast.tls.starttls import Injected, Starttls
from holdfast.tls.tap import Flight, read_flight

TIMEOUT = 10.0  # seconds for one handshake, dialling and STARTTLS included
LINGER = 0.3  # seconds without a byte after which a flight that OpenSSL has refused is over

MAX_READS = 64  # of that rest; each is parsed from the beginning


async def probe(
    address: Address,
    *,
    server_name: str | None,
    version: Version = "any",
    authentication: Authentication = "any",
    starttls: str | None = None,
    host: str = "",
    timeout: float = TIMEOUT,
    policy: AddressPolicy = OPERATOR,
) -> Observation:
    """Dial `address`, speak `starttls` if it is a protocol's name, and shake hands.

    `server_name` goes into SNI (None, or an IP address: no SNI); `host` is what STARTTLS dialogues
    call the server.
    """
    attempt = _Attempt(address, server_name, version, authentication)
    try:
        async with asyncio.timeout(timeout):
            try:
                await attempt.run(starttls, host or server_name or address.ip, timeout, policy)
            finally:
                attempt.end()
    except TimeoutError:
        attempt.fail(f"no answer within {timeout:g} s", failure="timeout")
    except Unavailable as error:
        attempt.fail(error.message, failure=error.failure)
    except HoldfastError as error:
        attempt.fail(error.message, hint=error.hint)
    except OSError as error:
        attempt.fail(error.strerror or str(error), failure="connect")
    return attempt.observation()


class _Attempt:
    """What is known so far."""

    def __init__(
        self,
        address: Address,
        server_name: str | None,
        version: Version,
        authentication: Authentication,
    ) -> None:
        self._address = address
        self._asked = version
        self._authentication: Authentication = authentication
        self._tls = ClientTLS(server_name, version=version, authentication=authentication)
        self._sni = server_name if self._tls.named else None
        self._sock: socket.socket | None = None
        self._begun = 0.0
        self._milliseconds = 0.0
        self._dialogue: Starttls | None = None
        self._stage: FailureKind = "unreachable"
        self._error: Failure | None = None

    async def run(
        self, starttls: str | None, host: str, timeout: float, policy: AddressPolicy
    ) -> None:
        loop = asyncio.get_running_loop()
        ip, port = self._address.ip, self._address.port
        dialled = await connect(
            ip, port, policy=policy, timeout=timeout, addresses=(self._address,)
        )
        sock = self._sock = dialled.sock
        if starttls is not None:
            self._stage = "starttls-refused"
            self._dialogue = Starttls(starttls, host=host)
            await _agree(sock, self._dialogue)
        self._stage = "tls-handshake-failed"
        self._begun = time.perf_counter()
        tls = self._tls
        try:
            tls.begin()
            while not tls.established:
                await loop.sock_sendall(sock, tls.outgoing())
                data = await loop.sock_recv(sock, 65536)
                if not data:
                    tls.eof()
                self._begins(data)
                try:
                    tls.receive(data)
                except HoldfastError:
                    await self._rest(sock)
                    raise
            self._milliseconds = (time.perf_counter() - self._begun) * 1000
            tls.close()
        finally:
            # The Finished and close_notify, or the alert; the server may be gone by now.
            with contextlib.suppress(OSError):
                await loop.sock_sendall(sock, tls.outgoing())

    def _begins(self, data: bytes) -> None:
        """Text that was put behind the agreement may come in a segment of its own."""
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            try:
                dialogue.first_record(data)
            except Injected:
                self._stage, self._dialogue = "starttls-refused", dialogue
                raise

    async def _rest(self, sock: socket.socket) -> None:
        """What is left of a flight in which OpenSSL refused something, a staple of 64 KB say. Read
        before the alert is sent: a server resets the connection at it, and with it what waits."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(Malformed, TimeoutError, OSError):
            for _ in range(MAX_READS):
                flight = read_flight(bytes(self._tls.captured), self._tls.secrets)
                if not flight.version or flight.whole:
                    return
                async with asyncio.timeout(LINGER):
                    data = await loop.sock_recv(sock, 1 << 18)
                if not data:
                    return
                try:
                    self._tls.capture(data)
                except PeerError:  # enough; what OpenSSL refused is the news
                    return

    def end(self) -> None:
        if self._begun and not self._milliseconds:
            self._milliseconds = (time.perf_counter() - self._begun) * 1000
        if self._sock is not None:
            self._sock.close()

    def fail(self, problem: str, *, failure: str = "", hint: str = "") -> None:
        """It went wrong at this stage. In STARTTLS's dialogue there is advice to give."""
        if self._stage == "starttls-refused" and self._dialogue is not None:
            hint = hint or self._dialogue.advice
        else:
            hint = ""
        self._error = Failure(self._stage, problem, failure=failure, hint=hint)

    def observation(self) -> Observation:
        tls, flight = self._tls, self._flight()
        chain = tuple(entry.certificate for entry in flight.entries)
        staples = tuple(entry.staple for entry in flight.entries)
        if tls.established and not chain:
            chain, staples = tls.chain, (tls.staple or None,)
        return Observation(
            address=str(self._address),
            sni=self._sni,
            asked=self._asked,
            authentication=self._authentication,
            tls=tls.version if tls.established else flight.version,
            cipher=tls.cipher if tls.established else "",
            key_type=_key_type(chain),
            milliseconds=round(self._milliseconds, 3),
            chain=chain,
            staples=staples,
            error=self._error,
        )

    def _flight(self) -> Flight:
        try:
            return read_flight(bytes(self._tls.captured), self._tls.secrets)
        except Malformed:  # OpenSSL's own account is what is left
            return Flight()
        finally:
            self._tls.forget()


async def _agree(sock: socket.socket, dialogue: Starttls) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await loop.sock_sendall(sock, dialogue.outgoing())
        if dialogue.done:
            return
        # Small reads would not help against text glued behind the agreement: that is refused.
        data = await loop.sock_recv(sock, 4096)
        if not data:
            dialogue.eof()
        dialogue.receive(data)


def _key_type(chain: tuple[bytes, ...]) -> str:
    return _key_type_of(chain[0]) if chain else ""


@functools.lru_cache(maxsize=64)
def _key_type_of(leaf: bytes) -> str:
    """Every handshake with a server shows the same."""
    try:
        return Certificate(leaf).key_type
    except Malformed:
        return ""
