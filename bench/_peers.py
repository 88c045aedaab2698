"""Where the tools are that benchmarks compare with: on PATH, or in a folder that is named.

The folder is that of `--peers` or of the environment's HOLDFAST_BENCH_PEERS; a tool in it may be a
program, or a virtual environment of the tool's name that holds the program.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

VARIABLE = "HOLDFAST_BENCH_PEERS"
OTHER_NAMES = {"testssl": ("testssl.sh",)}  # Debian's package drops the ending


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers",
        type=Path,
        default=os.environ.get(VARIABLE),
        metavar="DIR",
        help=f"where tools are that are not on PATH [default: {VARIABLE}]",
    )


def program(name: str, folder: Path | None) -> str | None:
    """The program `name`, that of `folder` first; None when it is not there."""
    for one in (name, *OTHER_NAMES.get(name, ())):
        inside = [] if folder is None else [folder, folder / "bin", folder / name / "bin"]
        for path in (*map(str, inside), None):
            found: str | None = shutil.which(one, path=path)
            if found is not None:
                return found
    return None
