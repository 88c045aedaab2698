"""The error edge: one line, a hint, the right exit code, and a traceback for bugs alone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import pytest

from holdfast.cli.edge import guarded
from holdfast.errors import (
    DeliveryError,
    HoldfastError,
    Malformed,
    NotFound,
    OperatorError,
    PeerError,
    StoreError,
    Unavailable,
)
from support.cli import holdfast

Run = Callable[[Sequence[str]], int]


def raising(error: BaseException) -> Run:
    def run(_: Sequence[str]) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperatorError("a", hint="b"), 2),
        (StoreError("a", hint="b"), 2),
        (PeerError("a", hint="b"), 3),
        (Malformed("a", "is not DER", hint="b"), 3),
        (Unavailable("a", hint="b"), 3),
        (NotFound("a", hint="b"), 3),
        (DeliveryError("a", hint="b"), 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_are_told_in_two_lines(
    error: HoldfastError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error), []) == code
    out, err = capsys.readouterr()
    assert err == f"holdfast: {error.message}\nhint: b\n"
    assert out == ""


@pytest.mark.parametrize("words", [["--json"], ["--format", "json"], ["--format=json"]])
def test_with_json_the_error_is_a_document(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(Unavailable("no answer", hint="wait")), words) == 3
    out, err = capsys.readouterr()
    assert '"schema": "holdfast.error/1"' in out
    assert '"class": "Unavailable"' in out
    assert err.startswith("holdfast: no answer\n")


def test_json_as_an_operand_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(NotFound("none")), ["show", "--", "--json"])
    assert capsys.readouterr().out == ""


def test_a_bug_shows_its_traceback_and_where_to_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(ZeroDivisionError("by zero\nand more")), []) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "holdfast: unexpected ZeroDivisionError: by zero\n" in err
    assert "CONTRIBUTING.md" in err


def test_a_bug_beside_an_error_in_a_task_group_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("tasks", [Unavailable("u"), ExceptionGroup("in", [KeyError("k")])])
    assert guarded(raising(group), []) == 70
    assert "unexpected KeyError" in capsys.readouterr().err


def test_an_error_in_a_task_group_is_that_error(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("tasks", [OperatorError("port in use", hint="another")])
    assert guarded(raising(group), []) == 2
    assert capsys.readouterr().err == "holdfast: port in use\nhint: another\n"


def test_interrupts_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    interrupts: list[BaseException] = [
        KeyboardInterrupt(),
        click.Abort(),
        BaseExceptionGroup("tasks", [KeyboardInterrupt(), OperatorError("late")]),
    ]
    for error in interrupts:
        assert guarded(raising(error), []) == 130
    assert capsys.readouterr() == ("", "")


def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, reason in ((tmp_path / "none.pem", "no such file"), (tmp_path, "is a directory")):

        def run(_: Sequence[str], name: Path = name) -> int:
            with name.open("rb"):
                return 0

        assert guarded(run, []) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"holdfast: {name}: ")
        assert reason in err
        assert "hint: " in err


def test_a_port_in_use_is_the_operators(capsys: pytest.CaptureFixture[str]) -> None:
    busy = OSError(errno.EADDRINUSE, "address already in use")
    assert guarded(raising(busy), []) == 2
    assert "hint: choose another" in capsys.readouterr().err


def test_control_characters_of_a_peer_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    guarded(raising(PeerError("subject CN=\x1b]0;owned\x07\u202eabc")), [])
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert "\\x1b]0;owned" in err


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_a_reader_that_goes_away_is_no_error(word: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "holdfast", word]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["chek"], 2)])
def test_the_process_ends_with_the_code_and_all_its_output(words: list[str], code: int) -> None:
    command = [sys.executable, "-m", "holdfast", *words]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == code
    assert (done.stdout + done.stderr).endswith(b"\n")


def test_exit_and_system_exit_keep_their_code() -> None:
    assert guarded(raising(click.exceptions.Exit(1)), []) == 1
    assert guarded(raising(SystemExit(3)), []) == 3
    assert guarded(raising(SystemExit()), []) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["chek"], "did you mean 'check'?"),
        (["--nonsense"], "No such option"),
        (["verify", "--nonsense"], "No such option"),
        (["renewer"], "there is no command 'renewer'"),
    ],
)
def test_usage_errors_are_two_with_a_hint(words: list[str], says: str) -> None:
    outcome = holdfast(*words)
    assert outcome.code == 2
    assert says in outcome.err
    assert "hint: see 'holdfast" in outcome.err
    assert outcome.stdout == b""
    assert holdfast(*words, "--json").json["error"]["class"] == "UsageError"


def test_version_and_help() -> None:
    assert holdfast("--version").out == "holdfast 0.1.0\n"
    assert holdfast().out == holdfast("--help").out
    assert "check" in holdfast("-h").out
