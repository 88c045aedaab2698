"""sources/http: how a responder is asked (K13, K14, K15) and what its failures are called (K7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.errors import HoldfastError, NotFound, PeerError, Unavailable
from holdfast.net.http_client import Http
from holdfast.net.http_server import Reply, Request, plain
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.http import decode_get_path
from holdfast.ocsp.request import Request as OcspRequest
from holdfast.ocsp.response import Response, ResponseStatus, error_response
from holdfast.sources.http import Exchange, HttpSource
from support.http import serving
from support.staples import Desk, a_desk

OCSP = (b"Content-Type", b"application/ocsp-response")
DESK = a_desk()
GOOD = DESK.response().der


def answer(body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> Reply:
    return Reply(status, body, headers or (OCSP,))


class Responder:
    """Plays `script` and remembers what it was asked."""

    def __init__(self, script: Callable[[Request], Reply]) -> None:
        self.script = script
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        return self.script(request)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.asked]

    @property
    def requests(self) -> list[OcspRequest]:
        return [
            OcspRequest.parse(r.body if r.method == "POST" else decode_get_path(r.path, b"/r"))
            for r in self.asked
        ]

    @property
    def hashes(self) -> list[str]:
        return [request.singles[0].certid.hash_algorithm for request in self.requests]


def subject_at(*urls: str, desk: Desk = DESK) -> Subject:
    return Subject.of(desk.server.certificate, desk.ca.certificate, urls)


def ask(
    script: Callable[[Request], Reply], *, path: str = "/r", **how: Any
) -> tuple[Responder, Response | HoldfastError]:
    async def main() -> tuple[Responder, Response | HoldfastError]:
        responder = Responder(script)
        async with serving(responder) as server, Http(timeout=5) as http:
            source = HttpSource(http, **how)
            try:
                got = await source.response(subject_at(f"http://127.0.0.1:{server.port}{path}"))
            except HoldfastError as error:
                return responder, error
            return responder, got

    return asyncio.run(main())


def good(request: Request) -> Reply:
    return answer(GOOD)


def test_k14_get_when_short() -> None:
    responder, got = ask(good)
    assert isinstance(got, Response)
    assert got.der == GOOD
    (asked,) = responder.asked
    assert asked.method == "GET"
    assert asked.target.startswith(b"/r/M")
    assert b"//" not in asked.target
    assert asked.header(b"accept") == b"application/ocsp-response"
    assert responder.requests[0].singles[0].certid == DESK.subject.certid


def test_k14_exactly_one_slash() -> None:
    responder, _ = ask(good, path="/r/")
    assert responder.asked[0].target.startswith(b"/r/M")
    responder, _ = ask(good, path="")
    assert responder.asked[0].target.startswith(b"/M")


def test_k14_post_when_long() -> None:
    responder, got = ask(good, path="/" + "r" * 200)
    assert isinstance(got, Response)
    assert responder.methods == ["POST"]
    assert responder.asked[0].header(b"content-type") == b"application/ocsp-request"


@pytest.mark.parametrize("method", ["get", "post"])
def test_k14_method_can_be_set(method: Any) -> None:
    responder, got = ask(good, method=method)
    assert isinstance(got, Response)
    assert responder.methods == [method.upper()]


def test_k14_get_that_cannot_be() -> None:
    responder, error = ask(good, path="/" + "r" * 200, method="get")
    assert isinstance(error, Unavailable)
    assert error.failure == "bad-url"
    assert not responder.asked


@pytest.mark.parametrize(
    "refusal",
    [plain(404, "no"), plain(405, "no"), answer(b"<html>"), answer(b""), answer(GOOD[:-1])],
)
def test_k14_post_as_fallback(refusal: Reply) -> None:
    responder, got = ask(lambda r: refusal if r.method == "GET" else answer(GOOD))
    assert isinstance(got, Response)
    assert responder.methods == ["GET", "POST"]


@pytest.mark.parametrize("refusal", [plain(500, "x"), plain(403, "x")])
def test_k14_no_fallback_where_post_would_not_help(refusal: Reply) -> None:
    responder, error = ask(lambda _: refusal)
    assert isinstance(error, Unavailable)
    assert responder.methods == ["GET"]


def test_k14_no_fallback_when_get_was_asked_for() -> None:
    responder, _ = ask(lambda _: plain(405, ""), method="get")
    assert responder.methods == ["GET"]


UNAUTHORIZED = answer(error_response(ResponseStatus.unauthorized))


def test_k13_sha1_by_default_then_sha256_once_on_unauthorized() -> None:
    responder, _ = ask(good)
    assert responder.hashes == ["sha1"]
    responder, error = ask(lambda _: UNAUTHORIZED)
    assert isinstance(error, PeerError)
    assert error.failure == "unauthorized"
    assert responder.hashes == ["sha1", "sha256"]


def test_k13_sha256_may_succeed() -> None:
    def script(request: Request) -> Reply:
        certid = OcspRequest.parse(decode_get_path(request.path, b"/r")).singles[0].certid
        return answer(GOOD) if certid.hash_algorithm == "sha256" else UNAUTHORIZED

    responder, got = ask(script)
    assert isinstance(got, Response)
    responder, got = ask(script, hash="sha256")
    assert isinstance(got, Response)
    assert responder.hashes == ["sha256"]


def test_unknown_hash_is_a_bug() -> None:
    with pytest.raises(ValueError, match="md5"):
        ask(good, hash="md5")


def test_nonce() -> None:
    responder, _ = ask(good, nonce=True)
    nonce = responder.requests[0].nonce
    assert nonce is not None
    assert len(nonce) == 32
    other, _ = ask(good, nonce=True)
    assert other.requests[0].nonce != nonce


def error_reply(name: str, *headers: tuple[bytes, bytes]) -> Reply:
    return answer(error_response(ResponseStatus[name]), OCSP, *headers)


FAILURES: list[tuple[Reply, type[HoldfastError], str]] = [
    (plain(400, ""), Unavailable, "http-4xx"),
    (plain(404, ""), Unavailable, "http-4xx"),
    (plain(429, "", headers=((b"Retry-After", b"7"),)), Unavailable, "http-4xx"),
    (plain(500, ""), Unavailable, "http-5xx"),
    (plain(503, "", headers=((b"Retry-After", b"7"),)), Unavailable, "http-5xx"),
    (Reply(204), Unavailable, "http-2xx"),
    (Reply(304), Unavailable, "http-3xx"),
    (answer(b""), PeerError, "empty"),
    (answer(b" <!DOCTYPE html><p>Log in"), PeerError, "html"),
    (answer(GOOD[:-1]), PeerError, "truncated"),
    (answer(GOOD[:3]), PeerError, "truncated"),
    (answer(GOOD + b"\0"), PeerError, "malformed"),
    (answer(b"\x30\x80" + GOOD[2:] + b"\0\0"), PeerError, "malformed"),
    (answer(b"\xff" * 20), PeerError, "malformed"),
    (answer(b"\x30\x03\x0a\x01\x00"), PeerError, "malformed"),  # successful, and no bytes
    (error_reply("tryLater", (b"Retry-After", b"7")), Unavailable, "try-later"),
    (error_reply("internalError"), Unavailable, "internal-error"),
    (error_reply("unauthorized"), PeerError, "unauthorized"),
    (error_reply("malformedRequest"), PeerError, "malformed-request"),
    (error_reply("sigRequired"), PeerError, "sig-required"),
]


@pytest.mark.parametrize(("reply", "kind", "failure"), FAILURES)
def test_k7_failures(reply: Reply, kind: type[HoldfastError], failure: str) -> None:
    _, error = ask(lambda _: reply)
    assert type(error) is kind
    assert error.failure == failure  # type: ignore[attr-defined]
    assert error.message.startswith("http://127.0.0.1:")
    if any(name == b"Retry-After" for name, _ in reply.headers):
        assert error.retry_after == 7  # type: ignore[attr-defined]


def test_wrong_content_type_is_tolerated_and_noted() -> None:
    exchange = one_exchange(lambda _: answer(GOOD, (b"Content-Type", b"text/html")))
    assert exchange.response is not None
    assert exchange.error is None
    assert "text/html" in exchange.notes[0]
    assert one_exchange(good).notes == ()


def one_exchange(script: Callable[[Request], Reply]) -> Exchange:
    async def main() -> Exchange:
        async with serving(script) as server, Http() as http:
            url = f"http://localhost:{server.port}"
            return await HttpSource(http).exchange(subject_at(url), url)

    return asyncio.run(main())


def test_exchange_is_a_record() -> None:
    exchange = one_exchange(good)
    assert exchange.http_status == 200
    assert exchange.method == "GET"
    assert exchange.hash_algorithm == "sha1"
    assert exchange.failure is None
    assert exchange.parse_milliseconds is not None
    assert exchange.timeline.stages()[0][0] == "dns"
    assert ("Content-Type", "application/ocsp-response") in exchange.headers


def test_exchange_of_a_dead_responder() -> None:
    async def main() -> Exchange:
        async with Http() as http:
            return await HttpSource(http).exchange(subject_at(), "http://127.0.0.1:1/")

    exchange = asyncio.run(main())
    assert exchange.failure == "refused"
    assert exchange.http_status is None
    assert exchange.timeline.stages() == ()
    assert exchange.headers == ()


def test_k15_every_url_in_order() -> None:
    async def main() -> None:
        dead, broken = "http://127.0.0.1:1/", Responder(lambda _: plain(500, ""))
        alive = Responder(good)
        async with serving(broken) as one, serving(alive) as two, Http() as http:
            urls = (dead, *(f"http://127.0.0.1:{s.port}/" for s in (one, two)), "http://[")
            source = HttpSource(http)
            response = await source.response(subject_at(*urls))
            assert response.der == GOOD
            seen = [e.failure async for e in source.exchanges(subject_at(*urls))]
            assert seen == ["refused", "http-5xx", None]
            with pytest.raises(Unavailable, match="500"):
                await source.response(subject_at(*urls[:2]))
        assert len(broken.asked) == 3
        assert len(alive.asked) == 2

    asyncio.run(main())


def test_k15_overrides() -> None:
    def urls(given: tuple[str, ...], overrides: dict[str, str]) -> tuple[str, ...]:
        return HttpSource(None, overrides=overrides).urls(subject_at(*given))  # type: ignore[arg-type]

    assert urls(("a", "b"), {}) == ("a", "b")
    assert urls(("a", "b"), {"a": "x"}) == ("x", "b")
    assert urls(("a", "b"), {"*": "x"}) == ("x",)
    assert urls(("a", "b"), {"*": "x", "b": "y"}) == ("x", "y")
    assert urls((), {"*": "x"}) == ("x",)
    assert urls((), {"a": "x"}) == ()


def test_k17_no_responder_is_not_found() -> None:
    async def main() -> None:
        async with Http() as http:
            await HttpSource(http).response(subject_at())

    with pytest.raises(NotFound, match="names no OCSP responder"):
        asyncio.run(main())


def test_an_error_names_the_responder_not_the_whole_url_of_a_get(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "holdfast")

    async def story() -> None:
        seen: list[Exchange] = []
        async with Http(timeout=5) as http:
            source = HttpSource(http, on_exchange=seen.append)
            with pytest.raises(Unavailable) as caught:
                await source.response(subject_at("http://127.0.0.1:1/r/"))
        assert caught.value.message.startswith("http://127.0.0.1:1/r/: ")
        assert caught.value.failure == "refused"
        assert [exchange.error for exchange in seen] == [caught.value]

    asyncio.run(story())
    assert "http://127.0.0.1:1/r/MF" in caplog.text
