"""The results of the matrix of odd staples, as a table for the terminal and as a page of the docs.

A result is a row of `bench.matrix`'s JSON: one case in one version of TLS.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
GREEN, RED, YELLOW, PLAIN = "\033[32m", "\033[31m", "\033[33m", "\033[0m"
ABSENT = "-"  # of a tool that was not run on the row


def right(row: Row, word: str) -> bool:
    """Whether a tool's word is the truth; where there is no staple, none is an answer too."""
    return word == row["truth"] or (word == "none" and row["unstapled"])


def passed_bad(row: Row, word: str) -> bool:
    """The mistake that hurts: something bad is passed."""
    return row["truth"] == "bad" and word == "ok"


@dataclass(slots=True)
class Tally:
    """One tool's answers, counted over all rows that it was run on."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    right: int = 0
    bad: int = 0
    passed: list[tuple[str, str]] = field(default_factory=list)
    good: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    silent: int = 0

    @property
    def rows(self) -> int:
        return len(self.seen)

    def add(self, row: Row, cell: Mapping[str, Any]) -> None:
        word = cell["word"]
        name = row["case"], row["tls"]
        self.seen.append(name)
        self.right += right(row, word)
        self.bad += row["truth"] == "bad"
        self.good += row["truth"] == "ok"
        if passed_bad(row, word):
            self.passed.append(name)
        if row["truth"] == "ok" and word in ("bad", "none"):
            self.refused.append(name)
        if word in ("crash", "time"):
            self.broken.append(name)
        self.silent += row["truth"] == "bad" and cell["code"] == 0


def tallies(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Tally]:
    counted = {name: Tally() for name in names}
    for row in rows:
        for name, cell in row["peers"].items():
            if cell is not None:
                counted[name].add(row, cell)
    return counted


def ours_right(rows: Sequence[Row]) -> tuple[int, int]:
    """(right, all) cells of ours."""
    cells = [cell for row in rows for cell in row["ours"].values()]
    return sum(not cell["wrong"] for cell in cells), len(cells)


# -- for the terminal -----------------------------------------------------------------------------


def table(rows: Sequence[Row], peers: Mapping[str, str | None], *, colour: bool) -> str:
    """`peers`: the version of each tool, None where it is not installed."""
    installed = [name for name, version in peers.items() if version]
    heads = ["staple", "TLS", "truth", "holdfast", *(name.split()[0] for name in installed)]
    lines: list[list[str]] = [heads]
    for row in rows:
        line = [row["case"], row["tls"], row["truth"], _ours(row)]
        line += [_word(row, row["peers"].get(name)) for name in installed]
        lines.append(line)
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
    out = []
    for number, line in enumerate(lines):
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        if colour and number:
            cells = [_coloured(n, cell) for n, cell in enumerate(cells)]
        out.append("  ".join(cells).rstrip())
    absent = [name for name, version in peers.items() if not version]
    if absent:
        out.append(f"not installed: {', '.join(absent)}")
    good, count = ours_right(rows)
    out.append(f"holdfast: right in {good} of {count} cells")
    for name, tally in tallies(rows, installed).items():
        if tally.rows:
            out.append(f"{name}: {_sentence(tally)}")
    return "\n".join(out)


def _ours(row: Row) -> str:
    wrong = [server for server, cell in row["ours"].items() if cell["wrong"]]
    return f"WRONG by {', '.join(wrong)}" if wrong else f"{row['verdict']} ({len(row['ours'])})"


def _word(row: Row, cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ABSENT
    return str(cell["word"]) + ("" if right(row, cell["word"]) else "!")


def _coloured(column: int, cell: str) -> str:
    word = cell.strip()
    if column < 3 or word == ABSENT:
        return cell
    if column == 3:
        return f"{RED if word.startswith('WRONG') else GREEN}{cell}{PLAIN}"
    if not word.endswith("!"):
        return f"{GREEN}{cell}{PLAIN}"
    return f"{RED if word in ('ok!', 'crash!') else YELLOW}{cell}{PLAIN}"


def _sentence(tally: Tally) -> str:
    said = f"right in {tally.right} of {tally.rows}; passes {len(tally.passed)} of {tally.bad} bad"
    said += f", refuses or misses {len(tally.refused)} of {tally.good} good"
    if tally.broken:
        said += f", and gives up with an error of its own at {len(tally.broken)}"
    return said


# -- for the docs ---------------------------------------------------------------------------------

HEAD = """\
# Odd staples

What monitors and clients make of staples that are wrong, or right in an unusual way. Each row is a
staple sent by a real server to every tool; `make bench-matrix` makes this page again.

*Run of {date}, with {versions}; served by {servers}.*

holdfast is right in {right} of {count} cells: verdict, exit code and every finding are those of the
case's definition, by each server that can send the staple, in TLS 1.2 and 1.3; in its column
**warning** is exit code 0 and a finding, **bad** exit code 1.

## How the others did

"Passes" counts bad staples that the tool lets through, "refuses" good ones that it finds fault with
or says are not there; "exit 0" counts bad staples after which its exit code is 0, which is what a
script sees. Clients such as curl and gnutls-cli are meant to connect, not to report; they stand
here since people use them to test stapling. A tool that looks at one address, or once, passes what
is wrong with the other: that is counted too.

| tool | right | passes bad | exit 0 at bad | refuses good | own errors |
|---|---|---|---|---|---|
"""
MISTAKES = """\

### What each gets wrong

"""
LEGEND = """\

## How each is read

A tool is run with the CA as a trusted root, and its answer made one word: **ok** it passes the
staple, **bad** it finds fault with it or ends, **none** it says that there is none, **crash** it
died or told of a bug of its own, **time** it did not end in four minutes. Nothing else in the world
is asked: no responder, no CRL.

"""
CELLS = """\

## Cell by cell

*Truth* is what a careful client makes of the staple. A word with **!** is not the truth; `-` is a
cell that was not run (tools that take seconds are run in one version of TLS unless told otherwise).
The column *by* names the server that the other tools saw; holdfast was run on every server named
behind its verdict.

"""
TAIL = """\

## The servers

* **gnutls-serv** sends the bytes of a file as they are, in the leaf's place.
* **nginx** (`ssl_stapling_file`) and **openssl s_server** (`-status_file`) parse the file first:
  garbage, what is cut and what has bytes behind it they cannot send.
* **HAProxy** (`certificate.pem.ocsp`) takes a successful response about its own certificate by
  SHA-1, with one single that is in date; who signed it is not asked.
* **twin** is a server of the tests on an older OpenSSL, which sends whatever it is told: nothing at
  all, by turns, or another one on each address.
* **entries** is one on GnuTLS that sends a staple beside each certificate (TLS 1.3).
"""


def page(told: Mapping[str, Any], rules: Mapping[str, str]) -> str:
    """The page of a whole run; `rules`: how each tool is read."""
    rows, peers = told["rows"], told["peers"]
    installed = [name for name, version in peers.items() if version]
    good, count = ours_right(rows)
    versions = [f"holdfast {told['holdfast']}", *(_versioned(n, peers[n]) for n in installed)]
    text = HEAD.format(
        date=told["date"],
        versions=", ".join(versions),
        servers=", ".join(f"{name} {version}" for name, version in told["servers"].items()),
        right=good,
        count=count,
    )
    text = "\n".join(_wrapped(line) for line in text.split("\n"))
    for name, tally in tallies(rows, installed).items():
        text += (
            f"| {name} | {tally.right} of {tally.rows} | {len(tally.passed)} of {tally.bad} "
            f"| {tally.silent} of {tally.bad} | {len(tally.refused)} of {tally.good} "
            f"| {len(tally.broken)} |\n"
        )
    for name, version in peers.items():
        if not version:
            text += f"| {name} | not installed | | | | |\n"
    text += MISTAKES
    what = {row["case"]: row["what"] for row in rows}
    for name, tally in tallies(rows, installed).items():
        for said, which in (
            ("passes", tally.passed),
            ("refuses", tally.refused),
            ("gives up at", tally.broken),
        ):
            if which:
                text += _bullet(f"**{name}** {said}: {_listed(which, tally, what)}") + "\n"
    text += LEGEND
    for name in installed:
        text += _bullet(f"**{name}**: {rules[name]}") + "\n"
    text += CELLS
    heads = ["staple", "TLS", "truth", "holdfast", "findings", "by", *installed]
    text += f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    for row in rows:
        text += f"| {' | '.join(_cells(row, installed))} |\n"
    return text + TAIL


def _bullet(text: str) -> str:
    lines = textwrap.wrap(
        f"* {text}.", 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def _listed(names: Sequence[tuple[str, str]], tally: Tally, what: Mapping[str, str]) -> str:
    """Cases by what they are, with the version of TLS where it is one of two that were tried."""
    told = {}
    for case, version in names:
        other = next((name for name in tally.seen if name[0] == case and name[1] != version), None)
        told[case] = what[case] + (f" (TLS {version})" if other and other not in names else "")
    return "; ".join(told.values())


def _versioned(name: str, version: str) -> str:
    return f"{name.split(maxsplit=1)[0]} {version}"


def _wrapped(line: str) -> str:
    return "\n".join(textwrap.wrap(line, 100, break_on_hyphens=False)) if line[:1] == "*" else line


def _cells(row: Row, installed: Sequence[str]) -> list[str]:
    codes = ", ".join(f"`{code}`" for code in row["codes"]) or "none"
    ours = _ours(row) if any(c["wrong"] for c in row["ours"].values()) else row["verdict"]
    ours += f" ({', '.join(row['ours'])})"
    words = [_word(row, row["peers"].get(name)) for name in installed]
    shown = [f"**{word}**" if word.endswith("!") else word for word in words]
    return [row["what"], row["tls"], row["truth"], ours, codes, row["by"], *shown]
