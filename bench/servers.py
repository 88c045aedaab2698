"""Apache, nginx, HAProxy and our proxy with the keeper: every experiment of the matrix, one table.

Each cell is measured by handshakes with the real server before a scripted responder, while time is
moved; the first row is handshakes by the clock: their 99th percentile while the responder hangs,
over that while it is healthy, the median of rounds by turns, from a client process of its own. A cell in brackets is
one that the server's own code makes impossible. Exit code 1 when a cell does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the servers and the experiments are the tests'

if TYPE_CHECKING:
    from support.servers.ground import World
    from support.servers.rows import Cell, Cells

SPEED = "handshake p99, hanging over healthy"
MOST = 1.5
RANDOM = "bad, foreign, expired or early under random faults"
PAST_APACHES_CACHE = timedelta(seconds=25)  # so that it asks the relay within the measured ones


def main() -> int:
    options = _arguments()
    if options.client:
        return asyncio.run(_client())
    logging.disable(logging.CRITICAL)  # faults are what it is about
    from support.servers.rows import ROWS, random_faults

    async def at_random(folder: Path) -> Cells:
        return await random_faults(folder, handshakes=options.handshakes)

    async def speed(folder: Path) -> Cells:
        return await _speed(folder, rounds=options.rounds, count=options.count)

    experiments: dict[str, Callable[[Path], Any]] = {SPEED: speed, **ROWS, RANDOM: at_random}
    chosen = {name: run for name, run in experiments.items() if options.row in name}
    table = {name: _run(name, run) for name, run in chosen.items()}
    holds = all(cell.holds is not False for cells in table.values() for cell in cells.values())
    if options.json:
        rows = {n: {k: asdict(cell) for k, cell in cells.items()} for n, cells in table.items()}
        json.dump({"benchmark": "servers", "holds": holds, "rows": rows}, sys.stdout, indent=2)
        print()
    else:
        _print(table)
    return int(not holds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=7, help="of handshakes by the clock")
    parser.add_argument("--count", type=int, default=200, help="handshakes of a round")
    parser.add_argument(
        "--handshakes", type=int, default=2000, help="with each server under random faults"
    )
    parser.add_argument("--row", default="", help="only the rows whose name holds this")
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(name: str, experiment: Callable[[Path], Coroutine[Any, Any, Cells]]) -> Cells:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        cells = asyncio.run(experiment(Path(folder)))
    if sys.stderr.isatty():
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return cells


def _print(table: dict[str, Cells]) -> None:
    kinds = list(next(iter(table.values()), {}))
    lines = [["", *kinds]]
    lines += [[name, *(_shown(cells[kind]) for kind in kinds)] for name, cells in table.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(kinds) + 1)]
    print("servers: with the keeper, measured by handshakes")
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print(f"  {'  '.join(cells)}".rstrip())
    print()


def _shown(cell: Cell) -> str:
    if cell.holds is None:
        return f"({cell.said})"
    return cell.said if cell.holds else f"MISSED: {cell.said}"


# -- handshakes by the clock ----------------------------------------------------------------------


async def _speed(folder: Path, *, rounds: int, count: int) -> Cells:
    from support.servers.ground import World
    from support.servers.rows import Cell

    taken: dict[tuple[str, str], list[float]] = {}
    async with World(folder) as world:
        await world.respond(window=timedelta(days=7))
        await world.keep()
        await world.serve()
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.servers", "--client"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=1 << 20,
        )
        try:
            for turn in range(rounds + 1):
                for kind in world.machines:
                    for fault in ("good", "hang") if turn % 2 else ("hang", "good"):
                        await world.respond(fault=fault, window=timedelta(days=7))
                        world.keeper.refresh()
                        await world.calm()
                        asking = fault == "hang"
                        sample = await _sample(world, client, kind, count, asking=asking)
                        if turn:  # the first warms up
                            taken.setdefault((kind, fault), []).append(_p99(sample))
        finally:
            client.kill()
            await client.wait()
    cells = {}
    for kind in world.machines:
        healthy, hanging = taken[kind, "good"], taken[kind, "hang"]
        ratio = statistics.median(h / g for g, h in zip(healthy, hanging, strict=True))
        medians = f"{statistics.median(hanging):.1f} of {statistics.median(healthy):.1f} ms"
        said = f"{ratio:.2f} ({medians})"
        cells[kind] = Cell(ratio <= MOST, said)
    return cells


async def _sample(
    world: World, client: asyncio.subprocess.Process, kind: str, count: int, *, asking: bool
) -> list[float]:
    """Milliseconds of `count` handshakes; `asking`: while the keeper asks again and again."""
    assert client.stdin is not None
    assert client.stdout is not None
    world.shift.by(PAST_APACHES_CACHE)
    client.stdin.write(f"{world.machines[kind].port('site')} {count}\n".encode())
    await client.stdin.drain()
    answer = asyncio.ensure_future(client.stdout.readline())
    while not answer.done():
        if asking:
            world.keeper.refresh()
        await asyncio.wait([answer], timeout=0.2)
    sample: list[float] = json.loads(await answer)
    return sample


def _p99(sample: list[float]) -> float:
    return statistics.quantiles(sample, n=100)[98]


async def _client() -> int:
    """Lines of "port count" in, lists of milliseconds out; each handshake must be stapled."""
    from holdfast.net.dial import Address
    from holdfast.net.probe import probe

    for line in sys.stdin:
        port, count = map(int, line.split())
        address = Address(socket.AF_INET, "127.0.0.1", port)
        sample = []
        for _ in range(count):
            begun = time.perf_counter()
            seen = await probe(address, server_name="localhost")
            sample.append((time.perf_counter() - begun) * 1000)
            assert seen.staple is not None, seen.error
        print(json.dumps(sample), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
