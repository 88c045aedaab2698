"""The HAProxy adapter before Debian's HAProxy, judged by handshakes. K3, K4, K11, K18, K21, K27."""

from __future__ import annotations

import time
from asyncio import run
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import Response, SingleResponse
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import GOOD, RevocationReason, Revoked
from holdfast.ocsp.verify import verify
from holdfast.servers.haproxy import HaproxyServer, ended_response
from holdfast.services.proof import Proof
from support.cli import holdfast
from support.processes import HOLDFAST, running
from support.servers.handshakes import staple_shown
from support.servers.haproxy import Haproxy
from support.servers.shift import Shift, ShiftedClock
from support.staples import Desk, a_desk
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, a_site

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
REVOKED = Revoked(NOW - HOUR, RevocationReason.KEY_COMPROMISE)


@dataclass
class World:
    """A certificate, its CA at the desk, and a folder; time is the real one and `shift`."""

    folder: Path
    desk: Desk
    shift: Shift

    def haproxy(self, **wishes: object) -> Haproxy:
        wishes.setdefault("shift", self.shift)
        return Haproxy(self.folder, {"site": self.desk.server}, **wishes)  # type: ignore[arg-type]

    def adapter(self, *processes: Haproxy, sockets: tuple[str, ...] = ()) -> HaproxyServer:
        return HaproxyServer(
            "web",
            crt=processes[0].crt_template,
            sockets=sockets or [process.socket for process in processes],
            clock=ShiftedClock(self.shift),
            name_of=lambda _: "site",
            deadline=2.0,
        )

    @property
    def now(self) -> datetime:
        return ShiftedClock(self.shift).now().replace(microsecond=0)

    def staple(self, *, age: timedelta = HOUR, window: timedelta = DAY, **wishes: object) -> Staple:
        return self.desk.staple(self.now - age, window, **wishes)  # type: ignore[arg-type]

    @property
    def certid(self) -> CertID:
        return self.desk.subject.certid


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, a_desk("localhost", ca=a_ca(), at=YESTERDAY), Shift(tmp_path))


@pytest.fixture
def haproxy(world: World) -> Iterator[Haproxy]:
    with world.haproxy() as started:
        yield started


def test_the_first_handshake_after_the_start_is_stapled(world: World) -> None:
    """K1: delivered while HAProxy is down, which is told; its start finds the file."""
    server = world.haproxy()
    adapter, staple = world.adapter(server), world.staple()
    with pytest.raises(DeliveryError, match=r"web: admin socket .*/admin\.sock: No such file"):
        run(adapter.deliver(staple))
    with server:
        assert run(staple_shown(server.port)) == staple.der
        run(adapter.deliver(staple))


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_k21_a_process_started_without_ocsp_is_given_its_staples(
    world: World, haproxy: Haproxy, kind: str
) -> None:
    adapter = world.adapter(
        haproxy, sockets=(haproxy.socket if kind == "unix" else haproxy.tcp_socket,)
    )
    assert run(staple_shown(haproxy.port)) is None
    first, second = world.staple(), world.staple(age=MINUTE)
    for staple in (first, second, second):
        run(adapter.deliver(staple))
        run(Proof({"web": ("127.0.0.1", haproxy.port)})("web", staple))
    haproxy.restart()
    assert run(staple_shown(haproxy.port)) == second.der


@pytest.mark.parametrize("started", ["before", "after"])
def test_the_issuer_is_written_where_haproxys_file_lacks_it(world: World, started: str) -> None:
    with world.haproxy(with_chain=False) as server:
        adapter, staple = world.adapter(server), world.staple()
        if started == "after":
            server.stop()
            with pytest.raises(DeliveryError):
                run(adapter.deliver(staple))
            server.start()
        run(adapter.deliver(staple))
        assert run(staple_shown(server.port)) == staple.der
        server.restart()
        assert run(staple_shown(server.port)) == staple.der
        # without it HAProxy does not start
        server.crt("site").with_name("site.pem.issuer").unlink()
        with pytest.raises(AssertionError, match="issuer could not be found"):
            server.restart()


def test_k4_withdraw_leaves_no_staple_nor_does_a_restart(world: World, haproxy: Haproxy) -> None:
    adapter, staple = world.adapter(haproxy), world.staple()
    run(adapter.withdraw(world.certid))
    run(adapter.deliver(staple))
    run(adapter.withdraw(world.certid))
    assert run(staple_shown(haproxy.port)) is None
    run(adapter.withdraw(world.certid))
    assert "WARNING" in haproxy.restart(), "an empty .ocsp is loaded with a warning"
    assert run(staple_shown(haproxy.port)) is None
    run(adapter.deliver(staple))
    assert run(staple_shown(haproxy.port)) == staple.der


def test_k27_another_process_withdraws_what_this_one_delivered(
    world: World, haproxy: Haproxy
) -> None:
    run(world.adapter(haproxy).deliver(world.staple()))
    run(world.adapter(haproxy).withdraw(world.certid))
    assert run(staple_shown(haproxy.port)) is None


def test_withdraw_without_an_issuer_takes_the_file_away(world: World) -> None:
    """An empty file with no issuer would keep HAProxy from starting."""
    with world.haproxy(with_chain=False) as server:
        adapter = world.adapter(server)
        run(adapter.deliver(world.staple()))
        server.crt("site").with_name("site.pem.issuer").unlink()
        run(adapter.withdraw(world.certid))
        assert run(staple_shown(server.port)) is None
        server.restart()


def test_k27_haproxy_stops_by_itself_and_a_restart_with_an_ended_file_sends_nothing(
    world: World, haproxy: Haproxy
) -> None:
    """The keeper is gone: 300 s before nextUpdate HAProxy stops; at a start it ignores the file."""
    staple = world.staple(age=timedelta(0), window=HOUR)
    run(world.adapter(haproxy).deliver(staple))
    assert staple.next_update is not None
    world.shift.to_instant(staple.next_update - timedelta(seconds=310))
    assert run(staple_shown(haproxy.port)) == staple.der
    for before in (295, -1, -86400):
        world.shift.to_instant(staple.next_update - timedelta(seconds=before))
        assert run(staple_shown(haproxy.port)) is None, before
    assert "no longer valid" in haproxy.restart()
    assert run(staple_shown(haproxy.port)) is None
    run(world.adapter(haproxy).withdraw(world.certid))
    assert haproxy.crt("site").with_name("site.pem.ocsp").read_bytes() == b""


def test_k11_revoked_replaces_good(world: World, haproxy: Haproxy) -> None:
    adapter = world.adapter(haproxy)
    run(adapter.deliver(world.staple()))
    revoked = world.staple(age=MINUTE, status=REVOKED)
    run(adapter.deliver(revoked))
    assert run(staple_shown(haproxy.port)) == revoked.der


def test_what_haproxy_would_not_send_is_told_and_the_last_good_one_stays(
    world: World, haproxy: Haproxy
) -> None:
    adapter, good = world.adapter(haproxy), world.staple()
    run(adapter.deliver(good))
    single = SingleResponse(
        world.desk.subject.certid_by("sha256"), GOOD, world.now - HOUR, world.now + HOUR
    )
    sha256 = verify(
        Response.parse(world.desk.signer.respond([single], produced_at=world.now - HOUR)),
        world.desk.subject,
        at=world.now,
    )
    other = single._replace(certid=world.certid._replace(serial=5))
    several = verify(
        Response.parse(
            world.desk.signer.respond(
                [other, single._replace(certid=world.certid)], produced_at=world.now - HOUR
            )
        ),
        world.desk.subject,
        at=world.now,
    )
    for staple, told in (
        (world.desk.staple(world.now - MINUTE, None), "without nextUpdate"),
        (sha256, "by sha256"),
        (world.staple(age=timedelta(0), window=MINUTE), "with a window of 60 s never"),
        (world.staple(age=HOUR, window=HOUR + 4 * MINUTE), "in the 5 minutes before nextUpdate"),
        (several, "2 single responses"),
    ):
        with pytest.raises(DeliveryError, match=told) as refused:
            run(adapter.deliver(staple))
        assert refused.value.message.startswith("web: ")
        assert run(staple_shown(haproxy.port)) == good.der, told
        assert haproxy.crt("site").with_name("site.pem.ocsp").read_bytes() == good.der


def test_k11_a_revoked_one_that_cannot_be_sent_silences_the_good(
    world: World, haproxy: Haproxy
) -> None:
    adapter = world.adapter(haproxy)
    run(adapter.deliver(world.staple()))
    with pytest.raises(DeliveryError, match="never"):
        run(adapter.deliver(world.staple(age=timedelta(0), window=4 * MINUTE, status=REVOKED)))
    assert run(staple_shown(haproxy.port)) is None


def test_every_process_is_told_and_one_that_is_down_is_named(
    world: World, haproxy: Haproxy
) -> None:
    second = world.haproxy(name="second", crts=haproxy.folder)
    adapter, staple = world.adapter(haproxy, second), world.staple()
    with second:
        run(adapter.deliver(staple))
        for process in (haproxy, second):
            assert run(staple_shown(process.port)) == staple.der
    newer = world.staple(age=MINUTE)
    with pytest.raises(DeliveryError) as down:
        run(adapter.deliver(newer))
    assert second.socket in down.value.message
    assert haproxy.socket not in down.value.message
    assert run(staple_shown(haproxy.port)) == newer.der
    with pytest.raises(DeliveryError, match="second"):
        run(adapter.withdraw(world.certid))
    assert run(staple_shown(haproxy.port)) is None
    with second:
        assert run(staple_shown(second.port)) is None, "the file was emptied all the same"
        run(adapter.withdraw(world.certid))


def test_a_process_that_hangs_is_a_deadline(world: World, haproxy: Haproxy) -> None:
    adapter, staple = world.adapter(haproxy), world.staple()
    run(adapter.deliver(staple))
    haproxy.pause()
    begun = time.monotonic()
    with pytest.raises(DeliveryError, match="no answer within 2 s"):
        run(adapter.deliver(staple))
    assert time.monotonic() - begun < 4


def test_a_socket_without_the_right_says_so(world: World) -> None:
    with world.haproxy(level="operator") as server:
        with pytest.raises(DeliveryError, match="permission denied") as refused:
            run(world.adapter(server).deliver(world.staple()))
        assert "level admin" in refused.value.hint


def test_k18_a_renewed_file_waits_for_haproxys_reload(world: World, haproxy: Haproxy) -> None:
    adapter, staple = world.adapter(haproxy), world.staple()
    run(adapter.deliver(staple))
    renewed = a_desk("localhost", ca=world.desk.ca, at=YESTERDAY)
    haproxy.install("site", renewed.server)
    with pytest.raises(DeliveryError, match="another certificate") as refused:
        run(adapter.deliver(renewed.staple(world.now - HOUR, DAY)))
    assert "reload HAProxy" in refused.value.hint
    assert run(staple_shown(haproxy.port)) == staple.der, "the old one goes on"
    newer = world.staple(age=MINUTE)
    run(adapter.deliver(newer))
    assert run(staple_shown(haproxy.port)) == newer.der
    haproxy.restart()
    first = renewed.staple(world.now - HOUR, DAY)
    assert run(staple_shown(haproxy.port)) is not None, "the new one's staple lay there"
    run(adapter.deliver(first))
    run(adapter.withdraw(world.certid))
    assert run(staple_shown(haproxy.port)) == first.der, "the old one's end is not the new one's"


def test_a_crt_that_haproxy_does_not_have(world: World, haproxy: Haproxy) -> None:
    (haproxy.folder / "typo").mkdir()
    adapter = HaproxyServer(
        "web",
        crt=str(haproxy.folder / "typo" / "x.pem"),
        sockets=[haproxy.socket],
        clock=ShiftedClock(world.shift),
    )
    with pytest.raises(DeliveryError) as refused:
        run(adapter.deliver(world.staple()))
    assert "there is no such certificate" in refused.value.message
    assert "serves no certificate from" in refused.value.message


def test_what_haproxy_refuses_is_not_left_for_its_next_start(world: World) -> None:
    """HAProxy's clock is an hour ahead of the keeper's: what is good here is over there."""
    ahead = Shift(world.folder / "ahead")
    with world.haproxy(shift=ahead) as server:
        adapter, good = world.adapter(server), world.staple()
        run(adapter.deliver(good))
        ahead.by(HOUR)
        with pytest.raises(DeliveryError, match="no longer valid"):
            run(adapter.deliver(world.staple(age=timedelta(0), window=HOUR / 2)))
        assert run(staple_shown(server.port)) == good.der
        server.restart()
        assert run(staple_shown(server.port)) == good.der


def test_a_response_larger_than_haproxys_buffer(world: World, haproxy: Haproxy) -> None:
    run(world.adapter(haproxy).deliver(world.staple()))
    single = SingleResponse(world.certid, GOOD, world.now - MINUTE, world.now + HOUR)
    large = Extension("1.3.6.1.4.1.99999.2", False, bytes((4, 0x82, 0x36, 0xB0)) + bytes(14000))
    der = world.desk.signer.respond([single], produced_at=world.now, extensions=(large,))
    staple = verify(Response.parse(der), world.desk.subject, at=world.now)
    with pytest.raises(DeliveryError, match="were not taken") as refused:
        run(world.adapter(haproxy).deliver(staple))
    assert "tune.bufsize" in refused.value.hint


def test_the_ended_response_is_what_haproxy_takes_and_openssl_calls_expired(
    world: World, haproxy: Haproxy
) -> None:
    """The red twin of withdrawing: the same with a window ahead would be sent."""
    adapter = world.adapter(haproxy)
    run(adapter.deliver(world.staple()))
    later = datetime.now(UTC) + HOUR
    ahead = ended_response(world.certid, later)
    haproxy.crt("site").with_name("site.pem.ocsp").write_bytes(ahead)
    haproxy.restart()
    assert run(staple_shown(haproxy.port)) == ahead, "HAProxy checks no signature"
    run(adapter.withdraw(world.certid))
    assert run(staple_shown(haproxy.port)) is None


SETTINGS = """
[keeper]
state = "state"
[[certificate]]
name = "site"
chain = "chain.pem"
servers = ["web"]
[[server]]
name = "web"
kind = "haproxy"
crt = "haproxy/{name}.pem"
sockets = ["%s", "%s"]
prove = "127.0.0.1:%d"
"""


def test_k3_k27_the_keeper_by_its_settings_killed_restarted_and_gone(
    tmp_path: Path, loop: Loop
) -> None:
    """The responder goes, the keeper is killed and comes back, HAProxy is restarted: stapled; then
    the keeper is gone for good, and the timer takes the staple away."""
    ca = a_ca()
    responder = LabResponder(Forge(ca, at=NOW))
    loop.run(responder.start())
    site = a_site(ca, "localhost", responder_urls=(responder.url,))
    (tmp_path / "chain.pem").write_bytes(site.fullchain_pem)
    settings = tmp_path / "holdfast.toml"
    with Haproxy(tmp_path, {"site": site}) as server:
        settings.write_text(SETTINGS % (server.socket, server.tcp_socket, server.port))
        keep = [*HOLDFAST, "keep", "--json", "-c", settings]
        with running(keep, cwd=tmp_path, until=b"\n}\n") as keeper:
            assert holdfast("wait", "site", "-c", settings, "--timeout", "20s").code == 0
            first = run(staple_shown(server.port))
            assert first is not None
            keeper.child.kill()
            keeper.child.wait(timeout=10)
        loop.run(responder.close())
        server.restart()
        assert run(staple_shown(server.port)) == first
        with running(keep, cwd=tmp_path, until=b"\n}\n") as keeper:
            assert holdfast("wait", "site", "-c", settings, "--timeout", "20s").code == 0
            keeper.child.kill()
            keeper.child.wait(timeout=10)
        assert run(staple_shown(server.port)) == first
        early = holdfast("withdraw", "--expired", "-c", settings)
        assert early.out == "nothing to withdraw\n"
        late = (datetime.now(UTC) + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
        done = holdfast("withdraw", "--expired", "-c", settings, "--at", late)
        assert done.code == 0, done.err
        assert run(staple_shown(server.port)) is None
        server.restart()
        assert run(staple_shown(server.port)) is None
        again = holdfast("withdraw", "--expired", "-c", settings, "--at", late)
        assert again.out == "nothing to withdraw\n"
