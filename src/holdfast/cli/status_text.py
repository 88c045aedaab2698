"""The keeper's status for people: a validity bar each, and what comes next and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast.cli.output import span, validity_bar

if TYPE_CHECKING:
    from holdfast.cli.output import Printer

BAR = 24  # columns
STYLE = {"good": "good", "revoked": "revoked", "expired": "red", "missing": "red"}
DOING = {
    "fetch": "first fetch",
    "refresh": "refresh",
    "retry": "next try",
    "ask-again": "asked again",
    "deliver": "next delivery",
    "withdraw": "withdrawn",
    "alarm": "alarm",
}
HEADS = ("certificate", "state", "staple", "next")
_WHY = {"not-applicable": "names no OCSP responder", "leaving": "no longer in the settings"}


def show_status(printer: Printer, document: dict[str, Any]) -> None:
    """Write the status document."""
    at = _instant(document["at"])
    rows = document["certificates"]
    if not rows:
        printer.line("no certificate is kept")
        return
    cells = [(row["name"], row["state"], _bar(printer, row, at), _first(row, at)) for row in rows]
    widths = [max(map(len, column)) for column in zip(HEADS, *cells, strict=True)]
    head = [text.ljust(width) for text, width in zip(HEADS, widths, strict=True)]
    printer.line(printer.paint("  ".join(head).rstrip(), "dim"))
    for row, line in zip(rows, cells, strict=True):
        name, state, bar, first = [
            text.ljust(width) for text, width in zip(line, widths, strict=True)
        ]
        style = STYLE.get(row["state"], "dim")
        painted = (printer.paint(name, "bold"), printer.paint(state, style), bar, first.rstrip())
        printer.line("  ".join(painted).rstrip())
        for text in _below(printer, row, at):
            printer.line(f"  {text}")
    printer.line(_sum(document, at))


def _bar(printer: Printer, row: dict[str, Any], at: datetime) -> str:
    staple = row["staple"]
    if staple is None:
        return _WHY.get(row["state"], "no staple")
    begin, end = _instant(staple["this_update"]), _instant(staple["ends_at"])
    return validity_bar(begin, end, at=at, width=BAR, unicode=printer.unicode)


def _first(row: dict[str, Any], at: datetime) -> str:
    if row["fetching"]:
        return "asking the responder"
    return _coming(row["upcoming"][0], at) if row["upcoming"] else ""


def _below(printer: Printer, row: dict[str, Any], at: datetime) -> Iterator[str]:
    facts = [f"serial {row['serial']}", *(["must-staple"] if row["must_staple"] else [])]
    later = row["upcoming"] if row["fetching"] else row["upcoming"][1:]
    yield printer.paint("; ".join([*facts, *(_coming(one, at) for one in later)]), "dim")
    if row["alerts"]:
        yield f"{printer.paint('alarms', 'warning')}: {', '.join(row['alerts'])}"
    yield from _trouble(printer, row["last_failure"])
    for server in row["servers"]:
        yield f"{server['name']}: {_has(printer, server)}"
        for line in _trouble(printer, server["last_failure"]):
            yield f"  {line}"


def _has(printer: Printer, server: dict[str, Any]) -> str:
    if not server["delivered"]:
        return printer.paint("has it not", "warning")
    return "has it, shown by a handshake" if server["proved"] else "has it"


def _coming(one: dict[str, Any], at: datetime) -> str:
    due = _instant(one["at"])
    about = f" ({one['about']})" if one["about"] else ""
    return f"{DOING[one['do']]}{about} " + (f"in {span(due - at)}" if due > at else "now")


def _trouble(printer: Printer, failure: dict[str, str] | None) -> Iterator[str]:
    if failure is not None:
        yield f"{printer.paint(failure['kind'], 'warning')}: {failure['message']}"
        if failure["hint"]:
            yield f"  hint: {failure['hint']}"


def _sum(document: dict[str, Any], at: datetime) -> str:
    counts = [f"{count} {name}" for name, count in document["counts"].items() if count]
    following = document["next"]
    due = ""
    if following is not None:
        instant = _instant(following["at"])
        when = f"in {span(instant - at)}" if instant > at else "now"
        due = f"; next: {following['name']} {when} ({following['at']})"
    return f"{', '.join(counts)}{due}"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
