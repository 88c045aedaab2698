"""What a server's first flight really held: every certificate, each with its staple, raw.

OpenSSL shows a client the leaf's staple only, cannot tell absent from empty, and ends the handshake
at a staple that does not parse. The flight itself tells all: in TLS 1.2 Certificate and
CertificateStatus are in the clear, in TLS 1.3 the handshake traffic secret of the key log opens the
records, and the staple of each certificate is extension 5 of its CertificateEntry.

Laws: reads bytes that a stranger sent, so anything gives a `Flight` or a `Malformed`; a flight that
was cut short gives what came whole. RFC 5246 7.4, RFC 6066 8, RFC 8446 4.4.2, 5.2 and 7.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from holdfast.errors import Malformed

CHANGE_CIPHER_SPEC, HANDSHAKE, APPLICATION_DATA = 20, 22, 23  # RFC 8446 B.1
STATUS_REQUEST, SUPPORTED_VERSIONS = 5, 43  # extensions
OCSP = 1  # RFC 6066 8, CertificateStatusType
TLS13 = 0x0304
_VERSIONS = {
    0x0300: "SSLv3",
    0x0301: "TLSv1",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    TLS13: "TLSv1.3",
}
# RFC 8446 4.1.3: SHA-256 of "HelloRetryRequest"; a ServerHello with it is one
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
MAX_RECORD = 16384 + 2048  # RFC 5246 6.2.3; TLS 1.3 allows less
MAX_RECORDS = 8192  # that are looked at; the smallest that are usual have 512 bytes (RFC 6066 4)
MAX_MESSAGES = 64  # that are looked at; a flight has under ten


class Message(IntEnum):
    """HandshakeType, those that matter here (RFC 8446 B.3)."""

    SERVER_HELLO = 2
    CERTIFICATE = 11
    SERVER_HELLO_DONE = 14
    FINISHED = 20
    CERTIFICATE_STATUS = 22


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate and its staple: None when none was sent, b"" when an empty one was."""

    certificate: bytes
    staple: bytes | None = None


@dataclass(frozen=True, slots=True)
class Flight:
    """`version` is as OpenSSL writes it, "TLSv1.3"; "" when not even a ServerHello came whole.
    `whole`: everything came that tells of certificates and staples."""

    entries: tuple[Entry, ...] = ()
    version: str = ""
    whole: bool = False


def read_flight(captured: bytes, secrets: Sequence[bytes] = ()) -> Flight:
    """What a server sent, from its first byte; `secrets` are the key log's lines (TLS 1.3)."""
    wire = _Wire(captured)
    hello = None
    entries: tuple[Entry, ...] = ()
    whole = False
    for kind, body, offset in wire.messages():
        match kind:
            case Message.SERVER_HELLO:
                hello = _server_hello(body, offset)
                if hello.tls13:
                    wire.expect_tls13()
                if hello.tls13 and not hello.retry:
                    wire.decrypt(hello.cipher, _secret(secrets))
            case Message.CERTIFICATE:
                tls13 = hello is not None and hello.tls13
                entries = _certificate13(body, offset) if tls13 else _certificate12(body, offset)
            case Message.CERTIFICATE_STATUS if entries and hello is not None and not hello.tls13:
                entries = (replace(entries[0], staple=_status(body, offset)), *entries[1:])
            case Message.FINISHED | Message.SERVER_HELLO_DONE:
                whole = True
                break
            case _:
                pass
    return Flight(entries, "" if hello is None else _VERSIONS.get(hello.version, ""), whole)


class _Wire:
    """Records to handshake messages; decrypts once it has been told how."""

    def __init__(self, captured: bytes) -> None:
        self._data = captured
        self._open: _Opener | None = None
        self._tls13 = False

    def expect_tls13(self) -> None:
        """A ChangeCipherSpec is nothing but an old-fashioned habit from here on."""
        self._tls13 = True

    def decrypt(self, cipher: int, secret: bytes | None) -> None:
        """Encrypted records follow."""
        if secret is not None:
            self._open = _Opener.of(cipher, secret)

    def messages(self) -> Iterator[tuple[int, bytes, int]]:
        """(type, body, offset of the record it ended in) of each whole message."""
        waiting = bytearray()  # records may hold a byte each: joined bytes would cost the square
        seen = 0
        for plain, offset in islice(self._handshake_bytes(), MAX_RECORDS):
            waiting += plain
            while len(waiting) >= 4:
                end = 4 + int.from_bytes(waiting[1:4], "big")
                if len(waiting) < end:
                    break
                seen += 1
                if seen > MAX_MESSAGES:
                    return
                message = bytes(waiting[:end])
                del waiting[:end]
                yield message[0], message[4:], offset

    def _handshake_bytes(self) -> Iterator[tuple[bytes, int]]:
        position = 0
        while position + 5 <= len(self._data):
            header = self._data[position : position + 5]
            kind, length = header[0], int.from_bytes(header[3:5], "big")
            if length > MAX_RECORD or header[1] != 3:
                raise Malformed("TLS record", "not a TLS record header", offset=position)
            body = self._data[position + 5 : position + 5 + length]
            if len(body) < length:
                return
            if kind == HANDSHAKE and self._open is None:
                yield body, position
            elif kind == CHANGE_CIPHER_SPEC and not self._tls13:
                return  # what follows is encrypted; in TLS 1.3 it means nothing (RFC 8446 D.4)
            elif kind == APPLICATION_DATA and self._open is not None:
                inner, content = self._open.plaintext(header, body, position)
                if inner == HANDSHAKE:
                    yield content, position
            position += 5 + length


class _Opener:
    """Decrypts the records of one TLS 1.3 traffic secret, in order."""

    def __init__(self, aead: AESGCM | ChaCha20Poly1305, iv: bytes) -> None:
        self._aead = aead
        self._iv = int.from_bytes(iv, "big")
        self._sequence = 0

    @classmethod
    def of(cls, cipher: int, secret: bytes) -> _Opener:
        suites: dict[int, tuple[type[AESGCM | ChaCha20Poly1305], int, hashes.HashAlgorithm]] = {
            0x1301: (AESGCM, 16, hashes.SHA256()),
            0x1302: (AESGCM, 32, hashes.SHA384()),
            0x1303: (ChaCha20Poly1305, 32, hashes.SHA256()),
        }
        if cipher not in suites:
            raise Malformed("ServerHello.cipher_suite", f"{cipher:#06x} was not offered")
        aead, size, digest = suites[cipher]
        if len(secret) != digest.digest_size:
            raise Malformed("key log", f"a secret of {len(secret)} bytes for {cipher:#06x}")
        return cls(
            aead(_expanded(secret, b"key", size, digest)), _expanded(secret, b"iv", 12, digest)
        )

    def plaintext(self, header: bytes, body: bytes, offset: int) -> tuple[int, bytes]:
        """(content type, content) of one record."""
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        try:
            plain = self._aead.decrypt(nonce, body, header).rstrip(b"\0")
        except (InvalidTag, ValueError) as error:
            raise Malformed("TLS record", "does not decrypt", offset=offset) from error
        if not plain:
            raise Malformed("TLS record", "nothing but padding", offset=offset)
        return plain[-1], plain[:-1]


def _expanded(secret: bytes, label: bytes, size: int, digest: hashes.HashAlgorithm) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 7.1)."""
    full = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return HKDFExpand(algorithm=digest, length=size, info=info).derive(secret)


def _secret(lines: Sequence[bytes]) -> bytes | None:
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[0] == b"SERVER_HANDSHAKE_TRAFFIC_SECRET":
            try:
                return bytes.fromhex(words[2].decode("ascii"))
            except ValueError as error:
                raise Malformed("key log", "a secret that is not hexadecimal") from error
    return None


class _Hello(NamedTuple):
    version: int
    cipher: int
    retry: bool

    @property
    def tls13(self) -> bool:
        return self.version == TLS13


def _server_hello(body: bytes, offset: int) -> _Hello:
    reader = _Reader(body, "ServerHello", offset)
    version = reader.number(2)
    random = reader.take(32)
    reader.vector(1)
    cipher = reader.number(2)
    reader.take(1)
    if reader.left:
        for kind, content in _extensions(reader.vector(2)):
            if kind == SUPPORTED_VERSIONS:
                version = content.number(2)
    return _Hello(version, cipher, random == RETRY)


def _certificate12(body: bytes, offset: int) -> tuple[Entry, ...]:
    listed = _Reader(body, "Certificate", offset).vector(3)
    entries = []
    while listed.left:
        entries.append(Entry(listed.vector(3).rest()))
    return tuple(entries)


def _certificate13(body: bytes, offset: int) -> tuple[Entry, ...]:
    reader = _Reader(body, "Certificate", offset)
    reader.vector(1)
    listed = reader.vector(3)
    entries = []
    while listed.left:
        certificate = listed.vector(3).rest()
        staple = None
        for kind, content in _extensions(listed.vector(2)):
            if kind == STATUS_REQUEST:
                staple = _status(content.rest(), offset)
        entries.append(Entry(certificate, staple))
    return tuple(entries)


def _status(body: bytes, offset: int) -> bytes:
    """The response in a CertificateStatus (RFC 6066 8); the whole of what is none, as what the
    server sends for one."""
    reader = _Reader(body, "CertificateStatus", offset)
    try:
        kind, response = reader.number(1), reader.vector(3).rest()
    except Malformed:
        return body
    return response if kind == OCSP and not reader.left else body


def _extensions(reader: _Reader) -> Iterator[tuple[int, _Reader]]:
    while reader.left:
        yield reader.number(2), reader.vector(2)


class _Reader:
    """Reads TLS presentation language; `offset` is that of the record, for messages."""

    def __init__(self, data: bytes, what: str, offset: int) -> None:
        self._data, self._position = data, 0
        self._what, self._offset = what, offset

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise Malformed(
                self._what, f"{count} bytes wanted, {self.left} there", offset=self._offset
            )
        self._position += count
        return self._data[self._position - count : self._position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> _Reader:
        """A vector whose length is told in `size` bytes."""
        return _Reader(self.take(self.number(size)), self._what, self._offset)

    def rest(self) -> bytes:
        return self.take(self.left)
