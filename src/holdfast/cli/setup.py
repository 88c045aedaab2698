"""`holdfast setup`: stapling turned on in a server's own configuration, safely."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import click

from holdfast.cli.params import SECONDS, dry_run_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.setup.plan import Plan, Step
    from holdfast.setup.run import Outcome
    from holdfast.setup.words import Keeper, Wish

Mode = Literal["native", "keeper"]
Server = Literal["apache", "nginx", "haproxy", "iis"]


@click.command("setup")
@click.argument("server", type=click.Choice(["apache", "nginx", "haproxy", "iis"]))
@click.option(
    "--config", type=click.Path(), help="The server's main configuration file; default: its own."
)
@click.option("--site", "sites", multiple=True, metavar="NAME", help="Only this site; repeatable.")
@click.option(
    "--mode", type=click.Choice(["native", "keeper"]),
    help="The server asks by itself, or gets its staples from `holdfast keep`. "
    "Default: keeper where one runs, else native.",
)  # fmt: skip
@click.option("--off", is_flag=True, help="Take back all that setup has changed.")
@click.option(
    "--prune", is_flag=True, help="Take out stapling lines of sites whose CA has no OCSP."
)
@click.option("--mend", is_flag=True, help="Mend what is wrong with the stapling lines, too.")
@click.option(
    "--issuer", "issuers", type=click.Path(), multiple=True,
    help="A file with issuers' certificates, where a chain lacks them; repeatable.",
)  # fmt: skip
@click.option("--proxy", metavar="URL", help="Ask the responders through this HTTP proxy.")
@click.option("--state", type=click.Path(), help="The state folder, also of the keeper.")
@click.option("-c", "--keeper-settings", "settings", type=click.Path(),
    help="The keeper's settings, which gain the site's certificates.",
)  # fmt: skip
@click.option("--program", type=click.Path(), help="The server's program, where it is elsewhere.")
@click.option("--pid-file", type=click.Path(), help="Its pid file, where it is elsewhere.")
@click.option(
    "--timeout", type=SECONDS, default=10.0, show_default=True, help="Seconds for each question."
)
@click.option(
    "--within", type=SECONDS, help="Seconds in which a staple must be shown; default 30, keeper 60."
)
@dry_run_option
@json_option
def setup(
    *,
    server: Server,
    config: str | None,
    sites: tuple[str, ...],
    mode: Mode | None,
    off: bool,
    prune: bool,
    mend: bool,
    issuers: tuple[str, ...],
    proxy: str | None,
    state: str | None,
    settings: str | None,
    program: str | None,
    pid_file: str | None,
    timeout: float,
    within: float | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Turn stapling on in a server's own configuration.

    Plan, diff, backup, configuration test, reload, error log, and a handshake with every site; any
    failure takes everything back. `setup iis` prints what to do on Windows.
    """
    if server == "iis":
        return _iis(as_json)
    import asyncio
    from pathlib import Path

    from holdfast.wiring_setup import kind_of

    kind = kind_of(
        server,
        config=None if config is None else Path(config),
        program=program,
        pid_file=None if pid_file is None else Path(pid_file),
        roots=issuers,
    )
    folder, keeper = _keeper(state, settings, mode)
    from holdfast.setup.words import Wish

    wish = Wish(
        mode=mode or ("native" if keeper is None else "keeper"),
        sites=sites,
        mend=mend,
        prune=prune,
        keeper=keeper,
    )
    how: dict[str, Any] = {
        "state": folder,
        "config": config or "",
        "issuer_files": issuers,
        "proxy": proxy,
        "timeout": timeout,
        "keeper": keeper,
        "within": within,
    }
    run = _run(kind, wish, how, off=off, dry_run=dry_run, as_json=as_json)
    plan, outcome = asyncio.run(run)
    if as_json:
        from holdfast.cli.output import write_document
        from holdfast.cli.setup_text import document

        write_document(document(server, plan, outcome))
    return _exit_code(plan, outcome)


async def _run(
    kind: Any, wish: Wish, how: dict[str, Any], *, off: bool, dry_run: bool, as_json: bool
) -> tuple[Plan | None, Outcome | None]:
    from holdfast.cli.setup_text import Teller
    from holdfast.wiring_setup import setup_of

    teller = Teller.on(quiet=as_json)
    step: Step = teller.step
    with teller.running() if not as_json else nullcontext():
        async with setup_of(kind, on_step=step, **how) as made:
            if dry_run and made.transactions.pending:
                teller.pending(made.transactions.folder)
            elif not dry_run and (recovered := await made.recover()) is not None:
                teller.outcome(recovered)
                if recovered.left or any(one.fatal for one in recovered.troubles):
                    return None, recovered
            if off and dry_run:
                teller.changes(tuple(made.transactions.changes_back()))
                return None, None
            if off:
                outcome = await made.off()
                teller.outcome(outcome)
                return None, outcome
            plan = await made.plan(wish)
            teller.plan(plan)
            if dry_run:
                return plan, None
            outcome = await made.apply(plan)
            teller.outcome(outcome, told=plan.troubles)
            return plan, outcome


def _keeper(
    state: str | None, settings: str | None, mode: Mode | None
) -> tuple[Path, Keeper | None]:
    """The state folder, and the keeper that sites are to be wired to."""
    from pathlib import Path

    from holdfast.errors import OperatorError
    from holdfast.settings import Settings, read_settings, usual_file
    from holdfast.wiring_setup import keeper_at

    file: Path | None
    try:
        file = Path(settings) if settings is not None else usual_file()
    except OperatorError:  # there is none, and none is needed where no keeper runs
        file = None
    usual = read_settings(file).keeper.state if file and file.exists() else Settings().keeper.state
    folder = Path(state if state is not None else usual)
    if mode == "native":
        return folder, None
    keeper = keeper_at(folder, file)
    if keeper is None and mode == "keeper":
        raise OperatorError(
            f"no keeper runs on the state folder {folder}",
            hint="start it with `holdfast keep -c holdfast.toml`, or name its folder with --state",
        )
    return folder, keeper


def _exit_code(plan: Plan | None, outcome: Outcome | None) -> int:
    """0: works, or would; 1: no site that stapling applies to; 2: refused or taken back."""
    if outcome is None:
        return 2 if plan is not None and plan.refused else 0
    if outcome.left or outcome.recovered or outcome.state in ("refused", "rolled-back"):
        return 2
    if outcome.state == "nothing-to-do" and plan is not None and plan.left_out:
        return 1
    return 0


def _iis(as_json: bool) -> int:
    from holdfast.cli.output import Printer, write_document
    from holdfast.setup.iis import iis_text

    if as_json:
        write_document({"schema": "holdfast.setup/1", "server": "iis", "text": iis_text()})
        return 0
    printer = Printer.on()
    for line in iis_text().splitlines():
        printer.line(line)
    return 0
