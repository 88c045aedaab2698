"""Http mode before raw sockets: what is passed on, what is refused, bounds and deadlines. T7.

The upstream keeps every byte that it got, so that a request smuggled past the proxy would be seen.
Every refusal has its twin that passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop

from holdfast.services.proxy import Deadlines, Limits, Passing
from support.plain_upstream import Upstream
from support.tls_caller import Caller
from support.tls_world import Loop, Stand, a_ca, a_proxy, a_site, roots_file, run

CA = a_ca()
SITE = a_site(CA)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TRUSTED = (ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    loop = Loop(request.param)
    yield loop
    loop.stop()


@contextlib.contextmanager
def a_stand(loop: Loop, upstream: Upstream, **wishes: Any) -> Iterator[Stand]:
    passing = Passing(mode="http", **wishes)
    with a_proxy(SITE, upstream=upstream.url, loop=loop, passing=passing) as stand:
        yield stand


def said(stand: Stand, request: bytes, *, end: bool = False) -> bytes:
    """All that is answered to `request`, on a connection of its own."""
    with Caller(stand.port) as caller:
        caller.send(request)
        if end:
            caller.end()
        return caller.read()


def closing(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def headers_of(request: bytes) -> list[bytes]:
    return request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]


# -- what is passed on ----------------------------------------------------------------------------


def test_t7_a_request_passes_with_whose_it_is(loop: Loop) -> None:
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        answer = said(stand, closing(GET))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nok")
        (request,) = upstream.requests
        assert request.startswith(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert b"X-Forwarded-For: 127.0.0.1" in headers_of(request)
        assert b"X-Forwarded-Proto: https" in headers_of(request)
        assert not any(line.startswith(b"Connection") for line in headers_of(request))


FORGED = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"
    b"x-forwarded-proto: http\r\nX_Forwarded_For: 192.0.2.2\r\nForwarded: for=192.0.2.3\r\n"
    b"X-Real-IP: 192.0.2.4\r\nProxy: http://192.0.2.5/\r\n"
    b"Connection: X-Forwarded-For, close\r\n\r\n"
)


def test_red_t7_what_a_client_forged_is_dropped(loop: Loop) -> None:
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        said(stand, FORGED)
        (request,) = upstream.requests
        assert b"192.0.2." not in request
        assert b"X-Forwarded-For: 127.0.0.1" in headers_of(request)
        assert b"X-Forwarded-Proto: https" in headers_of(request)


def test_t7_who_is_trusted_is_believed_and_added_to(loop: Loop) -> None:
    with Upstream(OK) as upstream, a_stand(loop, upstream, trust_forwarded=TRUSTED) as stand:
        said(stand, FORGED)
        (request,) = upstream.requests
        assert b"X-Forwarded-For: 192.0.2.1, 127.0.0.1" in headers_of(request)
        assert b"X-Forwarded-Proto: http" in headers_of(request)
        assert b"192.0.2.2" not in request  # a CGI program could not tell it from the other
        assert b"192.0.2.5" not in request


def test_t7_keep_alive_both_ways(loop: Loop) -> None:
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        with Caller(stand.port) as caller:
            for _ in range(5):
                caller.send(GET)
                assert caller.read_until(b"ok").startswith(b"HTTP/1.1 200")
        said(stand, closing(GET))
        assert len(upstream.requests) == 6
        assert upstream.accepted == 1


def test_t7_pipelined_requests_are_answered_in_their_order(loop: Loop) -> None:
    def play(request: bytes) -> bytes:
        path = request.split(b" ")[1]
        if path == b"/0":
            time.sleep(0.2)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)

    sent = b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(20))
    with Upstream(play) as upstream, a_stand(loop, upstream) as stand, Caller(stand.port) as caller:
        caller.send(sent)
        answers = caller.read_until(b"\r\n\r\n/19")
        paths = [one.split(b"\r\n\r\n")[1] for one in answers.split(b"HTTP/1.1 200 OK")[1:]]
        assert paths == [b"/%d" % n for n in range(20)]


@pytest.mark.parametrize("chunked", [True, False])
def test_t7_a_body_passes_whole(loop: Loop, chunked: bool) -> None:
    body = bytes(range(256)) * 8000  # 2 MB
    head = b"POST /up HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    if chunked:
        pieces = [body[i : i + 50_000] for i in range(0, len(body), 50_000)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        request = head + b"Transfer-Encoding: chunked\r\n\r\n" + sent + b"0\r\nTrailer: x\r\n\r\n"
    else:
        request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        assert said(stand, request).endswith(b"ok")
        assert upstream.bodies == [body]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_t7_an_answer_passes_whole_whatever_its_framing(
    loop: Loop, framing: str, version: bytes
) -> None:
    body = bytes(range(256)) * 8000
    head = b"HTTP/1.1 200 OK\r\nX-Kept: yes\r\nKeep-Alive: timeout=5\r\n"
    match framing:
        case "length":
            answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        case "chunked":
            pieces = [body[i : i + 70_000] for i in range(0, len(body), 70_000)]
            sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            answer = head + b"Transfer-Encoding: chunked\r\n\r\n" + sent + b"0\r\n\r\n"
        case _:
            answer = head + b"Connection: close\r\n\r\n" + body
    with Upstream(answer, close=framing == "close") as upstream, a_stand(loop, upstream) as stand:
        got = said(stand, closing(GET.replace(b"1.1", version)))
        top, _, rest = got.partition(b"\r\n\r\n")
        assert b"X-Kept: yes" in top
        assert b"Keep-Alive" not in top
        if b"chunked" in top:
            assert version == b"1.1"
            rest = unchunked(rest)
        assert rest == body


def unchunked(data: bytes) -> bytes:
    out = []
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert data == b"\r\n"
            return b"".join(out)
        out.append(data[:length])
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]


def test_t7_head_and_304_have_no_body_and_the_connection_goes_on(loop: Loop) -> None:
    def play(request: bytes) -> bytes:
        if request.startswith(b"HEAD"):
            return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        if b"/304" in request:
            return b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"
        return OK

    with Upstream(play) as upstream, a_stand(loop, upstream) as stand, Caller(stand.port) as caller:
        for _ in range(3):
            caller.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"Content-Length: 1000" in caller.read_until(b"\r\n\r\n")
            caller.send(b"GET /304 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert caller.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 304")
            caller.send(GET)
            assert caller.read_until(b"ok").startswith(b"HTTP/1.1 200")
        assert upstream.accepted == 1


def test_t7_100_continue_is_the_upstreams_to_say(loop: Loop) -> None:
    def play(request: bytes) -> bytes:
        return OK

    with (
        Upstream(play, continues=True) as upstream,
        a_stand(loop, upstream) as stand,
        Caller(stand.port) as caller,
    ):
        caller.send(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert caller.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.send(b"hello")
        assert caller.read_until(b"ok").startswith(b"HTTP/1.1 200")
        assert upstream.bodies == [b"hello"]


def test_t7_a_websocket_passes_both_ways(loop: Loop) -> None:
    with (
        Upstream(OK, websocket=True) as upstream,
        a_stand(loop, upstream) as stand,
        Caller(stand.port) as caller,
    ):
        caller.send(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Key: eHl6\r\n\r\nearly"
        )
        head = caller.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Upgrade: websocket" in head
        assert caller.read_until(b"early") == b"early"
        for n in range(3):
            caller.send(b"frame %d" % n)
            assert caller.read_until(b"%d" % n) == b"frame %d" % n
        assert b"Connection: Upgrade" in headers_of(upstream.requests[0])


def test_red_t7_what_follows_a_refused_upgrade_is_no_request(loop: Loop) -> None:
    """A client that sends on before 101 could smuggle a request in."""
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        answer = said(
            stand,
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b"HTTP/1.1") == 1
        time.sleep(0.1)
        assert len(upstream.requests) == 1


def test_red_t7_an_upgrade_to_h2c_is_not_passed_on(loop: Loop) -> None:
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        answer = said(
            stand,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + closing(GET),
        )
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert b"pgrade" not in upstream.requests[0]
        assert b"HTTP2-Settings" not in upstream.requests[0]


# -- smuggling ------------------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
HOSTS = b"Host: localhost\r\n"
BAD: dict[str, tuple[bytes, int]] = {
    "CL.TE": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n" + SMUGGLED,
        400,
    ),
    "TE.CL": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        400,
    ),
    "two lengths": (
        b"POST / HTTP/1.1\r\n"
        + HOSTS
        + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n"
        + SMUGGLED,
        400,
    ),
    "a list of lengths": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Content-Length: 0, 44\r\n\r\n" + SMUGGLED,
        400,
    ),
    "a signed length": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Content-Length: +44\r\n\r\n" + SMUGGLED,
        400,
    ),
    "an obscured coding": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        501,
    ),
    "chunked not last": (
        b"POST / HTTP/1.1\r\n"
        + HOSTS
        + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
        + SMUGGLED,
        400,
    ),
    "another coding": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "a coding in HTTP/1.0": (
        b"POST / HTTP/1.0\r\n" + HOSTS + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        400,
    ),
    "a space before the colon": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        400,
    ),
    "a folded header": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
        400,
    ),
    "a bare CR": (b"GET / HTTP/1.1\r\n" + HOSTS + b"X: a\rTransfer-Encoding: chunked\r\n\r\n", 400),
    "a bare LF": (b"GET / HTTP/1.1\n" + HOSTS + b"\r\n", 400),
    "a NUL": (b"GET / HTTP/1.1\r\n" + HOSTS + b"X: a\x00b\r\n\r\n", 400),
    "a chunk size with 0x": (
        b"POST / HTTP/1.1\r\n" + HOSTS + b"Transfer-Encoding: chunked\r\n\r\n0x2c\r\n" + SMUGGLED,
        400,
    ),
    "a chunk longer than it says": (
        b"POST / HTTP/1.1\r\n"
        + HOSTS
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n"
        + SMUGGLED,
        400,
    ),
    "an upgrade with a body": (
        b"POST / HTTP/1.1\r\n"
        + HOSTS
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 44\r\n\r\n"
        + SMUGGLED,
        400,
    ),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + HOSTS + b"Host: other.example\r\n\r\n", 400),
    "a Host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "a Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "another host in the target": (
        b"GET http://other.example/ HTTP/1.1\r\n" + HOSTS + b"\r\n",
        400,
    ),
    "HTTP/2 in HTTP/1": (b"GET / HTTP/2.0\r\n" + HOSTS + b"\r\n", 505),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\n" + HOSTS + b"\r\n", 505),
    "CONNECT": (b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n", 405),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no HTTP": (b"\x00\x01\x02\r\n\r\n", 400),
    "a length that is of one hop": (
        b"POST / HTTP/1.1\r\n"
        + HOSTS
        + b"Connection: Content-Length\r\nContent-Length: 44\r\n\r\n"
        + SMUGGLED,
        400,
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_red_t7_a_request_that_could_be_read_in_two_ways_is_refused(loop: Loop, what: str) -> None:
    request, status = BAD[what]
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        answer = said(stand, request)
        statuses = {400, 501} if what == "an obscured coding" else {status}
        assert int(answer.split(b" ")[1]) in statuses, answer
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"Connection: close" in answer
        assert not any(b"smuggled" in one.split(b"\r\n")[0] for one in upstream.requests)
        assert not any(one.startswith(b"GET /smuggled") for one in upstream.requests)


GOOD: dict[str, bytes] = {
    "a length": b"POST / HTTP/1.1\r\n" + HOSTS + b"Content-Length: 5\r\n\r\nhello",
    "chunks": b"POST / HTTP/1.1\r\n" + HOSTS + b"Transfer-Encoding: Chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0 without a Host": b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
    "the host in the target": b"POST http://localhost/ HTTP/1.1\r\n"
    + HOSTS
    + b"Content-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("what", GOOD)
def test_t7_the_twins_that_mean_one_thing_pass(loop: Loop, what: str) -> None:
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        assert said(stand, closing(GOOD[what])).startswith(b"HTTP/1.1 200")
        assert upstream.bodies == [b"hello"]
        assert upstream.requests[0].startswith(b"POST / HTTP/1.1\r\n")


# -- an upstream that fails -----------------------------------------------------------------------


def test_t7_an_unreachable_upstream_is_a_502_and_told_once(loop: Loop) -> None:
    upstream = Upstream(OK)
    upstream.close()
    with a_stand(loop, upstream) as stand:
        for _ in range(3):
            assert said(stand, GET).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert [event for event, _ in stand.events] == ["upstream-unreachable"]
        assert "nothing listens" in stand.events[0][1].get("hint", "nothing listens")


def test_t7_an_upstream_that_does_not_answer_is_a_504(loop: Loop) -> None:
    def play(request: bytes) -> bytes:
        time.sleep(1)
        return OK

    deadlines = Deadlines(response=0.2)
    with Upstream(play) as upstream, a_stand(loop, upstream, deadlines=deadlines) as stand:
        assert said(stand, GET).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")


@pytest.mark.parametrize(
    "answer", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 101 X\r\n\r\n"]
)
def test_t7_an_upstream_that_ends_or_babbles_is_a_502(loop: Loop, answer: bytes) -> None:
    with Upstream(answer, close=True) as upstream, a_stand(loop, upstream) as stand:
        assert said(stand, GET).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")


def test_red_t7_half_an_answer_is_cut_and_never_looks_whole(loop: Loop) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with (
        Upstream(half, close=True) as upstream,
        a_stand(loop, upstream) as stand,
        Caller(stand.port) as caller,
    ):
        caller.send(GET)
        with contextlib.suppress(ConnectionError):
            assert caller.read() in (half, b"")
        assert not caller.tls.peer_closed  # no close_notify: truncated, by RFC 8446 6.1


def test_t7_a_kept_connection_that_the_upstream_closed_costs_no_request(loop: Loop) -> None:
    with Upstream(OK, requests_each=1) as upstream, a_stand(loop, upstream) as stand:
        for _ in range(20):
            assert said(stand, closing(GET)).startswith(b"HTTP/1.1 200")
        assert len(upstream.requests) == 20


def test_red_t7_bytes_that_nobody_asked_for_reach_nobody(loop: Loop) -> None:
    """An answer too many is not the next client's."""
    with Upstream(OK + OK.replace(b"ok", b"NO")) as upstream, a_stand(loop, upstream) as stand:
        for _ in range(5):
            answer = said(stand, closing(GET))
            assert answer.count(b"HTTP/1.1 200") == 1
            assert b"NO" not in answer


# -- bounds and deadlines -------------------------------------------------------------------------


def test_large_headers_are_refused_and_those_within_the_bound_pass(loop: Loop) -> None:
    limits = Limits(header_bytes=4096, headers=20)
    with Upstream(OK) as upstream, a_stand(loop, upstream, limits=limits) as stand:
        for size, status in ((3000, b"200"), (5000, b"431"), (300_000, b"431")):
            big = GET.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * size + b"\r\n\r\n")
            assert said(stand, closing(big)).split(b" ")[1] == status, size
        many = GET.replace(b"\r\n\r\n", b"\r\nX: a" * 30 + b"\r\n\r\n")
        assert said(stand, many).split(b" ")[1] == b"431"


def test_a_body_beyond_the_bound_is_refused(loop: Loop) -> None:
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
    limits = Limits(body_bytes=1000)
    with Upstream(OK) as upstream, a_stand(loop, upstream, limits=limits) as stand:
        for size, status in ((1000, b"200"), (1001, b"413")):
            sent = closing(post + b"Content-Length: %d\r\n\r\n" % size) + b"a" * size
            assert said(stand, sent).split(b" ")[1] == status
            sent = closing(post + b"Transfer-Encoding: chunked\r\n\r\n")
            sent += b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"a" * size)
            assert said(stand, sent).split(b" ")[1] == status


def drip(caller: Caller, data: bytes, seconds: float) -> Callable[[], None]:
    """Send a byte now and then, until told to end."""
    done = threading.Event()

    def work() -> None:
        for byte in data:
            if done.wait(seconds):
                return
            with contextlib.suppress(OSError):
                caller.send(bytes([byte]))

    threading.Thread(target=work, daemon=True).start()
    return done.set


@pytest.mark.parametrize("stage", ["header", "body"])
def test_slow_senders_are_told_408(loop: Loop, stage: str) -> None:
    deadlines = Deadlines(header=0.3, body=0.3)
    with (
        Upstream(OK) as upstream,
        a_stand(loop, upstream, deadlines=deadlines) as stand,
        Caller(stand.port) as caller,
    ):
        if stage == "header":
            end = drip(caller, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 500, 0.02)
        else:
            caller.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n")
            end = drip(caller, b"a" * 500, 0.02)
        begun = time.monotonic()
        assert caller.read().startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begun < 3
        end()


def test_an_idle_connection_ends_and_a_busy_one_does_not(loop: Loop) -> None:
    deadlines = Deadlines(idle=0.4)
    with (
        Upstream(OK) as upstream,
        a_stand(loop, upstream, deadlines=deadlines) as stand,
        Caller(stand.port) as caller,
    ):
        for _ in range(8):
            caller.send(GET)
            caller.read_until(b"ok")
            time.sleep(0.1)
        begun = time.monotonic()
        assert caller.read() == b""
        assert 0.1 < time.monotonic() - begun < 3


def test_a_client_that_reads_nothing_is_cut_off_and_holds_little(loop: Loop) -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"a" * 50_000_000
    deadlines = Deadlines(body=0.5)
    with Upstream(big) as upstream, a_stand(loop, upstream, deadlines=deadlines) as stand:
        with Caller(stand.port) as caller:
            caller.send(GET)
            for _ in range(100):
                time.sleep(0.05)
                if not stand.proxy.open_connections:
                    break
            assert not stand.proxy.open_connections
        assert upstream.sent < 50_000_000


# -- everyday clients -----------------------------------------------------------------------------


def test_t7_curl_posts_a_file_and_gets_an_answer(loop: Loop, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(range(256)) * 4000)
    with Upstream(OK) as upstream, a_stand(loop, upstream) as stand:
        words: list[Any] = ["curl", "-sS", "--max-time", 10, "--cacert", roots_file(CA, tmp_path)]
        words += ["--resolve", f"localhost:{stand.port}:127.0.0.1", "--data-binary", f"@{body}"]
        code, out = run([*words, f"https://localhost:{stand.port}/a", "-H", "Expect:"])
        assert (code, out) == (0, "ok")
        assert upstream.bodies == [body.read_bytes()]
