"""R27: connections kept, pipelined, slow, half closed; on a bare socket."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from support.faketime import library, sweep
from support.responder_judge import caching_objections, states_of
from support.responder_wire import NotHTTP, Wire, ask, get_bytes, path_of, post_bytes
from support.responder_world import RunningResponder, World

FASTER = 20  # the clock of the hurried responder


@pytest.fixture(scope="module")
def hurried(world: World) -> Iterator[RunningResponder]:
    """A responder whose clocks run twenty times as fast, so that nobody waits for its deadlines."""
    sweep()
    fast = {"LD_PRELOAD": library("libfaketimeMT.so.1"), "FAKETIME": f"+0 x{FASTER}"}
    with world.responder(environment=fast) as started:
        yield started


def test_a_connection_is_kept(world: World, port: int) -> None:
    """R27: HTTP/1.1 by default, 1.0 when it asks."""
    target = path_of(world.asks(0x1020))
    with Wire(port) as wire:
        for _ in range(50):
            wire.send(get_bytes(target))
            got = wire.reply()
            assert states_of(got.body) == [(0x1020, "good")]
            assert (got.field("connection") or "keep-alive").lower() == "keep-alive"
    with Wire(port) as wire:
        for _ in range(3):
            wire.send(get_bytes(target, "Connection: keep-alive", version="1.0"))
            got = wire.reply()
            assert (got.field("connection") or "").lower() == "keep-alive"


@pytest.mark.parametrize(
    ("version", "fields"),
    [("1.0", []), ("1.1", ["Connection: close"]), ("1.1", ["Connection: Close"])],
)
def test_a_connection_ends_when_it_should(
    world: World, port: int, version: str, fields: list[str]
) -> None:
    """R27: and says so, and what was sent behind is not answered."""
    target = path_of(world.asks(0x1020))
    with Wire(port) as wire:
        wire.send(get_bytes(target, *fields, version=version) + get_bytes(target))
        got = wire.reply()
        assert caching_objections(got) == []
        assert (got.field("connection") or "").lower() == "close"
        assert wire.ended()


def test_replies_to_a_pipeline_leave_in_order(world: World, port: int) -> None:
    """R27: GET, HEAD, POST, errors and nonsense paths mixed, 300 in one write."""
    asked: list[tuple[str, int]] = []
    data = b""
    for number in range(300):
        serial = (0x1000 if number % 3 else 0x2000) + number % 64
        method = ("GET", "POST", "HEAD", "PUT", "BAD")[number % 5]
        asked.append((method, serial))
        request = world.asks(serial)
        match method:
            case "POST":
                data += post_bytes(request)
            case "BAD":
                data += get_bytes("/!!!")
            case _:
                data += get_bytes(path_of(request), method=method)
    with Wire(port) as wire:
        wire.send(data)
        for method, serial in asked:
            got = wire.reply(method)
            match method:
                case "PUT":
                    assert got.code == 405
                case "BAD":
                    assert len(got.body) == 5
                case "HEAD":
                    assert got.field("etag")
                case _:
                    state = "good" if serial < 0x2000 else "revoked"
                    assert states_of(got.body) == [(serial, state)]


@pytest.mark.parametrize("size", [1, 3, 17])
def test_requests_may_come_in_any_pieces(world: World, port: int, size: int) -> None:
    """R27: GET and POST, a few octets a segment."""
    data = get_bytes(path_of(world.asks(0x1021))) + post_bytes(world.asks(0x2021))
    with Wire(port) as wire:
        for at in range(0, len(data), size):
            wire.send(data[at : at + size])
        assert states_of(wire.reply().body) == [(0x1021, "good")]
        assert states_of(wire.reply().body) == [(0x2021, "revoked")]


def test_two_requests_may_share_a_segment_anywhere(world: World, port: int) -> None:
    """R27: cut at every place of the second."""
    first, second = get_bytes(path_of(world.asks(0x1022))), post_bytes(world.asks(0x2022))
    with Wire(port) as wire:
        for cut in range(0, len(second), 7):
            wire.send(first + second[:cut])
            assert states_of(wire.reply().body) == [(0x1022, "good")]
            wire.send(second[cut:])
            assert states_of(wire.reply().body) == [(0x2022, "revoked")]


def test_a_client_that_has_said_all_still_gets_its_replies(world: World, port: int) -> None:
    """R27: half closed after three requests."""
    with Wire(port) as wire:
        for serial in (0x1023, 0x2023, 0x1024):
            wire.send(post_bytes(world.asks(serial)))
        wire.end()
        states = [states_of(wire.reply().body)[0] for _ in range(3)]
        assert states == [(0x1023, "good"), (0x2023, "revoked"), (0x1024, "good")]
        assert wire.ended()


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00" * 64,
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_no_http_ends_the_connection(port: int, line: bytes) -> None:
    """R27: with 400 or 505, or without a word; never kept open."""
    with Wire(port) as wire:
        wire.send(line + b"\r\n")
        with suppress(NotHTTP, ConnectionError):
            assert wire.reply().code in (400, 405, 505)
        assert wire.ended()


@pytest.mark.parametrize(
    ("field", "codes"),
    [
        ("X-Long: " + "a" * 40_000, (400, 431)),
        ("\r\n".join(f"X-{n}: y" for n in range(2000)), (400, 431)),
    ],
)
def test_heads_too_large_are_refused(port: int, field: str, codes: tuple[int, ...]) -> None:
    """R27."""
    with Wire(port) as wire:
        with suppress(ConnectionError):
            wire.send(get_bytes("/", field))
        assert wire.reply().code in codes
        assert wire.ended()


def test_a_target_too_long_is_refused(port: int) -> None:
    """R27, RFC 9110 4.1: 8000 octets are read, a hundred thousand are not."""
    assert ask(port, get_bytes("/" + "A" * 7900)).code == 200
    with Wire(port) as wire:
        with suppress(ConnectionError):
            wire.send(get_bytes("/" + "A" * 100_000))
        assert wire.reply().code in (400, 414, 431)
        assert wire.ended()


def test_a_silent_client_is_cut_off(hurried: RunningResponder) -> None:
    """R27: one that never says a word, and one that says no more after an answer."""
    with Wire(hurried.port) as silent, Wire(hurried.port) as idle:
        idle.send(get_bytes("/"))
        assert idle.reply().code == 200
        assert idle.ended()
        assert silent.ended()


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_never_ends_is_cut_off(hurried: RunningResponder, head: bytes) -> None:
    """R27: an octet now and then does not put the deadline off."""
    _dribble(hurried, head, itertools.repeat(b"a"))


def test_a_body_that_never_ends_is_cut_off(hurried: RunningResponder) -> None:
    """R27: of a length, and in chunks of one octet."""
    _dribble(
        hurried, get_bytes("/", "Content-Length: 60000", method="POST"), itertools.repeat(b"a")
    )
    head = get_bytes("/", "Transfer-Encoding: chunked", method="POST")
    _dribble(hurried, head, itertools.repeat(b"1\r\na\r\n"))


def _dribble(hurried: RunningResponder, head: bytes, pieces: Iterator[bytes]) -> None:
    """Send `head` and then a piece a tenth of a second: it must end within 60 s of its clock."""
    with Wire(hurried.port, timeout=0.1) as wire:
        wire.send(head)
        for piece in itertools.islice(pieces, 60 * 10 // FASTER * 2):
            try:
                wire.send(piece)
                if wire.sock.recv(65536) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        raise AssertionError("a slow sender is still served")


def test_a_client_that_does_not_read_is_cut_off(world: World, hurried: RunningResponder) -> None:
    """R27: it asks for much and takes nothing; what waits for it is bounded."""
    before = hurried.anonymous_kib()
    data = get_bytes(path_of(world.asks(0x1025))) * 200
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.1)
        sock.connect(("127.0.0.1", hurried.port))
        sent, until = 0, time.monotonic() + 20
        with suppress(ConnectionError):
            while time.monotonic() < until:
                with suppress(TimeoutError):
                    sent += sock.send(data)
            raise AssertionError(f"it reads nothing and is served, after {sent} octets of requests")
    assert hurried.anonymous_kib() - before < 32 * 1024
