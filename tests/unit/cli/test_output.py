"""Printing: lines, colours, bars, tables, JSON."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from holdfast.cli import output
from holdfast.cli.output import Printer
from holdfast.ocsp.findings import finding

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("part", "bar"),
    [
        (0.0, "[>---------] 0%, 7d left"),
        (0.5, "[=====>----] 50%, 3d 12h left"),
        (0.999999, "[=========>] 99%, 1s left"),
        (1.0, "[==========] expired 0s ago"),
        (2.0, "[==========] expired 7d ago"),
        (-1 / 7, "[----------] not yet valid, begins in 1d"),
    ],
)
def test_validity_bar(part: float, bar: str) -> None:
    assert output.validity_bar(BEGIN, BEGIN + WEEK, at=BEGIN + WEEK * part, width=10) == bar


def test_validity_bar_without_next_update() -> None:
    bar = output.validity_bar(BEGIN, None, at=BEGIN + timedelta(hours=30), width=4)
    assert bar == "[----] no nextUpdate, 1d 6h old"


def test_validity_bar_in_unicode() -> None:
    bar = output.validity_bar(BEGIN, BEGIN + WEEK, at=BEGIN + WEEK / 2, width=4, unicode=True)
    assert bar.startswith("[━━╸─] 50%")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45, "45s"), (90, "1m 30s"), (3600, "1h"), (788645, "9d 3h"), (-60, "1m")],
)
def test_span(seconds: int, text: str) -> None:
    assert output.span(timedelta(seconds=seconds)) == text


def test_colour_only_on_a_terminal_and_never_with_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Printer.on(Terminal()).paint("x", "good") == "\x1b[32mx\x1b[0m"
    assert Printer.on(io.StringIO()).paint("x", "good") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Printer.on(Terminal()).paint("x", "good") == "x"


def test_lines_keep_our_colours_and_show_others_escapes() -> None:
    stream = Terminal()
    printer = Printer(stream, colour=True)
    printer.line(printer.paint("a", "fatal") + "\x1b[2J\x1b]0;b\x07\u2028")
    assert stream.getvalue() == "\x1b[1;31ma\x1b[0m\\x1b[2J\\x1b]0;b\\x07\\u2028\n"
    plain = io.StringIO()
    Printer(plain).line("\x1b[31mred\x1b[0m")
    assert plain.getvalue() == "\\x1b[31mred\\x1b[0m\n"


def test_a_value_makes_no_lines_of_its_own() -> None:
    stream = io.StringIO()
    printer = Printer(stream)
    printer.line("a\nexample.org:443: good\r\tb")
    printer.field("x", ["c\nd"], width=1)
    printer.table(["h"], [["e\nf"]])
    assert stream.getvalue() == "a\\nexample.org:443: good\\r\\tb\nx c\\nd\nh\ne\\nf\n"


def test_a_stream_without_the_letters_gets_their_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Printer(stream).line("Zürich")
    stream.flush()
    assert raw.getvalue() == b"Z\\xfcrich\n"


def test_finding_is_two_lines() -> None:
    stream = io.StringIO()
    Printer(stream).finding(finding("staple-unknown"))
    first, second = stream.getvalue().splitlines()
    assert first.startswith("fault   staple-unknown: ")
    assert second.startswith("        hint: ")


def test_fields_and_tables() -> None:
    stream = io.StringIO()
    printer = Printer(stream)
    printer.field("urls", ["a", "b"], width=6)
    printer.table(["name", "n"], [["long name", "1"], ["x", "22"]])
    assert stream.getvalue() == "urls   a\n       b\nname       n\nlong name  1\nx          22\n"


def test_exit_code_from_findings() -> None:
    warning = [finding("staple-near-expiry")]
    assert output.exit_code(warning) == 0
    assert output.exit_code(warning, "warning") == 1
    assert output.exit_code([], "note") == 0
    assert output.exit_code([finding("staple-malformed")], "fatal") == 1
    assert output.exit_code([finding("staple-unknown")], "fatal") == 0


def test_documents_are_ascii_with_zulu_times() -> None:
    stream = io.StringIO()
    at = datetime(2026, 11, 20, 9, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))
    document = {"at": at, "der": b"\x01", "for": timedelta(seconds=2), "p": Path("a"), "ü": {2, 1}}
    output.write_document(document, stream)
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue()) == {
        "at": "2026-11-20T08:00:00Z",
        "der": "01",
        "for": 2.0,
        "p": "a",
        "ü": [1, 2],
    }


def test_progress_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("counting", 3) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")
