"""How holdfast prints: lines, colours, findings, validity bars, JSON documents, progress.

Laws: colour only on a terminal and never with NO_COLOR; control characters that come from
certificates or peers never reach the terminal, and only this module ends a line: nobody's text
makes lines of its own; stdout carries the result, stderr everything else; times in JSON are RFC
3339 in UTC, whole seconds, `Z`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TextIO

from holdfast.formats.controls import CONTROL, escape_of

SEVERITIES = ("note", "warning", "fault", "fatal")  # rising

STYLES = {
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "red": "\x1b[31m",
    "green": "\x1b[32m",
    "yellow": "\x1b[33m",
    "cyan": "\x1b[36m",
    "note": "\x1b[2m",
    "warning": "\x1b[33m",
    "fault": "\x1b[31m",
    "fatal": "\x1b[1;31m",
    "good": "\x1b[32m",
    "revoked": "\x1b[31m",
    "unknown": "\x1b[33m",
}
RESET = "\x1b[0m"

_OUR_STYLE = re.compile(r"\x1b\[(?:0|1|2|31|32|33|36|1;31)m")


class Severity(Protocol):
    """What this module needs of a severity: its name, one of `SEVERITIES`."""

    @property
    def name(self) -> str: ...


class Finding(Protocol):
    """What this module needs of a finding."""

    @property
    def code(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def message(self) -> str: ...
    @property
    def hint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Printer:
    """Writes lines for people to `stream`, coloured when `colour` is set."""

    stream: TextIO
    colour: bool = False
    unicode: bool = False

    @classmethod
    def on(cls, stream: TextIO | None = None) -> Printer:
        """A printer on `stream` (default stdout) that colours and draws if that is a terminal."""
        stream = sys.stdout if stream is None else stream
        terminal = is_terminal(stream)
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        utf8 = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
        return cls(stream, colour=terminal and not plain, unicode=terminal and utf8)

    def paint(self, text: str, style: str) -> str:
        """`text` in one of `STYLES`, or as it is when this printer has no colours."""
        return f"{STYLES[style]}{text}{RESET}" if self.colour else text

    def line(self, text: str = "") -> None:
        """Write one line; control characters other than our own colours are shown escaped.

        What takes several lines is given as several.
        """
        text = printable(text, keep_styles=self.colour)
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        safe = text.encode(encoding, "backslashreplace").decode(encoding)
        self.stream.write(safe + "\n")

    def field(self, label: str, value: object, *, width: int = 16) -> None:
        """Write `label` and `value` in two columns; a list value continues below."""
        values = value if isinstance(value, list | tuple) else (value,)
        for index, item in enumerate(values):
            left = label if index == 0 else ""
            self.line(f"{self.paint(left.ljust(width), 'dim')} {item}")

    def finding(self, finding: Finding, *, indent: str = "") -> None:
        """Write one finding: severity, code and message, and the hint below."""
        severity = finding.severity.name.lower()
        self.line(
            f"{indent}{self.paint(severity.ljust(7), severity)} {finding.code}: {finding.message}"
        )
        if finding.hint:
            self.line(f"{indent}        {self.paint('hint:', 'dim')} {finding.hint}")

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write rows in columns as wide as their widest cell."""
        cells = [[printable(str(cell)) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        self.line(self.paint(_row(heads, widths), "bold"))
        for row in cells:
            self.line(_row(row, widths))


def printable(text: str, *, keep_styles: bool = False) -> str:
    """`text` without what could drive a terminal: each such character as its escape."""

    def escaped(found: re.Match[str]) -> str:
        if keep_styles and _OUR_STYLE.match(text, found.start()):
            return found.group()
        return escape_of(found)

    return CONTROL.sub(escaped, text)


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal; a closed or captured one is not."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def exit_code(findings: Iterable[Finding], fail_on: str = "fault") -> int:
    """1 if any finding is at or above `fail_on`, else 0."""
    limit = SEVERITIES.index(fail_on)
    return int(any(SEVERITIES.index(f.severity.name.lower()) >= limit for f in findings))


def write_document(document: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Write one JSON document and a newline to `stream` (default stdout)."""
    import json

    stream = sys.stdout if stream is None else stream
    # ASCII: no encoding of the terminal, and no control character, can spoil it.
    stream.write(json.dumps(document, default=_plain, indent=2) + "\n")
    stream.flush()


def rfc3339(at: datetime) -> str:
    """`at` as 2026-11-20T08:00:00Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(length: timedelta) -> str:
    """A length of time in its two largest units: "6d 4h", "12m", "45s"."""
    seconds = round(abs(length.total_seconds()))
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts = []
    for letter, size in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{letter}")
    return " ".join(parts[:2]) or "0s"


def validity_bar(
    this_update: datetime,
    next_update: datetime | None,
    *,
    at: datetime,
    width: int = 32,
    unicode: bool = False,
) -> str:
    """Draw where `at` stands between `this_update` and `next_update`.

    ``[=========>----------------------] 30%, 4d 21h left``; ASCII unless `unicode`.
    """
    done, head, rest = ("━", "╸", "─") if unicode else ("=", ">", "-")
    if next_update is None:
        return f"[{rest * width}] no nextUpdate, {span(at - this_update)} old"
    if at < this_update:
        return f"[{rest * width}] not yet valid, begins in {span(this_update - at)}"
    if at >= next_update:
        return f"[{done * width}] expired {span(at - next_update)} ago"
    part = (at - this_update) / (next_update - this_update)
    filled = int(part * width)
    drawn = done * filled + head + rest * (width - filled - 1)
    return f"[{drawn}] {int(part * 100)}%, {span(next_update - at)} left"


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal's stderr, nothing elsewhere; yields `advance(steps)`."""
    if not is_terminal(sys.stderr):
        yield lambda _steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _plain(value: object) -> object:
    match value:
        case datetime():
            return rfc3339(value)
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case set() | frozenset():
            return sorted(value)
        case os.PathLike():
            return os.fspath(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no place in a JSON document")
