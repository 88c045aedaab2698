"""Odd and hostile staples from real servers: holdfast beside the tools that people use.

Each case (tests/support/odd/cases.py) is shown by every server that can send it, in TLS 1.2 and
1.3. holdfast must be right in every cell: verdict, exit code and all findings as the case defines
them. The other tools see the case from one of the servers, and their cells are what they are; one
that is not installed is left out. Exit code 1 when a cell of holdfast's is wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the cases and the servers are the tests'

from bench import _matrix_page as shown  # noqa: E402
from bench import _peers  # noqa: E402
from bench._matrix_peers import PEERS, Peer  # noqa: E402
from holdfast.version import __version__  # noqa: E402
from support.odd.case import BOTH, Case  # noqa: E402
from support.odd.cases import CASES  # noqa: E402
from support.odd.ours import said_of  # noqa: E402
from support.odd.servers import carried, found  # noqa: E402
from support.odd.twin import Library  # noqa: E402
from support.odd.world import World  # noqa: E402

Programs = dict[str, str | None]


def main() -> int:
    options = _arguments()
    if options.merge:
        told = _merged([json.loads(path.read_bytes()) for path in options.merge])
    else:
        told = _run(options)
    if options.page:
        options.page.write_text(shown.page(told, {peer.name: peer.rule for peer in PEERS}))
    if options.json:
        json.dump(told, sys.stdout, indent=2)
        print()
    elif not options.page:
        print(shown.table(told["rows"], told["peers"], colour=sys.stdout.isatty()))
    return int(not told["holds"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--short", action="store_true", help="no slow tool, one server a case")
    parser.add_argument("--case", default="", help="only the case of this name")
    parser.add_argument("--tls", choices=[*BOTH, "both"], default="both")
    parser.add_argument(
        "--slow",
        choices=[*BOTH, "both", "none"],
        help="the version of TLS in which tools are run that take seconds "
        "[default: 1.3, short: none]",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="WORD",
        help="of the tools, only those whose name holds one of these",
    )
    parser.add_argument("--page", type=Path, help="write the page of the docs to this file")
    parser.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="run nothing; put JSON together"
    )
    _peers.add_option(parser)
    options = parser.parse_args()
    options.slow = options.slow or ("none" if options.short else "1.3")
    return options


def _run(options: argparse.Namespace) -> dict[str, Any]:
    programs: Programs = {
        peer.name: peer.found(options.peers)
        if any(word in peer.name for word in options.only)
        else None
        for peer in PEERS
    }
    todo = list(_rows(options))
    rows = []
    for number, (case, version) in enumerate(todo, 1):

        def tell(what: str, of: str = f"[{number}/{len(todo)}] {case.what}, TLS {version}") -> None:
            if sys.stderr.isatty():
                print(f"\r\033[K{of}: {what}", end="", file=sys.stderr, flush=True)

        rows.append(_row(case, version, options, programs, tell))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    versions = {
        peer.name: peer.version_of(program) if (program := programs[peer.name]) else None
        for peer in PEERS
    }
    return {
        "benchmark": "matrix",
        "date": datetime.now(UTC).date().isoformat(),
        "holdfast": __version__,
        "holds": _hold(rows),
        "peers": versions,
        "servers": _servers(),
        "rows": rows,
    }


def _rows(options: argparse.Namespace) -> Iterator[tuple[Case, str]]:
    for case in CASES:
        wanted = options.case
        if (
            not wanted
            or case.name == wanted
            or (wanted[-1] == "*" and case.name.startswith(wanted[:-1]))
        ):
            for version in case.versions:
                if options.tls in (version, "both"):
                    yield case, version


def _row(
    case: Case,
    version: str,
    options: argparse.Namespace,
    programs: Programs,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    ours: dict[str, Any] = {}
    peers: dict[str, Any] = {}
    for number, server in enumerate(case.servers[: 1 if options.short else None]):
        tell(f"holdfast, served by {server}")
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder,
            carried(case, server, version, Path(folder)) as (port, roots),
        ):
            said = said_of(case, port, roots, version)
            ours[server] = {
                "verdict": said.verdict,
                "findings": said.findings,
                "exit": said.exit,
                "wrong": said.wrong(case),
            }
            if number == 0:
                for peer in PEERS:
                    program = programs[peer.name]
                    if program and _wanted(peer, version, options):
                        tell(peer.name)
                        cell = peer.look(program, port, roots, Path(folder))
                        peers[peer.name] = asdict(cell)
    return {
        "case": case.name,
        "what": case.what,
        "tls": version,
        "truth": case.truth,
        "verdict": case.verdict,
        "codes": sorted(case.codes),
        "unstapled": not any(case.make(World()).staples),
        "by": case.servers[0],
        "ours": ours,
        "peers": peers,
    }


def _wanted(peer: Peer, version: str, options: argparse.Namespace) -> bool:
    return not peer.slow or options.slow in (version, "both")


def _hold(rows: Sequence[dict[str, Any]]) -> bool:
    return bool(rows) and all(not cell["wrong"] for row in rows for cell in row["ours"].values())


def _merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Runs of different cases, versions or tools as one: a later one's cells count."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    peers: dict[str, str | None] = {peer.name: None for peer in PEERS}
    for part in parts:
        peers |= {name: version for name, version in part["peers"].items() if version}
        for row in part["rows"]:
            key = row["case"], row["tls"]
            before = rows.get(key, row)
            rows[key] = row | {
                "ours": before["ours"] | row["ours"],
                "peers": before["peers"] | row["peers"],
            }
    order = {case.name: number for number, case in enumerate(CASES)}
    listed = [rows[key] for key in sorted(rows, key=lambda key: (order[key[0]], key[1]))]
    return parts[-1] | {"peers": peers, "rows": listed, "holds": _hold(listed)}


def _servers() -> dict[str, str]:
    """The version of each server, as it says."""
    said = {
        "gnutls-serv": ["gnutls-serv", "--version"],
        "nginx": [found("nginx"), "-v"],
        "HAProxy": [found("haproxy"), "-v"],
        "openssl s_server": ["openssl", "version"],
    }
    versions = {}
    for name, words in said.items():
        done = subprocess.run(words, capture_output=True, timeout=20, check=False)
        number = re.search(rb"\d+(\.\d+)+", done.stdout + done.stderr)
        versions[name] = number[0].decode() if number else "of unknown version"
    versions["a twin on"] = Library().version
    return versions


if __name__ == "__main__":
    sys.exit(main())
