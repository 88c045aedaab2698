"""The servers that carry odd staples: each shows a `Play` on a free port, in one version of TLS.

gnutls-serv sends the bytes of a file as they are. nginx (`ssl_stapling_file`) and openssl s_server
(`-status_file`) parse them first and send them encoded again; HAProxy (`certificate.pem.ocsp`)
checks them too, and takes none that is not a successful one, in date, about its certificate by
SHA-1. The twin (twin.py) sends anything, by turns and by address, and `entries` (entries.py) beside
every certificate.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from holdfast.pki.pem import encode_certificates
from support.odd.case import Case, Play
from support.odd.twin import spec
from support.odd.world import World
from support.pki import written
from support.servers.nginx import PATHS
from support.tls_peers import program

HERE = Path(__file__).parent
SECOND = "::1"  # the other address of localhost
NGINX_CONFIGURATION = """
{user}daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
{temporary}
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name localhost;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_protocols TLSv{version};
{stapling}
    location / {{ return 200; }}
  }}
}}
"""
HAPROXY_CONFIGURATION = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend tls
  bind 127.0.0.1:{port} ssl crt {pem} ssl-min-ver TLSv{version} ssl-max-ver TLSv{version}
  http-request return status 200
"""


@contextmanager
def carried(case: Case, server: str, version: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """(port, file of the root) while `server` shows `case` to TLS `version`."""
    world = World()
    play = case.make(world)
    roots = folder / "roots.pem"
    roots.write_bytes(encode_certificates([world.root.certificate]))
    with SERVERS[server](play, version, folder) as port:
        yield port, roots


def _gnutls(play: Play, version: str, folder: Path) -> AbstractContextManager[int]:
    chain, key = written(play.site, folder)
    words: list[Any] = ["gnutls-serv", "--quiet", "--http", "--x509certfile", chain]
    words += ["--x509keyfile", key, "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}"]
    staple = _file(play, folder)
    if staple is not None:
        words += ["--ocsp-response", staple, "--ignore-ocsp-response-errors"]
    return program(words, lambda port: ["--port", str(port)])


def _openssl(play: Play, version: str, folder: Path) -> AbstractContextManager[int]:
    chain, key = written(play.site, folder)
    above = folder / "above.pem"
    above.write_bytes(play.site.chain_pem)
    words: list[Any] = ["openssl", "s_server", "-quiet", "-www", "-cert", chain, "-key", key]
    words += ["-cert_chain", above, f"-tls{version.replace('.', '_')}"]
    staple = _file(play, folder)
    if staple is not None:
        words += ["-status_file", staple]
    return program(words, lambda port: ["-accept", f"127.0.0.1:{port}"])


def _nginx(play: Play, version: str, folder: Path) -> AbstractContextManager[int]:
    chain, key = written(play.site, folder)
    staple = _file(play, folder)
    lines = "" if staple is None else f"    ssl_stapling on;\n    ssl_stapling_file {staple};"
    configuration = folder / "nginx.conf"

    def write(port: int) -> list[str]:
        configuration.write_text(
            NGINX_CONFIGURATION.format(
                user="user root;\n" if os.getuid() == 0 else "",
                temporary="\n".join(f"  {name}_temp_path {folder}/{name};" for name in PATHS),
                folder=folder,
                port=port,
                chain=chain,
                key=key,
                version=version,
                stapling=lines,
            )
        )
        return ["-p", str(folder), "-c", str(configuration)]

    # one process alone, so that killing it leaves no worker
    words = [found("nginx"), "-e", folder / "error.log", "-g", "master_process off;"]
    return program(words, write)


def _haproxy(play: Play, version: str, folder: Path) -> AbstractContextManager[int]:
    pem = folder / "site.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(play.site.fullchain_pem + play.site.key_pem())
    beside = folder / "site.pem.ocsp"
    beside.unlink(missing_ok=True)
    if play.staples[0] is not None:
        beside.write_bytes(play.staples[0])
    configuration = folder / "haproxy.cfg"

    def write(port: int) -> list[str]:
        configuration.write_text(HAPROXY_CONFIGURATION.format(port=port, pem=pem, version=version))
        return ["-f", str(configuration)]

    return program([found("haproxy"), "-db"], write)


def _twin(play: Play, version: str, folder: Path) -> AbstractContextManager[int]:
    chain, key = written(play.site, folder)
    staples = {"127.0.0.1": play.staples}
    if play.elsewhere:
        staples[SECOND] = play.elsewhere
    told = folder / "twin.json"
    told.write_bytes(spec(chain, key, version, staples))
    return program([sys.executable, HERE / "twin.py", told], lambda port: ["--port", str(port)])


def _entries(play: Play, version: str, folder: Path) -> AbstractContextManager[int]:
    chain, key = written(play.site, folder)
    words: list[Any] = [sys.executable, HERE / "entries.py", chain, key, version]
    for number, staple in enumerate((play.staples[0], play.above)):
        if staple is None:
            words.append("none")
        else:
            place = folder / f"staple-{number}.der"
            place.write_bytes(staple)
            words.append(place)
    return program(words, lambda port: ["--port", str(port)])


SERVERS: dict[str, Callable[[Play, str, Path], AbstractContextManager[int]]] = {
    "gnutls-serv": _gnutls,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "openssl": _openssl,
    "twin": _twin,
    "entries": _entries,
}


def _file(play: Play, folder: Path) -> Path | None:
    if play.staples[0] is None:
        return None
    place = folder / "staple.der"
    place.write_bytes(play.staples[0])
    return place


def found(name: str) -> str:
    """A server of Debian's, which are not on everybody's PATH."""
    return f"/usr/sbin/{name}"


class BothFamilies(asyncio.SelectorEventLoop):
    """A resolver that knows both addresses of localhost, as not every machine's does."""

    async def getaddrinfo(self, host: Any, port: Any, **wishes: Any) -> list[Any]:
        four, six = ("127.0.0.1", port), (SECOND, port, 0, 0)
        return [(socket.AF_INET6, 1, 6, "", six), (socket.AF_INET, 1, 6, "", four)]


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return BothFamilies()


@contextmanager
def both_addresses() -> Iterator[None]:
    """While every name has two addresses, 127.0.0.1 and ::1, for whatever runs in this thread."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)
