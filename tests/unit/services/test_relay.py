"""The relay's HTTP face, without a socket: what servers ask, and what they are told. K2, K4."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from inspect import isawaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.net.http_message import Reply, Request, plain
from holdfast.ocsp.certid import HASH_OIDS, CertID, Subject
from holdfast.ocsp.freshness import withdraw_at
from holdfast.ocsp.http import get_url
from holdfast.ocsp.request import Request as Question
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import RevocationReason, Revoked, Unknown
from holdfast.ocsp.window import SKEW
from holdfast.services.relay import Relay, beside
from support.clock import FakeClock
from support.http import serving, talk
from support.pki import AT
from support.staples import WEEK, Desk, a_desk

HOUR = timedelta(hours=1)
DESK = a_desk("www.example.org")
REVOKED = Revoked(AT - HOUR, RevocationReason.KEY_COMPROMISE)
SECOND = timedelta(seconds=1)


def _spoilt(place: int, change: int) -> bytes:
    """The right question with one byte changed."""
    question = bytearray(Question.build(DESK.subject.certid).encode())
    question[place % len(question)] ^= change
    return bytes(question)


class Holding:
    """Holds one staple, found by whatever hash, and remembers what it was asked."""

    def __init__(self, staple: Staple | None) -> None:
        self.staple = staple
        self.asked: list[CertID] = []

    def held(self, certid: CertID) -> Staple | None:
        self.asked.append(certid)
        subject: Subject = DESK.subject
        if self.staple is None or not certid.names(subject.serial, subject.issuer):
            return None
        return self.staple


def asked_of(
    staple: Staple | None,
    body: bytes | None = None,
    *,
    method: str = "POST",
    target: bytes = b"/ocsp",
    at: Any = AT,
    version: str = "1.0",
) -> Reply:
    relay = Relay(Holding(staple).held, clock=FakeClock(at))
    question = Question.build(DESK.subject.certid).encode() if body is None else body
    reply = relay(Request(method, target, [], question, version, "127.0.0.1"))
    assert isinstance(reply, Reply)
    return reply


def is_nothing(reply: Reply) -> bool:
    """What no server takes for an answer: not 2xx, not OCSP's type, no DER."""
    types = [value for name, value in reply.headers if name == b"Content-Type"]
    return reply.status >= 400 and types == [b"text/plain; charset=utf-8"] and reply.body[0] != 0x30


def test_the_staple_is_answered_with_its_type_and_length() -> None:
    staple = DESK.staple()
    reply = asked_of(staple)
    assert (reply.status, reply.body) == (200, staple.der)
    assert (b"Content-Type", b"application/ocsp-response") in reply.headers
    assert b"Content-Length: %d\r\n" % len(staple.der) in reply.head


@pytest.mark.parametrize("name", HASH_OIDS)
def test_any_hash_of_the_certificates_certid_finds_it(name: str) -> None:
    staple = DESK.staple()
    question = Question.build(DESK.subject.certid_by(name)).encode()
    assert asked_of(staple, question).body == staple.der


@pytest.mark.parametrize("nonce", [b"\x01", bytes(16), bytes(128)])
def test_a_nonce_is_answered_without_one(nonce: bytes) -> None:
    staple = DESK.staple()
    assert (
        asked_of(staple, Question.build(DESK.subject.certid, nonce=nonce).encode()).body
        == staple.der
    )


@pytest.mark.parametrize(
    "target",
    [b"/", b"/ocsp", b"/ca1", b"http://ocsp.example.org/ca1", b"http://ocsp.example.org", b"/a?b"],
)
def test_by_post_any_path_does_the_absolute_one_of_mod_md_too(target: bytes) -> None:
    staple = DESK.staple()
    assert asked_of(staple, target=target, version="1.1").body == staple.der


def test_get_as_nginx_asks() -> None:
    staple = DESK.staple()
    url = get_url("http://127.0.0.1/ocsp", Question.build(DESK.subject.certid).encode())
    assert url is not None
    path = url.removeprefix("http://127.0.0.1").encode()
    assert asked_of(staple, b"", method="GET", target=path).body == staple.der
    assert asked_of(staple, b"", method="GET", target=url.encode()).body == staple.der


def other_than(desk: Desk) -> CertID:
    certid = desk.subject.certid
    return certid._replace(serial=certid.serial + 1)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, Question.build(other_than(DESK)).encode()),
        (503, Question.build(a_desk("other.example.org").subject.certid).encode()),
        (400, b""),
        (400, b"GET / HTTP/1.0"),
        (400, b"\x30\x00"),
        (400, Question.build(DESK.subject.certid).encode() + b"\x00"),
        (400, Question.build(DESK.subject.certid, other_than(DESK)).encode()),
    ],
    ids=("serial", "issuer", "empty", "http", "null", "trailing", "two"),  # the bytes are random
)
def test_foreign_questions_and_garbage_get_nothing(status: int, body: bytes) -> None:
    reply = asked_of(DESK.staple(), body)
    assert is_nothing(reply)
    assert reply.status == status


@pytest.mark.parametrize("target", [b"/ocsp/", b"/ocsp/!", b"/ocsp/AAAA", b"/ocsp/" + b"A" * 9000])
def test_garbage_by_get(target: bytes) -> None:
    reply = asked_of(DESK.staple(), b"", method="GET", target=target)
    assert is_nothing(reply)
    assert reply.status == 400


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "CONNECT"])
def test_other_methods(method: str) -> None:
    assert is_nothing(asked_of(DESK.staple(), method=method, target=b"acme.example.org:443"))


@given(body=st.binary(max_size=200) | st.builds(_spoilt, st.integers(0, 400), st.integers(1, 255)))
def test_any_bytes_get_the_staple_that_was_asked_for_or_nothing(body: bytes) -> None:
    staple = DESK.staple()
    for method, target in (("POST", b"/"), ("GET", b"/ocsp/" + base64.b64encode(body))):
        reply = asked_of(staple, body, method=method, target=target)
        if reply.status == 200:
            (single,) = Question.parse(body).singles
            assert single.certid.names(DESK.subject.serial, DESK.subject.issuer)
            assert reply.body == staple.der
        else:
            assert is_nothing(reply)


def test_over_a_socket_with_each_version_of_http() -> None:
    staple = DESK.staple()
    question = Question.build(DESK.subject.certid).encode()
    length = b"Content-Length: %d\r\n\r\n" % len(question)
    old = b"POST /ocsp HTTP/1.0\r\nHost: 127.0.0.1\r\n" + length + question
    new = b"POST http://ocsp.example.org/ca1 HTTP/1.1\r\nHost: ocsp.example.org\r\n"
    last = new + b"Connection: close\r\n" + length + question

    async def ask() -> tuple[bytes, bytes]:
        relay = Relay(Holding(staple).held, clock=FakeClock(AT))
        async with serving(relay) as server:
            return await talk(server.port, old), await talk(
                server.port, new + length + question, last
            )

    for answer, times in zip(asyncio.run(ask()), (1, 2), strict=True):
        assert answer.count(b" 200 OK\r\n") == times
        assert answer.count(b"Content-Length: %d\r\n" % len(staple.der)) == times
        assert answer.count(staple.der) == times
        assert b"chunked" not in answer


def test_nothing_is_held() -> None:
    assert is_nothing(asked_of(None))


def test_k4_not_one_second_past_the_holding_end_nor_before_the_begin() -> None:
    """The keeper that should have withdrawn it is not asked."""
    staple = DESK.staple()
    end = withdraw_at(staple)
    assert end < AT + WEEK
    assert asked_of(staple, at=end - SECOND).status == 200
    assert is_nothing(asked_of(staple, at=end))
    assert is_nothing(asked_of(staple, at=AT + 2 * WEEK))
    assert asked_of(staple, at=AT - SKEW).status == 200
    assert is_nothing(asked_of(staple, at=AT - SKEW - SECOND))


def test_k11_revoked_is_answered_k12_unknown_is_not() -> None:
    assert asked_of(DESK.staple(status=REVOKED)).status == 200
    good = DESK.staple()
    unknown = replace(good, single=good.single._replace(certificate_status=Unknown()))
    assert is_nothing(asked_of(unknown))


def test_what_was_answered_is_counted() -> None:
    relay = Relay(Holding(DESK.staple()).held, clock=FakeClock(AT))
    question = Question.build(DESK.subject.certid).encode()
    for body in (question, question, Question.build(other_than(DESK)).encode(), b"?"):
        relay(Request("POST", b"/", [], body, "1.0", "127.0.0.1"))
    relay(Request("CONNECT", b"acme.example.org:443", [], b"", "1.1", "127.0.0.1"))
    assert relay.answered == {"stapled": 2, "none": 1, "malformed": 1, "refused": 1}


@pytest.mark.parametrize("comes", [True, False])
def test_while_the_keeper_starts_a_question_waits_a_moment(comes: bool) -> None:
    """K1: the first handshake after a restart of the keeper, and what it holds is being loaded."""

    async def ask() -> tuple[Reply, Reply | object]:
        holding, clock = Holding(None), FakeClock(AT)
        starting = True
        relay = Relay(holding.held, clock=clock, starting=lambda: starting)
        request = Request("POST", b"/", [], Question.build(DESK.subject.certid).encode(), "1.0", "")
        waiting = relay(request)
        assert isawaitable(waiting)
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        assert not task.done()
        if comes:
            holding.staple = DESK.staple()
        else:
            clock.advance(SECOND)
        reply = await asyncio.wait_for(task, 2)
        starting = False
        holding.staple = None
        return reply, relay(request)

    reply, later = asyncio.run(ask())
    assert reply.status == (200 if comes else 503)
    assert isinstance(later, Reply), "once it has started nobody waits"
    assert is_nothing(later)


@pytest.mark.parametrize(
    ("method", "target", "by_relay"),
    [
        ("POST", b"/", True),
        ("POST", b"http://ocsp.example.org/", True),
        ("GET", b"/ocsp/MFUw", True),
        ("CONNECT", b"acme.example.org:443", True),
        ("GET", b"http://ocsp.example.org/x", True),
        ("GET", b"/", False),
        ("GET", b"/metrics", False),
        ("HEAD", b"/status.json", False),
    ],
)
def test_one_port_for_the_relay_and_the_page(method: str, target: bytes, by_relay: bool) -> None:
    relay = Relay(Holding(None).held, clock=FakeClock(AT))
    handler = beside(relay, lambda request: plain(200, "the page"))
    reply = handler(Request(method, target, [], b"", "1.1", "127.0.0.1"))
    assert isinstance(reply, Reply)
    assert (reply.body == b"the page\n") is not by_relay
