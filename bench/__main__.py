"""Run every benchmark, one process each; exit 1 if any bound does not hold."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {"__main__", "timing"}


def main() -> int:
    here = str(Path(__file__).parent)
    names = sorted(info.name for info in pkgutil.iter_modules([here]))
    codes = []
    for name in names:
        if name in NOT_BENCHMARKS or name.startswith("_"):
            continue
        command = [sys.executable, "-m", f"bench.{name}", *sys.argv[1:]]
        codes.append(subprocess.run(command, check=False).returncode)
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
