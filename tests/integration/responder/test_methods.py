"""R25 and R26: methods, and the bodies of POST, on a bare socket."""

from __future__ import annotations

import pytest

from support.responder_judge import (
    caching_objections,
    error_objections,
    states_of,
    uncached_objections,
)
from support.responder_wire import (
    Wire,
    ask,
    chunked_bytes,
    get_bytes,
    path_of,
    post_bytes,
)
from support.responder_world import World

CHUNKED = "Transfer-Encoding: chunked"
TYPE = "Content-Type: application/ocsp-request"
CAP = 65536  # MAX_REQUEST of ocsp/request.py


@pytest.mark.parametrize("target", ["/", "//", "/?x=y"])
def test_the_root_says_what_is_here(port: int, target: str) -> None:
    """R25."""
    got = ask(port, get_bytes(target))
    assert got.code in (200, 400)
    assert uncached_objections(got) == []


@pytest.mark.parametrize("target", ["/", "good", "/!!!"])
def test_head_is_get_without_content(world: World, port: int, target: str) -> None:
    """R25: the same code and fields, also where it is an error; nothing follows the head."""
    path = path_of(world.asks(0x1010)) if target == "good" else target
    with Wire(port) as wire:
        wire.send(get_bytes(path))
        whole = wire.reply()
        wire.send(get_bytes(path, method="HEAD") + get_bytes(path))
        head = wire.reply("HEAD")
        again = wire.reply()
    assert head.code == whole.code
    moving = ("date", "cache-control")
    fixed = {field for field in whole.fields if field[0] not in moving}
    assert {field for field in head.fields if field[0] not in moving} == fixed
    assert again.body == whole.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("where", ["/", "request"])
def test_other_methods_are_refused(world: World, port: int, method: str, where: str) -> None:
    """R25, RFC 9110 15.5.6: with Allow; the connection goes on."""
    path = path_of(world.asks(0x1010)) if where == "request" else where
    with Wire(port) as wire:
        wire.send(get_bytes(path, "Content-Length: 0", method=method))
        got = wire.reply(method)
        assert got.code == 405
        assert {m.strip() for m in (got.field("allow") or "").split(",")} == {"GET", "HEAD", "POST"}
        assert uncached_objections(got) == []
        wire.send(get_bytes(path_of(world.asks(0x1011))))
        assert states_of(wire.reply().body) == [(0x1011, "good")]


@pytest.mark.parametrize("method", ["get", "FOO", "POSTS", "CONNECT"])
def test_what_is_no_method_gets_no_answer(world: World, port: int, method: str) -> None:
    """R25: methods are case-sensitive (RFC 9110 9.1)."""
    got = ask(port, get_bytes(path_of(world.asks(0x1010)), method=method), method)
    assert got.code in (400, 405, 501)
    assert b"\x30\x82" not in got.body


@pytest.mark.parametrize(
    "kind",
    [
        "application/ocsp-request",
        "Application/OCSP-Request; charset=binary",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
        None,
    ],
)
def test_the_content_type_of_a_post_is_not_asked_for(
    world: World, port: int, kind: str | None
) -> None:
    """R26."""
    got = ask(port, post_bytes(world.asks(0x1012), kind=kind))
    assert states_of(got.body) == [(0x1012, "good")]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_body_in_chunks_is_one_body(world: World, port: int, size: int) -> None:
    """R26: with extensions and a trailer; the next request begins where it ends."""
    asked = world.asks(0x1013)
    pieces = [asked[i : i + size] for i in range(0, len(asked), size)]
    with Wire(port) as wire:
        head = get_bytes("/", TYPE, CHUNKED, method="POST")
        body = chunked_bytes(*pieces, trailer=b"X-After: 1\r\n")
        wire.send(head + body.replace(b"\r\n", b";name=value\r\n", 1) + post_bytes(asked))
        first, second = wire.reply(), wire.reply()
    assert states_of(first.body) == [(0x1013, "good")]
    assert caching_objections(first) == []
    assert second.body == first.body


def test_a_body_that_waits_for_100_continue_gets_it(world: World, port: int) -> None:
    """R26, RFC 9110 10.1.1."""
    data = post_bytes(world.asks(0x1014), "Expect: 100-continue")
    head, _, body = data.partition(b"\r\n\r\n")
    with Wire(port) as wire:
        wire.send(head + b"\r\n\r\n")
        assert wire.reply().code == 100
        wire.send(body)
        assert states_of(wire.reply().body) == [(0x1014, "good")]
        wire.send(data)  # it did not wait: a 100 may come or not
        got = wire.reply()
        got = wire.reply() if got.code == 100 else got
        assert states_of(got.body) == [(0x1014, "good")]


def test_a_body_too_large_is_refused_before_it_is_sent(port: int) -> None:
    """R26: 413 instead of 100 Continue."""
    head = get_bytes("/", TYPE, "Content-Length: 9999999999", "Expect: 100-continue", method="POST")
    with Wire(port) as wire:
        wire.send(head)
        got = wire.reply()
        assert got.code == 413
        assert uncached_objections(got) == []
        assert wire.ended()


@pytest.mark.parametrize("form", ["length", "chunks", "one chunk"])
def test_a_body_over_the_cap_is_413(port: int, form: str) -> None:
    """R26: the client that sends it all can still read why."""
    body = bytes(CAP + 1)
    if form == "length":
        data = post_bytes(body)
    else:
        pieces = [body] if form == "one chunk" else [body[i : i + 1000] for i in range(0, CAP, 999)]
        data = get_bytes("/", TYPE, CHUNKED, method="POST") + chunked_bytes(*pieces)
    with Wire(port) as wire:
        wire.send(data)
        assert wire.reply().code == 413
        assert wire.ended()


def test_a_body_at_the_cap_is_read(world: World, port: int) -> None:
    """R26: the red twin."""
    got = ask(port, post_bytes(bytes(CAP)))
    assert got.code == 200
    assert error_objections(got.body, "malformed_request") == []
    many = world.asks(*range(0x1000, 0x1080), *range(0x2000, 0x2040))
    assert len(many) > 8192
    assert len(states_of(ask(port, post_bytes(many)).body)) == 192


AMBIGUOUS = {
    "two lengths": [TYPE, "Content-Length: 5", "Content-Length: 6"],
    "length and chunks": [TYPE, CHUNKED, "Content-Length: 5"],
    "a length of a list": [TYPE, "Content-Length: 5, 6"],
    "a negative length": [TYPE, "Content-Length: -1"],
    "a hexadecimal length": [TYPE, "Content-Length: 0x5"],
    "a length with a sign": [TYPE, "Content-Length: +5"],
    "an endless length": [TYPE, "Content-Length: " + "9" * 30],
    "chunks not last": [TYPE, "Transfer-Encoding: chunked, identity"],
    "an unknown coding": [TYPE, "Transfer-Encoding: xchunked"],
    "a space before the colon": [TYPE, "Content-Length : 5"],
    "a folded field": [TYPE, "Content-Length: 5", " 6"],
    "a nul": [TYPE, "Content-Length: 5", "X: \x00"],
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_request_that_two_servers_would_read_in_two_ways_ends_the_connection(
    world: World, port: int, name: str
) -> None:
    """R26, RFC 9112 6.3 and 11.2: nothing that follows is taken for a request."""
    head = get_bytes("/", *AMBIGUOUS[name], method="POST")
    with Wire(port) as wire:
        wire.send(head + b"0\r\n\r\n" + get_bytes(path_of(world.asks(0x1015))))
        got = wire.reply()
        assert got.code in (400, 413, 501)
        assert uncached_objections(got) == []
        assert wire.ended()


@pytest.mark.parametrize(
    "chunks",
    [b"5\r\nabcdeX\r\n0\r\n\r\n", b"g\r\n", b"-1\r\n\r\n", b"ffffffffffffffff1\r\n", b"5 5\r\n"],
)
def test_chunks_that_are_none_end_the_connection(world: World, port: int, chunks: bytes) -> None:
    """R26, RFC 9112 7.1."""
    with Wire(port) as wire:
        head = get_bytes("/", TYPE, CHUNKED, method="POST")
        wire.send(head + chunks + get_bytes(path_of(world.asks(0x1015))))
        assert wire.reply().code in (400, 413)
        assert wire.ended()
