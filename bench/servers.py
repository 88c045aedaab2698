"""Apache, nginx, HAProxy and our proxy with the keeper: every experiment of the matrix, one table.

Each cell is measured by handshakes with the real server before a scripted responder, while time is
moved; the first row is handshakes by the clock: their 99th percentile where the responder hangs,
over that where it is healthy. Both kinds of stand run at once, in processes of their own, and are
asked by turns, so that a busy machine slows both. A cell in brackets is one that the server's own
code makes impossible. Exit code 1 when a cell does not hold.
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
    if options.stand:
        return asyncio.run(_stand(options.stand))
    logging.disable(logging.CRITICAL)  # faults are what it is about
    from support.servers.rows import ROWS, random_faults

    async def at_random(folder: Path) -> Cells:
        return await random_faults(folder, handshakes=options.handshakes)

    async def speed(folder: Path) -> Cells:
        return await _speed(rounds=options.rounds, count=options.count)

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
    parser.add_argument("--rounds", type=int, default=10, help="of handshakes by the clock")
    parser.add_argument("--count", type=int, default=100, help="handshakes of a round")
    parser.add_argument(
        "--handshakes", type=int, default=2000, help="with each server under random faults"
    )
    parser.add_argument("--row", default="", help="only the rows whose name holds this")
    parser.add_argument("--stand", help=argparse.SUPPRESS)
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


async def _speed(*, rounds: int, count: int) -> Cells:
    """`rounds` of `count` handshakes with each server of a healthy stand and of a hanging one."""
    from support.servers.rows import Cell

    stands = [await _started(fault) for fault in ("good", "hang")]
    taken: dict[str, tuple[list[float], list[float]]] = {}
    try:
        ports = [json.loads(await _line(stand)) for stand in stands]
        for turn in range(rounds + 1):
            for stand in stands:
                await _line(stand, b"time\n")
            for kind in ports[0]:
                samples = taken.setdefault(kind, ([], []))
                for number in range(count):
                    for which in (0, 1) if number % 2 else (1, 0):
                        milliseconds = await _milliseconds(ports[which][kind])
                        if turn:  # the first warms up
                            samples[which].append(milliseconds)
    finally:
        for stand in stands:
            assert stand.stdin is not None
            stand.stdin.close()
            await stand.wait()
    cells = {}
    for kind, samples in taken.items():
        healthy, hanging = (statistics.quantiles(sample, n=100)[98] for sample in samples)
        said = f"{hanging / healthy:.2f} ({hanging:.1f} of {healthy:.1f} ms)"
        cells[kind] = Cell(hanging / healthy <= MOST, said)
    return cells


async def _milliseconds(port: int) -> float:
    """One handshake, which must be stapled, from dialling on."""
    from holdfast.net.dial import Address
    from holdfast.net.probe import probe

    begun = time.perf_counter()
    seen = await probe(Address(socket.AF_INET, "127.0.0.1", port), server_name="localhost")
    taken = (time.perf_counter() - begun) * 1000
    assert seen.staple is not None, seen.error
    return taken


async def _started(fault: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.servers", "--stand", fault),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


async def _line(stand: asyncio.subprocess.Process, said: bytes = b"") -> bytes:
    assert stand.stdin is not None
    assert stand.stdout is not None
    stand.stdin.write(said)
    await stand.stdin.drain()
    line = await stand.stdout.readline()
    assert line, "the stand has ended"
    return line


async def _stand(fault: str) -> int:
    """All servers, stapled; then `fault`, with the keeper asking again and again where it hangs.

    Each line of stdin moves the time; its end is the end.
    """
    logging.disable(logging.CRITICAL)
    from support.servers.ground import World

    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        async with World(Path(folder)) as world:
            await world.respond(window=timedelta(days=7))
            await world.keep()
            await world.serve()
            await world.calm()
            await world.respond(fault=fault)
            asking = asyncio.create_task(_ask_for_ever(world)) if fault == "hang" else None
            ports = {kind: machine.port("site") for kind, machine in world.machines.items()}
            print(json.dumps(ports), flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                world.shift.by(PAST_APACHES_CACHE)
                print("moved", flush=True)
            if asking is not None:
                asking.cancel()
    return 0


async def _ask_for_ever(world: World) -> None:
    while True:
        world.keeper.refresh()
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
