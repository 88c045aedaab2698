"""`holdfast check`: is stapling right on these servers, and if not, why and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import click

from holdfast.cli.check_formats import SHAPES, PluginCommand, plugin_state, write
from holdfast.cli.edge import BUG
from holdfast.cli.params import (
    DURATION,
    INPUT,
    SECONDS,
    Input,
    fail_on_option,
    json_option,
    live_at_option,
)

if TYPE_CHECKING:
    from holdfast.ocsp.policy import Policy
    from holdfast.pki.certificate import Certificate
    from holdfast.plan.checking import Seen
    from holdfast.plan.cure import ServerSeen
    from holdfast.plan.report import Report
    from holdfast.plan.target import Target
    from holdfast.services.check_many import Bounds
    from holdfast.services.checker import Grown, Looking, Recognise
    from holdfast.tls.client import Version
    from holdfast.wiring_server import Given


SERVERS = ("auto", "apache", "nginx", "haproxy", "iis", "caddy", "unknown")


@click.command(cls=PluginCommand)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("-f", "--file", "listed", type=INPUT, help="More targets, one a line; - is stdin.")
@click.option("--servername", help="The name to send by SNI and to expect in the certificate.")
@click.option("--address", "ip", metavar="IP", help="Dial this address, whatever DNS says.")
@click.option(
    "--all-addresses/--first-address", "every", default=True, show_default=True,
    help="Look at every address of the name (at most 8), or at the first alone.",
)  # fmt: skip
@click.option("--ca-file", type=INPUT, help="The roots to trust, instead of the system's.")
@click.option(
    "--handshakes", type=click.IntRange(1, 100), default=2, show_default=True,
    help="How many for each address, TLS version and kind of key.",
)  # fmt: skip
@click.option("--tls", type=click.Choice(["1.2", "1.3", "both"]), default="both", show_default=True)
@click.option(
    "--timeout", type=SECONDS, default=10.0, show_default=True, metavar="S",
    help="Seconds for one handshake, or for one answer of a responder.",
)  # fmt: skip
@click.option(
    "--deadline", type=SECONDS, metavar="S",
    help="Seconds for one target, all of it.  [default: of several 6 times --timeout, or more "
    "with --handshakes]",
)  # fmt: skip
@click.option(
    "--at-once", type=click.IntRange(1, 500), default=64, show_default=True,
    help="How many targets are looked at at a time.",
)  # fmt: skip
@click.option(
    "--save-chain", type=click.Path(dir_okay=False), metavar="FILE",
    help="Write the chain that the server should send, what it lacks fetched from the CA.",
)  # fmt: skip
@click.option(
    "--server", type=click.Choice(SERVERS),
    help="What the server is, for its cures. auto, the default for one target, asks it by three "
    "HTTP requests, or finds it on this machine, where something is to be mended.",
)  # fmt: skip
@click.option("--no-fetch", is_flag=True, help="Do not ask responders or fetch issuers.")
@click.option("--no-crl", is_flag=True, help="Do not fetch the CRL.")
@click.option("--require-staple", is_flag=True, help="A missing staple is a fault.")
@click.option("--allow-sha1", is_flag=True, help="Accept staples signed with SHA-1.")
@click.option(
    "--max-age", type=DURATION, metavar="D", help="Refuse staples that are older than this."
)
@click.option(
    "--format", "shape", type=click.Choice(SHAPES), default="text", show_default=True,
    help="nagios exits 0 to 3 as monitoring plugins do.",
)  # fmt: skip
@live_at_option
@fail_on_option
@json_option
def check(
    *,
    targets: tuple[str, ...],
    listed: Input | None,
    servername: str | None,
    ip: str | None,
    every: bool,
    ca_file: Input | None,
    handshakes: int,
    tls: str,
    timeout: float,
    deadline: float | None,
    at_once: int,
    save_chain: str | None,
    server: Given | None,
    no_fetch: bool,
    no_crl: bool,
    require_staple: bool,
    allow_sha1: bool,
    max_age: timedelta | None,
    shape: str,
    at: datetime | None,
    fail_on: str,
    as_json: bool,
) -> int:
    """Is stapling right on these servers, and if not why, and what is to be done?

    TARGET: host, host:port, [v6]:port, https://host/, or smtp://host and the like, which begin with
    STARTTLS. Exit 1 for findings at or above --fail-on, 3 for servers that could not be reached.
    """
    import asyncio

    from holdfast.ocsp.policy import Policy
    from holdfast.services.check_many import Bounds
    from holdfast.services.checker import Looking

    wanted = _targets(targets, listed)
    if save_chain is not None and len(wanted) > 1:
        raise click.UsageError("--save-chain wants one target")
    looking = Looking(
        servername=servername,
        ip=_address(ip),
        which="all" if every else "first",
        versions=cast("tuple[Version, ...]", ("1.2", "1.3") if tls == "both" else (tls,)),
        handshakes=handshakes,
        timeout=timeout,
        require_staple=require_staple,
    )
    usual = usual_deadline(timeout, handshakes=handshakes, targets=len(wanted))
    bounds = Bounds(at_once=at_once, deadline=deadline or usual)
    bugs: list[Exception] = []
    reports = asyncio.run(
        _run(
            wanted,
            looking,
            bounds=bounds,
            failed=bugs.append,
            trusted=trusted_roots(ca_file),
            policy=Policy(allow_sha1=allow_sha1, max_age=max_age),
            at=at,
            fetch=not no_fetch,
            crls=not no_crl,
            recognise=_recogniser(server, ca_file, timeout, alone=len(wanted) == 1),
        )
    )
    shape = "json" if as_json else shape
    if bugs and (len(reports) == 1 or shape == "nagios"):
        raise bugs[0]
    write(reports, shape, fail_on=fail_on, listed=listed)
    code = plugin_state(reports, fail_on) if shape == "nagios" else exit_code_of(reports, fail_on)
    if save_chain is not None:
        from holdfast.cli.check_chain import save_chains

        code = code if save_chains(reports[0], save_chain) else code or 3
    if bugs:  # of several targets: the other reports are told, and stdout has its one document
        import traceback

        traceback.print_exception(bugs[0])
        return BUG
    return code


def usual_deadline(timeout: float, *, handshakes: int, targets: int) -> float:
    """Seconds for one target: of many for a few things that time out one after the other; of one
    so much that the checker's own bounds end it first."""
    patience = 6 * timeout * max(1.0, handshakes / 2)
    return max(2 * patience, 120.0) if targets == 1 else patience


def exit_code_of(reports: Sequence[Report], fail_on: str) -> int:
    """1 if any report has findings at or above `fail_on`, else 3 if any target could not be
    reached, else 0. That it could not be reached is the 3, not a finding of the 1."""
    from holdfast.cli.output import exit_code

    if any(
        exit_code(report.findings, fail_on) for report in reports if report.verdict != "unreachable"
    ):
        return 1
    return 3 if any(report.verdict == "unreachable" for report in reports) else 0


def _targets(words: Sequence[str], listed: Input | None) -> list[Target]:
    from holdfast.plan.target import Target, parse_list

    wanted = [Target.parse(word) for word in words]
    if listed is not None:
        wanted += parse_list(listed.data.decode("utf-8", "replace"), name=listed.name)
    if not wanted:
        raise click.UsageError("no target: give host, host:port or -f FILE")
    return list(dict.fromkeys(wanted))


def _address(ip: str | None) -> str | None:
    from holdfast.pki.names import is_address

    if ip is not None and not is_address(ip.partition("%")[0]):
        raise click.UsageError(f"--address wants an IP address, not {ip!r}")
    return ip


def _recogniser(
    server: Given | None, ca_file: Input | None, timeout: float, *, alone: bool
) -> Recognise | None:
    """Of many targets none is asked what it is, unless that is wanted: it would take as long again
    as a handshake or two."""
    if server is None and not alone:
        return None
    issuers = _path_of(ca_file)

    async def recognise(
        target: Target, seen: Seen, servername: str, at: datetime
    ) -> ServerSeen | None:
        from holdfast.wiring_server import recogniser  # most checks have nothing to mend

        asking = recogniser(given=server or "auto", issuers=issuers, here=True, timeout=timeout)
        return await asking(target, seen, servername, at)

    return recognise


def _path_of(given: Input | None) -> str:
    """The file that was given, so that a command can name it; "" for standard input."""
    import os

    return os.path.abspath(given.name) if given is not None and os.path.isfile(given.name) else ""


def trusted_roots(ca_file: Input | None) -> tuple[Certificate, ...]:
    """The roots of `--ca-file`, or the system's."""
    if ca_file is None:
        from holdfast.wiring_check import system_roots

        return system_roots()
    from holdfast.pki import pem

    return pem.certificates(ca_file.data, name=ca_file.name)


async def _run(
    targets: Sequence[Target],
    looking: Looking,
    *,
    bounds: Bounds,
    trusted: Sequence[Certificate],
    policy: Policy,
    at: datetime | None,
    fetch: bool,
    crls: bool,
    failed: Callable[[Exception], None],
    recognise: Recognise | None,
) -> list[Report]:
    import asyncio

    from holdfast.cli.output import progress
    from holdfast.net.lookups import Lookups
    from holdfast.services.check_many import check_many
    from holdfast.wiring_check import checker

    asyncio.get_running_loop().set_default_executor(Lookups())

    def now() -> datetime:
        return at or datetime.now(UTC)

    async with checker(
        trusted=trusted,
        ask_responders=fetch,
        crls=crls,
        timeout=looking.timeout,
        policy=policy,
        recognise=recognise,
    ) as looker:

        async def look(target: Target, moment: datetime, grown: Grown) -> Report:
            return await looker.check(target, looking, at=moment, grown=grown)

        with progress("checking", len(targets)) if len(targets) > 1 else _silent() as advance:
            return await check_many(
                look,
                targets,
                bounds=bounds,
                now=now,
                done=lambda _report: advance(1),
                failed=failed,
            )


@contextmanager
def _silent() -> Iterator[Callable[[int], None]]:
    """No bar for one target."""
    yield lambda _steps: None
