"""nginx with RSA and ECDSA in one block, by the relay. K1, K4, K11, K12, K21, K27."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.net.http_server import Server, serve
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import RevocationReason, Revoked
from holdfast.servers.nginx_relay import NginxRelayServer
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.services.relay import Relay
from support.servers.desk_world import DAY, HOUR, MINUTE, DeskWorld, a_desk_world
from support.servers.nginx import NGINX, Nginx
from support.staples import Desk, a_desk
from support.tls_world import NOW, YESTERDAY

REVOKED = Revoked(NOW - HOUR, RevocationReason.KEY_COMPROMISE)


class Block:
    """An nginx whose one block has an ECDSA and an RSA certificate, and the relay it asks."""

    def __init__(self, world: DeskWorld) -> None:
        self.world = world
        self.shelf = RelayShelf(clock=world.clock)
        self.relay = Relay(self.shelf.held, clock=world.clock)
        self.answering: Server = world.run(serve("127.0.0.1", 0, self.relay))
        ca = world.desk.ca
        self.ecdsa = world.desk
        self.rsa = a_desk("localhost", ca=ca, at=YESTERDAY, key_type="rsa-2048", who="rsa")
        url = f"http://127.0.0.1:{self.answering.port}/ocsp"
        self.nginx = Nginx(
            world.folder,
            {"site": [self.ecdsa.server, self.rsa.server]},
            shift=world.shift,
            workers=1,
            stapling=f"ssl_stapling on; ssl_stapling_responder {url};",
        )
        self.adapter = NginxRelayServer(
            "web",
            shelf=self.shelf,
            clock=world.clock,
            look_at=("127.0.0.1", self.nginx.port),
            program=NGINX,
            pid_file=str(self.nginx.folder / "nginx.pid"),
            warm_within=1.5,
        )

    def staple(
        self, desk: Desk, *, age: object = HOUR, window: object = DAY, **more: object
    ) -> Staple:
        at = self.world.clock.now().replace(microsecond=0)
        return desk.staple(at - age, window, **more)  # type: ignore[operator, arg-type]

    def shown(self, kind: str) -> bytes | None:
        return self.world.shown(self.nginx.port, authentication=kind)

    def deliver(self, staple: Staple) -> None:
        self.world.run(self.adapter.deliver(staple))


@contextmanager
def a_block(folder: Path) -> Iterator[Block]:
    with a_desk_world(folder) as world:
        block = Block(world)
        try:
            with block.nginx:
                yield block
        finally:
            world.run(block.answering.close(grace=0))


@pytest.fixture
def block(tmp_path: Path) -> Iterator[Block]:
    with a_block(tmp_path) as made:
        yield made


def test_each_certificate_of_the_block_has_its_own_staple(block: Block) -> None:
    """K21: shown in the first handshake after the delivery, which shook hands itself."""
    ecdsa, rsa = block.staple(block.ecdsa), block.staple(block.rsa)
    block.deliver(ecdsa)
    block.deliver(rsa)
    for _ in range(3):
        assert (block.shown("ecdsa"), block.shown("rsa")) == (ecdsa.der, rsa.der)


def test_k27_without_the_keeper_nginx_stops_at_next_update(block: Block) -> None:
    staple = block.staple(block.ecdsa, age=MINUTE, window=HOUR)
    block.deliver(staple)
    block.world.run(block.answering.close(grace=0))
    assert block.shown("ecdsa") == staple.der
    block.world.shift.by(2 * HOUR)
    assert block.shown("ecdsa") is None


def test_a_newer_one_is_taken_up_when_nginx_asks(block: Block) -> None:
    first = block.staple(block.ecdsa, age=2 * MINUTE)
    block.deliver(first)
    second = block.staple(block.ecdsa, age=MINUTE)
    block.deliver(second)
    assert block.shown("ecdsa") == first.der, "which holds"
    block.world.shift.by(HOUR + MINUTE)
    block.shown("ecdsa")
    for _ in range(100):
        if block.shown("ecdsa") == second.der:
            return
    raise AssertionError("nginx did not take up the newer one")


def test_k11_revoked_is_not_taken_so_the_good_of_before_is_dropped(block: Block) -> None:
    """Red twin: nginx itself goes on with it."""
    good = block.staple(block.ecdsa, age=2 * MINUTE)
    revoked = block.staple(block.ecdsa, age=MINUTE, status=REVOKED)
    block.deliver(good)
    block.shelf.put("web", revoked)
    block.world.shift.by(HOUR + MINUTE)
    for _ in range(5):
        assert block.shown("ecdsa") == good.der
    with pytest.raises(DeliveryError, match="does not take a staple that says revoked"):
        block.deliver(revoked)
    for _ in range(5):
        assert block.shown("ecdsa") is None


def test_k4_withdrawn_by_a_reload_only_while_it_holds(block: Block) -> None:
    block.deliver(block.staple(block.ecdsa, age=MINUTE, window=HOUR))
    block.world.run(block.adapter.withdraw(block.ecdsa.subject.certid))
    assert block.shown("ecdsa") is None
    assert block.nginx.reloads == 1
    block.nginx.restart()
    block.deliver(block.staple(block.ecdsa, age=MINUTE, window=HOUR))
    block.world.shift.by(2 * HOUR)
    block.world.run(block.adapter.withdraw(block.ecdsa.subject.certid))
    assert block.shown("ecdsa") is None
    assert block.nginx.reloads == 1


def test_an_nginx_that_asks_nobody_is_told(tmp_path: Path) -> None:
    with a_block(tmp_path) as block:
        config = block.nginx.config.read_text()
        block.nginx.config.write_text(config.replace("ssl_stapling on", "ssl_stapling off"))
        block.nginx.restart()
        with pytest.raises(DeliveryError, match="was offered the staple and does not send one"):
            block.deliver(block.staple(block.ecdsa))
