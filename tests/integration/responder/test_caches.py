"""R21 to R23 at work: nginx's proxy_cache and Varnish serve from the caching headers alone.

Neither is told how long to keep anything. Time is moved for the cache and the responder together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from holdfast.ocsp.extension import nonce_extension
from holdfast.ocsp.request import Request, SingleRequest
from holdfast.pki.issue import Issued
from support.pki import a_server
from support.ports import free_port
from support.responder_caches import NginxCache, Varnish
from support.responder_judge import (
    caching_objections,
    error_objections,
    singles_of,
    states_of,
    wrong_states,
)
from support.responder_wire import Got, Wire, ask, get_bytes, path_of, post_bytes
from support.responder_world import BEGIN, World, a_world
from support.servers.process import Process
from support.servers.shift import Shift

MAX_AGE = timedelta(seconds=60)  # below a hundredth of the window: the answer is still the same
CACHES = {"nginx": NginxCache, "varnish": Varnish}


@dataclass
class Cached:
    """A responder and a cache in front of it; `world` is theirs alone. Each test has serials of its
    own, and time only goes on."""

    world: World
    shift: Shift
    cache: Process
    port: int
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self, *words: str) -> None:
        words = words or ("--max-age", f"{MAX_AGE.seconds}s")
        moved = self.shift.environment
        started = self.world.responder(*words, environment=moved, port=self.port)
        self._running.enter_context(started)

    def stop(self) -> None:
        self._running.close()

    @contextmanager
    def without_responder(self) -> Iterator[None]:
        self.stop()
        yield
        self.start()

    def asked(self, serial: int, *fields: str) -> Got:
        return ask(self.cache.port, get_bytes(path_of(self.world.asks(serial)), *fields))

    def pass_max_age(self) -> None:
        self.shift.by(MAX_AGE + timedelta(seconds=2))


@pytest.fixture(scope="module", params=CACHES)
def cached(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cached]:
    folder = tmp_path_factory.mktemp(request.param)
    world, shift, port = a_world(folder), Shift(folder / "shift"), free_port()
    with CACHES[request.param](folder, port, shift=shift) as cache:
        cached = Cached(world, shift, cache, port)
        cached.start()
        yield cached
        cached.stop()


def told(got: Got) -> str:
    return got.field("x-cache") or "PASS"


def test_a_cache_serves_for_max_age_and_no_longer(cached: Cached) -> None:
    """R21: even without the responder; when it may keep no longer, what it has is not served."""
    first = cached.asked(0x1000)
    assert told(first) == "MISS"
    assert caching_objections(first) == []
    with Wire(cached.cache.port) as wire:
        for _ in range(99):
            wire.send(get_bytes(path_of(cached.world.asks(0x1000))))
            got = wire.reply()
            assert (told(got), got.body) == ("HIT", first.body)
    with cached.without_responder():
        assert told(cached.asked(0x1000)) == "HIT"
        cached.shift.by(MAX_AGE - timedelta(seconds=10))
        assert told(cached.asked(0x1000)) == "HIT"
        cached.shift.by(timedelta(seconds=12))
        assert cached.asked(0x1000).code in (502, 503, 504)


def test_a_cache_asks_again_and_hears_that_nothing_changed(cached: Cached) -> None:
    """R23: after max-age a 304, which lets it serve for another max-age."""
    first = cached.asked(0x1001)
    cached.pass_max_age()
    again = cached.asked(0x1001)
    assert (told(again), again.body) == ("REVALIDATED", first.body)
    assert caching_objections(again) == []
    with cached.without_responder():
        assert told(cached.asked(0x1001)) == "HIT"


def test_an_answer_that_is_old_is_replaced_by_a_new_one(cached: Cached) -> None:
    """R21, R23: hours later the cache hears a newer answer, and keeps that."""
    first = cached.asked(0x1002)
    cached.shift.by(timedelta(hours=6))
    second = cached.asked(0x1002)
    assert told(second) in ("EXPIRED", "MISS")
    assert second.body != first.body
    begin = [singles_of(got.body)[0]["this_update"].native for got in (first, second)]
    assert begin[1] - begin[0] >= timedelta(hours=5, minutes=59)
    assert cached.asked(0x1002).body == second.body


def test_a_revocation_is_seen_when_max_age_has_passed(cached: Cached) -> None:
    """R32: behind a cache the delay is max-age; the red twin is before: good, from the cache."""
    for serial in (0x1003, 0x1004):
        assert states_of(cached.asked(serial).body) == [(serial, "good")]
    cached.world.revoke(0x1003)
    straight = ask(cached.port, get_bytes(path_of(cached.world.asks(0x1003))))
    assert states_of(straight.body) == [(0x1003, "revoked")]
    assert told(cached.asked(0x1003)) == "HIT"
    assert states_of(cached.asked(0x1003).body) == [(0x1003, "good")]
    cached.pass_max_age()
    got = cached.asked(0x1003)
    assert states_of(got.body) == [(0x1003, "revoked")]
    assert caching_objections(got) == []
    assert wrong_states(cached.asked(0x1004).body, cached.world.good, cached.world.revoked) == []


def test_what_is_posted_is_not_kept(cached: Cached) -> None:
    """R21, RFC 9110 9.3.3: each POST is answered anew: a revocation is seen at once."""
    data = post_bytes(cached.world.asks(0x1005))
    for _ in range(3):
        got = ask(cached.cache.port, data)
        assert told(got) == "PASS"
        assert states_of(got.body) == [(0x1005, "good")]
    cached.world.revoke(0x1005)
    assert states_of(ask(cached.cache.port, data).body) == [(0x1005, "revoked")]


def test_an_answer_with_a_nonce_is_not_kept(cached: Cached) -> None:
    """R19, R22: the same URL twice, two answers."""
    single = SingleRequest(cached.world.certid(0x1006))
    asked = Request((single,), (nonce_extension(b"n" * 32),)).encode()
    seen = [ask(cached.cache.port, get_bytes(path_of(asked))) for _ in range(3)]
    assert [told(got) == "HIT" for got in seen] == [False] * 3
    assert all(b"n" * 32 in got.body for got in seen)
    assert len({got.body for got in seen}) == 3


def test_an_error_is_not_kept(cached: Cached) -> None:
    """R11, R22: a serial asked for too early is answered as soon as it is issued."""
    for _ in range(2):
        got = cached.asked(0x3000)
        assert told(got) != "HIT"
        assert error_objections(got.body, "unauthorized") == []
    cached.world.good.add(0x3000)
    cached.world.write()
    assert states_of(cached.asked(0x3000).body) == [(0x3000, "good")]
    for _ in range(2):
        got = ask(cached.cache.port, get_bytes("/!!!"))
        assert told(got) != "HIT"
        assert error_objections(got.body, "malformed_request") == []


def test_a_ledger_that_cannot_be_read_is_not_remembered(cached: Cached) -> None:
    """R22: tryLater is over when the ledger is whole again."""
    cached.world.index.write_text("V\tnonsense\n")
    assert error_objections(cached.asked(0x1007).body, "try_later") == []
    cached.world.write()
    assert states_of(cached.asked(0x1007).body) == [(0x1007, "good")]


@pytest.mark.parametrize("spell", ["raw", "escaped", "base64url"])
def test_awkward_paths_pass_through(cached: Cached, spell: str) -> None:
    """R24: `//` and `+` in the path are neither merged nor decoded into another answer."""
    escaped = path_of(cached.world.asks(cached.world.awkward))
    raw = escaped.replace("%2F", "/").replace("%2B", "+").replace("%3D", "=")
    url = "/" + raw[1:].replace("/", "_").replace("+", "-")
    path = {"raw": raw, "escaped": escaped, "base64url": url}[spell]
    first, second = (ask(cached.cache.port, get_bytes(path)) for _ in range(2))
    assert states_of(first.body) == [(cached.world.awkward, "good")]
    assert (told(second), second.body) == ("HIT", first.body)


def test_a_client_of_the_cache_may_ask_whether_it_changed(cached: Cached) -> None:
    """R23: the cache answers 304 from what it has; HEAD too."""
    first = cached.asked(0x1008)
    with cached.without_responder():
        got = cached.asked(0x1008, f"If-None-Match: {first.field('etag')}")
        assert got.code == 304
        asked = get_bytes(path_of(cached.world.asks(0x1008)), method="HEAD")
        head = ask(cached.cache.port, asked, "HEAD")
    assert caching_objections(head, body=first.body) == []


def test_no_cache_serves_an_answer_past_its_end(cached: Cached) -> None:
    """R21: a max-age longer than the answer's window; also by the last second of it."""
    cached.stop()
    cached.start("--max-age", "12h", "--validity", "10m")
    first = cached.asked(0x1009)
    cached.shift.by(timedelta(minutes=9))
    assert cached.asked(0x1009).body == first.body
    cached.shift.by(timedelta(minutes=1))
    second = cached.asked(0x1009)
    assert second.body != first.body
    with cached.without_responder():
        cached.shift.by(timedelta(minutes=9))
        assert cached.asked(0x1009).body == second.body
        cached.shift.by(timedelta(minutes=1))
        assert cached.asked(0x1009).code in (502, 503, 504)


def test_a_certificate_issued_behind_a_cache_is_judged(cached: Cached) -> None:
    """R11, R32: from issue to revocation, as its holder sees it through the cache."""
    issued: Issued = a_server(cached.world.ca, "new.test", at=BEGIN)
    serial = issued.certificate.serial
    assert error_objections(cached.asked(serial).body, "unauthorized") == []
    cached.world.good.add(serial)
    cached.world.write()
    assert states_of(cached.asked(serial).body) == [(serial, "good")]
    cached.world.revoke(serial)
    cached.pass_max_age()
    assert states_of(cached.asked(serial).body) == [(serial, "revoked")]
