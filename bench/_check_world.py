"""What the check's benchmark looks at: a CA with its responder, CRL and file, and one nginx.

The CA's URLs are answered by an event loop in a thread; nginx is the real one. Each port has a
certificate of its own, every fourth, and that of `one`, an RSA one, and its staple from a file. The
trust store is the system's and the CA's root in one file, since that is what a user's is like.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the CA, the servers' files and the loop are the tests'

from holdfast.lab.forge import Forge  # noqa: E402
from holdfast.lab.responder import LabResponder  # noqa: E402
from holdfast.lab.setting import Setting  # noqa: E402
from holdfast.net.http_message import Reply, Request  # noqa: E402
from holdfast.net.http_server import serve  # noqa: E402
from holdfast.pki.issue import Authority, Issued  # noqa: E402
from holdfast.wiring_check import SYSTEM_ROOTS  # noqa: E402
from support.answers import an_answer  # noqa: E402
from support.pki import a_root, a_server, an_intermediate, written  # noqa: E402
from support.servers.nginx import NGINX, PATHS  # noqa: E402
from support.tls_world import Loop, a_loop  # noqa: E402

NOW = datetime.now(UTC).replace(microsecond=0)
YESTERDAY = NOW - timedelta(days=1)
LOOPBACK = "127.0.0.1"
AWAY = 0.02  # seconds there and back, as to a city in the same country
MAIN = """
{user}pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}
{servers}
}}
"""
SERVER = """
  server {{
    listen {address}:{port} ssl;
    server_name localhost;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_stapling on;
    ssl_stapling_file {staple};
    location / {{ return 200; }}
  }}
"""


@dataclass(frozen=True, slots=True)
class World:
    """`roots`: the trust store; `one`: a port; `far`: the same `AWAY`; `many`: the others."""

    roots: Path
    one: int
    far: int
    many: Sequence[int]


@contextmanager
def a_world(folder: Path, *, count: int) -> Iterator[World]:
    """A CA in `folder`, its URLs answered, and an nginx of one port and `count` more."""
    root = a_root(at=YESTERDAY)
    ca = an_intermediate(root, at=YESTERDAY)
    roots = folder / "roots.pem"
    system = [Path(path).read_bytes() for path in SYSTEM_ROOTS[:1] if Path(path).is_file()]
    roots.write_bytes(b"\n".join([*system, root.issued.pem]))
    with a_loop() as loop, _answering(ca, loop) as urls:
        sites = [_site(ca, urls, number) for number in range(count + 1)]
        ports = _free_ports(count + 1)
        with _nginx(folder, ca, dict(zip(ports, sites, strict=True))), _away(ports[0], loop) as far:
            yield World(roots, ports[0], far, ports[1:])


@dataclass(frozen=True, slots=True)
class _Urls:
    responder: str
    files: str


@contextmanager
def _answering(ca: Authority, loop: Loop) -> Iterator[_Urls]:
    """The responder, and the CRL and the CA's certificate at URLs of their own."""
    crl = ca.crl(this_update=YESTERDAY, next_update=NOW + timedelta(days=6))
    files = {b"/ca.crl": crl, b"/ca.crt": ca.certificate.der}

    def file(request: Request) -> Reply:
        body = files.get(request.target)
        return Reply(404) if body is None else Reply(200, body)

    responder = LabResponder(Forge(ca, at=NOW), setting=Setting(window=timedelta(days=4)))
    loop.run(responder.start())
    server = loop.run(serve(LOOPBACK, 0, file))
    try:
        yield _Urls(responder.url, f"http://{LOOPBACK}:{server.port}")
    finally:
        loop.run(server.close(grace=0))
        loop.run(responder.close())


@contextmanager
def _away(port: int, loop: Loop) -> Iterator[int]:
    """A port whose every byte takes half of `AWAY` to `port`, and half of it back."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        later = asyncio.get_running_loop().call_later
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                later(AWAY / 2, writer.write, data)
        later(AWAY / 2, writer.close)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.gather(carry(reader, outer), carry(inner, writer))

    server = loop.run(asyncio.start_server(relay, LOOPBACK, 0))
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        loop.loop.call_soon_threadsafe(server.close)


def _site(ca: Authority, urls: _Urls, number: int) -> Issued:
    """Every fourth is an RSA one."""
    key_type = "ecdsa-p256" if number % 4 else "rsa-2048"
    return a_server(
        ca,
        "localhost",
        key_type=key_type,
        who=key_type,
        at=YESTERDAY,
        responder_urls=[urls.responder],
        issuer_urls=[f"{urls.files}/ca.crt"],
        crl_urls=[f"{urls.files}/ca.crl"],
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in listening]


@contextmanager
def _nginx(folder: Path, ca: Authority, sites: dict[int, Issued]) -> Iterator[None]:
    servers = []
    for port, issued in sites.items():
        chain, key = written(issued, folder, str(port))
        staple = folder / f"{port}.ocsp"
        staple.write_bytes(an_answer(ca, issued, at=NOW))
        names = {"address": LOOPBACK, "port": port, "chain": chain, "key": key, "staple": staple}
        servers.append(SERVER.format(**names))
    config = folder / "nginx.conf"
    config.write_text(
        MAIN.format(
            user="user root;\n",
            folder=folder,
            temporary="\n".join(f"  {name}_temp_path {folder}/{name};" for name in PATHS),
            servers="\n".join(servers),
        )
    )
    process = subprocess.Popen([NGINX, "-p", folder, "-c", config, "-g", "daemon off;"])
    try:
        _await(next(iter(sites)), process)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2000):
        if process.poll() is not None:
            raise SystemExit("nginx did not start; what it said is above")
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        time.sleep(0.01)
    raise SystemExit("nginx does not accept within 20 s")
