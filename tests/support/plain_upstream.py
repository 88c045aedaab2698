"""A plain HTTP/1.1 server that keeps what it got, byte for byte, and answers as it is told.

It believes Content-Length and chunks as the simplest server would, and takes whatever follows for
the next request: just the one that a smuggled request is meant for.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Upstream:
    """`answer`: the same each time, or made from the request. `before`: bytes of another protocol
    that a client must send first, which are read up to a line's end and kept in `firsts`."""

    def __init__(
        self,
        answer: bytes | Callable[[bytes], bytes],
        *,
        close: bool = False,
        continues: bool = False,
        websocket: bool = False,
        requests_each: int = 1_000_000,
    ) -> None:
        self._answer = answer
        self._close = close
        self._continues = continues
        self._websocket = websocket
        self._each = requests_each
        self.requests: list[bytes] = []  # heads
        self.bodies: list[bytes] = []  # those that are not empty
        self.accepted = 0
        self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            client.settimeout(10)
            reader = _Reader(client)
            for _ in range(self._each):
                head = reader.until(b"\r\n\r\n")
                low = head.lower()
                if self._continues and b"expect: 100-continue" in low:
                    client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = reader.body(low)
                self.requests.append(head)
                if body:
                    self.bodies.append(body)
                if self._websocket and b"upgrade: websocket" in low:
                    client.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                        b"Upgrade: websocket\r\n\r\n"
                    )
                    while data := reader.some():
                        client.sendall(data)
                    return
                answer = self._answer if isinstance(self._answer, bytes) else self._answer(head)
                view = memoryview(answer)
                while view:
                    count = client.send(view)
                    self.sent += count
                    view = view[count:]
                if self._close:
                    return


class _Reader:
    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._data = b""

    def some(self) -> bytes:
        if not self._data:
            return self._client.recv(65536)
        data, self._data = self._data, b""
        return data

    def _more(self) -> None:
        data = self._client.recv(65536)
        if not data:
            raise EOFError
        self._data += data

    def until(self, end: bytes) -> bytes:
        while end not in self._data:
            self._more()
        head, _, self._data = self._data.partition(end)
        return head + end

    def exactly(self, count: int) -> bytes:
        while len(self._data) < count:
            self._more()
        got, self._data = self._data[:count], self._data[count:]
        return got

    def body(self, low: bytes) -> bytes:
        if b"\r\ntransfer-encoding: chunked" in low:
            parts = []
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                parts.append(self.exactly(size))
                self.exactly(2)
            self.until(b"\r\n")
            return b"".join(parts)
        _, found, rest = low.partition(b"\r\ncontent-length:")
        return self.exactly(int(rest.split(b"\r\n")[0])) if found else b""
