"""The error edge: every exception becomes a line, a hint and an exit code, once, here.

Laws: no traceback for anything but a bug (exit 70); text that a peer wrote reaches the terminal
without its control characters; with `--json` the error is also one JSON document on stdout.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import click

from holdfast.cli.output import printable, write_document
from holdfast.errors import (
    DeliveryError,
    HoldfastError,
    NotFound,
    OperatorError,
    PeerError,
    Rejected,
    StoreError,
    Unavailable,
)

GOOD, FINDINGS, OPERATOR, UNKNOWN, BUG = 0, 1, 2, 3, 70
INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + SIGINT, 128 + SIGPIPE: what a shell reports

REPORT_HINT = (
    "this is a bug in holdfast; please report it with the traceback above "
    "(see CONTRIBUTING.md, 'Reporting a bug')"
)

EXIT_CODES: tuple[tuple[type[HoldfastError], int], ...] = (
    (Rejected, FINDINGS),
    (OperatorError, OPERATOR),
    (StoreError, OPERATOR),
    (PeerError, UNKNOWN),
    (Unavailable, UNKNOWN),
    (NotFound, UNKNOWN),
    (DeliveryError, UNKNOWN),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What the edge says of one exception. `kind` is the class in the JSON document."""

    kind: str
    message: str
    hint: str
    code: int


def guarded(run: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Call `run(arguments)` and turn whatever it raises into output and an exit code."""
    try:
        code = _run(run, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
        return BROKEN_PIPE
    return code


def _run(run: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    try:
        return run(arguments)
    except click.exceptions.Exit as done:
        return done.exit_code
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except (KeyboardInterrupt, click.Abort, EOFError):
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except BaseException as error:
        culprit = _culprit(error)
        if isinstance(culprit, KeyboardInterrupt):
            return INTERRUPTED
        if isinstance(culprit, BrokenPipeError):
            raise culprit from None
        report = _translate(culprit)
        if report.code == BUG:
            import traceback

            traceback.print_exception(error)
        _say(report, as_json=_wants_json(arguments))
        return report.code


def _translate(error: BaseException) -> Report:
    kind = type(error).__name__
    match error:
        case HoldfastError():
            code = next((code for cls, code in EXIT_CODES if isinstance(error, cls)), OPERATOR)
            return Report(kind, error.message, error.hint, code)
        case click.UsageError():
            path = error.ctx.command_path if error.ctx is not None else "holdfast"
            message = " ".join(error.format_message().split()).rstrip(".")  # click's own lines
            return Report("UsageError", message, f"see '{path} --help'", OPERATOR)
        case click.ClickException():
            return Report(kind, error.format_message().rstrip("."), "", OPERATOR)
        case OSError(filename=str() | bytes() as name):
            path = os.fsdecode(name)
            return Report(kind, f"{path}: {_reason(error)}", _file_hint(error), OPERATOR)
        case OSError(errno=errno.EADDRINUSE | errno.EADDRNOTAVAIL | errno.EACCES):
            message = str(error.strerror or error)
            hint = "choose another address or port, or stop the program that holds it"
            return Report(kind, message, hint, OPERATOR)
        case _:
            lines = str(error).splitlines()
            message = f"unexpected {kind}: {lines[0]}" if lines else f"unexpected {kind}"
            return Report(kind, message, REPORT_HINT, BUG)


def _culprit(error: BaseException) -> BaseException:
    """The exception that a task group was wrapped around; a bug comes before all others."""
    leaves = [error]
    while any(isinstance(leaf, BaseExceptionGroup) for leaf in leaves):
        leaves = [
            inner
            for leaf in leaves
            for inner in (leaf.exceptions if isinstance(leaf, BaseExceptionGroup) else (leaf,))
        ]
    interrupts = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)]
    return interrupts[0] if interrupts else max(leaves, key=lambda leaf: _translate(leaf).code)


def _say(report: Report, *, as_json: bool) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"holdfast: {printable(report.message)}\n")
    if report.hint:
        sys.stderr.write(f"hint: {printable(report.hint)}\n")
    sys.stderr.flush()
    if as_json:
        error = {"class": report.kind, "message": report.message, "hint": report.hint}
        write_document({"schema": "holdfast.error/1", "error": error})


def _wants_json(arguments: Sequence[str]) -> bool:
    # Read from the words themselves: a usage error comes before any option has a value.
    words = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    return bool({"--json", "--format=json"} & {*words}) or ("--format", "json") in pairwise(words)


def _reason(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file or directory"
        case PermissionError():
            return "permission denied"
        case IsADirectoryError():
            return "is a directory, not a file"
        case _:
            return (error.strerror or str(error)).lower()


def _file_hint(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "check the path; relative paths are taken from the current directory"
        case PermissionError():
            return f"holdfast runs as user {os.geteuid()}; give that user access to the file"
        case IsADirectoryError():
            return "name one file in it"
        case _:
            return "check the path and what it leads to"


def _abandon_stdout() -> None:
    # The reader went away (`| head`). Without this the interpreter's last flush complains.
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # a captured stdout has no descriptor; nothing will be flushed to a pipe
