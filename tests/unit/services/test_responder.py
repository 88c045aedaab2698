"""The responder's HTTP face, without a socket: R21 to R25."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import timedelta

import pytest

from holdfast.net.http_message import Reply, Request, http_date
from holdfast.ocsp.http import get_url
from holdfast.ocsp.request import Request as OCSPRequest
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import ResponseStatus
from holdfast.plan.answering import Answer, refusal
from holdfast.services.responder import Responder
from support.clock import START, FakeClock


class Recorder:
    """Answers what it was given and remembers what it was asked."""

    def __init__(self, given: Answer) -> None:
        self.given = given
        self.asked: list[bytes] = []

    async def answer_bytes(self, data: bytes, /) -> Answer:
        self.asked.append(data)
        return self.given


GIVEN = Answer(
    b"answer", ResponseStatus.successful, START - timedelta(hours=1), START + timedelta(hours=5)
)


def ask(
    given: Answer = GIVEN,
    *,
    method: str = "POST",
    target: bytes = b"/",
    body: bytes = b"question",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    prefix: str = "",
) -> tuple[Reply, Recorder]:
    recorder = Recorder(given)
    responder = Responder(recorder, clock=FakeClock(), prefix=prefix)
    request = Request(method, target, list(headers), body, "1.1", "127.0.0.1")
    return asyncio.run(responder.handle(request)), recorder


def read(reply: Reply) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in reply.headers}


def test_a_cacheable_answer_says_so() -> None:
    """R21: RFC 9919 6.2; max-age ends before nextUpdate, and at the operator's cap."""
    reply, recorder = ask()
    heads = read(reply)
    assert recorder.asked == [b"question"]
    assert reply.body == b"answer"
    assert heads[b"last-modified"] == http_date(START - timedelta(hours=1))
    assert heads[b"expires"] == http_date(START + timedelta(hours=5))
    assert heads[b"cache-control"].startswith(b"max-age=3600, public")
    short, _ = ask(Answer(b"x", ResponseStatus.successful, START, START + timedelta(seconds=40)))
    assert read(short)[b"cache-control"].startswith(b"max-age=39,")


def test_a_nonced_answer_is_never_cached() -> None:
    """R19."""
    given = Answer(b"x", ResponseStatus.successful, START, START + timedelta(hours=1), nonced=True)
    assert read(ask(given)[0])[b"cache-control"] == b"no-store"


def test_an_error_is_never_cached() -> None:
    """R22."""
    reply, _ = ask(refusal(ResponseStatus.tryLater, "busy"))
    assert reply.status == 200
    assert read(reply)[b"cache-control"] == b"no-store"
    assert Response.parse(reply.body).response_status is ResponseStatus.tryLater


@pytest.mark.parametrize("form", [b"%s", b"W/%s", b'"other", %s', b"*"])
def test_a_client_that_has_it_gets_304_with_the_caching_headers(form: bytes) -> None:
    """R23."""
    etag = read(ask()[0])[b"etag"]
    sent = form % etag if b"%s" in form else form
    path = b"/" + b64encode(b"question")
    reply, _ = ask(headers=((b"if-none-match", sent),), method="GET", target=path)
    assert reply.status == 304
    assert reply.body == b""
    assert read(reply)[b"etag"] == etag
    assert b"expires" in read(reply)
    other, _ = ask(headers=((b"if-none-match", b'"other"'),), method="GET", target=path)
    assert other.status == 200
    posted, _ = ask(headers=((b"if-none-match", sent),))
    assert posted.status == 200  # RFC 9110 13.1.2: for GET and HEAD alone


def test_get_under_a_prefix() -> None:
    """R24, R27."""
    url = get_url("http://h/ocsp", b"0\x03\x02\x01\x05")
    assert url is not None
    path = url.removeprefix("http://h").encode()
    _, recorder = ask(method="GET", target=path, prefix="/ocsp")
    assert recorder.asked == [b"0\x03\x02\x01\x05"]
    elsewhere, recorder = ask(method="GET", target=b"/other/MAAA", prefix="/ocsp")
    assert elsewhere.status == 404
    assert recorder.asked == []
    for target in (b"/other", b"/ocspevil", b"/ocsp0"):
        assert ask(method="POST", target=target, prefix="/ocsp")[0].status == 404
        assert ask(method="GET", target=target, prefix="/ocsp")[0].status == 404
    for target in (b"/ocsp", b"/ocsp/"):
        assert ask(method="POST", target=target, prefix="/ocsp")[0].status == 200


def test_the_bare_path_says_what_it_is() -> None:
    """R25."""
    for target in (b"/", b"//", b"/?x=1"):
        assert ask(method="GET", target=target)[0].status == 200
    assert ask(method="DELETE")[0].status == 405


def test_a_path_that_is_no_base64_is_malformed() -> None:
    reply, recorder = ask(method="GET", target=b"/%%%")
    assert recorder.asked == []
    assert Response.parse(reply.body).response_status is ResponseStatus.malformedRequest


def test_answers_are_counted_by_what_they_say() -> None:
    recorder = Recorder(refusal(ResponseStatus.unauthorized, "no"))
    responder = Responder(recorder, clock=FakeClock())
    request = Request("POST", b"/", [], OCSPRequest(()).encode(), "1.1", "127.0.0.1")
    asyncio.run(responder.handle(request))
    assert responder.answered == {"unauthorized": 1}
