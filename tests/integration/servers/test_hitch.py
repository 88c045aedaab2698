"""The Hitch adapter before Debian's Hitch, judged by handshakes. K1, K4, K11, K21, K27, K28."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.servers.hitch import EndedBlank
from holdfast.services.proof import Proof
from support.servers.desk_world import AT_ONCE, HOUR, MINUTE, DeskWorld, a_desk_world
from support.servers.hitch import Hitch
from support.staples import a_desk
from support.tls_world import NOW, YESTERDAY, gnutls, roots_file

BLANK = EndedBlank()
REVOKED = Revoked(NOW - HOUR, RevocationReason.KEY_COMPROMISE)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    with a_desk_world(tmp_path) as made:
        yield made


@pytest.fixture
def server(world: DeskWorld) -> Hitch:
    """Not started."""
    return Hitch(world.folder, world.desk.server, shift=world.shift)


def test_the_first_handshake_after_the_start_is_stapled(world: DeskWorld, server: Hitch) -> None:
    """K1, and kept over a restart."""
    adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
    world.run(adapter.deliver(staple))
    with server:
        assert world.shown(server.port) == staple.der
        code, said = gnutls(server.port, roots_file(world.desk.ca, world.folder))
        assert code == 0, said
        server.restart()
        assert world.shown(server.port) == staple.der


def test_hitch_does_not_start_without_the_file_so_a_withdrawal_leaves_a_blank_one(
    world: DeskWorld, server: Hitch
) -> None:
    with pytest.raises(AssertionError, match="Unable to stat OCSP stapling file"):
        server.start()
    world.run(server.adapter(clock=world.clock, pace=AT_ONCE).withdraw(world.certid))
    assert BLANK.is_blank(server.staple.read_bytes())
    with server:
        assert world.shown(server.port) is None


def test_k21_every_handshake_after_the_delivery_shows_it(world: DeskWorld, server: Hitch) -> None:
    """K4: also none after a withdrawal."""
    world.run(server.adapter(clock=world.clock).withdraw(world.certid))
    with server:
        adapter = server.adapter(clock=world.clock, pace=AT_ONCE)
        prove = Proof({"web": ("127.0.0.1", server.port)})
        for age in (3, 2):
            staple = world.staple(age=age * MINUTE)
            world.run(adapter.deliver(staple))
            world.run(prove("web", staple))
        world.run(adapter.withdraw(world.certid))
        assert BLANK.is_blank(server.staple.read_bytes())
        for _ in range(4):
            assert world.shown(server.port) is None
        before = server.reloads
        world.run(adapter.withdraw(world.certid))
        assert server.reloads == before
        server.restart()
        assert world.shown(server.port) is None


def test_k27_hitch_stops_at_next_update_by_itself(world: DeskWorld, server: Hitch) -> None:
    """The keeper is dead and nobody withdraws."""
    staple = world.staple(age=MINUTE, window=HOUR)
    world.run(server.adapter(clock=world.clock, pace=AT_ONCE).deliver(staple))
    world.shift.by(2 * HOUR)
    with server:
        assert world.shown(server.port) is None
        # and the timer puts the blank in its place
        world.run(server.adapter(clock=world.clock, pace=AT_ONCE).withdraw(world.certid))
        assert BLANK.is_blank(server.staple.read_bytes())


def test_hitchs_refusal_is_put_back_and_told_by_file_and_line(
    world: DeskWorld, server: Hitch
) -> None:
    adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
    world.run(adapter.deliver(staple))
    with server:
        good = server.config.read_text()
        server.config.write_text(good + "no-such-key = 1\n")
        line = len(good.splitlines()) + 1
        with pytest.raises(DeliveryError, match=rf"hitch\.conf` .*in line {line}: "):
            world.run(adapter.deliver(world.staple(age=MINUTE)))
        assert server.staple.read_bytes() == staple.der
        assert world.shown(server.port) == staple.der


def test_a_reload_that_hitch_refuses_is_put_back(world: DeskWorld, server: Hitch) -> None:
    adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
    world.run(adapter.deliver(staple))
    with server:
        deaf = server.adapter(clock=world.clock, pace=AT_ONCE, reload=["/bin/true"], deadline=0.5)
        with pytest.raises(DeliveryError, match="went on with its old configuration"):
            world.run(deaf.deliver(world.staple(age=MINUTE)))
        assert server.staple.read_bytes() == staple.der
        assert world.shown(server.port) == staple.der


def test_k11_hitch_sends_nothing_rather_than_the_good_of_before(
    world: DeskWorld, server: Hitch
) -> None:
    adapter = server.adapter(clock=world.clock, pace=AT_ONCE)
    world.run(adapter.deliver(world.staple(age=2 * MINUTE)))
    with server:
        with pytest.raises(DeliveryError, match="does not load a staple that says revoked"):
            world.run(adapter.deliver(world.staple(age=MINUTE, status=REVOKED)))
        assert world.shown(server.port) is None
        server.restart()
        assert world.shown(server.port) is None


def test_where_hitch_verifies_the_blank_is_refused_and_it_still_starts(world: DeskWorld) -> None:
    """`ocsp-verify-staple = on`: what was there is put back, and the error says so."""
    server = Hitch(world.folder, world.desk.server, shift=world.shift, verify="on")
    server.trusts(world.desk.ca)
    adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
    world.run(adapter.deliver(staple))
    with server:
        with pytest.raises(DeliveryError, match="Staple verification failed"):
            world.run(adapter.withdraw(world.certid))
        assert server.staple.read_bytes() == staple.der
        server.restart()
        assert world.shown(server.port) == staple.der


def test_another_certificates_staple_is_put_back(world: DeskWorld, server: Hitch) -> None:
    """Hitch itself looks whose it is; the keeper's files do not cross either."""
    adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
    world.run(adapter.deliver(staple))
    other = a_desk("localhost", ca=world.desk.ca, at=YESTERDAY).staple(NOW - HOUR, HOUR * 24)
    with pytest.raises(DeliveryError, match="matching certificate id"):
        world.run(adapter.deliver(other))
    assert server.staple.read_bytes() == staple.der


def test_the_blank_is_told_from_every_staple(world: DeskWorld) -> None:
    assert BLANK.is_blank(BLANK.made(world.certid))
    assert not BLANK.is_blank(world.staple().der)
    assert not BLANK.is_blank(b"")
