"""Run a holdfast command line in this process and see what it printed and returned."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.cli.main import main


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code and what both streams got."""

    code: int
    stdout: bytes
    err: str

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def holdfast(*words: object, stdin: bytes = b"", cwd: Path | None = None) -> Outcome:
    """Run `holdfast words...`, in the folder `cwd`; each word is made a string."""
    out, err = _Stream(), _Stream()
    kept = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = _Stream(stdin), out, err
    try:
        with contextlib.chdir(cwd or Path.cwd()):
            code = main([str(word) for word in words])
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept
    return Outcome(code, out.written(), err.written().decode())


class _Stream(io.TextIOWrapper):
    """A text stream over bytes, as the process's own are."""

    def __init__(self, given: bytes = b"") -> None:
        self._bytes = io.BytesIO(given)
        super().__init__(self._bytes, encoding="utf-8", write_through=True)

    def written(self) -> bytes:
        self.flush()
        return self._bytes.getvalue()
