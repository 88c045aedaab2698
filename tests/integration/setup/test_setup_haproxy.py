"""`holdfast setup haproxy`: one command from Debian's configuration with a TLS frontend to a proved
staple and back; broken starting points end in a working server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.pki.issue import Authority
from support.cli import holdfast
from support.ports import free_port
from support.processes import HOLDFAST, running
from support.servers.stock_haproxy import StockHAProxy
from support.staples import Desk, a_desk
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, a_loop

CA = a_ca()


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@dataclass
class World:
    """A stock HAProxy, and the responder of its certificate."""

    folder: Path
    loop: Loop
    responder: LabResponder
    stock: StockHAProxy
    mode: str = "native"
    given: tuple[object, ...] = ()

    def words(self, *more: object) -> list[object]:
        stock = self.stock
        own = ["setup", "haproxy", "--config", stock.config, "--pid-file", stock.pid_file]
        own += ["--state", self.folder / "state", "--mode", self.mode, "--timeout", "1"]
        return [*own, "--within", "8", *self.given, *more]

    def setup(self, *more: object) -> tuple[int, dict[str, Any]]:
        done = holdfast(*self.words("--json", *more))
        return done.code, json.loads(done.out)

    def everything(self) -> dict[Path, bytes]:
        places = [self.stock.config, *sorted(self.stock.pem.parent.iterdir())]
        return {path: path.read_bytes() for path in places}

    def stapled(self) -> bool:
        """What openssl's client is shown, whatever it makes of the chain."""
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.stock.port}", "-status"]
        said = subprocess.run(
            [*words, "-servername", "localhost"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        ).stdout
        assert "BEGIN CERTIFICATE" in said, "it does not serve"
        return "Cert Status: good" in said

    @contextmanager
    def serving(self) -> Iterator[None]:
        with self.stock.serving("-S", str(self.folder / "master.sock")):
            yield


@contextmanager
def a_world(
    folder: Path, loop: Loop, *, ca: Authority = CA, whole: bool = True, **wishes: Any
) -> Iterator[World]:
    responder = LabResponder(Forge(ca, at=NOW))
    loop.run(responder.start())
    try:
        wishes.setdefault("responder_urls", (responder.url,))
        desk: Desk = a_desk("localhost", ca=ca, at=YESTERDAY, **wishes)
        yield World(folder, loop, responder, StockHAProxy(folder, desk, whole=whole))
    finally:
        loop.run(responder.close())


def test_native_from_stock_to_staple_and_back(tmp_path: Path, loop: Loop) -> None:
    with a_world(tmp_path, loop) as world, world.serving():
        stock = world.everything()
        dry = holdfast(*world.words("--dry-run"))
        assert (dry.code, world.everything()) == (0, stock)
        code, told = world.setup()
        assert (code, told["state"]) == (0, "works"), json.dumps(told, indent=1)
        assert "haproxy-fetches-nothing" in [one["code"] for one in told["troubles"]]
        assert world.stapled()
        made = world.everything()
        code, told = world.setup()
        assert (code, told["state"], told["changes"]) == (0, "works", [])
        assert world.everything() == made
        code, told = world.setup("--off")
        assert (code, told["state"]) == (0, "taken-back"), json.dumps(told, indent=1)
        assert world.everything() == stock
        assert not world.stapled()


def test_keeper_from_stock_to_staple_and_back(tmp_path: Path, loop: Loop) -> None:
    with a_world(tmp_path, loop) as world, world.serving():
        settings, state = tmp_path / "holdfast.toml", tmp_path / "state"
        begun = f'[keeper]\nstate = "{state}"\nlisten = "127.0.0.1:{free_port()}"\n'
        settings.write_text(begun)
        stock = world.everything()
        world.mode, world.given = "keeper", ("-c", settings)
        with running([*HOLDFAST, "keep", "--json", "-c", settings], cwd=tmp_path, until=b"\n}\n"):
            code, told = world.setup()
            assert (code, told["state"]) == (0, "works"), json.dumps(told, indent=1)
            assert world.stapled()
            assert 'kind = "haproxy"' in settings.read_text()
            code, told = world.setup("--off")
            assert (code, told["state"]) == (0, "taken-back"), json.dumps(told, indent=1)
            assert settings.read_text() == begun
            assert world.everything() == stock


def test_an_issuer_that_is_given_is_laid_beside(tmp_path: Path, loop: Loop) -> None:
    with a_world(tmp_path, loop, whole=False) as world, world.serving():
        issuer = tmp_path / "issuer.pem"
        issuer.write_bytes(CA.issued.pem)
        world.given = ("--issuer", issuer)
        code, told = world.setup()
        assert (code, told["state"]) == (0, "works"), json.dumps(told, indent=1)
        assert world.stock.pem.with_suffix(".pem.issuer").exists()
        assert world.stapled()


def _down(world: World) -> None:
    world.loop.run(world.responder.close())


def _fault(name: str) -> Callable[[World], None]:
    def break_it(world: World) -> None:
        world.loop.run(world.responder.change({"fault": name}))

    return break_it


def _broken_file(world: World) -> None:
    world.stock.config.write_text(world.stock.config.read_text() + "\nfrontend x\n\tnonsense yes\n")


def _nothing(world: World) -> None:
    """It is broken from the start."""


BROKEN: dict[str, tuple[dict[str, Any], Callable[[World], None], str]] = {
    "chain": ({"whole": False}, _nothing, "chain-incomplete"),
    "no responder": ({"responder_urls": ()}, _nothing, "no-responder-url"),
    "must-staple without responder": (
        {"responder_urls": (), "must_staple": True}, _nothing, "no-responder-url",
    ),
    "certificate ended": ({"lifetime": timedelta(hours=12)}, _nothing, "certificate-ended"),
    "responder down": ({}, _down, "responder-refused"),
    "tryLater": ({}, _fault("tryLater"), "responder-"),
    "bad signature": ({}, _fault("bad-signature"), "responder-"),
    "wrong serial": ({}, _fault("wrong-serial"), "responder-"),
    "html": ({}, _fault("html"), "responder-"),
    "revoked": ({}, _fault("revoked"), "revoked"),
    "configuration": ({}, _broken_file, "haproxy-"),
}  # fmt: skip


@pytest.mark.parametrize("row", BROKEN)
def test_a_broken_start_ends_as_before_with_the_reason(
    row: str, tmp_path: Path, loop: Loop
) -> None:
    wishes, break_it, code = BROKEN[row]
    with a_world(tmp_path, loop, **wishes) as world, world.serving():
        break_it(world)
        before = world.everything()
        exit_code, told = world.setup()
        assert exit_code == (1 if row == "no responder" else 2), told
        assert told["state"] in ("refused", "rolled-back", "nothing-to-do")
        codes = [one["code"] for one in told["troubles"]]
        assert any(code in one for one in codes), codes
        assert all(one["hint"] for one in told["troubles"])
        assert world.everything() == before
        assert not world.stapled(), "and it serves on"


def test_a_stale_response_of_another_certificate_is_replaced(tmp_path: Path, loop: Loop) -> None:
    """HAProxy would not start with it; it runs from before it was laid there."""
    with a_world(tmp_path, loop) as world, world.serving():
        other = a_desk("other.test", ca=CA, at=YESTERDAY)
        stale = world.stock.pem.with_suffix(".pem.ocsp")
        stale.write_bytes(other.staple(this_update=NOW, window=timedelta(hours=2)).der)
        code, told = world.setup()
        assert (code, told["state"]) == (0, "works"), json.dumps(told, indent=1)
        assert world.stapled()
