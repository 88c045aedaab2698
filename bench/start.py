"""How long a command takes to start: `holdfast --version` and `holdfast verify`, whole processes.

The peer is `python -c pass` on the same interpreter: nothing written in Python can be faster.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.timing import Row, arguments, medians, report
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import Good, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.pki import issue

VERSION_LIMIT, VERIFY_LIMIT = 5.0, 11.0


def main() -> int:
    options = arguments(__doc__ or "", rounds=25)
    script = Path(sys.executable).with_name("holdfast")
    holdfast = [str(script)] if script.exists() else [sys.executable, "-m", "holdfast"]
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        times = medians(
            {
                "python -c pass": process(sys.executable, "-c", "pass"),
                "holdfast --version": process(*holdfast, "--version"),
                "holdfast verify": process(*holdfast, "verify", *material(Path(folder))),
            },
            rounds=options.rounds,
        )
    bare = times["python -c pass"]
    limits = {"holdfast --version": VERSION_LIMIT, "holdfast verify": VERIFY_LIMIT}
    rows = [
        Row(
            name, seconds * 1000, "ms", seconds / bare if name in limits else None, limits.get(name)
        )
        for name, seconds in times.items()
    ]
    return report("start: whole processes, medians", rows, as_json=options.json)


def process(*command: str) -> Callable[[], object]:
    """Runs `command` to its end; an exit code other than 0 stops the benchmark.

    With bytecode caches, as users have them: the round that is not counted writes them.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)


def material(folder: Path) -> list[str]:
    """A good response, its certificate and its issuer as files: the words after `verify`."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    ca = issue.root("Bench Root", at=at)
    leaf = ca.server("bench.example", at=at).certificate
    single = SingleResponse(
        CertID.of(leaf.serial, ca.certificate), Good(), at, at + timedelta(days=7)
    )
    signer = Signer(ca.certificate, ca.key, issuer=ca.certificate)
    files = {
        "response.der": signer.respond([single], produced_at=at),
        "leaf.der": leaf.der,
        "issuer.der": ca.certificate.der,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    response, cert, issuer = (str(folder / name) for name in files)
    return [response, "--cert", cert, "--issuer", issuer]


if __name__ == "__main__":
    sys.exit(main())
