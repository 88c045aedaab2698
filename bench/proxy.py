"""The proxy against nginx with `ssl_stapling_file`: what a second of the server's processor brings.

Both serve the same ECDSA P-256 certificate with its issuer and the same staple, by TLS 1.3 and
X25519 (the OpenSSL of Debian's nginx knows no ML-KEM, ours would do more work than it), to clients
that ask for the staple; the server on one core, everything else on the others; nothing is resumed.
Counted are handshakes and requests for each CPU-second of the server and its children, from /proc,
so that a client too slow to fill the core takes nothing from the figure. The upstream is another
nginx. Medians of the rounds, in which the servers take turns; the ratio is to nginx.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from OpenSSL._util import lib

from bench.timing import Row, report
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verify import verify
from holdfast.pki import issue
from holdfast.stores.files import FOLDER, FileStore
from holdfast.tls.client import ClientTLS

NGINX = "/usr/sbin/nginx"
SERVER_CORE = 0
TICK = os.sysconf("SC_CLK_TCK")
BOUNDS = {"bare handshakes": 0.75, "handshakes, a request each": 0.6, "keep-alive requests": 0.7}
REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"x" * 100
CLIENTS = 3  # processes of clients
SIDE_BY_SIDE = 8  # connections of each

FRONT = """
daemon off; {user}pid {folder}/pid; error_log {folder}/log crit; worker_processes 1;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; server_tokens off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
{inside} }}
"""
TLS = """
  upstream behind {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} ssl backlog=4096; server_name localhost;
    ssl_protocols TLSv1.3; ssl_certificate {chain}; ssl_certificate_key {key};
    ssl_stapling on; ssl_stapling_file {staple};
    location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https; }}
  }}
"""
PLAIN = """
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{body}"; }} }}
"""


def main() -> int:
    options = _arguments()
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-")))
        chain, key, state = _material(folder)
        others = cores[1:] or cores
        upstream = stack.enter_context(_nginx(folder / "upstream", others, PLAIN, body="x" * 100))
        servers = {
            "nginx": stack.enter_context(
                _nginx(
                    folder / "nginx",
                    cores[:1],
                    TLS,
                    upstream=upstream.port,
                    chain=chain,
                    key=key,
                    staple=next((state / FOLDER).glob("*.der")),
                )
            )
        }
        for mode in ("tcp", "http"):
            words = ["--cert", chain, "--key", key, "--keeper", state, "--mode", mode]
            words += ["--upstream", f"http://127.0.0.1:{upstream.port}"]
            servers[mode] = stack.enter_context(_proxy(cores[:1], words))
        os.sched_setaffinity(0, others)
        rows = [
            row
            for name, (work, count) in _works(options).items()
            for row in _rows(name, _measured(servers, work, count, options.rounds))
        ]
    return report("proxy: for each CPU-second of the server", rows, as_json=options.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run")
    parser.add_argument("--short", action="store_true", help="a fifth of the work each round")
    return parser.parse_args()


Work = Callable[[int, int], int]


def _works(options: argparse.Namespace) -> dict[str, tuple[Work, int]]:
    """What each process of clients does, and how often."""
    part = 5 if options.short else 1
    return {
        "bare handshakes": (_handshakes, 1500 // part),
        "handshakes, a request each": (_handshakes_and_requests, 1200 // part),
        "keep-alive requests": (_requests, 15000 // part),
    }


def _rows(name: str, figures: dict[str, float]) -> Iterator[Row]:
    unit = "/s"
    yield Row(f"{name}, nginx", figures["nginx"], unit)
    for mode in ("tcp", "http"):
        least = BOUNDS[name] if mode == "tcp" else None
        if mode == "http" and name == "bare handshakes":
            continue  # no request, no mode
        ratio = figures[mode] / figures["nginx"]
        yield Row(f"{name}, {mode} mode", figures[mode], unit, ratio, least=least)


def _measured(servers: dict[str, _Server], work: Work, count: int, rounds: int) -> dict[str, float]:
    """The median figure of each server; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in servers}
    for turn in range(rounds + 1):
        for name, server in servers.items():
            before = server.cpu_seconds()
            done = _at_once(work, server.port, count if turn else max(count // 10, 10))
            seconds = server.cpu_seconds() - before
            if turn:
                taken[name].append(done / max(seconds, 1 / TICK))
    return {name: statistics.median(figures) for name, figures in taken.items()}


def _at_once(work: Work, port: int, count: int) -> int:
    """`work` in `CLIENTS` processes; how much they did together."""
    context = multiprocessing.get_context("fork")
    with context.Pool(CLIENTS) as pool:
        return sum(pool.starmap(work, [(port, count)] * CLIENTS))


# -- clients --------------------------------------------------------------------------------------


def _handshakes(port: int, count: int) -> int:
    for number in range(count):
        sock, tls = _met(port)
        if not number:
            assert tls.staple, "no staple came"
        sock.close()
    return count


def _handshakes_and_requests(port: int, count: int) -> int:
    for _ in range(count):
        sock, tls = _met(port)
        with sock:
            tls.send(REQUEST)
            sock.sendall(tls.outgoing())
            answer = b""
            while BODY not in answer:
                data = sock.recv(65536)
                assert data, "cut off"
                answer += tls.receive(data)
            assert answer.startswith(b"HTTP/1.1 200")
    return count


def _met(port: int) -> tuple[socket.socket, ClientTLS]:
    """A handshake that asks for the staple."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    tls = ClientTLS("localhost")
    lib.SSL_set1_curves_list(tls._connection._ssl, b"X25519:P-256")
    tls.begin()
    while True:
        sock.sendall(tls.outgoing())
        if tls.established:
            return sock, tls
        data = sock.recv(65536)
        assert data, "cut off in the handshake"
        tls.receive(data)


def _requests(port: int, count: int) -> int:
    """On a few connections side by side: a server that is busy reads many at once."""
    return asyncio.run(_many(port, count))


async def _many(port: int, count: int) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    each = max(count // SIDE_BY_SIDE, 1)

    async def one() -> int:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        for _ in range(each):
            writer.write(REQUEST)
            got = await reader.readuntil(BODY)
            assert got.startswith(b"HTTP/1.1 200")
        writer.close()
        return each

    return sum(await asyncio.gather(*(one() for _ in range(SIDE_BY_SIDE))))


# -- servers --------------------------------------------------------------------------------------


class _Server:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children, alive or ended."""
        pids = [self.process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                tasks = Path(f"/proc/{pid}/task")
                for task in tasks.iterdir():
                    pids += map(int, (task / "children").read_text().split())
        return sum(map(_ticks, pids)) / TICK


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime


@contextlib.contextmanager
def _nginx(folder: Path, cores: list[int], inside: str, **words: object) -> Iterator[_Server]:
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    user = "user root; " if os.getuid() == 0 else ""
    shown = inside.format(port=port, folder=folder, **words)
    configuration.write_text(FRONT.format(folder=folder, user=user, inside=shown))
    process = _pinned([NGINX, "-p", str(folder), "-c", str(configuration)], cores)
    with _stopped(process):
        for _ in range(500):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=1),
            ):
                break
            assert process.poll() is None, "nginx did not start"
            time.sleep(0.01)
        yield _Server(process, port)


@contextlib.contextmanager
def _proxy(cores: list[int], words: list[object]) -> Iterator[_Server]:
    begin = [sys.executable, "-m", "holdfast", "proxy", "--listen", "127.0.0.1:0", "--json"]
    process = _pinned([*begin, *map(str, words)], cores, stdout=subprocess.PIPE)
    with _stopped(process):
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == b"}\n":
                break
        told = json.loads(b"".join(lines))
        assert told["certificates"][0]["stapled"], told
        yield _Server(process, told["port"])


def _pinned(
    words: list[str], cores: list[int], stdout: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # a child has its parent's
    try:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL
        )
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _material(folder: Path) -> tuple[Path, Path, Path]:
    """Certificate with chain, key, and a keeper's state folder with the staple."""
    now = datetime.now(UTC).replace(microsecond=0)
    root = issue.root("Bench Root", at=now - timedelta(days=1))
    ca = root.intermediate("Bench CA", at=now - timedelta(days=1))
    site = ca.server(
        "localhost", at=now - timedelta(hours=2), responder_urls=["http://127.0.0.1:9/"]
    )
    chain, key, state = folder / "chain.pem", folder / "key.pem", folder / "state"
    chain.write_bytes(site.fullchain_pem)
    key.touch(mode=0o600)
    key.write_bytes(site.key_pem())
    begin = now - timedelta(hours=1)
    single = SingleResponse(
        CertID.of(site.certificate.serial, ca.certificate, "sha1"),
        GOOD,
        begin,
        begin + timedelta(days=7),
    )
    der = Signer(ca.certificate, ca.key, ca.certificate).respond([single], produced_at=begin)
    subject = Subject.of(site.certificate, ca.certificate)
    FileStore(state / FOLDER).write(verify(Response.parse(der), subject, at=now))
    return chain, key, state


if __name__ == "__main__":
    sys.exit(main())
