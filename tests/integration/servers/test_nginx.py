"""The nginx adapter before Debian's nginx, judged by handshakes. K1, K3, K4, K11, K18, K21, K27,
K28."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.plan.reloading import Pace
from holdfast.servers.reloaded import ReloadedServer
from holdfast.services.proof import Proof
from support.pki import written
from support.servers.handshakes import staple_shown
from support.servers.nginx import Nginx
from support.servers.shift import Shift, ShiftedClock
from support.staples import Desk, a_desk
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, gnutls, roots_file

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
QUICK = Pace(interval=timedelta(minutes=5), gather=timedelta(milliseconds=10))
AT_ONCE = Pace(interval=timedelta(0), gather=timedelta(0))
REVOKED = Revoked(NOW - HOUR, RevocationReason.KEY_COMPROMISE)


@dataclass
class World:
    """A certificate, its CA at the desk, a folder, and one event loop; time is moved by `shift`."""

    folder: Path
    desk: Desk
    shift: Shift
    loop: Loop

    def nginx(self, *more: Desk, **wishes: object) -> Nginx:
        wishes.setdefault("shift", self.shift)
        issued = [desk.server for desk in (self.desk, *more)]
        return Nginx(self.folder, {"site": issued}, **wishes)  # type: ignore[arg-type]

    def adapter(self, server: Nginx, **wishes: object) -> ReloadedServer:
        wishes.setdefault("pace", AT_ONCE)
        return server.adapter(clock=ShiftedClock(self.shift), **wishes)

    def staple(self, *, age: timedelta = HOUR, window: timedelta = DAY, **wishes: object) -> Staple:
        now = ShiftedClock(self.shift).now().replace(microsecond=0)
        return self.desk.staple(now - age, window, **wishes)  # type: ignore[arg-type]

    @property
    def certid(self) -> CertID:
        return self.desk.subject.certid

    def shown(self, server: Nginx, **wishes: object) -> bytes | None:
        return self.loop.run(staple_shown(server.port, **wishes))  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    loop = Loop()
    desk = a_desk("localhost", ca=a_ca(), at=YESTERDAY)
    try:
        yield World(tmp_path, desk, Shift(tmp_path), loop)
    finally:
        loop.stop()


@pytest.fixture
def nginx(world: World) -> Iterator[Nginx]:
    with world.nginx() as started:
        yield started


@contextmanager
def refused(match: str) -> Iterator[None]:
    with pytest.raises(DeliveryError, match=match):
        yield


def test_the_first_handshake_after_the_start_is_stapled(world: World) -> None:
    """K1: delivered while nginx is down; every worker's first handshake shows it."""
    server = world.nginx()
    adapter, staple = world.adapter(server), world.staple()
    world.loop.run(adapter.deliver(staple))
    with server:
        assert world.shown(server) == staple.der
        code, said = gnutls(server.port, roots_file(world.desk.ca, world.folder))
        assert code == 0, said
        for _ in range(8):
            assert world.shown(server) == staple.der


def test_k21_every_handshake_after_the_delivery_shows_it(world: World, nginx: Nginx) -> None:
    adapter = world.adapter(nginx)
    assert world.shown(nginx) is None
    prove = Proof({"web": ("127.0.0.1", nginx.port)})
    for age in (3, 2, 1):
        staple = world.staple(age=age * MINUTE)
        world.loop.run(adapter.deliver(staple))
        for _ in range(5):
            assert world.shown(nginx) == staple.der
        world.loop.run(prove("web", staple))
    nginx.restart()
    assert world.shown(nginx) == staple.der, "kept over a restart, whatever the responder does"


def test_k4_withdraw_takes_the_directive_away(world: World, nginx: Nginx) -> None:
    adapter, staple = world.adapter(nginx), world.staple()
    world.loop.run(adapter.withdraw(world.certid))
    assert nginx.reloads == 0, "there was nothing to take"
    world.loop.run(adapter.deliver(staple))
    world.loop.run(adapter.withdraw(world.certid))
    for _ in range(5):
        assert world.shown(nginx) is None
    assert (nginx.owned / "site.conf").read_text().startswith("#")
    assert not (nginx.owned / "site.der").exists()
    nginx.restart()
    assert world.shown(nginx) is None
    world.loop.run(adapter.deliver(staple))
    assert world.shown(nginx) == staple.der


def test_without_the_keeper_nginx_would_go_on_past_the_end(world: World, nginx: Nginx) -> None:
    """K27's red twin and K27: nobody withdraws, and it is sent a day later; another process
    withdraws what this one delivered."""
    staple = world.staple(age=MINUTE, window=HOUR)
    world.loop.run(world.adapter(nginx).deliver(staple))
    world.shift.by(DAY)
    assert world.shown(nginx) == staple.der
    world.loop.run(world.adapter(nginx).withdraw(world.certid))
    assert world.shown(nginx) is None


def test_k11_revoked_is_shown_at_once_and_good_in_its_slot(world: World, nginx: Nginx) -> None:
    adapter = world.adapter(nginx, pace=QUICK)
    world.loop.run(adapter.deliver(world.staple(age=3 * MINUTE)))
    usual = asyncio.run_coroutine_threadsafe(
        adapter.deliver(world.staple(age=2 * MINUTE)), world.loop.loop
    )
    revoked = world.staple(age=MINUTE, status=REVOKED)
    world.loop.run(adapter.deliver(revoked))
    with refused("overtaken"):
        usual.result(timeout=5)
    assert world.shown(nginx) == revoked.der
    assert nginx.reloads == 2


def test_k28_a_refresh_waits_for_its_slot(world: World, nginx: Nginx) -> None:
    adapter = world.adapter(nginx, pace=QUICK)
    first, second = world.staple(age=2 * MINUTE), world.staple(age=MINUTE)
    world.loop.run(adapter.deliver(first))
    waiting = asyncio.run_coroutine_threadsafe(adapter.deliver(second), world.loop.loop)
    time.sleep(0.2)
    assert not waiting.done()
    assert world.shown(nginx) == first.der
    world.shift.by(5 * MINUTE)
    waiting.result(timeout=10)
    assert world.shown(nginx) == second.der
    assert nginx.reloads == 2


def test_k28_a_hundred_certificates_are_one_reload(world: World) -> None:
    desks = [a_desk(f"n{i}.test", ca=world.desk.ca, at=YESTERDAY) for i in range(100)]
    names = {desk.subject.certid.key: f"n{i}" for i, desk in enumerate(desks)}
    server = Nginx(world.folder, {f"n{i}": [desk.server] for i, desk in enumerate(desks)})
    with server:
        adapter = world.adapter(server, name_of=lambda certid: names[certid.key], pace=QUICK)
        staples = [desk.staple(NOW - HOUR, DAY) for desk in desks]

        async def all_of_them() -> None:
            await asyncio.gather(*(adapter.deliver(staple) for staple in staples))

        world.loop.run(all_of_them())
        assert server.reloads == 1
        for number in (0, 57, 99):
            assert world.shown(server, name=f"n{number}.test") == staples[number].der


def test_nginxs_refusal_is_put_back_and_told_by_file_and_line(world: World, nginx: Nginx) -> None:
    adapter, staple = world.adapter(nginx), world.staple(age=2 * MINUTE)
    world.loop.run(adapter.deliver(staple))
    before = {path.name: path.read_bytes() for path in nginx.owned.iterdir()}
    good = nginx.config.read_text()
    nginx.config.write_text(good.replace("location /", "ssl_stapling off;\n    location /"))
    line = nginx.config.read_text().splitlines().index("    ssl_stapling off;") + 1
    with refused(rf'web: .*"ssl_stapling" directive is duplicate in .*/nginx\.conf:{line}'):
        world.loop.run(adapter.deliver(world.staple(age=MINUTE)))
    assert {path.name: path.read_bytes() for path in nginx.owned.iterdir()} == before
    assert world.shown(nginx) == staple.der
    assert nginx.reloads == 1
    nginx.config.write_text(good)
    nginx.restart()
    assert world.shown(nginx) == staple.der


def test_a_configuration_that_others_broke(world: World, nginx: Nginx) -> None:
    """A delivery is put back; a withdrawal stays in the file, and is made when nginx can read it
    again, also by another process."""
    adapter, staple = world.adapter(nginx), world.staple(age=2 * MINUTE)
    world.loop.run(adapter.deliver(staple))
    good = nginx.config.read_text()
    nginx.config.write_text(good + "sendfille on;\n")
    with refused(r'unknown directive "sendfille" in .*/nginx\.conf:\d+'):
        world.loop.run(adapter.deliver(world.staple(age=MINUTE)))
    assert (nginx.owned / "site.der").read_bytes() == staple.der
    with refused("sendfille"):
        world.loop.run(adapter.withdraw(world.certid))
    nginx.config.write_text(good)
    world.loop.run(world.adapter(nginx).withdraw(world.certid))
    assert world.shown(nginx) is None


def test_one_bad_block_costs_its_own_certificate_only(world: World) -> None:
    desks = [a_desk(f"n{i}.test", ca=world.desk.ca, at=YESTERDAY) for i in range(5)]
    names = {desk.subject.certid.key: f"n{i}" for i, desk in enumerate(desks)}
    server = Nginx(world.folder, {f"n{i}": [desk.server] for i, desk in enumerate(desks)})
    text = server.config.read_text()
    own = f"include {server.owned}/n3.conf*;"
    server.config.write_text(text.replace(own, f"ssl_stapling off; {own}"))
    with server:
        adapter = world.adapter(server, name_of=lambda certid: names[certid.key], pace=QUICK)
        staples = [desk.staple(NOW - HOUR, DAY) for desk in desks]

        async def all_of_them() -> list[BaseException | None]:
            tasks = (adapter.deliver(staple) for staple in staples)
            return await asyncio.gather(*tasks, return_exceptions=True)

        outcomes = world.loop.run(all_of_them())
        assert [error is None for error in outcomes] == [True, True, True, False, True]
        assert "n3.conf:2" in str(outcomes[3])
        assert server.reloads == 1
        assert world.shown(server, name="n4.test") == staples[4].der
        assert world.shown(server, name="n3.test") is None
        server.restart()


def test_an_include_that_no_block_has_is_told(world: World) -> None:
    with world.nginx(stapling="") as server:
        adapter = world.adapter(server)
        with refused(r"no server block of nginx includes .*/holdfast/site\.conf"):
            world.loop.run(adapter.deliver(world.staple()))
        assert server.reloads == 0
        # the operator follows the hint: the file is there for a plain include too
        server.config.write_text(
            server.config.read_text().replace(
                "location /", f"include {server.owned}/site.conf;\n    location /"
            )
        )
        staple = world.staple()
        world.loop.run(adapter.deliver(staple))
        assert world.shown(server) == staple.der


def test_a_block_with_two_certificates_is_refused(world: World) -> None:
    """One file would be sent for both: nothing foreign is ever delivered."""
    rsa = a_desk("localhost", ca=world.desk.ca, at=YESTERDAY, key_type="rsa-2048", who="rsa")
    with world.nginx(rsa) as server:
        with refused("block that includes .* has 2 certificates"):
            world.loop.run(world.adapter(server).deliver(world.staple()))
        for kind in ("rsa", "ecdsa"):
            assert world.shown(server, authentication=kind) is None


def test_k18_a_rotated_certificate_at_the_same_path(world: World, nginx: Nginx) -> None:
    """The new one's staple takes the file over; withdrawing the old one's leaves it."""
    adapter, old = world.adapter(nginx), world.staple()
    world.loop.run(adapter.deliver(old))
    rotated = a_desk("localhost", ca=world.desk.ca, at=YESTERDAY)
    written(rotated.server, nginx.folder, "site-0")
    new = rotated.staple(NOW - HOUR, DAY)
    world.loop.run(adapter.deliver(new))
    assert world.shown(nginx) == new.der
    world.loop.run(adapter.withdraw(world.certid))
    assert world.shown(nginx) == new.der
    world.loop.run(adapter.withdraw(new.certid))
    assert world.shown(nginx) is None


def test_a_reload_command_instead_of_the_signal(world: World, nginx: Nginx) -> None:
    """For a keeper that is not root; with a test that prints nothing, the pid file is told."""
    words = ["/usr/sbin/nginx", "-p", str(nginx.folder), "-c", str(nginx.config)]
    for test, pid_file in (("-T", ""), ("-t", str(nginx.folder / "nginx.pid"))):
        adapter = world.adapter(
            nginx, reload=[*words, "-s", "reload"], test=[*words, test], pid_file=pid_file
        )
        staple = world.staple(age=MINUTE if pid_file else 2 * MINUTE)
        world.loop.run(adapter.deliver(staple))
        assert world.shown(nginx) == staple.der


def test_a_reload_that_fails_is_put_back(world: World, nginx: Nginx) -> None:
    adapter, staple = world.adapter(nginx), world.staple(age=2 * MINUTE)
    world.loop.run(adapter.deliver(staple))
    failing = world.adapter(nginx, reload=["/bin/sh", "-c", "echo no, thanks >&2; exit 3"])
    with refused(r"failed \(exit 3\): no, thanks"):
        world.loop.run(failing.deliver(world.staple(age=MINUTE)))
    assert (nginx.owned / "site.der").read_bytes() == staple.der
    # a master that says yes and goes on as before
    deaf = world.adapter(nginx, reload=["/bin/true"], deadline=0.5)
    with refused("went on with its old configuration"):
        world.loop.run(deaf.deliver(world.staple(age=MINUTE)))
    assert (nginx.owned / "site.der").read_bytes() == staple.der
    assert world.shown(nginx) == staple.der


def test_an_old_pid_file_signals_nobody_else(world: World) -> None:
    server = world.nginx()
    (server.folder / "nginx.pid").write_text("1\n")
    world.loop.run(world.adapter(server).deliver(world.staple()))
    (server.folder / "nginx.pid").write_text(f"{os.getpid()}\n")
    world.loop.run(world.adapter(server).deliver(world.staple()))


def test_an_idle_connection_does_not_keep_a_delivery_waiting(world: World, nginx: Nginx) -> None:
    """Old workers live on for it, and take no new ones."""
    with socket.create_connection(("127.0.0.1", nginx.port)):
        adapter, staple = world.adapter(nginx), world.staple()
        begun = time.monotonic()
        world.loop.run(adapter.deliver(staple))
        assert time.monotonic() - begun < 2
        assert world.shown(nginx) == staple.der


def test_no_handshake_goes_without_while_staples_are_replaced(world: World, nginx: Nginx) -> None:
    """Five replacements under handshakes one after the other: each shows one that was delivered,
    and never an older one than the handshake before a delivery's end."""
    adapter = world.adapter(nginx)
    staples = [world.staple(age=number * MINUTE) for number in range(6, 0, -1)]
    order = {staple.der: number for number, staple in enumerate(staples)}
    world.loop.run(adapter.deliver(staples[0]))

    async def story() -> int:
        delivered = 0
        seen = 0

        async def replace() -> None:
            nonlocal delivered
            for number, staple in enumerate(staples[1:], 1):
                await adapter.deliver(staple)
                delivered = number

        replacing = asyncio.create_task(replace())
        while not replacing.done():
            before = delivered
            shown = await staple_shown(nginx.port)
            assert shown is not None
            assert order[shown] >= before
            seen += 1
        await replacing
        return seen

    assert world.loop.run(story()) > 20
