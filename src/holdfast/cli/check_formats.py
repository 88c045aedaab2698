"""How `holdfast check` writes its reports in the formats of programs.

Law: all but JSON are UTF-8 whatever the terminal's encoding, as each of these formats asks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.edge import INTERRUPTED
from holdfast.cli.output import write_document
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.cli.params import Input
    from holdfast.formats.sarif import Place
    from holdfast.plan.report import Report

SHAPES = ("text", "json", "junit", "sarif", "nagios", "prometheus", "html")
UNKNOWN = 3  # what a monitoring plugin exits with when it could not do its work


def write(
    reports: Sequence[Report], shape: str, *, fail_on: str, listed: Input | None = None
) -> None:
    """Write `reports` to stdout."""
    from holdfast.ocsp.findings import Severity

    limit = Severity[fail_on.upper()]
    match shape:
        case "json":
            from holdfast.plan.report import document

            write_document(document(list(reports)))
        case "sarif":
            from holdfast.formats import sarif

            write_document(sarif.document(reports, places(listed)))
        case "junit":
            from holdfast.formats import junit

            _utf8(junit.document(reports, limit))
        case "nagios":
            from holdfast.formats import nagios

            _utf8(nagios.line(reports, limit) + "\n")
        case "prometheus":
            from holdfast.formats import prometheus

            _utf8(prometheus.text(reports))
        case "html":
            from holdfast.formats import html

            _utf8(html.document(reports))
        case _:
            from holdfast.cli.check_text import tell

            tell(reports)


def plugin_state(reports: Sequence[Report], fail_on: str) -> int:
    """The exit code of `--format nagios`: the worst state."""
    from holdfast.formats.nagios import state
    from holdfast.ocsp.findings import Severity

    return max(state(report, Severity[fail_on.upper()]) for report in reports)


def places(listed: Input | None) -> dict[str, Place]:
    """Where the list names each target first; of standard input there is no file to show."""
    from holdfast.formats.sarif import Place

    found: dict[str, Place] = {}
    if listed is not None and listed.name != "standard input":
        for number, line in enumerate(listed.data.decode("utf-8", "replace").splitlines(), 1):
            word = line.partition("#")[0].strip()
            found.setdefault(word, Place(listed.name, number))
    return found


class PluginCommand(click.Command):
    """A command that keeps to a monitoring plugin's exit codes when it is called as one.

    The usual codes would be taken wrong: 2, which says that the options are unfit, is CRITICAL.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        given = list(args)

        def make() -> click.Context:
            return super(PluginCommand, self).make_context(info_name, args, parent, **extra)

        return _as_plugin(make) if _called_as_plugin(given) else make()

    def invoke(self, ctx: click.Context) -> Any:
        def run() -> Any:
            return super(PluginCommand, self).invoke(ctx)

        return _as_plugin(run) if ctx.params.get("shape") == "nagios" else run()


def _called_as_plugin(args: Sequence[str]) -> bool:
    """Whether `--format nagios` stands among `args`, which may be unfit to be parsed."""
    return "--format=nagios" in args or any(
        pair == ("--format", "nagios") for pair in pairwise(args)
    )


def _as_plugin(run: Callable[[], Any]) -> Any:
    """What `run` returns; where it fails, one line on stdout and the state UNKNOWN."""
    from holdfast.formats.nagios import unknown

    try:
        return run()
    except (click.exceptions.Exit, BrokenPipeError):
        raise
    except click.UsageError as error:
        line = unknown(" ".join(error.format_message().split()))
    except HoldfastError as error:
        line = unknown(error.message, error.hint)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except Exception as error:
        import traceback

        traceback.print_exc()
        line = unknown(f"a bug in holdfast, {type(error).__name__}: its log is on stderr")
    _utf8(line + "\n")
    raise click.exceptions.Exit(UNKNOWN)


def _utf8(text: str) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
