"""The servers of the responder's benchmark, each on one core: ours, nginx with one static file,
cfssl's `ocspserve` and `openssl ocsp`.

`openssl ocsp` spins for ever when a client connects and leaves without asking: nothing probes it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import _responder_load as load
from bench import _responder_world as worlds

SERVER_CORE = 0
START_WITHIN = 60.0


@dataclass(slots=True)
class Peer:
    """A server that runs. `began`: seconds until it answered. `anonymous`: the most RssAnon of one
    of its processes that `seen` saw, in MB."""

    port: int
    pid: int
    began: float = 0.0
    anonymous: float = 0.0

    def seen(self) -> None:
        self.anonymous = max(self.anonymous, load.anonymous_kib(self.pid) / 1024)


@contextmanager
def _running(command: list[str], **how: object) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(  # type: ignore[call-overload]
        ["taskset", "-c", str(SERVER_CORE), *command], **{"stderr": subprocess.DEVNULL, **how}
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def ours(folder: Path, shelf: Path, question: bytes) -> Iterator[Peer]:
    """It has begun when it has answered `question`."""
    command = [sys.executable, "-m", "bench._responder_serve", str(folder), str(shelf)]
    begun = time.perf_counter()
    with _running(command, stdout=subprocess.PIPE, cwd=worlds.ROOT, stderr=None) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        asked(port, question)
        yield Peer(port, child.pid, time.perf_counter() - begun)


@contextmanager
def nginx(folder: Path, answer: bytes) -> Iterator[Peer]:
    root = folder / "static-root"
    root.mkdir()
    (root / "answer").write_bytes(answer)
    port = _free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        f"""
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type application/ocsp-response;
  keepalive_requests 100000000;
  open_file_cache max=10 inactive=1h;
  sendfile on;
  tcp_nopush on;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    add_header Cache-Control "max-age=3600, public, no-transform, must-revalidate";
    expires 1h;
  }}
}}
"""
    )
    with _running(["nginx", "-p", str(folder), "-c", str(settings)]) as child:
        _await_port(port)
        yield Peer(port, child.pid)


@contextmanager
def cfssl(responses: Path) -> Iterator[Peer]:
    port = _free_port()
    command = ["cfssl", "ocspserve", "-address", "127.0.0.1", "-port", str(port)]
    command += ["-responses", str(responses), "-loglevel", "5"]
    with _running(command, env={**os.environ, "GOMAXPROCS": "1"}) as child:
        _await_port(port)
        yield Peer(port, child.pid)


@contextmanager
def openssl(folder: Path) -> Iterator[Peer]:
    port = _free_port()
    command = ["openssl", "ocsp", "-port", str(port), "-index", str(folder / "index.txt")]
    command += ["-CA", str(folder / "ca.pem"), "-rsigner", str(folder / "ca.pem")]
    command += ["-rkey", str(folder / "ca.key"), "-ndays", "1"]
    with _running(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        line = child.stdout.readline()  # ACCEPT, or "Waiting for OCSP client connections..."
        assert line, "openssl ocsp did not start"
        yield Peer(port, child.pid)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _await_port(port: int) -> None:
    until = time.monotonic() + START_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def asked(port: int, question: bytes) -> bytes:
    """What a server says to it, by POST."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        caller.sendall(worlds.by_post(question))
        return body(caller)


def body(caller: socket.socket) -> bytes:
    """Of the next reply, which must be a 200."""
    got = b""
    while b"\r\n\r\n" not in got:
        chunk = caller.recv(65536)
        assert chunk, got
        got += chunk
    head, _, found = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(found) < length:
        chunk = caller.recv(65536)
        assert chunk
        found += chunk
    return found
