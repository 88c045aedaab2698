"""Answers signed when they are asked for, against `openssl speed` on the same core.

For ECDSA P-256 and RSA-2048, signed by the CA itself, 5,000 serials in an index.txt, each read once
before, no answer given again, a line of each signature kept in a file: in one process without HTTP,
as many together as there are connections, and through HTTP with one core for the server and one for
the load, 64 connections that stay, by POST, without and with nonces of 32 octets. All by turns,
medians of several rounds, as signatures a second of processor time, each side's own: what the load
takes is on neither's account. Answers are verified at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import _responder_load as load
from bench._responder_world import ROOT, by_post, write_raw
from bench._signing_serve import signing
from bench.timing import Row, report
from holdfast.ocsp.certid import CertID, Subject
from holdfast.ocsp.request import Request
from holdfast.ocsp.response import Response
from holdfast.ocsp.verify import examine
from holdfast.pki import issue
from holdfast.pki.certificate import Certificate

COUNT = 5_000
CHECKED = 1_000
TOGETHER = 32  # requests that are sent before their answers are read
REST = 2.5  # seconds, of stores/index_txt.py
SERVER_CORE, LOAD_CORE = 0, 1
SPEED = {"ecdsa-p256": ("ecdsap256", r"nistp256"), "rsa-2048": ("rsa2048", r"2048 bits")}
LEAST = {
    ("ecdsa-p256", "HTTP"): 0.45,
    ("ecdsa-p256", "HTTP, nonces"): 0.40,
    ("rsa-2048", "HTTP"): 0.87,
}


@dataclass(frozen=True, slots=True)
class World:
    """A CA in `folder` and requests of its certificates, with and without nonces."""

    kind: str
    folder: Path
    issuer: Certificate
    plain: list[bytes]
    nonced: list[bytes]


def main() -> int:
    options = _arguments()
    lacks = load.missing()
    if lacks:
        print(f"bench.signing needs programs that are not here: {lacks}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name, ExitStack() as stack:
        taken: dict[tuple[str, str], list[float]] = {}
        work: dict[tuple[str, str], Callable[[], float]] = {}
        worlds = [_made(kind, Path(name) / kind) for kind in SPEED]
        for world in worlds:
            port, pid = stack.enter_context(_served(world.folder))
            work |= _work(world, port, pid, options.seconds)
        for turn in range(options.rounds + 1):  # the first warms up
            for what, run in work.items():
                rate = run()
                if turn:
                    taken.setdefault(what, []).append(rate)
        wrong = sum(_wrong(world) for world in worlds)
    rates = {what: statistics.median(found) for what, found in taken.items()}
    rows = []
    for (kind, way), rate in rates.items():
        ratio = None if way == "openssl speed" else rate / rates[kind, "openssl speed"]
        rows.append(Row(f"{kind}, {way}", rate, "/s", ratio, least=LEAST.get((kind, way))))
    rows.append(Row("answers that do not verify", wrong, "", float(wrong), most=0.5))
    return report("signing: signatures per CPU-second", rows, as_json=options.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    return parser.parse_args()


def _made(kind: str, folder: Path) -> World:
    now = datetime.now(UTC)
    ca = issue.root("Bench Root", key_type=kind, at=now - timedelta(days=1))
    folder.mkdir()
    (folder / "ca.pem").write_bytes(ca.issued.pem)
    (folder / "ca.key").touch(mode=0o600)
    (folder / "ca.key").write_bytes(ca.issued.key_pem())
    serials = [2**120 + 7919 * number for number in range(COUNT)]
    ends = f"{now + timedelta(days=90):%y%m%d%H%M%SZ}"
    lines = (f"V\t{ends}\t\t{serial:032X}\tunknown\t/CN={serial:x}\n" for serial in serials)
    (folder / "index.txt").write_text("".join(lines))
    asked = [CertID.of(serial, ca.certificate) for serial in serials]
    plain = [Request.build(certid).encode() for certid in asked]
    nonced = [Request.build(certid, nonce=os.urandom(32)).encode() for certid in asked]
    return World(kind, folder, ca.certificate, plain, nonced)


def _work(
    world: World, port: int, pid: int, seconds: int
) -> dict[tuple[str, str], Callable[[], float]]:
    plain = write_raw(world.folder / "plain", [by_post(one) for one in world.plain])
    nonced = write_raw(world.folder / "nonced", [by_post(one) for one in world.nonced])

    def by_http(requests: Path) -> Callable[[], float]:
        for turn in range(2):
            time.sleep(REST * turn)  # until then the ledger looks at its file once more
            _ask(port, list(_raw(requests)))  # and reads each line when it is first asked for
        return lambda: load.wrk(port, pid, requests, seconds=seconds, core=LOAD_CORE).by_cpu

    kind = world.kind
    return {
        (kind, "openssl speed"): lambda: _openssl_speed(kind, seconds),
        (kind, "in process"): lambda: _in_process(world, seconds),
        (kind, "HTTP"): by_http(plain),
        (kind, "HTTP, nonces"): by_http(nonced),
    }


def _openssl_speed(kind: str, seconds: int) -> float:
    """Signatures a second of its processor time, which is what it counts."""
    name, line = SPEED[kind]
    command = ["taskset", "-c", str(SERVER_CORE), "openssl", "speed", "-seconds", str(seconds)]
    done = subprocess.run(
        [*command, name], capture_output=True, check=True, text=True, timeout=60 + 8 * seconds
    )
    found = re.search(rf"^.*{line}.*$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    numbers = [word for word in found[0].split(line)[-1].split() if word.replace(".", "").isdigit()]
    return float(numbers[0])


def _in_process(world: World, seconds: int) -> float:
    """In a child, so that it has the server's core."""
    code = (
        "import sys, time; from pathlib import Path; from bench.signing import answered;"
        "print(answered(Path(sys.argv[1]), float(sys.argv[2])))"
    )
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-c", code]
    done = subprocess.run(
        [*command, str(world.folder), str(seconds)],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    return float(done.stdout)


def answered(folder: Path, seconds: float) -> float:
    """Answers a second of this process's time to the requests that are written in `folder`."""
    source = signing(folder)
    requests = [one.partition(b"\r\n\r\n")[2] for one in _raw(folder / "plain")]
    source.answer_now(requests[0]) or asyncio.run(source.answer_bytes(requests[0]))
    time.sleep(REST)
    for request in requests:
        source.answer_now(request) or asyncio.run(source.answer_bytes(request))
    given = 0
    until, begun = time.monotonic() + seconds, time.process_time()
    while time.monotonic() < until:
        several = requests[given % COUNT : given % COUNT + load.CONNECTIONS]
        assert all(source.signed_now(several))
        given += len(several)
    return given / (time.process_time() - begun)


def _ask(port: int, requests: list[bytes]) -> None:
    """Each once, on one connection, several at a time."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
        answers = caller.makefile("rb")
        for start in range(0, len(requests), TOGETHER):
            several = requests[start : start + TOGETHER]
            caller.sendall(b"".join(several))
            for _ in several:
                length = 0
                while (line := answers.readline().lower()) not in (b"", b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                answers.read(length)


def _raw(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while length := file.readline():
            yield file.read(int(length))


@contextmanager
def _served(folder: Path) -> Iterator[tuple[int, int]]:
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "bench._signing_serve"]
    child = subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline()), child.pid
    finally:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wrong(world: World) -> int:
    """How many of the first answers are not good ones about what was asked."""
    source, wrong = signing(world.folder), 0
    for data in (*world.plain[:CHECKED], *world.nonced[:CHECKED]):
        given = source.answer_now(data) or asyncio.run(source.answer_bytes(data))
        asked = Request.parse(data)
        subject = Subject(asked.singles[0].certid.serial, world.issuer)
        response = Response.parse(given.der)
        same = response.basic is not None and response.basic.extensions == asked.extensions
        wrong += not (same and examine(response, subject, at=datetime.now(UTC)).good)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
