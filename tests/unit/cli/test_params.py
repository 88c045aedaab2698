"""The shared options: durations, instants, addresses, files."""

from __future__ import annotations

import io
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from holdfast.cli.params import (
    DURATION,
    HOST_PORT,
    INPUT,
    INSTANT,
    SECONDS,
    InputType,
    read_input,
    reading,
)
from holdfast.errors import Malformed, OperatorError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("12h", 43200), ("7d", 604800), ("1h30m", 5400), ("0s", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "7w", "-1s", "1.5h", "7d ", "h", "999999999d1", "٣s"])
def test_what_is_no_duration_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 90s, 10m, 12h or 7d"):
        DURATION.convert(text, None, None)


def test_a_duration_beyond_the_calendar() -> None:
    with pytest.raises(click.BadParameter, match="longer than any calendar"):
        DURATION.convert("999999999d999999999d", None, None)


@pytest.mark.parametrize(
    "text",
    ["2026-11-20T08:00:00Z", "2026-11-20T09:00:00+01:00", "2026-11-20 08:00:00+00:00"],
)
def test_instants_are_utc(text: str) -> None:
    assert INSTANT.convert(text, None, None) == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert INSTANT.convert(text, None, None).tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "now", "2026-11-20", "2026-11-20T08:00:00", "0001-01-01T00:00:00+23:59"]
)
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 2026-11-20T08:00:00Z"):
        INSTANT.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:8080", "localhost", 8080),
        ("[::1]:0", "::1", 0),
        (":443", "", 443),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = HOST_PORT.convert(text, None, None)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "localhost", "::1:80", "a:65536", "a:-1", "a:", "a b:1", "a:1x"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write host:port"):
        HOST_PORT.convert(text, None, None)


def test_files_are_read_with_their_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    given = INPUT.convert(str(tmp_path / "a"), None, None)
    assert (given.name, given.data) == (str(tmp_path / "a"), b"abc")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc")))
    assert read_input("-").data == b"abc"


def test_a_fifo_that_nobody_writes_to_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert read_input(str(tmp_path / "fifo")).data == b""


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "-1", "301", "", "ten"])
def test_what_is_no_deadline(text: str) -> None:
    with pytest.raises(click.BadParameter, match="above 0, at most 300"):
        SECONDS.convert(text, None, None)


def test_deadlines() -> None:
    assert [SECONDS.convert(text, None, None) for text in ("0.5", 10.0, "300")] == [0.5, 10, 300]


def test_a_file_larger_than_any_honest_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcd")
    assert InputType(4).convert(str(tmp_path / "a"), None, None).data == b"abcd"
    with pytest.raises(OperatorError, match="larger than 3 bytes"):
        InputType(3).convert(str(tmp_path / "a"), None, None)


def test_an_endless_file_is_cut_off() -> None:
    with pytest.raises(OperatorError, match="/dev/zero: larger than"):
        read_input("/dev/zero", limit=1000)


def test_malformed_input_is_the_operators_error_about_the_file() -> None:
    expected = r"^a\.der: Request: no DER \(at byte 3\)$"
    with pytest.raises(OperatorError, match=expected) as caught, reading("a.der", hint="DER"):
        raise Malformed("Request", "no DER", offset=3)
    assert caught.value.hint == "DER"
