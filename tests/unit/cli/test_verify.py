"""`verify` as one call among others in a process."""

from __future__ import annotations

import gc
from pathlib import Path

from support.cli import holdfast


def test_collecting_goes_on_afterwards(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"\x30\x03\x0a\x01\x03")
    assert gc.isenabled()
    assert holdfast("verify", tmp_path / "r").code == 2
    assert gc.isenabled()
