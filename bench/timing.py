"""How the benchmarks measure and report: interleaved rounds, medians, bounds, one table.

Law: whatever is compared is measured in the same run, by turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a median and how it stands to its peer.

    `ratio` is this over the peer; `most` and `least` are the bounds it must keep.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        if self.ratio is None:
            return True
        return (self.most is None or self.ratio <= self.most) and (
            self.least is None or self.ratio >= self.least
        )

    @property
    def bound(self) -> str:
        return f"<= {self.most:g}" if self.most else f">= {self.least:g}" if self.least else ""


def medians(work: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median seconds of each piece of work, run by turns; a first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, piece in work.items():
            began = time.perf_counter()
            piece()
            if turn:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def report(title: str, rows: Sequence[Row], *, as_json: bool) -> int:
    """Print the table or its JSON; 1 if a bound does not hold."""
    if as_json:
        lines = [asdict(row) | {"holds": row.holds} for row in rows]
        ratios = {row.name: row.ratio for row in rows if row.ratio is not None}
        json.dump({"benchmark": title, "ratios": ratios, "rows": lines}, sys.stdout, indent=2)
        print()
    else:
        print(title)
        width = max(len(row.name) for row in rows)
        for row in rows:
            ratio = "" if row.ratio is None else f"{row.ratio:8.2f} x"
            verdict = "" if not row.bound else ("ok" if row.holds else "MISSED")
            line = f"  {row.name:<{width}} {row.value:10.2f} {row.unit:<4}{ratio:>11}"
            print(f"{line}  {row.bound:<8} {verdict}".rstrip())
        print()
    return int(not all(row.holds for row in rows))


def arguments(description: str, *, rounds: int) -> argparse.Namespace:
    """What every benchmark takes: `--json` and `--rounds`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each is run")
    return parser.parse_args()
