"""What was asked before does not change what is said now: R24 to R27.

A responder may remember headers that it has seen, and answer requests with them a shorter way. Here
each request is sent with headers that were sent many times, and with some that never were: code,
headers and content are the same, and so is what becomes of the connection.
"""

from __future__ import annotations

import itertools
import select
from collections.abc import Iterator
from contextlib import suppress

import pytest

from support.responder_judge import error_objections, states_of
from support.responder_wire import Got, Wire, path_of
from support.responder_world import RunningResponder, World, a_responder

FIELDS = b"Host: ocsp.test\r\nUser-Agent: known\r\nAccept: */*\r\n"
NEVER = itertools.count(1)
LAST = b"GET /last HTTP/1.1\r\nHost: ocsp.test\r\nConnection: close\r\n\r\n"
MOVING = ("date", "cache-control")


@pytest.fixture(scope="module")
def responder(world: World) -> Iterator[RunningResponder]:
    """One worker, which has seen FIELDS a hundred times, by GET and by POST."""
    with world.responder("--workers", "1") as started:
        asked = world.asks(0x1070)
        for _ in range(50):
            with Wire(started.port) as wire:
                wire.send(a_request(b"GET " + path_of(asked).encode(), FIELDS))
                assert states_of(wire.reply().body) == [(0x1070, "good")]
                wire.send(a_request(b"POST /", FIELDS, asked))
                assert states_of(wire.reply().body) == [(0x1070, "good")]
        yield started


def a_request(line: bytes, fields: bytes, body: bytes | None = None) -> bytes:
    length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
    return line + b" HTTP/1.1\r\n" + fields + length + b"\r\n" + (body or b"")


def strange() -> bytes:
    """Fields that say the same and were never seen."""
    return FIELDS + b"X-Never: %d\r\n" % next(NEVER)


def said(port: int, data: bytes, method: str) -> list[object]:
    """All replies to `data` and to a last request behind it, without what moves."""
    found: list[object] = []
    with Wire(port) as wire, suppress(ConnectionError):
        wire.send(data)
        select.select([wire.sock], [], [], 0.3)  # nothing comes to a request that is not whole
        wire.send(LAST)
        while not wire.ended():
            found.append(_still(wire.reply("GET" if found else method)))
    return found


def _still(got: Got) -> tuple[object, ...]:
    return got.code, tuple(sorted(f for f in got.fields if f[0] not in MOVING)), got.body


LINES = [
    b"GET %s",
    b"HEAD %s",
    b"PUT %s",
    b"OPTIONS *",
    b"get %s",
    b"GET  %s",
    b"GET %s ",
    b"GET %s x",
    b"GET %s?q",
    b"GET /%s",
    b"GET http://ocsp.test%s",
    b"GET ocsp.test%s",
    b"GET \t%s",
    b" GET %s",
    b"\r\nGET %s",
    b"GET /",
    b"GET /%%",
    b"GET %s HTTP/1.0",
    b"GET %s\x00",
    b"GET %s\xff",
    b"GET %s\r\nX: y",
    b"GET %s\nX: y",
    b"XGET %s",
    b"GET%s",
]


@pytest.mark.parametrize("line", LINES)
def test_a_request_line_is_read_the_same(
    world: World, responder: RunningResponder, line: bytes
) -> None:
    """R24, R25, R27."""
    path = path_of(world.asks(0x1071)).encode()
    whole = line.replace(b"%s", path).replace(b"%%", b"%")
    method = "HEAD" if line.startswith(b"HEAD") else "GET"
    known = said(responder.port, a_request(whole, FIELDS), method)
    assert known == said(responder.port, a_request(whole, strange()), method)
    assert known


def test_bodies_of_any_length_are_read_the_same(world: World, responder: RunningResponder) -> None:
    """R26: shorter, longer, of another question, with more behind, of another method."""
    right, other = world.asks(0x1070), world.asks(0x2070)
    longer = world.asks(0x1000 << 64 | 1)

    def cases(fields: bytes) -> list[bytes]:
        length = b"Content-Length: %d\r\n" % len(right)
        head = b"POST / HTTP/1.1\r\n" + fields + length + b"\r\n"
        plain = b"GET " + path_of(other).encode()
        return [
            head + right,
            head + other,
            head + longer,
            head + right + right,
            head + right[:-1],
            head + right + a_request(plain, fields),
            head + other + head + right,
            head.replace(b"POST /", b"POST //ignored?q") + right,
            head.replace(b"POST", b"PUT") + right,
            head.replace(b"POST", b"GET") + right,
            head.replace(b"1.1", b"1.0") + right,
            head.replace(length, length * 2) + right,
            head.replace(length, length + b"Transfer-Encoding: chunked\r\n") + right,
            head.replace(length, length + b"If-None-Match: *\r\n") + right,
            head.replace(length, length + b"Connection: close\r\n") + right + head + right,
            a_request(plain, fields + b"Connection: close\r\n") + a_request(plain, fields),
            a_request(plain, fields + b"If-None-Match: *\r\n"),
            a_request(plain, fields) * 3,
            a_request(plain, fields, b"abc") + a_request(plain, fields),
        ]

    for known, never in zip(cases(FIELDS), cases(strange()), strict=True):
        told = said(responder.port, known, "GET")
        assert told, known
        assert told == said(responder.port, never, "GET"), known


def test_known_headers_in_pieces_are_read_the_same(
    world: World, responder: RunningResponder
) -> None:
    """R27: cut at any place, the answer is to what was asked last."""
    with Wire(responder.port) as wire:
        for number, cut in enumerate(range(1, 200, 3)):
            serial = (0x1000, 0x2000)[number % 2] + number % 64
            data = a_request(b"GET " + path_of(world.asks(serial)).encode(), FIELDS)
            wire.send(data[:cut])
            wire.send(data[cut:])
            state = "good" if serial < 0x2000 else "revoked"
            assert states_of(wire.reply().body) == [(serial, state)]


def test_a_revocation_is_seen_by_who_was_answered_before(world: World) -> None:
    """R32: known headers, known question, another answer: the ledger has changed between."""
    own = World(world.folder / "own", world.ca, world.good_one, world.revoked_one, world.never)
    own.folder.mkdir()
    own.good = {0x7000, 0x7001}
    own.write()
    ca, signer = world.file("ca.pem"), world.file("signer.pem")
    words = ["--ca", ca, "--signer", signer, "--index", own.index, "--workers", "1"]
    with a_responder(own.folder, *words) as started, Wire(started.port) as wire:
        asked = [
            a_request(b"GET " + path_of(own.asks(0x7000)).encode(), FIELDS),
            a_request(b"POST /", FIELDS, own.asks(0x7000)),
        ]
        for data in asked * 20:
            wire.send(data)
            assert states_of(wire.reply().body) == [(0x7000, "good")]
        own.revoke(0x7000)
        for data in asked * 20:
            wire.send(data)
            assert states_of(wire.reply().body) == [(0x7000, "revoked")]
        own.revoked.clear()
        own.write()
        for data in asked * 20:
            wire.send(data)
            # tryLater while a row that is gone may be a file half written
            assert error_objections(wire.reply().body, "unauthorized", "try_later") == []
