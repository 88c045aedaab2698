"""`holdfast check` asks each responder by GET and by POST, and tells what each of them got."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import serve
from holdfast.ocsp.statuses import Revoked
from support.answers import a_staple, an_answer
from support.check_world import CA, Web, codes, looked
from support.tls_world import NOW, Loop, a_proxy, a_site

OCSP = ((b"Content-Type", b"application/ocsp-response"),)


class ByMethod:
    """A responder whose two methods answer otherwise."""

    def __init__(self, loop: Loop) -> None:
        self.get, self.post = Reply(404, b"no"), Reply(404, b"no")
        self.methods: list[str] = []
        self._loop, self._server = loop, loop.run(serve("127.0.0.1", 0, self._answer))
        self.url = f"http://127.0.0.1:{self._server.port}/"

    def _answer(self, request: Request) -> Reply:
        self.methods.append(request.method)
        return self.get if request.method == "GET" else self.post

    def close(self) -> None:
        self._loop.run(self._server.close(grace=0))


@pytest.fixture
def responder(loop: Loop) -> ByMethod:
    return ByMethod(loop)


def test_each_url_is_asked_by_get_and_post_with_a_timeline(
    loop: Loop, roots: Path, web: Web
) -> None:
    site = a_site(CA, responder_urls=[web.url + "/a", web.url + "/b"])
    web.answers = {"/": an_answer(CA, site, at=NOW)}
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots, "--tls", "1.3", "--handshakes", 1)
    assert (report["verdict"], report["findings"]) == ("good", [])
    assert [r["url"] for r in report["responders"]] == [web.url + "/a", web.url + "/b"]
    for responder in report["responders"]:
        assert [asked["method"] for asked in responder["asked"]] == ["GET", "POST"]
        for asked in responder["asked"]:
            stages = asked["timeline"]
            assert {"send", "first byte", "done"} <= set(stages)
            assert list(stages.values()) == sorted(stages.values())
            assert asked["milliseconds"] == stages["done"]
            assert (asked["http_status"], asked["certificate_status"]) == (200, "good")
            assert (asked["certid_hash"], asked["valid"]) == ("sha1", True)


@pytest.mark.parametrize("bad", ["GET", "POST"])
def test_red_a_method_that_does_not_answer_is_told_with_who_asks_by_it(
    loop: Loop, roots: Path, responder: ByMethod, bad: str
) -> None:
    site = a_site(CA, responder_urls=[responder.url])
    good, no = Reply(200, an_answer(CA, site, at=NOW), OCSP), Reply(405, b"no")
    responder.get, responder.post = (no, good) if bad == "GET" else (good, no)
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots, "--tls", "1.3", "--handshakes", 1)
    responder.close()
    assert codes(report) == {"responder-method-fails"}
    found = report["findings"][0]
    assert f", and {bad} not" in found["message"]
    assert ("Apache" in found["hint"]) is (bad == "POST")
    assert report["responders"][0]["certificate_status"] == "good"
    assert responder.methods == ["GET", "POST"]


def test_red_a_cache_that_keeps_good_after_a_revocation_is_caught(
    loop: Loop, roots: Path, responder: ByMethod
) -> None:
    """GET answers from a cache, POST from the responder itself."""
    site = a_site(CA, responder_urls=[responder.url])
    revoked = an_answer(CA, site, Revoked(NOW - timedelta(hours=2)), at=NOW)
    responder.get = Reply(200, an_answer(CA, site, at=NOW), OCSP)
    responder.post = Reply(200, revoked, OCSP)
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots, "--tls", "1.3", "--handshakes", 1)
    responder.close()
    assert codes(report) == {"responder-methods-differ", "responder-disagrees"}
    assert report["verdict"] == "bad"


@pytest.mark.parametrize("newer", [True, False])
def test_an_old_staple_tells_whose_fault_it_is(
    loop: Loop, roots: Path, web: Web, newer: bool
) -> None:
    site = a_site(CA, responder_urls=[web.url])
    begun = NOW - timedelta(hours=9)
    old = a_staple(CA, site, at=begun, window=timedelta(hours=12))
    fresh = an_answer(CA, site, at=NOW, window=timedelta(hours=12))
    web.answers = {"/": fresh if newer else old.der}
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(old)
        report = looked(stand, roots, "--tls", "1.3", "--handshakes", 1)
    assert codes(report) == {"staple-near-expiry"}
    message = report["findings"][0]["message"]
    assert ("the server does not fetch it" in message) is newer
    assert ("its CA is late" in message) is not newer
