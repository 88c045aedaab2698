"""The lighttpd adapter before Debian's lighttpd, judged by handshakes. K1, K4, K11, K21, K27."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.services.proof import Proof
from support.servers.desk_world import AT_ONCE, DAY, HOUR, MINUTE, QUICK, DeskWorld, a_desk_world
from support.servers.lighttpd import Lighttpd
from support.tls_world import NOW, gnutls, roots_file

REVOKED = Revoked(NOW - HOUR, RevocationReason.KEY_COMPROMISE)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    with a_desk_world(tmp_path) as made:
        yield made


@pytest.fixture
def server(world: DeskWorld) -> Lighttpd:
    """Not started."""
    return Lighttpd(world.folder, world.desk.server, shift=world.shift)


def test_the_first_handshake_after_the_start_is_stapled(world: DeskWorld, server: Lighttpd) -> None:
    """K1, and kept over a restart."""
    adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
    world.run(adapter.deliver(staple))
    with server:
        assert world.shown(server.port) == staple.der
        code, said = gnutls(server.port, roots_file(world.desk.ca, world.folder))
        assert code == 0, said
        server.restart()
        assert world.shown(server.port) == staple.der


def test_k21_every_handshake_after_the_delivery_shows_it(
    world: DeskWorld, server: Lighttpd
) -> None:
    """K4, K11: also none after a withdrawal, also the revoked one at once."""
    with server:
        adapter = server.adapter(clock=world.clock, pace=AT_ONCE)
        assert world.shown(server.port) is None
        prove = Proof({"web": ("127.0.0.1", server.port)})
        for age in (3, 2):
            staple = world.staple(age=age * MINUTE)
            world.run(adapter.deliver(staple))
            world.run(prove("web", staple))
        revoked = world.staple(age=MINUTE, status=REVOKED)
        slow = server.adapter(clock=world.clock, pace=QUICK)
        world.run(slow.deliver(staple))
        world.run(slow.deliver(revoked))
        assert world.shown(server.port) == revoked.der
        world.run(adapter.withdraw(world.certid))
        assert world.shown(server.port) is None
        assert not server.staple.exists()
        before = server.reloads
        world.run(adapter.withdraw(world.certid))
        assert server.reloads == before


def test_k11_what_follows_a_restart_at_once_is_shown_too(
    world: DeskWorld, server: Lighttpd
) -> None:
    """lighttpd dies of a SIGUSR1 in the middle of a restart; what it is given again it shows
    before it has restarted."""
    with server:
        adapter = server.adapter(clock=world.clock, pace=AT_ONCE)
        for age in range(9, 3, -1):
            staple = world.staple(age=age * MINUTE)
            world.run(adapter.deliver(staple))
            again = server.adapter(clock=world.clock, pace=AT_ONCE)
            world.run(again.deliver(staple))
        revoked = world.staple(age=MINUTE, status=REVOKED)
        world.run(again.deliver(revoked))
        assert world.shown(server.port) == revoked.der


def test_an_open_connection_does_not_keep_a_delivery_waiting(
    world: DeskWorld, server: Lighttpd
) -> None:
    with server, socket.create_connection(("127.0.0.1", server.port)):
        adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
        world.run(adapter.deliver(staple))
        assert world.shown(server.port) == staple.der


def test_k27_another_process_withdraws_what_this_one_delivered(
    world: DeskWorld, server: Lighttpd
) -> None:
    """Red twin: until then it is sent a day too late, lighttpd's own look coming each 64 s."""
    staple = world.staple(age=MINUTE, window=HOUR)
    with server:
        world.run(server.adapter(clock=world.clock, pace=AT_ONCE).deliver(staple))
        world.shift.by(DAY)
        assert world.shown(server.port) == staple.der
        world.run(server.adapter(clock=world.clock, pace=AT_ONCE).withdraw(world.certid))
        ends = time.monotonic() + 5  # it does not know by what name to look
        while world.shown(server.port) is not None:
            assert time.monotonic() < ends
        server.restart()
        assert world.shown(server.port) is None


def test_lighttpds_refusal_is_put_back_and_told_by_file_and_line(
    world: DeskWorld, server: Lighttpd
) -> None:
    with server:
        adapter, staple = server.adapter(clock=world.clock, pace=AT_ONCE), world.staple()
        world.run(adapter.deliver(staple))
        good = server.config.read_text()
        server.config.write_text(good + 'server.tag = "unended\n')
        line = len(good.splitlines()) + 1
        with pytest.raises(DeliveryError, match=rf"web: .*lighttpd\.conf line: {line} "):
            world.run(adapter.deliver(world.staple(age=MINUTE)))
        assert server.staple.read_bytes() == staple.der
        assert world.shown(server.port) == staple.der


def test_a_restart_that_does_not_happen_is_told_and_put_back(
    world: DeskWorld, server: Lighttpd
) -> None:
    with server:
        adapter = server.adapter(clock=world.clock, pace=AT_ONCE)
        staple = world.staple(age=2 * MINUTE)
        world.run(adapter.deliver(staple))
        deaf = server.adapter(clock=world.clock, pace=AT_ONCE, reload=["/bin/true"], deadline=0.5)
        with pytest.raises(DeliveryError, match=r"0\.5 s after its reload .* shows another staple"):
            world.run(deaf.deliver(world.staple(age=MINUTE)))
        assert server.staple.read_bytes() == staple.der
        with pytest.raises(DeliveryError, match="still shows a staple"):
            world.run(deaf.withdraw(world.certid))
        with pytest.raises(DeliveryError, match="still shows a staple"):
            world.run(deaf.withdraw(world.certid))  # a withdrawal is not done until it is shown
