"""The judges of this folder object to what is wrong: their red twins, made of right replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from support import responder_judge as judge
from support.processes import ran
from support.responder_wire import Got, NotHTTP, Wire, ask, get_bytes, path_of, read_head
from support.responder_world import World

Edit = Callable[[Got], Got]


@pytest.fixture
def right(world: World, port: int) -> Got:
    got = ask(port, get_bytes(path_of(world.asks(0x1040))))
    assert judge.caching_objections(got) == []
    return got


def with_field(name: str, old: str, new: str | None) -> Edit:
    """`name` with the expression `old` replaced; without the field when `new` is None."""

    def edit(got: Got) -> Got:
        fields = [
            (key, value if key != name or new is None else re.sub(old, new, value))
            for key, value in got.fields
            if key != name or new is not None
        ]
        assert tuple(fields) != got.fields
        return replace(got, fields=tuple(fields))

    return edit


def later(name: str) -> Edit:
    """The date `name` a second on."""

    def edit(got: Got) -> Got:
        at = judge.date_of(got.field(name))
        assert isinstance(at, datetime)
        said = (at + timedelta(seconds=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return with_field(name, ".*", said)(got)

    return edit


WRONG_HEADERS: dict[str, Edit] = {
    "no ETag": with_field("etag", "", None),
    "a weak ETag": with_field("etag", '^"', 'W/"'),
    "another ETag": with_field("etag", '[0-9a-f]"$', 'x"'),
    "no max-age": with_field("cache-control", "max-age=[0-9]+, ", ""),
    "a max-age to nextUpdate": with_field("cache-control", "max-age=[0-9]+", "max-age=43300"),
    "private": with_field("cache-control", "public", "private"),
    "no must-revalidate": with_field("cache-control", ", must-revalidate", ""),
    "transformed": with_field("cache-control", "no-transform, ", ""),
    "no Expires": with_field("expires", "", None),
    "another Expires": later("expires"),
    "another Last-Modified": later("last-modified"),
    "a date of RFC 850": with_field("date", "^[A-Z].*", "Friday, 27-Nov-26 09:00:00 GMT"),
    "a date of one digit": with_field("expires", r"(\d)(\d) ([A-Z])", r"\2 \3"),
    "a date in a zone": with_field("last-modified", "GMT", "+0000"),
    "another type": with_field("content-type", "response", "request"),
    "another length": with_field("content-length", "$", "0"),
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_a_wrong_header_is_objected_to(right: Got, name: str) -> None:
    """R21."""
    assert judge.caching_objections(WRONG_HEADERS[name](right)) != []


@pytest.mark.parametrize("name", ["etag", "expires", "last-modified", "cache-control", "date"])
def test_a_304_without_a_caching_header_is_objected_to(world: World, port: int, name: str) -> None:
    """R23."""
    with Wire(port) as wire:
        wire.send(get_bytes(path_of(world.asks(0x1040))))
        right = wire.reply()
        tag = f"If-None-Match: {right.field('etag')}"
        wire.send(get_bytes(path_of(world.asks(0x1040)), tag))
        got = wire.reply()
    assert judge.not_modified_objections(got, right.body) == []
    assert judge.not_modified_objections(with_field(name, "", None)(got), right.body) != []
    assert judge.not_modified_objections(replace(got, body=b"x"), right.body) != []
    assert judge.not_modified_objections(right, right.body) != []


def test_a_cacheable_error_is_objected_to(right: Got) -> None:
    """R22."""
    kept = Got(200, (("cache-control", "no-store"), ("date", "Fri, 27 Nov 2026 09:00:00 GMT")), b"")
    assert judge.uncached_objections(kept) == []
    assert judge.uncached_objections(right) != []
    assert judge.uncached_objections(with_field("cache-control", ".*", "no-cache")(kept)) != []
    both = with_field("cache-control", ".*", "no-store, max-age=5")(kept)
    assert judge.uncached_objections(both) != []
    ends = replace(kept, fields=(*kept.fields, ("expires", "Fri, 27 Nov 2026 09:00:01 GMT")))
    assert judge.uncached_objections(ends) != []


def test_a_time_with_a_fraction_or_a_zone_is_objected_to(right: Got) -> None:
    """R20: the octets are changed where they stand, lengths too."""
    assert judge.time_objections(right.body) == []
    basic = judge.read(right.body).basic_ocsp_response
    found = set(judge.generalized_times(basic["tbs_response_data"].dump()))
    assert 2 <= len(found) <= 3  # producedAt, which may be thisUpdate, and nextUpdate
    for said in found:
        for wrong in (said[:-2] + b"+Z", said[:-3] + b".5Z", said[:-1] + b"0"):
            assert judge.time_objections(right.body.replace(said, wrong)) != []


def test_an_answer_without_an_end_is_objected_to(world: World) -> None:
    """R20: openssl ocsp leaves nextUpdate out unless it is told."""
    folder = world.folder / "endless"
    folder.mkdir()
    asked, answer = folder / "request.der", folder / "response.der"
    asked.write_bytes(world.asks(0x1040))
    both, index = world.file("both.pem"), folder / "index.txt"
    index.write_bytes(world.index.read_bytes())
    (folder / "index.txt.attr").write_text("unique_subject = no\n")
    words = ["-index", index, "-CA", world.file("ca.pem"), "-rsigner", both, "-rkey", both]
    for more, endless in (([], True), (["-ndays", "1"], False)):
        ran(["openssl", "ocsp", *words, "-reqin", asked, "-respout", answer, *more])
        assert (judge.time_objections(answer.read_bytes()) != []) is endless


def test_errors_with_bytes_or_of_another_kind_are_objected_to(right: Got) -> None:
    """R4."""
    assert judge.error_objections(b"\x30\x03\x0a\x01\x06", "unauthorized") == []
    assert judge.error_objections(b"\x30\x03\x0a\x01\x01", "unauthorized") != []
    assert judge.error_objections(b"\x30\x05\x0a\x01\x06\xa0\x00") != []
    assert judge.error_objections(b"\x30\x03\x0a\x01\x04") != []  # 4 is not used
    assert judge.error_objections(b"\x30\x03\x0a\x01\x00") != []
    assert judge.error_objections(right.body) != []


def test_an_answer_about_another_certificate_is_objected_to(world: World, right: Got) -> None:
    """R2."""
    one, other = world.certid(0x1040).encode(), world.certid(0x1041).encode()
    assert judge.echo_objections(right.body, [one]) == []
    for asked in ([other], [one, other], [one, one], []):
        assert judge.echo_objections(right.body, asked) != []
    absent = world.certid(0x1040)._replace(null_parameters=False).encode()
    assert judge.echo_objections(right.body, [absent]) != []


def test_a_wrong_certificate_status_is_objected_to(right: Got) -> None:
    """R11, R32."""
    assert judge.wrong_states(right.body, {0x1040}, set()) == []
    assert judge.wrong_states(right.body, set(), {0x1040}) != []
    assert judge.wrong_states(right.body, set(), set()) != []


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nX : y",
        b"HTTP/1.1 200 OK\r\n folded: y",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b",
        b"HTTP/1.1 200 OK\r\nX",
        b"HTTP/1.1 200 OK\r\n: y",
        b"HTTP/1.1 200 OK\r\nX: \xe4",
    ],
)
def test_a_head_that_is_no_http_is_objected_to(head: bytes) -> None:
    assert read_head(b"HTTP/1.1 200 OK\r\nX: y") == (200, (("x", "y"),))
    with pytest.raises(NotHTTP):
        read_head(head)


def _saying(data: bytes) -> Iterator[Wire]:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def say() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(data)

        thread = threading.Thread(target=say)
        thread.start()
        with Wire(server.getsockname()[1]) as wire:
            yield wire
        thread.join()


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour",
        b"HTTP/1.1 200 OK\r\n\r\nfour",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nfour",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4",
        b"",
    ],
)
def test_a_reply_without_an_end_is_objected_to(data: bytes) -> None:
    for wire in _saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour"):
        assert wire.reply().body == b"four"
        assert wire.ended()
    for wire in _saying(data):
        with pytest.raises(NotHTTP):
            wire.reply()


def test_more_than_a_reply_is_not_an_end() -> None:
    for wire in _saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfourmore"):
        wire.reply()
        assert not wire.ended()
