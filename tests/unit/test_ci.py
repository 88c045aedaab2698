"""`.ci/run`: green only when tests ran and all of them did."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def ci(tmp_path: Path, *, prints: str, code: int) -> subprocess.CompletedProcess[str]:
    """Run `.ci/run` with a `make` that prints and exits as told."""
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\nprintf '%s\\n' {prints}\nexit {code}\n")
    make.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(ROOT / ".ci" / "run")]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_all_passed(tmp_path: Path) -> None:
    done = ci(tmp_path, prints="'... [100%]' '312 passed in 60.12s (0:01:00)'", code=0)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "312 passed in 60.12s (0:01:00)"


@pytest.mark.parametrize(
    ("prints", "code", "says"),
    [
        ("'311 passed, 1 skipped in 60.12s'", 0, "tests were skipped"),
        ("'311 passed, 1 xfailed in 60.12s'", 0, "expected to fail"),
        ("'no tests ran in 0.01s'", 0, "no test ran"),
        ("'312 deselected in 0.01s'", 0, "no test ran"),
        ("'nothing'", 0, "no test ran"),
        ("'1 failed, 311 passed in 60.12s'", 2, "exit code 2"),
        ("'312 passed in 60.12s'", 1, "exit code 1"),
    ],
)
def test_anything_else_is_red(tmp_path: Path, prints: str, code: int, says: str) -> None:
    done = ci(tmp_path, prints=prints, code=code)
    assert done.returncode != 0
    assert says in done.stdout
