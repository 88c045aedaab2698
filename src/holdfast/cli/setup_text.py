"""How setup tells what it does: steps, the diff in colours, troubles with their cures, proofs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.cli.output import Printer, rfc3339, validity_bar
from holdfast.setup.plan import Plan, diff_of
from holdfast.setup.prove import Proof
from holdfast.setup.run import Outcome
from holdfast.setup.words import Change, Trouble

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_ENDS = {
    "works": ("stapling works", "green"),
    "pruned": ("done; no site of it staples, so that there was nothing to prove", "green"),
    "written": ("written; the server does not run, so that nothing was proved", "yellow"),
    "refused": ("nothing was changed", "red"),
    "rolled-back": ("taken back: everything is as before", "red"),
    "taken-back": ("taken back: everything is as it was before setup", "green"),
    "nothing-to-do": ("nothing to do", "green"),
}


@dataclass(slots=True)
class Teller:
    """Tells a person what goes on, on stdout; nothing when `quiet`."""

    printer: Printer
    quiet: bool = False

    @classmethod
    def on(cls, *, quiet: bool) -> Teller:
        return cls(Printer.on(), quiet)

    @contextmanager
    def running(self) -> Iterator[None]:
        yield
        sys.stdout.flush()

    def step(self, name: str, about: str) -> None:
        if not self.quiet:
            self.printer.line(f"{self.printer.paint('·', 'dim')} {name:<10} {about}".rstrip())
            sys.stdout.flush()

    def pending(self, folder: Path) -> None:
        if not self.quiet:
            self.printer.line(f"a run that did not end is in {folder}: without --dry-run it is")
            self.printer.line("taken back first")

    def plan(self, plan: Plan) -> None:
        if self.quiet:
            return
        for trouble in plan.mended:
            self.printer.line(f"{self.printer.paint('mended', 'green')}  {trouble.message}")
        for trouble in plan.troubles:
            self.trouble(trouble)
        self.changes(plan.changes)

    def changes(self, changes: Sequence[Change]) -> None:
        if self.quiet or not changes:
            return
        self.printer.line()
        for line in diff_of(changes).splitlines():
            self.printer.line(self._painted(line.expandtabs(8)))
        self.printer.line()

    def _painted(self, line: str) -> str:
        colour = _COLOURS.get(line[:1])
        return line if colour is None else self.printer.paint(line, colour)

    def trouble(self, trouble: Trouble) -> None:
        mark = ("error", "red") if trouble.fatal else ("note", "yellow")
        where = "" if trouble.place is None else f"{trouble.place}: "
        if trouble.message.startswith(where):
            where = ""
        paint = self.printer.paint
        self.printer.line(f"{paint(mark[0], mark[1])}  {where}{trouble.message} [{trouble.code}]")
        if trouble.said and trouble.said not in trouble.message:
            self.printer.line(f"       it said: {trouble.said}")
        if trouble.hint:
            self.printer.line(f"       hint: {trouble.hint}")
        if trouble.mendable:
            self.printer.line("       `--mend` mends it")

    def outcome(self, outcome: Outcome, *, told: Sequence[Trouble] = ()) -> None:
        if self.quiet:
            return
        known = {_unsharp(trouble) for trouble in told}
        for trouble in outcome.troubles:
            if _unsharp(trouble) not in known:
                self.trouble(trouble)
        for proof in outcome.proofs:
            self._proof(proof)
        for left in outcome.left:
            self.printer.line(f"{self.printer.paint('left', 'red')}   {left.path}: {left.why}")
        text, colour = _ENDS[outcome.state]
        if outcome.recovered:
            text = "a run that did not end was taken back"
        self.printer.line(self.printer.paint(text, colour))

    def _proof(self, proof: Proof) -> None:
        staple = proof.staple
        if staple is None:
            return
        ends = staple.next_update
        bar = ""
        if ends is not None:
            unicode = self.printer.unicode
            drawn = validity_bar(staple.this_update, ends, at=datetime.now(UTC), unicode=unicode)
            bar = f"  {drawn}"
        told = f"{proof.site.name} at {proof.address}, {proof.tls}: staple "
        told += staple.certificate_status.text + ("" if ends is None else f" until {rfc3339(ends)}")
        self.printer.line(f"{self.printer.paint('proved', 'green')} {told}{bar}")


def document(server: str, plan: Plan | None, outcome: Outcome | None) -> dict[str, Any]:
    """The JSON of a run: `holdfast.setup/1`."""
    changes = outcome.changes if outcome is not None and outcome.changes else ()
    if plan is not None:
        changes = plan.changes
    troubles = [] if plan is None else list(plan.troubles)
    if outcome is not None:
        known = {_unsharp(one) for one in outcome.troubles}
        troubles = [one for one in troubles if _unsharp(one) not in known]
        troubles = [*outcome.troubles, *troubles]
    return {
        "schema": "holdfast.setup/1",
        "server": server,
        "mode": None if plan is None else plan.wish.mode,
        "state": "planned" if outcome is None else outcome.state,
        "recovered": outcome is not None and outcome.recovered,
        "sites": [] if plan is None else [one.site.name for one in plan.chains],
        "left_out": [] if plan is None else [site.name for site in plan.left_out],
        "changes": [str(change.path) for change in changes],
        "diff": diff_of(changes),
        "proofs": [
            {
                "site": proof.site.name,
                "address": proof.address,
                "tls": proof.tls,
                "handshakes": proof.handshakes,
                "certificate_status": proof.staple.certificate_status.text,
                "next_update": proof.staple.next_update,
            }
            for proof in (() if outcome is None else outcome.proofs)
            if proof.staple is not None
        ],
        "troubles": [_row(trouble) for trouble in troubles],
        "mended": [_row(trouble) for trouble in (() if plan is None else plan.mended)],
        "left": [
            {"path": left.path, "why": left.why}
            for left in (() if outcome is None else outcome.left)
        ],
    }


def _row(trouble: Trouble) -> dict[str, Any]:
    return {
        "code": trouble.code,
        "message": trouble.message,
        "hint": trouble.hint,
        "file": None if trouble.place is None else str(trouble.place.path),
        "line": None if trouble.place is None else trouble.place.line,
        "fatal": trouble.fatal,
        "mendable": trouble.mendable,
        "said": trouble.said,
    }


def _unsharp(trouble: Trouble) -> Trouble:
    return replace(trouble, fatal=False)
