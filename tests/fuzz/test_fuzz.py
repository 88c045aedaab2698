"""The fuzz target, run for a bounded while (V6, R5, K25): longer by hand, see fuzz_codec.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TARGET = Path(__file__).with_name("fuzz_codec.py")


@pytest.mark.slow
def test_the_codec_survives_a_minute_of_fuzzing(tmp_path: Path) -> None:
    """V6, R5, K25: bytes give a value or `Malformed`, under guidance where atheris is there.

    R6, R7, R8, R11, R13, R14: requests with every extension, signed or not, are never answered
    good of what is not."""
    done = subprocess.run(
        [sys.executable, str(TARGET), "-runs=300000", "-max_total_time=60", "-seed=1"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,  # libFuzzer leaves what it finds here
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "Done " in done.stdout + done.stderr
    assert list(tmp_path.glob("crash-*")) == []
