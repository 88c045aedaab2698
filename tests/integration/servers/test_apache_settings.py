"""Apache by the keeper's settings: killed, restarted, gone. K1, K3, K11, K21, K27."""

from __future__ import annotations

import time
import urllib.request
from asyncio import run
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import Good, Revoked
from holdfast.pki.issue import Issued
from holdfast.servers.apache import apache_snippet
from holdfast.servers.apache_md import apache_md_snippet
from support.cli import holdfast
from support.ports import free_port
from support.processes import HOLDFAST, running
from support.servers.apache import PROGRAM, Apache
from support.servers.handshakes import staple_shown
from support.tls_world import NOW, Loop, a_ca, a_site

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
SETTINGS = """
[keeper]
state = "state"
listen = "127.0.0.1:{listen}"
[[certificate]]
name = "site"
chain = "chain.pem"
servers = ["web"]
[[server]]
name = "web"
kind = "{kind}"
prove = "127.0.0.1:{port}"
"""
MOD_SSL = """\
cache_timeout = "1s"
"""
MOD_MD = """\
store = "{folder}/md"
pid_file = "{folder}/apache2.pid"
test = ["{program}", "-f", "{folder}/apache2.conf", "-t"]
"""


class World:
    """A CA with its responder, a site, and the settings of a keeper for one Apache."""

    def __init__(self, folder: Path, loop: Loop) -> None:
        ca = a_ca()
        self.loop = loop
        self.responder = LabResponder(Forge(ca, at=NOW))
        loop.run(self.responder.start())
        self.site: Issued = a_site(ca, "localhost", responder_urls=(self.responder.url,))
        (folder / "chain.pem").write_bytes(self.site.fullchain_pem)
        self.settings = folder / "holdfast.toml"
        self.listen = free_port()
        self.keep = [*HOLDFAST, "keep", "--json", "-c", self.settings]

    def apache(self, kind: str) -> Apache:
        relay = f"127.0.0.1:{self.listen}"
        if kind == "apache":
            snippet, modules = apache_snippet(relay, cache_timeout=SECOND), ()
        else:
            snippet, modules = apache_md_snippet(relay, store="${APACHE_RUN_DIR}/md"), ("md",)
        made = Apache({"site": self.site}, stapling=snippet, modules=modules)
        rest = MOD_SSL if kind == "apache" else MOD_MD.format(folder=made.folder, program=PROGRAM)
        text = SETTINGS.format(listen=self.listen, kind=kind, port=made.port) + rest
        self.settings.write_text(text)
        return made

    @contextmanager
    def rechecking(self) -> Iterator[None]:
        text = self.settings.read_text()
        self.settings.write_text(text.replace("[keeper]", '[keeper]\nrecheck = "1s"'))
        yield

    def waited(self) -> None:
        assert holdfast("wait", "site", "-c", self.settings, "--timeout", "20s").code == 0


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.stop()


def comes(what: Callable[[], bool]) -> bool:
    """Whether it becomes true within 15 s."""
    until = time.monotonic() + 15
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def shown(server: Apache) -> bytes | None:
    return run(staple_shown(server.port))


def says(staple: bytes | None, status: type) -> bool:
    if staple is None:
        return False
    basic = Response.parse(staple).basic
    assert basic is not None
    return isinstance(basic.singles[0].certificate_status, status)


@pytest.mark.parametrize("kind", ["apache", "apache-md"])
def test_k3_the_responder_goes_the_keeper_is_killed_and_comes_back_apache_is_restarted(
    tmp_path: Path, loop: Loop, kind: str
) -> None:
    world = World(tmp_path, loop)
    with world.apache(kind) as server:
        with running(world.keep, cwd=tmp_path, until=b"\n}\n") as keeper:
            world.waited()
            assert says(shown(server), Good)
            loop.run(world.responder.close())
            keeper.child.kill()
            keeper.child.wait(timeout=10)
        with running(world.keep, cwd=tmp_path, until=b"\n}\n") as keeper:
            world.waited()
            assert says(shown(server), Good)
            server.restart()
            assert says(shown(server), Good)
            keeper.child.kill()
            keeper.child.wait(timeout=10)
        # the keeper is gone for good
        late = (datetime.now(UTC) + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
        early = holdfast("withdraw", "--expired", "-c", world.settings)
        assert early.out == "nothing to withdraw\n"
        done = holdfast("withdraw", "--expired", "-c", world.settings, "--at", late)
        assert done.code == 0, done.err
        assert ("web" in done.out) is (kind == "apache-md")
        if kind == "apache":
            time.sleep(1.3)  # its cache_timeout
        assert shown(server) is None
        server.restart()
        assert shown(server) is None


@pytest.mark.parametrize("kind", ["apache", "apache-md"])
def test_k11_revoked_is_shown_soon_after_the_responder_says_it(
    tmp_path: Path, loop: Loop, kind: str
) -> None:
    world = World(tmp_path, loop)
    with (
        world.apache(kind) as server,
        world.rechecking(),
        running(world.keep, cwd=tmp_path, until=b"\n}\n"),
    ):
        assert comes(lambda: says(shown(server), Good))
        loop.run(world.responder.change({"fault": "revoked"}))
        assert comes(lambda: says(shown(server), Revoked))


def test_k1_a_keeper_that_starts_while_apache_is_asked_answers_the_first_question(
    tmp_path: Path, loop: Loop
) -> None:
    """What its store holds is answered, not refused, though it is still being taken up."""
    world = World(tmp_path, loop)
    with world.apache("apache") as server:
        with running(world.keep, cwd=tmp_path, until=b"\n}\n"):
            world.waited()
        loop.run(world.responder.close())
        time.sleep(1.1)
        with running(world.keep, cwd=tmp_path, until=b"\n}\n"):
            assert says(shown(server), Good), "with the first handshake"


def test_apache_without_a_relay_is_refused_with_a_hint(tmp_path: Path, loop: Loop) -> None:
    world = World(tmp_path, loop)
    server = world.apache("apache")
    server.remove()
    text = world.settings.read_text()
    world.settings.write_text(text.replace(f'listen = "127.0.0.1:{world.listen}"\n', ""))
    done = holdfast("keep", "--dry-run", "-c", world.settings)
    assert done.code == 2
    assert 'holdfast.toml:10:1: a server of kind "apache"' in done.err.replace("'", '"')
    assert "listen = " in done.err


def test_the_page_and_the_relay_share_a_port(tmp_path: Path, loop: Loop) -> None:
    world = World(tmp_path, loop)
    world.apache("apache").remove()
    world.settings.write_text(world.settings.read_text().replace("prove", "# prove"))
    with running(world.keep, cwd=tmp_path, until=b"\n}\n"):
        world.waited()
        with urllib.request.urlopen(f"http://127.0.0.1:{world.listen}/status.json") as reply:
            assert reply.status == 200
        place = f"http://127.0.0.1:{world.listen}/ocsp"
        fetched = holdfast("fetch", str(tmp_path / "chain.pem"), "--url", place, "--method", "post")
        assert fetched.code == 0, fetched.err
        fetched = holdfast("fetch", str(tmp_path / "chain.pem"), "--url", place, "--method", "get")
        assert fetched.code == 0, fetched.err
