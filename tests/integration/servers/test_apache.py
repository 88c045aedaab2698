"""Debian's Apache with mod_ssl, fed by the relay, judged by handshakes. K1, K4, K11, K21, K27."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from holdfast.errors import DeliveryError
from holdfast.net.http_server import Reply, plain
from holdfast.ocsp.response import error_response
from holdfast.ocsp.statuses import ResponseStatus, RevocationReason, Revoked, Unknown
from holdfast.servers.apache import ApacheServer, apache_snippet
from holdfast.services.proof import Proof
from support.servers.apache import Apache
from support.servers.relayed import HOUR, RelayStand, a_relay
from support.staples import a_desk
from support.tls_world import NOW, YESTERDAY, a_ca

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
REVOKED = Revoked(NOW - HOUR, RevocationReason.KEY_COMPROMISE)
OCSP = ((b"Content-Type", b"application/ocsp-response"),)
TRY_LATER = bytes.fromhex("30030a0103")


@pytest.fixture
def stand() -> Iterator[RelayStand]:
    with a_relay() as made:
        yield made


def apache_of(stand: RelayStand, *, cache: timedelta = SECOND, wrong: str = "") -> Apache:
    """`wrong`: the directives that are left at their defaults."""
    snippet = apache_snippet(stand.address, cache_timeout=cache)
    lines = [line for line in snippet.splitlines() if not wrong or wrong not in line]
    return Apache({"site": stand.desk.server}, stapling="\n".join(lines), shift=stand.shift)


def adapter_of(stand: RelayStand, *, cache: timedelta = SECOND) -> ApacheServer:
    return ApacheServer("web", shelf=stand.shelf, clock=stand.clock, cache_timeout=cache)


def test_k1_the_first_handshake_after_the_start_is_stapled(stand: RelayStand) -> None:
    adapter, staple = adapter_of(stand), stand.staple()
    stand.run(adapter.deliver(staple))
    with apache_of(stand) as apache:
        assert stand.shown(apache.port) == staple.der
        apache.restart()
        assert stand.shown(apache.port) == staple.der
    (asked, _) = stand.asked
    assert (asked.method, asked.version, asked.target) == ("POST", "1.0", b"/ocsp")


def test_a_certificate_that_names_no_responder_is_stapled_too() -> None:
    with a_relay(responder_urls=()) as stand:
        staple = stand.staple()
        stand.run(adapter_of(stand).deliver(staple))
        with apache_of(stand) as apache:
            assert stand.shown(apache.port) == staple.der


def test_rsa_and_ecdsa_in_one_host_have_each_their_own(stand: RelayStand) -> None:
    rsa = a_desk("localhost", ca=stand.desk.ca, at=YESTERDAY, key_type="rsa-2048")
    sites = {"site": (stand.desk.server, rsa.server)}
    adapter, of_ecdsa = adapter_of(stand), stand.staple()
    of_rsa = rsa.staple(stand.clock.now().replace(microsecond=0) - HOUR)
    stand.run(adapter.deliver(of_ecdsa))
    stand.run(adapter.deliver(of_rsa))
    with Apache(sites, stapling=apache_snippet(stand.address), shift=stand.shift) as apache:
        assert stand.shown(apache.port, authentication="rsa") == of_rsa.der
        assert stand.shown(apache.port, authentication="ecdsa") == of_ecdsa.der


def test_k21_a_new_staple_is_sent_when_deliver_returns(stand: RelayStand) -> None:
    adapter = adapter_of(stand)
    with apache_of(stand) as apache:
        prove = Proof({"web": ("127.0.0.1", apache.port)})
        for age in (3, 2, 2, 1):
            staple = stand.staple(age=age * MINUTE)
            stand.run(adapter.deliver(staple))
            stand.run(prove("web", staple))


def test_k20_one_question_for_many_handshakes_within_the_cache(stand: RelayStand) -> None:
    stand.run(adapter_of(stand).deliver(stand.staple()))
    with apache_of(stand, cache=MINUTE) as apache:
        for _ in range(20):
            assert stand.shown(apache.port) is not None
    assert len(stand.asked) == 1


def test_k11_revoked_is_shown_within_the_cache_timeout(stand: RelayStand) -> None:
    """20 s of Apache's cache after a recheck of 30 s is less than a minute."""
    adapter, good = adapter_of(stand, cache=20 * SECOND), stand.staple()
    with apache_of(stand, cache=20 * SECOND) as apache:
        stand.run(adapter.deliver(good))
        assert stand.shown(apache.port) == good.der
        revoked = stand.staple(age=MINUTE, status=REVOKED)
        stand.shelf.put("web", revoked)
        stand.shift.by(18 * SECOND)
        assert stand.shown(apache.port) == good.der
        stand.shift.by(3 * SECOND)
        stand.run(adapter.deliver(revoked))
        assert stand.shown(apache.port) == revoked.der


def test_k4_withdraw_leaves_no_staple_nor_does_a_restart(stand: RelayStand) -> None:
    adapter, staple = adapter_of(stand), stand.staple()
    with apache_of(stand) as apache:
        stand.run(adapter.withdraw(stand.certid))
        stand.run(adapter.deliver(staple))
        assert stand.shown(apache.port) == staple.der
        stand.run(adapter.withdraw(stand.certid))
        assert stand.shown(apache.port) is None
        apache.restart()
        assert stand.shown(apache.port) is None
        stand.run(adapter.deliver(staple))
        assert stand.shown(apache.port) == staple.der, "and back with the next handshake"


def test_k27_the_keeper_is_gone_the_cache_runs_out_and_nothing_is_sent(stand: RelayStand) -> None:
    staple = stand.staple()
    stand.run(adapter_of(stand).deliver(staple))
    with apache_of(stand, cache=20 * SECOND) as apache:
        assert stand.shown(apache.port) == staple.der
        stand.stop()
        assert stand.shown(apache.port) == staple.der, "what a restart of the keeper takes"
        stand.shift.by(21 * SECOND)
        assert stand.shown(apache.port) is None
        stand.again()
        stand.run(adapter_of(stand).deliver(staple))
        assert stand.shown(apache.port) == staple.der


@pytest.mark.parametrize("skew", ["off", "as usual"])
def test_k27_not_one_second_past_next_update(stand: RelayStand, skew: str) -> None:
    """The keeper goes just before the end, which lies within Apache's cache timeout. With the usual
    skew, the red twin, Apache goes on for as long as its cache has it."""
    staple = stand.staple(age=timedelta(0), window=60 * SECOND)
    stand.run(adapter_of(stand).deliver(staple))
    ends = staple.next_update
    assert ends is not None
    wrong = "ResponseTimeSkew" if skew == "as usual" else ""
    with apache_of(stand, cache=20 * SECOND, wrong=wrong) as apache:
        stand.shift.to_instant(ends - 6 * SECOND)
        assert stand.shown(apache.port) == staple.der
        stand.stop()
        stand.shift.to_instant(ends - 2 * SECOND)
        assert stand.shown(apache.port) == staple.der
        stand.shift.to_instant(ends + 2 * SECOND)
        expected = None if skew == "off" else staple.der
        assert stand.shown(apache.port) == expected


@pytest.mark.parametrize(
    "answer",
    [
        plain(503, "no staple is held"),
        plain(400, "garbage"),
        Reply(200, b"", OCSP),
        Reply(200, error_response(ResponseStatus.tryLater), OCSP),
        Reply(200, error_response(ResponseStatus.unauthorized), OCSP),
    ],
    ids=["503", "400", "empty", "tryLater", "unauthorized"],
)
def test_what_makes_apache_send_nothing(stand: RelayStand, answer: Reply) -> None:
    stand.instead = answer
    with apache_of(stand) as apache:
        for _ in range(3):
            assert stand.shown(apache.port) is None


@pytest.mark.parametrize("code", [503, 200])
def test_after_an_http_error_apache_asks_again_at_once_but_not_after_an_ocsp_error(
    stand: RelayStand, code: int
) -> None:
    """Why the relay answers 503."""
    ocsp_error = Reply(200, error_response(ResponseStatus.tryLater), OCSP)
    stand.instead = plain(503, "none") if code == 503 else ocsp_error
    with apache_of(stand) as apache:
        apache.write("ErrorCacheTimeout 1", "ErrorCacheTimeout 600")
        apache.restart()
        assert stand.shown(apache.port) is None
        stand.instead = None
        staple = stand.staple()
        stand.run(adapter_of(stand).deliver(staple))
        assert stand.shown(apache.port) == (staple.der if code == 503 else None)


@pytest.mark.parametrize("wrong", ["FakeTryLater", "ReturnResponderErrors"])
def test_red_twin_without_those_lines_apache_sends_trylater(stand: RelayStand, wrong: str) -> None:
    if wrong == "ReturnResponderErrors":
        stand.instead = Reply(200, error_response(ResponseStatus.tryLater), OCSP)
    with apache_of(stand, wrong=wrong) as apache:
        assert stand.shown(apache.port) == TRY_LATER


def test_a_staple_from_the_future_waits_for_its_time(stand: RelayStand) -> None:
    """The CA's clock is 2 s ahead; the staple before it goes on meanwhile."""
    adapter, first = adapter_of(stand), stand.staple()
    early = stand.staple(age=-2 * SECOND)
    with apache_of(stand) as apache:
        stand.run(adapter.deliver(first))
        delivering = stand.begin(adapter.deliver(early))
        assert stand.shown(apache.port) == first.der
        assert not delivering.done()
        stand.shift.by(5 * SECOND)
        delivering.result(timeout=10)
        assert stand.shown(apache.port) == early.der


def test_k12_unknown_is_not_delivered(stand: RelayStand) -> None:
    good = stand.staple()
    unknown = replace(good, single=good.single._replace(certificate_status=Unknown()))
    with pytest.raises(DeliveryError, match="web: a staple that says unknown"):
        stand.run(adapter_of(stand).deliver(unknown))
    assert stand.shelf.held(stand.certid) is None


def test_k2_the_responder_is_asked_by_nobody_a_handshake_takes_milliseconds(
    stand: RelayStand,
) -> None:
    stand.run(adapter_of(stand).deliver(stand.staple()))
    with apache_of(stand) as apache:
        apache.write("StandardCacheTimeout 1", "StandardCacheTimeout 0")
        apache.restart()
        taken = []
        for _ in range(30):
            begun = time.perf_counter()
            stand.shown(apache.port)
            taken.append(time.perf_counter() - begun)
        assert len(stand.asked) == 30, "each was asked for within its handshake"
    assert sorted(taken)[15] < 0.1


def test_a_keeper_that_hangs_costs_a_second_and_no_more(stand: RelayStand) -> None:
    """SSLStaplingResponderTimeout, whose least is 1 s; 10 s would be the default."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        snippet = apache_snippet(f"127.0.0.1:{hole.getsockname()[1]}", cache_timeout=SECOND)
        with Apache({"site": stand.desk.server}, stapling=snippet) as apache:
            begun = time.monotonic()
            assert stand.shown(apache.port) is None
            assert 0.9 < time.monotonic() - begun < 2


def test_a_foreign_certificate_is_not_answered_for(stand: RelayStand) -> None:
    """Another CA of the same name, and the same serial."""
    stand.run(adapter_of(stand).deliver(stand.staple()))
    other = a_desk("localhost", ca=a_ca("rsa-2048"), at=YESTERDAY, serial=stand.certid.serial)
    snippet = apache_snippet(stand.address, cache_timeout=SECOND)
    with Apache({"other": other.server}, stapling=snippet, shift=stand.shift) as apache:
        assert stand.shown(apache.port) is None
    assert stand.relay.answered["none"] == 1
