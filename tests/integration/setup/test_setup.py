"""`holdfast setup`: one command from the stock TLS site to a proved staple, and all of it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cli import holdfast
from support.keep_world import soon
from support.ports import free_port
from support.processes import HOLDFAST, running
from support.servers.setup_world import SetupWorld
from support.tls_world import Loop, a_loop

ROW = {
    "schema", "server", "mode", "state", "recovered", "sites", "left_out", "changes", "diff",
    "proofs", "troubles", "mended", "left",
}  # fmt: skip


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@contextmanager
def a_world(kind: str, folder: Path, loop: Loop) -> Iterator[SetupWorld]:
    world = SetupWorld(kind, folder, loop)
    try:
        with world.server:
            soon(world.serves)
            yield world
    finally:
        world.close()


@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_native_from_stock_to_staple_and_back(kind: str, tmp_path: Path, loop: Loop) -> None:
    with a_world(kind, tmp_path, loop) as world:
        stock = world.server.everything()
        dry = holdfast(*world.words("--dry-run")[3:])
        assert (dry.code, world.server.everything()) == (0, stock)
        assert "stapling" in dry.out.lower()
        assert "stapling works" not in dry.out
        assert not world.stapled()
        done = world.setup()
        assert (done.code, done.state, set(done.document)) == (0, "works", ROW)
        assert done.document["schema"] == "holdfast.setup/1"
        (proof,) = done.document["proofs"]
        assert proof["certificate_status"] == "good"
        assert world.stapled()
        links = list((world.server.conf / "sites-enabled").iterdir())
        assert links
        assert all(path.is_symlink() for path in links)
        made = world.server.everything()
        again = world.setup()
        assert (again.code, again.state, again.document["changes"]) == (0, "works", [])
        assert world.server.everything() == made
        back = holdfast(*world.words("--off")[3:])
        assert (back.code, world.server.everything()) == (0, stock)
        assert world.serves()
        assert not world.stapled()


@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_keeper_from_stock_to_staple_and_back(kind: str, tmp_path: Path, loop: Loop) -> None:
    with a_world(kind, tmp_path, loop) as world:
        settings = tmp_path / "holdfast.toml"
        state = tmp_path / "state"
        begun = f'[keeper]\nstate = "{state}"\nlisten = "127.0.0.1:{free_port()}"\n'
        settings.write_text(begun)
        stock = world.server.everything()
        command = [*HOLDFAST, "keep", "--json", "-c", settings]
        with running(command, cwd=tmp_path, until=b"\n}\n"):
            words = [word if word != "native" else "keeper" for word in world.words()]
            done = holdfast(*words[3:], "-c", settings, "--within", "20")
            assert done.code == 0, done.out + done.err
            assert "stapling works" in done.out
            assert world.stapled()
            assert settings.read_text().startswith(begun)
            assert "[[certificate]]" in settings.read_text()
            back = holdfast(*words[3:], "-c", settings, "--off")
            assert back.code == 0, back.out + back.err
            assert settings.read_text() == begun
            after = world.server.everything()
            assert {path: after.get(path) for path in stock} == stock
            assert world.serves()
            assert not world.stapled()
