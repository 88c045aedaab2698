"""Each kind of `[[server]]` by its settings: killed, restarted, gone (K3, K21, K27)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.ocsp.certid import Subject
from holdfast.pki.chain import order
from holdfast.pki.issue import Issued
from holdfast.servers.hitch import EndedBlank
from support.cli import holdfast
from support.ports import free_port
from support.processes import HOLDFAST, running
from support.servers.handshakes import staple_shown
from support.servers.hitch import HITCH, Hitch
from support.servers.lighttpd import LIGHTTPD, Lighttpd
from support.servers.nginx import NGINX, Nginx
from support.servers.shift import Shift
from support.tls_world import Loop, a_ca, a_site

HOUR = timedelta(hours=1)

KEEPER = """
[keeper]
state = "state"
reload_interval = "1s"
[[certificate]]
name = "site"
chain = "chain.pem"
servers = ["web"]
[[server]]
name = "web"
"""


@dataclass
class Fed:
    """A server, and its `[[server]]`."""

    port: int
    table: str
    restart: Callable[[], None]


@contextmanager
def nginx(folder: Path, site: Issued) -> Iterator[Fed]:
    with Nginx(folder, {"site": [site]}) as server:
        table = (
            f'kind = "nginx"\ninclude = "nginx/holdfast/{{name}}.conf"\nprogram = "{NGINX}"\n'
            f'config = "{server.config}"\nprefix = "nginx"\n'
        )
        yield Fed(server.port, table, server.restart)


@contextmanager
def lighttpd(folder: Path, site: Issued) -> Iterator[Fed]:
    with Lighttpd(folder, site, shift=Shift(folder)) as server:
        table = (
            f'kind = "lighttpd"\nfile = "lighttpd/site.ocsp"\nprogram = "{LIGHTTPD}"\n'
            'config = "lighttpd/lighttpd.conf"\npid_file = "lighttpd/lighttpd.pid"\n'
        )
        yield Fed(server.port, table, server.restart)


@contextmanager
def hitch(folder: Path, site: Issued) -> Iterator[Fed]:
    server = Hitch(folder, site, shift=Shift(folder))
    server.staple.write_bytes(a_blank(site))
    with server:
        table = (
            f'kind = "hitch"\nfile = "hitch/site.ocsp"\nprogram = "{HITCH}"\n'
            'config = "hitch/hitch.conf"\npid_file = "hitch/hitch.pid"\n'
        )
        yield Fed(server.port, table, server.restart)


def a_blank(site: Issued) -> bytes:
    issuer = order([site.certificate, *site.chain]).issuer
    assert issuer is not None
    return EndedBlank().made(Subject.of(site.certificate, issuer).certid)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()


@pytest.mark.parametrize("kind", [nginx, lighttpd, hitch], ids=lambda kind: kind.__name__)
def test_k3_k21_k27_killed_restarted_and_gone(
    tmp_path: Path, loop: Loop, kind: Callable[..., Iterator[Fed]]
) -> None:
    """The responder goes, the keeper is killed and comes back, the server is restarted: stapled;
    then the keeper is gone for good, and the timer takes the staple away."""
    ca = a_ca()
    responder = LabResponder(Forge(ca, at=datetime.now(UTC).replace(microsecond=0)))
    loop.run(responder.start())
    site = a_site(ca, "localhost", responder_urls=(responder.url,))
    (tmp_path / "chain.pem").write_bytes(site.fullchain_pem)
    settings = tmp_path / "holdfast.toml"

    def shown() -> bytes | None:
        return loop.run(staple_shown(fed.port))

    def waited() -> None:
        done = holdfast("wait", "site", "-c", settings, "--timeout", "20s")
        assert done.code == 0, done.err

    with kind(tmp_path, site) as fed:  # type: ignore[attr-defined]
        settings.write_text(f'{KEEPER}{fed.table}prove = "localhost:{fed.port}"\n')
        keep = [*HOLDFAST, "keep", "--json", "-c", settings]
        with running(keep, cwd=tmp_path, until=b"\n}\n") as keeper:
            waited()
            first = shown()
            assert first is not None
            keeper.child.kill()
            keeper.child.wait(timeout=10)
        loop.run(responder.close())
        fed.restart()
        assert shown() == first
        with running(keep, cwd=tmp_path, until=b"\n}\n") as keeper:
            waited()
            keeper.child.kill()
            keeper.child.wait(timeout=10)
        assert shown() == first
        assert holdfast("withdraw", "--expired", "-c", settings).out == "nothing to withdraw\n"
        behind = (datetime.now(UTC) - timedelta(days=400)).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = holdfast("withdraw", "--expired", "-c", settings, "--at", behind)
        assert told.out == "nothing to withdraw\n", "K23: a clock that is behind takes nothing"
        late = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        done = holdfast("withdraw", "--expired", "-c", settings, "--at", late)
        assert done.code == 0, done.err
        for _ in range(100):  # lighttpd restarts gracefully, and the one who told it has ended
            if shown() is None:
                break
            time.sleep(0.02)
        assert shown() is None
        fed.restart()
        assert shown() is None
        again = holdfast("withdraw", "--expired", "-c", settings, "--at", late)
        assert again.out == "nothing to withdraw\n"


def test_nginx_by_the_keepers_relay(tmp_path: Path, loop: Loop) -> None:
    ca = a_ca()
    responder = LabResponder(Forge(ca, at=datetime.now(UTC).replace(microsecond=0)))
    loop.run(responder.start())
    site = a_site(ca, "localhost", responder_urls=(responder.url,))
    (tmp_path / "chain.pem").write_bytes(site.fullchain_pem)
    settings = tmp_path / "holdfast.toml"
    listen = f"127.0.0.1:{free_port()}"
    stapling = f"ssl_stapling on; ssl_stapling_responder http://{listen}/ocsp;"
    with Nginx(tmp_path, {"site": [site]}, stapling=stapling) as server:
        settings.write_text(
            KEEPER.replace("[keeper]", f'[keeper]\nlisten = "{listen}"')
            + f'kind = "nginx-relay"\nprogram = "{NGINX}"\npid_file = "nginx/nginx.pid"\n'
            f'prove = "localhost:{server.port}"\n'
        )
        keep = [*HOLDFAST, "keep", "--json", "-c", settings]
        with running(keep, cwd=tmp_path, until=b"\n}\n"):
            done = holdfast("wait", "site", "-c", settings, "--timeout", "20s")
            assert done.code == 0, done.err
            assert loop.run(staple_shown(server.port)) is not None
        expired = holdfast("withdraw", "--expired", "-c", settings)
        assert expired.out == "nothing to withdraw\n"
    loop.run(responder.close())
