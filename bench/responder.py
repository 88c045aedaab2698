"""Our responder, nginx with one static file, cfssl's `ocspserve` and `openssl ocsp`, by turns.

Rates are answers a second of the server's processor time, one core for the server and one for the
load, 64 connections that stay, medians of several rounds. cfssl as Debian has it answers 400 to
every GET, so both ways are compared with its POST. `openssl ocsp` takes a connection for each
request; it spins for ever when a client connects and leaves without asking, so nothing probes it.
Afterwards answers are read and verified, one by one. `--serials 10000000` adds a larger store.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import _responder_load as load
from bench import _responder_world as worlds
from bench.timing import Row, report

HOT = 20_000
ASKED_AT_RANDOM = 200_000
SERVER_CORE, LOAD_CORE = 0, 1
START_WITHIN = 60.0
WARM_WITHIN = 2.0  # seconds; a server that takes longer is not faster when warm


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs. `began`: seconds until it answered."""

    port: int
    pid: int
    began: float = 0.0


def main() -> int:
    options = _arguments()
    lacks = load.missing()
    if lacks:
        print(f"bench.responder needs programs that are not here: {lacks}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=options.folder) as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker reads in it
        rows, ratios = _measured(folder, options)
    if options.json:
        document = {"benchmark": "responder", "ratios": ratios, "rows": [_as_json(r) for r in rows]}
        json.dump(document, sys.stdout, indent=2)
        print()
        return int(not all(row.holds for row in rows))
    return report("responder: answers per server CPU-second", rows, as_json=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--short", action="store_true", help="three rounds, in under 50 s")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--serials", type=int, default=HOT, help="in the store")
    parser.add_argument("--verify", type=int, default=100_000, help="answers to verify")
    parser.add_argument("--folder", help="where to make the store (default: TMPDIR)")
    options = parser.parse_args()
    if options.short:
        options.rounds, options.seconds, options.verify = 3, 1.0, 2_000
    return options


def _as_json(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "value": row.value,
        "unit": row.unit,
        "ratio": row.ratio,
        "least": row.least,
        "most": row.most,
        "holds": row.holds,
    }


def _measured(
    folder: Path, options: argparse.Namespace
) -> tuple[list[Row], dict[str, float | None]]:
    world = worlds.make(folder, HOT)
    worlds.write_index(world, folder / "index.txt")
    questions = worlds.questions(world, worlds.chosen(world, HOT))
    gets = worlds.write_raw(folder / "get", [worlds.by_get(q) for q in questions])
    posts = worlds.write_raw(folder / "post", [worlds.by_post(q) for q in questions])
    closes = worlds.write_raw(folder / "close", [worlds.by_post(q, close=True) for q in questions])
    static = worlds.write_raw(
        folder / "static", [b"GET /answer HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
    )
    alone = [worlds.by_post(q) for q in questions]
    with ExitStack() as stack:
        ours = stack.enter_context(_ours(folder, world.shelf))
        nginx = stack.enter_context(_nginx(folder, _answer(ours, questions[0])))
        responses = worlds.write_cfssl(world, folder / "responses")
        cfssl = stack.enter_context(_cfssl(responses))
        openssl = stack.enter_context(_openssl(folder))
        seconds = options.seconds

        def by_wrk(peer: Peer, requests: Path) -> Callable[[], load.Rate]:
            return lambda: load.wrk(peer.port, peer.pid, requests, seconds=seconds, core=LOAD_CORE)

        work = {
            "nginx static": by_wrk(nginx, static),
            "GET": by_wrk(ours, gets),
            "POST": by_wrk(ours, posts),
            "POST, a connection each": by_wrk(ours, closes),
            "cfssl POST": by_wrk(cfssl, posts),
            "openssl ocsp": lambda: load.one_by_one(
                openssl.port, openssl.pid, alone, seconds=seconds
            ),
        }
        rates = _medians(work, options.rounds)
        tails = _tails(folder, (ours, nginx), questions, rates["GET"] / 2, seconds)
        checked, wrong = _verified(ours, world, questions, options.verify)
        anonymous = load.anonymous_kib(ours.pid) / 1024
        large = _large(folder, options, rates) if options.serials > HOT else []
    ratios: dict[str, float | None] = {
        "nginx_static_get": rates["GET"] / rates["nginx static"],
        "nginx_static_post": rates["POST"] / rates["nginx static"],
        "cfssl_get": rates["GET"] / rates["cfssl POST"],
        "cfssl_post": rates["POST"] / rates["cfssl POST"],
        "openssl_ocsp": rates["POST"] / rates["openssl ocsp"],
        "openssl_ocsp_connection_each": rates["POST, a connection each"] / rates["openssl ocsp"],
        "p99_nginx": tails["GET"] / tails["nginx static"],
    }
    least = {
        "nginx_static_get": 0.75,
        "nginx_static_post": 0.75,
        "cfssl_post": 3.0,
        "openssl_ocsp": 7.0,
        "openssl_ocsp_connection_each": 1.3,
    }
    rows = [Row(name, value, "/s") for name, value in rates.items()]
    rows += [Row(f"p99 of {name} at half rate", value, "ms") for name, value in tails.items()]
    rows += [
        Row(
            name,
            ratio,
            "x",
            ratio,
            least=least.get(name),
            most=1.5 if name == "p99_nginx" else None,
        )
        for name, ratio in ratios.items()
        if ratio is not None
    ]
    rows += [
        Row("answers verified", checked, ""),
        Row("of them wrong", wrong, "", float(wrong == 0), least=1.0),
        Row("seconds to start", ours.began, "s", ours.began, most=1.0),
        Row("anonymous memory of a worker", anonymous, "MB", anonymous, most=100.0),
        Row("octets a response in the store", *_size(world.shelf, HOT), most=450.0),
    ]
    for row in large:
        rows.append(row)
        if row.ratio is not None:
            ratios[row.name.replace(" ", "_")] = row.ratio
    return rows, ratios


def _size(shelf: Path, count: int) -> tuple[float, str, float]:
    octets = shelf.stat().st_blocks * 512 / count
    return octets, "B", octets


def _medians(work: dict[str, Callable[[], load.Rate]], rounds: int) -> dict[str, float]:
    """By turns; first each warms up until everything was asked, which is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        answers, until = 0, time.monotonic() + WARM_WITHIN
        while answers < HOT and time.monotonic() < until:
            answers += run().answers
    for _ in range(rounds):
        for name, run in work.items():
            taken[name].append(run().by_cpu)
    return {name: statistics.median(rates) for name, rates in taken.items()}


def _tails(
    folder: Path, peers: tuple[Peer, Peer], questions: list[bytes], rate: float, seconds: float
) -> dict[str, float]:
    """The 99th percentile of ours and of nginx at the same rate."""
    ours, nginx = peers
    paths = {
        "GET": (ours, [worlds.path_of(question) for question in questions]),
        "nginx static": (nginx, ["/answer"]),
    }
    found = {}
    for name, (peer, asked) in paths.items():
        uris = folder / "uris"
        uris.write_text("".join(f"http://127.0.0.1:{peer.port}{path}\n" for path in asked))
        found[name] = load.p99(peer.port, uris, rate=rate, seconds=seconds, core=LOAD_CORE)
    return found


def _verified(
    ours: Peer, world: worlds.World, questions: list[bytes], count: int
) -> tuple[int, int]:
    """How many answers were read and verified, by GET and POST in turn, and how many are wrong."""
    from holdfast.errors import Malformed
    from holdfast.ocsp.certid import Subject
    from holdfast.ocsp.request import Request
    from holdfast.ocsp.response import Response
    from holdfast.ocsp.verify import examine
    from holdfast.pki import pem

    issuer = pem.certificates(world.ca.read_bytes(), name="ca.pem")[0]
    wrong = 0
    with socket.create_connection(("127.0.0.1", ours.port), timeout=10) as caller:
        for number in range(count):
            question = questions[number % len(questions)]
            ask = worlds.by_get if number % 2 else worlds.by_post
            caller.sendall(ask(question))
            serial = Request.parse(question).singles[0].certid.serial
            try:
                response = Response.parse(_body(caller))
            except Malformed:
                wrong += 1
                continue
            verdict = examine(response, Subject(serial, issuer), at=datetime.now(UTC))
            wrong += not verdict.good
    return count, wrong


def _answer(ours: Peer, question: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", ours.port), timeout=10) as caller:
        caller.sendall(worlds.by_post(question))
        return _body(caller)


def _body(caller: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        chunk = caller.recv(65536)
        assert chunk, got
        got += chunk
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        chunk = caller.recv(65536)
        assert chunk
        body += chunk
    return body


def _large(folder: Path, options: argparse.Namespace, rates: dict[str, float]) -> list[Row]:
    """The same with more serials, asked at random after a warm-up."""
    begun = time.perf_counter()
    world = worlds.make(folder, options.serials, workers=len(os.sched_getaffinity(0)))
    made = time.perf_counter() - begun
    questions = worlds.questions(world, worlds.chosen(world, ASKED_AT_RANDOM))
    gets = worlds.write_raw(folder / "get-large", [worlds.by_get(q) for q in questions])
    posts = worlds.write_raw(folder / "post-large", [worlds.by_post(q) for q in questions])
    with _ours(folder, world.shelf) as peer:

        def run(requests: Path) -> load.Rate:
            seconds = 2 * options.seconds
            return load.wrk(peer.port, peer.pid, requests, seconds=seconds, core=LOAD_CORE)

        work = {"GET": lambda: run(gets), "POST": lambda: run(posts)}
        found = _medians(work, options.rounds)
        anonymous = load.anonymous_kib(peer.pid) / 1024
    return [
        Row("seconds to fill the large store", made, "s"),
        Row("large store get", found["GET"], "/s", found["GET"] / rates["GET"], least=0.65),
        Row("large store post", found["POST"], "/s", found["POST"] / rates["POST"], least=0.65),
        Row("large store, anonymous memory", anonymous, "MB", anonymous, most=100.0),
        Row("large store, seconds to start", peer.began, "s", peer.began, most=1.0),
        Row("large store, octets a response", *_size(world.shelf, options.serials), most=450.0),
    ]


# -- servers ------------------------------------------------------------------------------------


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
def _ours(folder: Path, shelf: Path) -> Iterator[Peer]:
    command = [sys.executable, "-m", "bench._responder_serve", str(folder), str(shelf)]
    begun = time.perf_counter()
    with _running(command, stdout=subprocess.PIPE, cwd=worlds.ROOT, stderr=None) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        yield Peer(port, child.pid, time.perf_counter() - begun)


@contextmanager
def _nginx(folder: Path, answer: bytes) -> Iterator[Peer]:
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
def _cfssl(responses: Path) -> Iterator[Peer]:
    port = _free_port()
    command = ["cfssl", "ocspserve", "-address", "127.0.0.1", "-port", str(port)]
    command += ["-responses", str(responses), "-loglevel", "5"]
    with _running(command, env={**os.environ, "GOMAXPROCS": "1"}) as child:
        _await_port(port)
        yield Peer(port, child.pid)


@contextmanager
def _openssl(folder: Path) -> Iterator[Peer]:
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


if __name__ == "__main__":
    sys.exit(main())
