"""The relay's answer, which Apache waits for within a handshake: it must take less than 1 ms.

10,000 staples are held. Once the handler alone, and once over loopback as mod_ssl asks: a new
connection, `POST /ocsp HTTP/1.0`, read to the end; by turns with nginx giving the same bytes as a
file, where nginx is installed. The server is another process. The ratio is to 1 ms, at most 1; the
p99 is that of the calmest of 5 parts of the run, since this machine has other things to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.timing import Row, arguments, report
from holdfast.net.clock import SystemClock
from holdfast.net.http_server import Request, serve
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.request import Request as Question
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.verify import verify
from holdfast.pki import issue
from holdfast.pki.issue import Authority
from holdfast.servers.relay_shelf import RelayShelf
from holdfast.services.relay import Relay

COUNT = 10_000
PARTS = 5
NOW = datetime.now(UTC).replace(microsecond=0)
NGINX = "/usr/sbin/nginx"
CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/log crit; worker_processes 1; events {{}}
http {{ access_log off; default_type application/ocsp-response;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


def main() -> int:
    options = arguments(__doc__ or "", rounds=2000)
    ca = issue.root("Bench Root", key_type="ecdsa-p256", at=NOW - timedelta(days=1))
    relay = filled(ca)
    questions = [Question.build(subject(ca, n).certid).encode() for n in range(COUNT)]
    turn = iter(range(sys.maxsize))

    def alone() -> None:
        body = questions[next(turn) * 7919 % COUNT]
        reply = relay(Request("POST", b"/ocsp", [], body, "1.0", "127.0.0.1"))
        assert getattr(reply, "status", 0) == 200

    with contextlib.ExitStack() as stack:
        work: dict[str, Callable[[], object]] = {"the handler alone": alone}
        port = stack.enter_context(a_server(relay))

        def over_loopback() -> None:
            body = questions[next(turn) * 7919 % COUNT]
            head = b"POST /ocsp HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n" % port
            head += b"Content-Type: application/ocsp-request\r\nConnection: close\r\n"
            asked(port, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

        work["over loopback"] = over_loopback
        if Path(NGINX).exists():
            reply = relay(Request("POST", b"/", [], questions[0], "1.0", ""))
            file_port = stack.enter_context(nginx(getattr(reply, "body", b"")))
            get = b"GET /staple HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
            work["nginx, a file"] = lambda: asked(file_port, get)
        taken = by_turns(work, rounds=options.rounds)
    rows = []
    for name, milliseconds in taken.items():
        part = max(len(milliseconds) // PARTS, 2)
        parts = [milliseconds[n * part : (n + 1) * part] for n in range(PARTS)]
        p99 = min(statistics.quantiles(one, n=100)[98] for one in parts if len(one) > 1)
        median = statistics.median(milliseconds)
        ours = name != "nginx, a file"
        for what, value in (("median", median), ("p99", p99)):
            ratio, most = (value, 1.0) if ours else (None, None)
            rows.append(Row(f"{name}, {what}", value, "ms", ratio, most))
    return report(f"relay: one answer of {COUNT} staples", rows, as_json=options.json)


def subject(ca: Authority, n: int) -> Subject:
    return Subject(2**150 + 7919 * n, ca.certificate)


def filled(ca: Authority) -> Relay:
    """A relay over COUNT staples."""
    clock = SystemClock()
    shelf = RelayShelf(clock=clock)
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    for n in range(COUNT):
        one = subject(ca, n)
        single = SingleResponse(one.certid, GOOD, NOW - timedelta(hours=1), NOW + timedelta(days=1))
        response = Response.parse(signer.respond([single], produced_at=NOW - timedelta(hours=1)))
        shelf.put("web", verify(response, one, at=NOW))
    return Relay(shelf.held, clock=clock)


def by_turns(work: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each piece, each time it ran; a tenth more before is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(-rounds // 10, rounds):
        for name, piece in work.items():
            began = time.perf_counter()
            piece()
            if turn >= 0:
                taken[name].append((time.perf_counter() - began) * 1000)
    return taken


def asked(port: int, question: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(question)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert b" 200 " in answer[:16], answer[:100]


@contextlib.contextmanager
def a_server(relay: Relay) -> Iterator[int]:
    """The relay in a process of its own; its port."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()

    async def answer() -> None:
        server = await serve("127.0.0.1", 0, relay)
        theirs.send(server.port)
        await asyncio.Event().wait()

    process = multiprocessing.get_context("fork").Process(
        target=lambda: asyncio.run(answer()), daemon=True
    )
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


@contextlib.contextmanager
def nginx(content: bytes) -> Iterator[int]:
    """nginx giving `content` at /staple; its port."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    folder.chmod(0o755)
    (folder / "staple").write_bytes(content)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    process = subprocess.Popen(
        [NGINX, "-p", folder, "-c", folder / "conf", "-e", folder / "log"],
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
