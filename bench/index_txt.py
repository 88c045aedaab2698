"""A ledger in an index.txt of a million lines: what it costs to read, to follow and to ask.

The peer is `read_index`, which makes an entry of every line each time, as holdfast did before it
compared. One line is appended in place; one is changed as `openssl ca -revoke` does it (V becomes
R, all of the file is written anew and renamed); then one in a thousand is. Each row is the median
of the processor's time until a question about the changed certificate is answered. Memory is what
the process holds beside the file's own pages (RssAnon), after a first question, and its highest
point so far.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.timing import Row, report
from holdfast.stores.index_txt import IndexTxt, read_index

GOOD = "V\t301231235959Z\t\t%040X\tunknown\t/C=DE/O=Example/CN=host-%07d.example.internal\n"
REVOKED = GOOD.replace("V\t301231235959Z\t\t", "R\t301231235959Z\t261127080000Z,superseded\t")
BASE = 0x5A17 << 140
STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835  # serials as if they were random, each its own


def serial(number: int) -> int:
    return BASE + (number * STEP) % (1 << 128)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="how often each change is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return measured(Path(folder) / "index.txt", options)


def measured(path: Path, options: argparse.Namespace) -> int:
    lines = [(GOOD % (serial(number), number)).encode() for number in range(options.lines)]
    path.write_bytes(b"".join(lines))
    gc.collect()
    before = anonymous()
    ledger = IndexTxt(path)
    first = timed(lambda: ledger.entry(serial(1)))
    gc.collect()
    held = anonymous() - before
    highest = peak() - before
    grown = following(lambda turn: append(path, lines), ledger, lines, options.rounds)
    changed = following(lambda turn: revoke(path, lines, [turn]), ledger, lines, options.rounds)
    many = range(0, len(lines), 1000)
    scattered = following(
        lambda turn: revoke(path, lines, [n + turn for n in many]), ledger, lines, options.rounds
    )
    bulk = timed(lambda: (revoke(path, lines, range(len(lines))), None)[1], ask=ledger)
    asked = min(len(lines), 20_000)
    cold = timed(lambda: [ledger.entry(serial(n)) for n in range(asked)]) / asked
    warm = timed(lambda: [ledger.entry(serial(n)) for n in range(asked)]) / asked
    whole = timed(lambda: read_index(path.read_bytes()))
    count = f"{len(lines):,} lines"
    rows = [
        Row(f"{count}: every line made an entry", whole * 1e3, "ms"),
        Row("first read", first * 1e3, "ms", whole / first, least=2),
        Row("one line appended", grown * 1e3, "ms", whole / grown, least=50),
        Row("one line changed, by renaming", changed * 1e3, "ms", whole / changed, least=8),
        Row("one in a thousand changed", scattered * 1e3, "ms", whole / scattered, least=3),
        Row("all changed", bulk * 1e3, "ms", whole / bulk, least=1),
        Row("a question, first", cold * 1e6, "us"),
        Row("a question, again", warm * 1e6, "us"),
        Row("memory held", held / 1e6, "MB", held / len(lines), most=40),
        Row("memory at most", highest / 1e6, "MB"),
    ]
    return report("index.txt: medians", rows, as_json=options.json)


def following(
    change: Callable[[int], int], ledger: IndexTxt, lines: list[bytes], rounds: int
) -> float:
    taken = []
    for turn in range(rounds):
        number = change(turn)
        began = time.process_time()
        entry = ledger.entry(serial(number))
        taken.append(time.process_time() - began)
        said = None if entry is None else entry.revoked_at is not None
        if said is not lines[number].startswith(b"R"):
            raise SystemExit("a change was not seen")
    return statistics.median(taken)


def append(path: Path, lines: list[bytes]) -> int:
    number = len(lines)
    lines.append((GOOD % (serial(number), number)).encode())
    with path.open("ab") as file:
        file.write(lines[-1])
    return number


def revoke(path: Path, lines: list[bytes], numbers: range | list[int]) -> int:
    for number in numbers:
        lines[number] = (REVOKED % (serial(number), number)).encode()
    beside = path.with_name("index.txt.new")
    beside.write_bytes(b"".join(lines))
    beside.replace(path)
    return numbers[-1]


def timed(work: Callable[[], object], *, ask: IndexTxt | None = None) -> float:
    if ask is not None:  # the work is the change, and what is measured is that it is seen
        work()
    began = time.process_time()
    work() if ask is None else ask.entry(serial(1))
    return time.process_time() - began


def anonymous() -> int:
    return 1024 * int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])


def peak() -> int:
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    sys.exit(main())
