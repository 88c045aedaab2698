"""A blocking TLS client that sends exactly the bytes it is told to."""

from __future__ import annotations

import socket

from holdfast.tls.client import ClientTLS


class Caller:
    """On `ClientTLS`; `before`: bytes that go first, in the clear; `sock`: connected already."""

    def __init__(
        self,
        port: int,
        *,
        before: bytes = b"",
        alpn: tuple[str, ...] = (),
        name: str = "localhost",
        sock: socket.socket | None = None,
    ) -> None:
        self.sock = sock or socket.create_connection(("127.0.0.1", port), timeout=10)
        self.sock.sendall(before)
        self.tls = ClientTLS(name, alpn=alpn)
        self._kept = b""
        self.tls.begin()
        try:
            while not self.tls.established:
                self._flush()
                data = self.sock.recv(65536)
                if not data:
                    self.tls.eof()
                self._kept += self.tls.receive(data)
            self._flush()
        except BaseException:
            self.sock.close()
            raise

    def send(self, data: bytes) -> None:
        self.tls.send(data)
        self._flush()

    def end(self) -> None:
        """close_notify and FIN; reading goes on."""
        self.tls.close()
        self._flush()
        self.sock.shutdown(socket.SHUT_WR)

    def read(self) -> bytes:
        """Until the peer's close_notify, or its end."""
        parts = [self._kept]
        self._kept = b""
        while not self.tls.peer_closed:
            data = self.sock.recv(65536)
            if not data:
                break
            parts.append(self.tls.receive(data))
        return b"".join(parts)

    def read_until(self, end: bytes) -> bytes:
        """Up to and with `end`."""
        while end not in self._kept:
            data = self.sock.recv(65536)
            assert data, f"it ended after {self._kept[-200:]!r}"
            self._kept += self.tls.receive(data)
        at = self._kept.index(end) + len(end)
        found, self._kept = self._kept[:at], self._kept[at:]
        return found

    def _flush(self) -> None:
        self.sock.sendall(self.tls.outgoing())

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
