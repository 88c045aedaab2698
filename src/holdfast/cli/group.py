"""The command table, and the click group that loads a command's module when it is called.

Law: `holdfast --help` shows this table and loads no command. A command returns its exit code
(None: 0), or raises from the tree in `holdfast.errors`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from holdfast.version import __version__


class Row(NamedTuple):
    """One line of the table: where the command lives and what the help says of it."""

    module: str
    attribute: str
    does: str


COMMANDS: dict[str, Row] = {
    "demo": Row("demo", "demo", "All of OCSP stapling on loopback, step by step."),
    "check": Row("check", "check", "Is stapling right on these servers, and if not, why?"),
    "keep": Row("keep", "keep", "The daemon: keep staples fresh and deliver them."),
    "status": Row("control", "status", "What the running keeper holds."),
    "refresh": Row("control", "refresh", "Ask the running keeper for a refresh now."),
    "reload": Row("control", "reload", "Ask the running keeper to read its settings again."),
    "wait": Row("control", "wait", "Return when a valid staple is held and delivered."),
    "staple": Row("control", "staple", "Print the held staple of a certificate (DER)."),
    "withdraw": Row("control", "withdraw", "Take staples away from servers, without the daemon."),
    "responder": Row("responder", "responder", "Answer OCSP for a CA."),
    "presign": Row("presign", "presign", "Sign a CA's answers ahead, for its responder."),
    "setup": Row("setup", "setup", "Turn stapling on in a server's own configuration, safely."),
    "proxy": Row("proxy", "proxy", "Terminate TLS with staples in front of anything."),
    "web": Row("web", "web", "The checker and the keeper's state as web pages."),
    "exporter": Row("exporter", "exporter", "Checks for Prometheus: /probe?target=."),
    "fetch": Row("fetch", "fetch", "Ask a responder once; verify; show the timeline."),
    "verify": Row("verify", "verify", "Judge a stored OCSP response, offline."),
    "show": Row("show", "show", "Print a request, response, CRL or certificate in words."),
    "urls": Row("urls", "urls", "The OCSP, issuer and CRL addresses of certificates."),
    "bundle": Row("bundle", "bundle", "Gather issuer certificates into one PEM bundle."),
    "ca": Row("ca", "ca", "A small CA: issue, revoke, sign CRLs, trust and untrust."),
    "lab": Row("lab", "lab", "The scripted responder: every fault on demand."),
}


class Commands(click.Group):
    """A group whose commands stand in `COMMANDS` until one of them is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command = getattr(import_module(f"holdfast.cli.{row.module}"), row.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.does) for name, row in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(f"there is no command {name!r}{_nearest(name)}", ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    invoke_without_command=True,
    epilog="Exit codes: 0 good, 1 findings, 2 the operator must fix something, "
    "3 could not find out, 70 a bug.",
)
@click.version_option(__version__, "-V", "--version", message="holdfast %(version)s")
@click.pass_context
def holdfast(ctx: click.Context) -> None:
    """OCSP stapling that never lapses: check it, keep it, serve it."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line; raises what the command raises."""
    if "_HOLDFAST_COMPLETE" in os.environ:
        holdfast.main(args=list(arguments), prog_name="holdfast")
    with holdfast.make_context("holdfast", list(arguments)) as ctx:
        code = holdfast.invoke(ctx)
    return code if isinstance(code, int) else 0


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
