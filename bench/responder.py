"""Our responder, nginx with one static file, cfssl's `ocspserve` and `openssl ocsp`, by turns.

Rates are answers a second of the server's processor time, one core for the server and one for the
load, 64 connections that stay, medians of several rounds. cfssl as Debian has it answers 400 to
every GET, so both ways are compared with its POST. `openssl ocsp` takes a connection for each
request; it spins for ever when a client connects and leaves without asking, so nothing probes it.
Afterwards answers are read and verified, one by one.

`--serials 10000000` adds a larger store, signed by `presign` on all cores and kept for the next run
by `--store FOLDER`: 200,000 of its serials are asked at random, by turns with all else, so that its
rates compare. `--alone` leaves the peers out.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import _responder_load as load
from bench import _responder_peers as peers
from bench import _responder_world as worlds
from bench.timing import Row, report

HOT = 20_000
ASKED_AT_RANDOM = 200_000
LOAD_CORE = 1
WARM_WITHIN = 2.0  # seconds; a server that takes longer is not faster when warm
LEAST = {
    "nginx_static_get": 0.75,
    "nginx_static_post": 0.75,
    "cfssl_post": 3.0,
    "openssl_ocsp": 7.0,
    "openssl_ocsp_connection_each": 1.3,
    "large_store_get": 0.65,
    "large_store_post": 0.65,
}
MOST = {"p99_nginx": 1.5}
OF = {  # a ratio: whose rate, over whose
    "nginx_static_get": ("GET", "nginx static"),
    "nginx_static_post": ("POST", "nginx static"),
    "cfssl_get": ("GET", "cfssl POST"),
    "cfssl_post": ("POST", "cfssl POST"),
    "openssl_ocsp": ("POST", "openssl ocsp"),
    "openssl_ocsp_connection_each": ("POST, a connection each", "openssl ocsp"),
    "large_store_get": ("large store, GET", "GET"),
    "large_store_post": ("large store, POST", "POST"),
}


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
    parser.add_argument("--store", type=Path, help="a folder where the large store is kept")
    parser.add_argument("--alone", action="store_true", help="without the peers")
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
    large = _larger(folder, options) if options.serials > HOT else None
    worlds.ca_in(folder)
    world = worlds.make(folder, HOT)
    worlds.write_index(world, folder / "index.txt")
    questions = worlds.questions(world, worlds.chosen(world, HOT))
    ways = _ways(folder, "", questions)
    closes = worlds.write_raw(folder / "close", [worlds.by_post(q, close=True) for q in questions])
    seconds = options.seconds
    work: dict[str, Callable[[], load.Rate]] = {}

    def by_wrk(peer: peers.Peer, requests: Path, times: int = 1) -> Callable[[], load.Rate]:
        after = 0  # each run goes on where the last one ended

        def run() -> load.Rate:
            nonlocal after
            rate = load.wrk(
                peer.port,
                peer.pid,
                requests,
                seconds=times * seconds,
                core=LOAD_CORE,
                after=after,
            )
            after += rate.answers
            peer.seen()
            return rate

        return run

    with ExitStack() as stack:
        ours = stack.enter_context(peers.ours(folder, world.shelf, questions[0]))
        work["GET"], work["POST"] = (by_wrk(ours, way) for way in ways)
        if large is not None:
            asked = worlds.questions(large, worlds.chosen(large, ASKED_AT_RANDOM))
            many = stack.enter_context(peers.ours(folder, large.shelf, asked[0]))
            for name, way in zip(("GET", "POST"), _ways(folder, "-large", asked), strict=True):
                work[f"large store, {name}"] = by_wrk(many, way, 2)
        work["POST, a connection each"] = by_wrk(ours, closes)
        if not options.alone:
            nginx = stack.enter_context(peers.nginx(folder, peers.asked(ours.port, questions[0])))
            static = worlds.write_raw(
                folder / "static", [b"GET /answer HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
            )
            responses = worlds.write_cfssl(world, folder / "responses")
            cfssl = stack.enter_context(peers.cfssl(responses))
            openssl = stack.enter_context(peers.openssl(folder))
            alone = [worlds.by_post(q) for q in questions]
            work["nginx static"] = by_wrk(nginx, static)
            work["cfssl POST"] = by_wrk(cfssl, ways[1])
            work["openssl ocsp"] = lambda: load.one_by_one(
                openssl.port, openssl.pid, alone, seconds=seconds
            )
        rates = _medians(work, options.rounds)
        tails = (
            {}
            if options.alone
            else _tails(folder, (ours, nginx), questions, rates["GET"] / 2, seconds)
        )
        rows = _facts(ours, world, "", _verified(ours, world, questions, options.verify))
        if large is not None:
            verified = _verified(many, large, asked, options.verify)
            rows += _facts(many, large, "large store, ", verified)
    ratios: dict[str, float | None] = {
        name: rates[one] / rates[other]
        for name, (one, other) in OF.items()
        if one in rates and other in rates
    }
    if tails:
        ratios["p99_nginx"] = tails["GET"] / tails["nginx static"]
    said = [Row(name, value, "/s") for name, value in rates.items()]
    said += [Row(f"p99 of {name} at half rate", value, "ms") for name, value in tails.items()]
    said += [
        Row(name, ratio, "x", ratio, least=LEAST.get(name), most=MOST.get(name))
        for name, ratio in ratios.items()
        if ratio is not None
    ]
    return said + rows, ratios


def _larger(folder: Path, options: argparse.Namespace) -> worlds.World:
    """The larger store. Its CA is that of all else in this run."""
    store: Path = folder if options.store is None else options.store
    store.mkdir(parents=True, exist_ok=True)
    worlds.ca_in(store)
    for name in ("ca.pem", "ca.key"):
        if store != folder:
            (folder / name).touch(mode=0o600 if name == "ca.key" else 0o644)
            (folder / name).write_bytes((store / name).read_bytes())
    world = worlds.make(folder, options.serials, store=store)
    with world.shelf.open("rb", buffering=0) as file:  # what is measured is no disk
        while file.read(1 << 24):
            pass
    return world


def _ways(folder: Path, name: str, questions: list[bytes]) -> tuple[Path, Path]:
    """The requests by GET and by POST, in files."""
    return (
        worlds.write_raw(folder / f"get{name}", [worlds.by_get(q) for q in questions]),
        worlds.write_raw(folder / f"post{name}", [worlds.by_post(q) for q in questions]),
    )


def _facts(
    peer: peers.Peer, world: worlds.World, whose: str, verified: tuple[int, int]
) -> list[Row]:
    """What is asked of a server beside its rates, after all of them were measured."""
    peer.seen()
    checked, wrong = verified
    signed = [Row(f"{whose}seconds to sign it", world.filled, "s")] if whose else []
    return [
        *signed,
        Row(f"{whose}answers verified", checked, ""),
        Row(f"{whose}of them wrong", wrong, "", float(wrong == 0), least=1.0),
        Row(f"{whose}seconds to start", peer.began, "s", peer.began, most=1.0),
        Row(
            f"{whose}anonymous memory of a worker", peer.anonymous, "MB", peer.anonymous, most=100.0
        ),
        Row(f"{whose}octets a response in the store", *_size(world), most=450.0),
    ]


def _size(world: worlds.World) -> tuple[float, str, float]:
    octets = world.shelf.stat().st_blocks * 512 / len(world.serials)
    return octets, "B", octets


def _medians(work: dict[str, Callable[[], load.Rate]], rounds: int) -> dict[str, float]:
    """By turns; first each warms up until everything was asked, which is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for name, run in work.items():
        least = 2 * ASKED_AT_RANDOM if name.startswith("large") else HOT
        answers, until = 0, time.monotonic() + WARM_WITHIN * least / HOT
        while answers < least and time.monotonic() < until:
            answers += run().answers
    for _ in range(rounds):
        for name, run in work.items():
            taken[name].append(run().by_cpu)
    return {name: statistics.median(rates) for name, rates in taken.items()}


def _tails(
    folder: Path,
    peers: tuple[peers.Peer, peers.Peer],
    questions: list[bytes],
    rate: float,
    seconds: float,
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
    ours: peers.Peer, world: worlds.World, questions: list[bytes], count: int
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
                response = Response.parse(peers.body(caller))
            except Malformed:
                wrong += 1
                continue
            verdict = examine(response, Subject(serial, issuer), at=datetime.now(UTC))
            wrong += not verdict.good
    return count, wrong


if __name__ == "__main__":
    sys.exit(main())
