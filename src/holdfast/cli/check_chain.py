"""`holdfast check --save-chain FILE`: the chain that the server should send, as a file for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.plan.report import LeafReport, Report


def save_chains(report: Report, path: str) -> bool:
    """Write the proper chain of each certificate that was seen; False when one cannot be had.

    One kind of key goes into `path`; of several each gets its own, as `name-rsa.pem`.
    """
    from holdfast.cli.output import Printer, rfc3339
    from holdfast.net.files import write_atomic
    from holdfast.pki.pem import encode_certificates

    printer = Printer.on(sys.stderr)
    leaves = [leaf for leaf in report.leaves if leaf.proper]
    if not leaves:
        printer.line(f"holdfast: {path} is not written: no certificate was seen")
    saved = bool(leaves)
    for leaf, place in zip(leaves, places(leaves, path), strict=True):
        if not (leaf.complete or leaf.missing):
            saved = False
            printer.line(
                f"holdfast: {place} is not written: the issuer of {leaf.proper[-1].subject} could "
                "not be fetched; ask the CA for it"
            )
            continue
        write_atomic(place, encode_certificates(leaf.proper), 0o644)
        added = f", {len(leaf.missing)} of them added" if leaf.missing else ""
        until = rfc3339(leaf.leaf.not_after)
        printer.line(
            f"holdfast: wrote {place}: {len(leaf.proper)} certificates{added}, until {until}"
        )
    return saved


def places(leaves: list[LeafReport], path: str) -> list[str]:
    """A file for each of `leaves`, none of them twice."""
    if len(leaves) == 1:
        return [path]
    base = Path(path)
    found: list[str] = []
    for leaf in leaves:
        kind = leaf.leaf.key_type.split()[0].lower()
        name = str(base.with_name(f"{base.stem}-{kind}{base.suffix}"))
        if name in found:
            short = leaf.leaf.sha256[:8]
            name = str(base.with_name(f"{base.stem}-{kind}-{short}{base.suffix}"))
        found.append(name)
    return found
