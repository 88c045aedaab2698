"""Whose a request is: RFC 9112 3.2 has one Host, which names one. R27.

A cache in front believes one Host and the server behind it another where two are let through, and
what is answered to one is kept for the other. Each case has its twin, the same bytes with one Host
that is right; and each is sent when the very headers were learned by who sent them rightly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.responder_judge import states_of, uncached_objections
from support.responder_wire import Wire, path_of
from support.responder_world import RunningResponder, World

WRONG = {
    "none": b"",
    "two": b"Host: ocsp.test\r\nHost: other.test\r\n",
    "the same twice": b"Host: ocsp.test\r\nhost: ocsp.test\r\n",
    "an empty one beside it": b"Host: ocsp.test\r\nHost:\r\n",
    "a list": b"Host: ocsp.test, other.test\r\n",
    "two in one": b"Host: ocsp.test other.test\r\n",
    "a path": b"Host: ocsp.test/x\r\n",
    "a user": b"Host: me@ocsp.test\r\n",
    "a scheme": b"Host: http://ocsp.test\r\n",
    "a port of letters": b"Host: ocsp.test:http\r\n",
    "two ports": b"Host: ocsp.test:80:81\r\n",
    "an open bracket": b"Host: [::1\r\n",
    "half a percent": b"Host: ocsp%2.test\r\n",
    "eight bits": b"Host: \xf6csp.test\r\n",
}
RIGHT = [
    b"ocsp.test",
    b"ocsp.test:8888",
    b"ocsp.test:",
    b"",
    b"192.0.2.1:80",
    b"[2001:db8::1]:80",
    b"[fe80::1%25eth0]",
    b"under_score.test",
    b"xn--csp-sna.test",
    b"%C3%B6csp.test",
    b"OCSP.TEST.",
]
Made = Callable[..., bytes]
END = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def responder(world: World) -> Iterator[RunningResponder]:
    """One worker, so that what is learned is learned by who answers."""
    with world.responder("--workers", "1") as started:
        yield started


def by_get(asked: bytes, fields: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET %s HTTP/%s\r\n%s\r\n" % (path_of(asked).encode(), version, fields)


def by_post(asked: bytes, fields: bytes, version: bytes = b"1.1") -> bytes:
    length = b"Content-Length: %d\r\n" % len(asked)
    return b"POST / HTTP/%s\r\n%s%s\r\n%s" % (version, fields, length, asked)


def is_answered(port: int, data: bytes) -> None:
    with Wire(port) as wire:
        wire.send(data)
        assert states_of(wire.reply().body) == [(0x1071, "good")]


def is_refused(port: int, data: bytes, behind: bytes) -> None:
    """With 400, and what follows is not taken for a request."""
    with Wire(port) as wire:
        wire.send(data)
        got = wire.reply()
        assert got.code == 400
        assert uncached_objections(got) == []
        assert got.field("connection") == "close"
        wire.send(behind)
        assert wire.ended()


@pytest.mark.parametrize("made", [by_get, by_post])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_host_is_400(
    world: World, responder: RunningResponder, name: str, made: Made
) -> None:
    """R27, RFC 9112 3.2; the twins: the first Host alone, before and after."""
    asked, port = world.asks(0x1071), responder.port
    right = made(asked, b"Host: ocsp.test\r\n")
    for _ in range(3):
        is_answered(port, right)
        is_refused(port, made(asked, WRONG[name]), right)
    is_answered(port, right)


@pytest.mark.parametrize("made", [by_get, by_post])
@pytest.mark.parametrize("host", RIGHT)
def test_a_right_host_is_answered(
    world: World, responder: RunningResponder, host: bytes, made: Made
) -> None:
    """R27: read, then remembered."""
    data = made(world.asks(0x1071), b"Host: " + host + b"\r\n")
    for _ in range(3):
        is_answered(responder.port, data)


@pytest.mark.parametrize("made", [by_get, by_post])
def test_http_1_0_needs_no_host_and_has_not_two(
    world: World, responder: RunningResponder, made: Made
) -> None:
    """R27: and what was said in HTTP/1.0 without one is no answer to HTTP/1.1 without one."""
    asked, port = world.asks(0x1071), responder.port
    for _ in range(3):
        is_answered(port, made(asked, b"", b"1.0"))
        is_refused(port, made(asked, b""), b"")
        is_refused(port, made(asked, WRONG["two"], b"1.0"), b"")


@pytest.mark.parametrize("made", [by_get, by_post])
def test_headers_of_http_1_0_are_not_learned_for_1_1(
    world: World, responder: RunningResponder, made: Made
) -> None:
    """R27: a field that looks like the end of a request line does not make a Host needless."""
    asked, port = world.asks(0x1071), responder.port
    fields = b"Accept: x\r\n"
    for _ in range(3):
        is_answered(port, made(asked, b"X: a HTTP/1.1\r\n" + fields, b"1.0"))
        is_refused(port, made(asked, fields), b"")
    is_answered(port, made(asked, b"Host: a\r\n" + fields))


def test_a_host_is_asked_for_before_a_body(responder: RunningResponder) -> None:
    """R26: who waits for 100 Continue is told so, not asked to go on."""
    fields = b"Content-Length: 9\r\nExpect: 100-continue\r\n"
    is_refused(responder.port, b"POST / HTTP/1.1\r\n" + fields + b"\r\n", b"")
    with Wire(responder.port) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + END + b"\r\n")
        assert wire.reply().code == 100


@pytest.mark.parametrize(
    "fields", [b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Upgrade: websocket\r\n"]
)
def test_who_wants_another_protocol_says_its_host_too(
    world: World, responder: RunningResponder, fields: bytes
) -> None:
    asked = world.asks(0x1071)
    is_refused(responder.port, by_get(asked, fields), b"")
    is_answered(responder.port, by_get(asked, b"Host: a\r\n" + fields))
