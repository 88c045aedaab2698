"""The click types and options that the commands share.

Law: a value that does not parse is a usage error that says what was expected; a file that cannot
be read, or is larger than any honest one, is an `OperatorError` naming it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import click

from holdfast.cli.output import SEVERITIES
from holdfast.errors import Malformed, OperatorError

MAX_INPUT = 16 * 1024 * 1024  # bytes; the largest published CRLs are under 10 MB

_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(click.ParamType[timedelta]):
    """`90s`, `10m`, `12h`, `7d`, and sums like `1h30m`, to a `timedelta`."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        pieces = _DURATION.findall(value)
        if not pieces or "".join(map("".join, pieces)) != value:
            self.fail(f"{value!r} is not a duration: write 90s, 10m, 12h or 7d", param, ctx)
        try:
            return sum((timedelta(**{_UNITS[u]: int(n)}) for n, u in pieces), timedelta())
        except OverflowError:
            self.fail(f"{value!r} is longer than any calendar", param, ctx)


class Seconds(click.ParamType[float]):
    """A number of seconds above 0 and up to 300: a deadline."""

    name = "seconds"
    most = 300

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= self.most:  # nan is not, either
            expected = f"write a number above 0, at most {self.most}"
            self.fail(f"{value!r} is not a number of seconds: {expected}", param, ctx)
        return seconds


class Instant(click.ParamType[datetime]):
    """RFC 3339 with its zone, to an aware UTC `datetime`."""

    name = "rfc3339"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(value)
            utc = at.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not an instant: write 2026-11-20T08:00:00Z", param, ctx)
        if at.tzinfo is None:
            self.fail(f"{value!r} has no time zone: write 2026-11-20T08:00:00Z", param, ctx)
        return utc


class HostPort(NamedTuple):
    """Where to listen or connect. An empty `host` means every address of this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HostPortType(click.ParamType[HostPort]):
    """`HOST:PORT`, `[v6]:PORT` or `:PORT`; port 0 asks the system for a free one."""

    name = "host:port"

    def convert(self, value: Any, param: Any, ctx: Any) -> HostPort:
        if isinstance(value, HostPort):
            return value
        host, colon, port = value.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        good = colon and re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535
        if not good or (":" in host and not bracketed) or any(c.isspace() for c in host):
            expected = "write host:port, [v6 address]:port or :port"
            self.fail(f"{value!r} is not an address: {expected}", param, ctx)
        return HostPort(host[1:-1] if bracketed else host, int(port))


@dataclass(frozen=True, slots=True)
class Input:
    """A file's bytes and the name to call it by in messages."""

    name: str
    data: bytes


class InputType(click.ParamType[Input]):
    """The path of a file, or `-` for stdin, to its bytes."""

    name = "file"

    def __init__(self, limit: int = MAX_INPUT) -> None:
        self.limit = limit

    def convert(self, value: Any, param: Any, ctx: Any) -> Input:
        return value if isinstance(value, Input) else read_input(value, limit=self.limit)


DURATION = Duration()
INSTANT = Instant()
HOST_PORT = HostPortType()
INPUT = InputType()
SECONDS = Seconds()


def read_input(path: str, *, limit: int = MAX_INPUT) -> Input:
    """Read the file at `path` (`-`: stdin), at most `limit` bytes; a FIFO that nobody writes to
    is empty."""
    if path.startswith("pkcs11:"):
        raise OperatorError(
            "a key in a token is given in the settings, not by an option",
            hint='key = "pkcs11:..." in [[responder.ca]], and -c with that file',
        )
    if path != "-":
        from holdfast.net.files import read_bounded

        return Input(path, read_bounded(path, limit))
    name = "standard input"
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise OperatorError(
            f"{name}: larger than {limit} bytes", hint="is this the file you meant to give?"
        )
    return Input(name, data)


@contextmanager
def reading(name: str, *, hint: str = "") -> Iterator[None]:
    """Make a `Malformed` inside the block the operator's error about the file `name`."""
    try:
        yield
    except Malformed as error:
        raise OperatorError(f"{name}: {error.message}", hint=hint or error.hint) from error


def _now() -> datetime:
    return datetime.now(UTC)


# Each is a decorator; the command's parameter is named in quotes after the option.
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."
)
at_option = click.option(
    "--at",
    "at",
    type=INSTANT,
    default=_now,
    show_default="now",
    metavar="RFC3339",
    help="The instant to judge at.",
)
# For commands that go and look: None stands for the instant at which the looking is done.
live_at_option = click.option(
    "--at",
    "at",
    type=INSTANT,
    show_default="now",
    metavar="RFC3339",
    help="The instant to judge at.",
)
fail_on_option = click.option(
    "--fail-on",
    "fail_on",
    type=click.Choice(SEVERITIES),
    default="fault",
    show_default=True,
    help="Exit 1 if any finding is at least this severe.",
)
dry_run_option = click.option(
    "--dry-run", "dry_run", is_flag=True, help="Say what would be done; change nothing."
)
