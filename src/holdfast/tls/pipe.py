"""TLS without sockets: bytes from the network in, bytes for the network out.

Laws: no I/O, no clock, no logging. Whatever OpenSSL says leaves this floor as `PeerError` or
`Unavailable` in plain words. `server.py` and `client.py` say what the two ends do. Bytes go to
OpenSSL by pyOpenSSL's own functions below its methods, which cost a proxy a tenth of its time; what
does not go well there is left to the methods.
"""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from holdfast.errors import HoldfastError, PeerError, Unavailable

RECORD = 16384  # bytes; RFC 8446 5.1: what one record carries at most, and one SSL_write takes
SOME = 20 * 1024  # bytes
_buffer = ffi.new_allocator(should_clear_after_alloc=False)
APPLICATION_DATA = 23  # RFC 8446 B.1 ContentType


class Pipe:
    """One TLS connection: give it what came with `receive`, send what `outgoing` gives.

    After any call, also one that raised, `outgoing` may hold bytes (an alert, a close_notify).
    `connection` None: `_begin_with` gives it before the first bytes are given to OpenSSL.
    """

    _connection: SSL.Connection

    def __init__(self, connection: SSL.Connection | None) -> None:
        self._begun = False
        if connection is not None:
            self._begin_with(connection)
        self.established = False
        self.peer_closed = False
        self._closing = False
        self._records = _RecordCount()

    def _begin_with(self, connection: SSL.Connection) -> None:
        self._connection, self._begun = connection, True

    def begin(self) -> None:
        """Start a client's handshake; a server's begins with the first `receive`."""
        self._handshake()

    @property
    def quiet(self) -> bool:
        """The last `receive` left nothing to send that could not wait for the next `send`."""
        return not self._records.others

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext, give back the plaintext it held.

        Raise `PeerError` when the peer breaks TLS, sends an alert, or offers nothing we share.
        """
        if not self._begun:
            data = self._first(data)
        if not data:
            return b""
        if lib.BIO_write(self._connection._into_ssl, data, len(data)) != len(data):
            raise Unavailable("TLS: out of memory", failure="tls")
        self._records.add(data)
        if not self.established and not self._handshake():
            return b""
        return self._read()

    def _first(self, data: bytes) -> bytes:
        """What `data` and what came before it begin the connection with, b"" while that is too
        little."""
        raise NotImplementedError

    def eof(self) -> None:
        """Say that the peer's bytes ended; raise `Unavailable` when the handshake was under way."""
        if not self.established:
            raise Unavailable(
                "the peer closed the connection in the middle of the TLS handshake",
                failure="tls",
                hint="the server may not speak TLS on this port, or want another TLS version",
            )
        self.peer_closed = True

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt `data`; fetch the records with `outgoing`."""
        if len(data) <= RECORD:
            if type(data) is bytes:
                connection = self._connection
                result = lib.SSL_write(connection._ssl, data, len(data))
                if result == len(data):
                    return
                try:
                    connection._raise_ssl_error(connection._ssl, result)
                except SSL.Error as error:
                    raise translated(error, "sending") from None
            try:
                self._connection.send(data)
            except SSL.Error as error:
                raise translated(error, "sending") from None
            return
        view = memoryview(data)
        for start in range(0, len(view), RECORD):
            try:
                self._connection.send(view[start : start + RECORD])
            except SSL.Error as error:
                raise translated(error, "sending") from None

    def outgoing(self) -> bytes:
        """All the bytes that wait for the network."""
        if not self._begun:
            return b""
        waiting = self._connection._from_ssl
        size = SOME  # a flight or a record's worth; only then is a larger buffer worth its price
        buffer = _buffer("char[]", size)
        count = lib.BIO_read(waiting, buffer, size)
        if count < size:
            return ffi.buffer(buffer, count)[:] if count > 0 else b""
        parts: list[bytes] = []
        while count > 0:
            parts.append(ffi.buffer(buffer, count)[:])
            size = 65536
            buffer = _buffer("char[]", size)
            count = lib.BIO_read(waiting, buffer, size)
        return b"".join(parts)

    def close(self) -> None:
        """Say close_notify, once; reading goes on until the peer says it too (RFC 8446 6.1)."""
        if self._closing or not self.established:
            return
        self._closing = True
        try:
            self._connection.shutdown()
        except SSL.Error:
            self.peer_closed = True

    @property
    def version(self) -> str:
        """For example "TLSv1.3"."""
        return self._connection.get_protocol_version_name()

    @property
    def cipher(self) -> str:
        return self._connection.get_cipher_name() or ""

    @property
    def alpn(self) -> str:
        """The protocol agreed on, "" when none was."""
        return self._connection.get_alpn_proto_negotiated().decode("ascii", "replace")

    @property
    def own_certificate(self) -> bytes:
        """The DER of the certificate this end showed, b"" when it showed none."""
        certificate = self._connection.get_certificate(as_cryptography=True)
        return certificate.public_bytes(Encoding.DER) if certificate is not None else b""

    @property
    def server_name(self) -> str:
        """What the client named by SNI, "" when nothing."""
        return (self._connection.get_servername() or b"").decode("ascii", "replace").lower()

    def _handshake(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise self._failed(translated(error, "the handshake")) from None
        self.established = True
        return True

    def _failed(self, error: HoldfastError) -> HoldfastError:
        """What a handshake that failed by `error` is told as."""
        return error

    def _read(self) -> bytes:
        parts: list[bytes] = []
        connection = self._connection
        while not self.peer_closed:
            buffer = _buffer("char[]", RECORD)
            count = lib.SSL_read(connection._ssl, buffer, RECORD)
            try:
                if count <= 0:
                    connection._raise_ssl_error(connection._ssl, count)
                part: bytes = ffi.buffer(buffer, count)[:]
                if not parts and self._records.only():
                    return part
                parts.append(part)
            except SSL.WantReadError:
                self._records.clear()
                break
            except SSL.ZeroReturnError:
                self.peer_closed = True
            except SSL.Error as error:
                raise translated(error, "receiving") from None
            # Python's exception per read is the dear part: stop when no whole record is left
            if self._records.taken():
                break
        return b"".join(parts)


class _RecordCount:
    """Counts whole application data records that were given and not yet read."""

    __slots__ = ("_header", "_kind", "_left", "_other", "_whole", "others")

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._kind = APPLICATION_DATA
        self._whole = 0
        self._other = False
        self.others = False  # records of other kinds were in what was added last

    def add(self, data: bytes) -> None:
        size = len(data)
        self.others = False
        if not self._left and not self._header and size > 5 and data[0] == APPLICATION_DATA:
            left = 5 + ((data[3] << 8) | data[4]) - size
            if left >= 0:  # one record or a part of one, as most reads are
                self._left, self._kind = left, APPLICATION_DATA
                self._whole += not left
                return
        position = 0
        while position < size:
            if not self._left and not self._header:
                end = position + 5
                if end <= size:  # a header that is whole, as nearly all are
                    end += (data[position + 3] << 8) | data[position + 4]
                    self._kind = data[position]
                    if end > size:
                        self._left = end - size
                        return
                    position = end
                    self._whole += 1
                    if self._kind != APPLICATION_DATA:
                        self._other = self.others = True
                    continue
            if self._left:
                step = min(self._left, size - position)
                self._left -= step
                position += step
            else:
                take = data[position : position + 5 - len(self._header)]
                self._header += take
                position += len(take)
                if len(self._header) < 5:
                    return
                self._kind = self._header[0]
                self._left = int.from_bytes(self._header[3:5], "big")
                self._header = b""
            if not self._left:
                self._whole += 1
                if self._kind != APPLICATION_DATA:
                    self._other = self.others = True

    def only(self) -> bool:
        """True, and counted as read, when one application record was there and nothing else."""
        if self._whole == 1 and not self._other:
            self._whole = 0
            return True
        return False

    def taken(self) -> bool:
        """Count one record as read; True when there is surely nothing more to read."""
        self._whole -= 1
        return self._whole <= 0 and not self._other

    def clear(self) -> None:
        self._whole = 0
        self._other = False


# -- errors -----------------------------------------------------------------------------------

_CLEAR = {
    "alert handshake failure": "the peer found nothing in common (alert handshake_failure)",
    "alert protocol version": "the peer does not speak this TLS version (alert protocol_version)",
    "alert unrecognized name": "the peer knows no such name (alert unrecognized_name)",
    "alert internal error": "the peer failed inside (alert internal_error)",
    "alert bad certificate": "the peer refused the certificate (alert bad_certificate)",
    "alert certificate required": "the peer wants a client certificate",
    "unsupported protocol": "the peer speaks only another TLS version",
    "no protocols available": "the peer speaks only another TLS version",
    "wrong version number": "the peer does not speak TLS here",
    "packet length too long": "the peer does not speak TLS here",
    "record layer failure": "the peer does not speak TLS here",
    "http request": "the peer spoke plain HTTP",
    "https proxy request": "the peer spoke plain HTTP",
    "no shared cipher": "no cipher in common",
    "excessive message size": "a message is larger than OpenSSL takes (100 KB of certificates, "
    "16 KB of staple in TLS 1.2)",
    "no suitable signature algorithm": "no certificate fits the client's signature algorithms",
}
# OpenSSL puts a protocol before an alert's name: "sslv3 alert ...", "tlsv13 alert ..."
_ALERT = re.compile(r"^(?:\S+ )?(?=alert )")


def translated(error: SSL.Error, where: str) -> HoldfastError:
    if isinstance(error, SSL.SysCallError):
        return Unavailable(
            f"TLS: the peer closed the connection in {where}",
            failure="tls",
            hint="the server may want another TLS version, or not speak TLS on this port",
        )
    return PeerError(f"TLS: {where} failed: {words(error)}")


def words(error: SSL.Error) -> str:
    """The last reason of pyOpenSSL's error queue [(library, function, reason)], in plain words."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = [str(entry[-1]) for entry in queue if entry and entry[-1]]
    for reason in reasons:
        plain = _ALERT.sub("", reason.lower())
        if plain in _CLEAR:
            return _CLEAR[plain]
    return reasons[0] if reasons else type(error).__name__
