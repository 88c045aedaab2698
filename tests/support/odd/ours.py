"""What `holdfast check` says of an odd staple, and whether the case's definition says the same."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from support.cli import holdfast
from support.odd.case import Case
from support.odd.servers import both_addresses, carried


@dataclass(frozen=True, slots=True)
class Said:
    """The verdict, the findings by their codes, the exit code, and the staples' SHA-256."""

    verdict: str
    findings: dict[str, str]
    exit: int
    shown: frozenset[str]

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(self.findings)

    def wrong(self, case: Case) -> str:
        """How it differs from the case's definition; "" where it does not."""
        wanted = (case.verdict, case.codes, case.exit)
        if (self.verdict, self.codes, self.exit) == wanted:
            return ""
        return (
            f"{self.verdict} {self.findings} exit {self.exit}, not "
            f"{case.verdict} {sorted(case.codes)} exit {case.exit}"
        )


def said_of(case: Case, port: int, roots: Path, version: str) -> Said:
    """One run of the command, with nothing asked elsewhere: the staple is what is judged."""
    words: list[object] = ["check", f"localhost:{port}", "--json", "--no-fetch", "--no-crl"]
    words += ["--ca-file", roots, "--tls", version]
    two = "address" in case.name
    if not two:
        words += ["--address", "127.0.0.1"]
    with both_addresses() if two else nullcontext():
        outcome = holdfast(*words)
    report = outcome.json["reports"][0]
    return Said(
        report["verdict"],
        {found["code"]: found["message"] for found in report["findings"]},
        outcome.code,
        frozenset(one["sha256"] for one in report["staples"]),
    )


def said_by(case: Case, server: str, version: str, folder: Path) -> Said:
    """The same of a server that is started for it."""
    with carried(case, server, version, folder) as (port, roots):
        return said_of(case, port, roots, version)
