"""The TLS server and the passage to an upstream: deadlines, bounds, half-closes, ends. T6.

Every test runs on asyncio's own loop and on uvloop, because the two differ in how they end things.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvloop

from holdfast.errors import OperatorError
from holdfast.services.proxy import Deadlines, Upstream
from holdfast.tls.client import ClientTLS
from support.ports import free_port
from support.tls_world import Loop, Stand, a_ca, a_proxy, a_site, identity

SITE = a_site(a_ca())


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    loop = Loop(request.param)
    yield loop
    loop.stop()


class Plain:
    """A plain TCP server in a thread: `play(socket)` for each client."""

    def __init__(self, play: Callable[[socket.socket], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.accepted = 0
        self._play = play
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client:
            client.settimeout(10)
            self._play(client)

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()


class Caller:
    """A blocking TLS client on `ClientTLS`."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.tls = ClientTLS("localhost")
        self.tls.begin()
        while not self.tls.established:
            self._flush()
            data = self.sock.recv(65536)
            if not data:
                self.tls.eof()
            self.tls.receive(data)
        self._flush()

    def send(self, data: bytes) -> None:
        self.tls.send(data)
        self._flush()

    def end(self) -> None:
        """close_notify and FIN; reading goes on."""
        self.tls.close()
        self._flush()
        self.sock.shutdown(socket.SHUT_WR)

    def read(self) -> bytes:
        """Until the peer's close_notify."""
        parts = []
        while not self.tls.peer_closed:
            data = self.sock.recv(65536)
            if not data:
                break
            parts.append(self.tls.receive(data))
        return b"".join(parts)

    def _flush(self) -> None:
        self.sock.sendall(self.tls.outgoing())

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


def empty(stand: Stand) -> bool:
    """True once the proxy holds no connection."""

    async def wait() -> bool:
        for _ in range(500):
            if not stand.proxy.open_connections:
                return True
            await asyncio.sleep(0.01)
        return False

    return stand.loop.run(wait())


def test_the_upstreams_half_close_and_the_clients(loop: Loop) -> None:
    """The client ends first; the upstream answers only when it has read everything."""

    def play(sock: socket.socket) -> None:
        got = read_all(sock)
        sock.sendall(b"%d bytes" % len(got))

    with Plain(play) as plain, a_proxy(SITE, upstream=plain.url, loop=loop) as stand:
        with Caller(stand.port) as caller:
            caller.send(b"x" * 300_000)
            caller.end()
            assert caller.read() == b"300000 bytes"
            assert caller.tls.peer_closed
        assert empty(stand)


def test_the_upstream_ends_first_and_the_client_still_sends(loop: Loop) -> None:
    heard: list[bytes] = []
    done = threading.Event()

    def play(sock: socket.socket) -> None:
        sock.recv(5)
        sock.sendall(b"answer")
        sock.shutdown(socket.SHUT_WR)
        heard.append(read_all(sock))
        done.set()

    with Plain(play) as plain, a_proxy(SITE, upstream=plain.url, loop=loop) as stand:
        with Caller(stand.port) as caller:
            caller.send(b"hello")
            assert caller.read() == b"answer"
            caller.send(b"afterthought")
            caller.end()
            assert done.wait(10)
        assert heard == [b"afterthought"]
        assert empty(stand)


def test_a_large_body_passes_a_slow_reader_whole(loop: Loop) -> None:
    body = bytes(range(256)) * 40_000  # 10 MB: more than every buffer between

    def play(sock: socket.socket) -> None:
        sock.recv(5)
        sock.sendall(body)

    with Plain(play) as plain, a_proxy(SITE, upstream=plain.url, loop=loop) as stand:
        with Caller(stand.port) as caller:
            caller.send(b"hello")
            assert caller.read() == body
            assert caller.tls.peer_closed
        assert empty(stand)


def test_the_upstream_is_dialled_on_the_first_byte_only(loop: Loop) -> None:
    with (
        Plain(lambda sock: sock.sendall(sock.recv(5))) as plain,
        a_proxy(SITE, upstream=plain.url, loop=loop) as stand,
        Caller(stand.port) as caller,
    ):
        with Caller(stand.port):
            assert plain.accepted == 0
        caller.send(b"hello")
        assert caller.read() == b"hello"
        assert plain.accepted == 1


def test_an_upstream_that_is_not_there_is_a_502(loop: Loop) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with a_proxy(SITE, upstream=url, loop=loop) as stand:
        with Caller(stand.port) as caller:
            caller.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = caller.read()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 502 ")
        assert f"Content-Length: {len(body)}".encode() in head
        assert caller.tls.peer_closed
        assert stand.events[0][0] == "upstream-unreachable"
        assert empty(stand)


def test_a_client_that_vanishes_takes_the_upstream_connection_along(loop: Loop) -> None:
    begun, ended = threading.Event(), threading.Event()

    def play(sock: socket.socket) -> None:
        begun.set()
        read_all(sock)
        ended.set()

    with Plain(play) as plain, a_proxy(SITE, upstream=plain.url, loop=loop) as stand:
        with Caller(stand.port) as caller:
            caller.send(b"hello")
            assert begun.wait(10)
            caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert ended.wait(10)
        assert empty(stand)


def test_a_silent_client_is_cut_off_at_the_handshake_deadline(loop: Loop) -> None:
    with a_proxy(SITE, loop=loop, deadlines=Deadlines(handshake=0.1)) as stand:
        with socket.create_connection(("127.0.0.1", stand.port), timeout=10) as sock:
            sock.sendall(b"\x16\x03\x01")
            with pytest.raises(ConnectionResetError):
                raise_if_closed(sock)
        assert stand.events[0] == (
            "handshake-failed",
            {"peer": stand.events[0][1]["peer"], "error": "no TLS handshake within 0.1 s"},
        )


def raise_if_closed(sock: socket.socket) -> None:
    """An abort may be seen as a reset or as an end: both are "cut off"."""
    if not sock.recv(1):
        raise ConnectionResetError


def test_an_idle_passage_ends_at_its_deadline(loop: Loop) -> None:
    with (
        Plain(lambda sock: sock.sendall(sock.recv(5)) or read_all(sock)) as plain,  # type: ignore[func-returns-value]
        a_proxy(SITE, upstream=plain.url, loop=loop, deadlines=Deadlines(idle=0.2)) as stand,
    ):
        with Caller(stand.port) as caller:
            caller.send(b"hello")
            assert caller.read() == b"hello"
            assert caller.tls.peer_closed
        assert empty(stand)


def test_connections_beyond_the_bound_are_turned_away(loop: Loop) -> None:
    with (
        a_proxy(SITE, loop=loop, max_connections=1) as stand,
        Caller(stand.port),
        socket.create_connection(("127.0.0.1", stand.port), timeout=10) as second,
        pytest.raises(ConnectionResetError),
    ):
        raise_if_closed(second)


def test_plain_http_on_the_tls_port_is_noted_and_closed(loop: Loop) -> None:
    with a_proxy(SITE, loop=loop) as stand:
        with socket.create_connection(("127.0.0.1", stand.port), timeout=10) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            read_all(sock)
        assert stand.events[0][1]["error"].endswith("the peer spoke plain HTTP")
        assert empty(stand)


def test_t6_a_reload_under_load_drops_nobody(loop: Loop) -> None:
    with (
        Plain(lambda sock: sock.sendall(sock.recv(5))) as plain,
        a_proxy(SITE, upstream=plain.url, loop=loop) as stand,
    ):
        callers = []
        for _ in range(20):
            callers.append(Caller(stand.port))
            stand.proxy.tls.reload([identity(SITE)])
        for caller in callers:
            with caller:
                caller.send(b"hello")
                assert caller.read() == b"hello"


@pytest.mark.parametrize(
    "text",
    [
        "https://127.0.0.1:1",
        "127.0.0.1:80",
        "http://",
        "http://h:99999",
        "http://h/path",
        "",
        "ftp://h",
    ],
)
def test_what_is_no_upstream_is_the_operators_error(text: str) -> None:
    with pytest.raises(OperatorError, match="not an upstream"):
        Upstream.parse(text)


def test_an_upstream_in_its_spellings() -> None:
    assert str(Upstream.parse("http://localhost")) == "http://localhost:80"
    assert str(Upstream.parse("http://[::1]:8080/")) == "http://[::1]:8080"
