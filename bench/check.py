"""A check of one host, and of 200 at once, against sslyze and testssl.sh; whole processes.

The host is a stapling nginx on loopback with a private CA, whose responder and CRL holdfast asks
besides; the others do not. One host by turns, medians; and again by a way of 20 ms, for which there
is no bound. Many: `holdfast check -f`, against `sslyze
--certinfo` on one host after another, of which `--sample` are run between the rounds and the sum is
extrapolated to all. Without a peer its rows are left out, and the title says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import _peers
from bench._check_world import World, a_world
from bench.timing import Row, medians, report

SSLYZE_MOST = 0.8
TESTSSL_MOST = 1 / 12
MANY_MOST = 1 / 20
PATIENCE = 600.0  # seconds for one run of anything


@dataclass(frozen=True, slots=True)
class Commands:
    """The command lines; None for a peer that is not there."""

    holdfast: list[str]
    sslyze: list[str] | None
    testssl: list[str] | None

    @property
    def missing(self) -> list[str]:
        peers = {"sslyze": self.sslyze, "testssl": self.testssl}
        return [name for name, command in peers.items() if command is None]


def main() -> int:
    options = _arguments()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        with a_world(folder, count=options.hosts) as world:
            commands = _commands(options.peers, world)
            rows = _one(commands, world, rounds=options.rounds)
            rows += _many(commands, world, folder / "hosts.txt", options)
    title = "check: whole processes on a stapling nginx"
    if commands.missing:
        title += f"; NOT COMPARED with {' and '.join(commands.missing)}, not found"
    return report(title, rows, as_json=options.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--short", action="store_true", help="fewer rounds, a small sample")
    parser.add_argument("--rounds", type=int, help="of one host [default: 7, short: 2]")
    parser.add_argument("--turns", type=int, help="of the many [default: 5, short: 2]")
    parser.add_argument("--hosts", type=int, default=200, help="[default: 200]")
    parser.add_argument("--at-once", type=int, default=64, help="[default: 64, as the command's]")
    parser.add_argument(
        "--sample", type=int, help="hosts that sslyze is run on [default: 40, short: 6]"
    )
    _peers.add_option(parser)
    options = parser.parse_args()
    usual = (2, 2, 6) if options.short else (7, 5, 40)
    options.rounds = options.rounds or usual[0]
    options.turns = options.turns or usual[1]
    options.sample = min(options.sample or usual[2], options.hosts)
    return options


def _commands(peers: Path | None, world: World) -> Commands:
    script = Path(sys.executable).with_name("holdfast")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "holdfast"]
    sslyze = _peers.program("sslyze", peers)
    testssl = _peers.program("testssl", peers)
    return Commands(
        holdfast=[*ours, "check", "--ca-file", str(world.roots)],
        sslyze=None if sslyze is None else [sslyze, "--certinfo"],
        testssl=None if testssl is None else [testssl, "-S"],
    )


# -- one host -------------------------------------------------------------------------------------


def _one(commands: Commands, world: World, *, rounds: int) -> list[Row]:
    here, away = f"localhost:{world.one}", f"localhost:{world.far}"
    work: dict[str, Callable[[], object]] = {
        "holdfast check": lambda: _ours(commands, here),
        "holdfast check, 20 ms away": lambda: _ours(commands, away),
    }
    if commands.sslyze is not None:
        work["sslyze --certinfo"] = lambda: _sslyze(commands, here)
        work["sslyze --certinfo, 20 ms away"] = lambda: _sslyze(commands, away)
    if (testssl := commands.testssl) is not None:
        work["testssl -S"] = lambda: _said([*testssl, here], "OCSP stapling")
    times = medians(work, rounds=rounds)
    rows = []
    for name, seconds in times.items():
        rows.append(Row(name, seconds * 1000, "ms"))
        most = {"sslyze --certinfo": SSLYZE_MOST, "testssl -S": TESTSSL_MOST}.get(name)
        if not name.startswith("holdfast"):
            ours = times["holdfast check" + name.partition(",")[1] + name.partition(",")[2]]
            rows.append(Row(f"  holdfast over {name}", ours * 1000, "ms", ours / seconds, most))
    return rows


def _ours(commands: Commands, target: str) -> None:
    _said([*commands.holdfast, target], f"{target}: good")


def _sslyze(commands: Commands, target: str) -> None:
    """What a peer prints when it has looked at the staple: one that gave up sooner does not count,
    nor does testssl.sh without its line."""
    assert commands.sslyze is not None
    _said([*commands.sslyze, target], "OCSP Response Status:              SUCCESSFUL")


def _said(command: list[str], wanted: str) -> str:
    """What `command` prints; the benchmark ends when `wanted` is not in it."""
    # With bytecode caches, as users have them: the round that is not counted writes them
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if wanted not in done.stdout:
        printed = (done.stdout + done.stderr)[-2000:]
        raise SystemExit(f"{' '.join(command)}: {wanted!r} is not in what it printed:\n{printed}")
    return done.stdout


# -- many hosts -----------------------------------------------------------------------------------


def _many(commands: Commands, world: World, listed: Path, options: argparse.Namespace) -> list[Row]:
    count = len(world.many)
    listed.write_text("".join(f"localhost:{port}\n" for port in world.many))
    command = [*commands.holdfast, "-f", str(listed), "--at-once", str(options.at_once)]
    sample = list(world.many[: options.sample])
    alone: list[float] = []

    def together() -> None:
        # On a busy machine a responder that is slow may be told, and such a host is a warning
        last = _said(command, f"{count} targets: ").splitlines()[-1]
        if "bad" in last or "unreachable" in last:
            raise SystemExit(f"{' '.join(command)}: not all hosts are good: {last}")

    def one_by_one() -> None:
        """The next part of the sample; the first host of all warms up, uncounted."""
        if not alone:
            _sslyze(commands, f"localhost:{sample[0]}")
        share = -(-options.sample // options.turns)
        for port in sample[len(alone) : len(alone) + share]:
            began = time.perf_counter()
            _sslyze(commands, f"localhost:{port}")
            alone.append(time.perf_counter() - began)

    taken = []
    together()
    for _ in range(options.turns):
        began = time.perf_counter()
        together()
        taken.append(time.perf_counter() - began)
        if commands.sslyze is not None:
            one_by_one()
    ours = sorted(taken)[len(taken) // 2]
    rows = [Row(f"holdfast check -f, {count} hosts", ours, "s")]
    if alone:
        each = sum(alone) / len(alone)
        measured = "all" if len(alone) == count else f"{len(alone)} measured, extrapolated"
        rows.append(Row(f"sslyze, {count} hosts one by one ({measured})", each * count, "s"))
        rows.append(
            Row("  holdfast over sslyze one by one", ours, "s", ours / (each * count), MANY_MOST)
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
