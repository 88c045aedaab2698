"""`holdfast keep`: the daemon that keeps staples fresh and delivers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.params import DURATION, dry_run_option, json_option

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from holdfast.settings import Settings
    from holdfast.wiring_keeper import House


@click.command()
@click.option("-c", "--config", type=click.Path(), help="The settings; default: the usual places.")
@click.option("--state", type=click.Path(), help="Folder for staples and the control socket.")
@click.option(
    "--certificate",
    "certificates",
    type=click.Path(),
    multiple=True,
    help="Keep this fullchain.pem, folder or glob; needs no settings file. May be repeated.",
)
@click.option("--issuer", type=click.Path(), help="The issuer, if it is not in --certificate.")
@click.option("--responder-url", "urls", multiple=True, help="Ask here, not where it says.")
@click.option("--file", "out", type=click.Path(), help="Write the staple here (DER).")
@click.option("--run", "command", help="Run this after --file changed; words, no shell.")
@click.option("--recheck", type=DURATION, help="Ask also that often between refreshes.")
@click.option("--listen", metavar="HOST:PORT", help="Serve the status page and metrics here.")
@click.option("--show-settings", is_flag=True, help="Print every key with its value, and end.")
@click.option("--discover", is_flag=True, help="Print settings for what this machine has, and end.")
@click.option("--root", type=click.Path(), default="/", help="Where --discover looks.")
@click.option("--check", "check_only", is_flag=True, help="Read everything, say what it is; end.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@dry_run_option
@json_option
def keep(
    *,
    config: str | None,
    show_settings: bool,
    discover: bool,
    root: str,
    check_only: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    **given: Any,
) -> int:
    """Keep staples fresh and deliver them, until stopped.

    SIGHUP reads settings and certificates again; SIGTERM ends cleanly. `holdfast status` shows
    what is held.
    """
    if discover:
        from datetime import UTC, datetime

        from holdfast.wiring_discover import discovered_settings

        click.echo(discovered_settings(root, at=datetime.now(UTC)), nl=False)
        return 0
    read = settings_reader(config, given, bare=show_settings)
    if show_settings:
        from holdfast.settings_shown import show_settings as shown

        click.echo(shown(read()), nl=False)
        return 0

    import asyncio

    if not verbose and not (check_only or dry_run):
        _log_to_stderr("INFO")
    else:
        _log_to_stderr("DEBUG" if verbose else "WARNING")
    if check_only or dry_run:
        return asyncio.run(_look(read, dry_run=dry_run, as_json=as_json))
    return asyncio.run(_serve(read, as_json=as_json))


def settings_reader(
    config: str | None, given: dict[str, Any], *, bare: bool = False
) -> Callable[[], Settings]:
    """Reads the settings: the file's, or those that the options alone make. `bare`: without
    either, the defaults."""
    from holdfast.errors import OperatorError
    from holdfast.settings import Settings, read_settings, usual_file

    alone = bool(given.get("certificates"))
    if alone and config is not None:
        raise OperatorError(
            "--certificate and --config: two sources of settings",
            hint="add a [[certificate]] to the file, or leave --config out",
        )
    unused = [f"--{key.replace('_', '-')}" for key in _ALONE if given.get(key)]
    if not alone and unused:
        shown = {"--urls": "--responder-url", "--out": "--file", "--command": "--run"}
        raise OperatorError(
            f"{shown.get(unused[0], unused[0])} goes with --certificate",
            hint="in a settings file it is a key: `holdfast keep --show-settings` prints all",
        )
    if alone:
        return lambda: _from_options(given)
    if bare and config is None:
        try:
            usual_file()
        except OperatorError:
            return lambda: _changed(Settings(), given)
    file = config or usual_file()
    return lambda: _changed(read_settings(file), given)


_ALONE = ("issuer", "urls", "out", "command")


def _from_options(given: dict[str, Any]) -> Settings:
    import os
    import shlex

    from holdfast.errors import OperatorError
    from holdfast.settings import USUAL_URL, CertificateTable, Settings, responder_url_problem
    from holdfast.settings_server import ServerTable

    if not given.get("state"):
        raise OperatorError(
            "--certificate without --state: where should the staple be kept?",
            hint="add --state DIR, a folder that is yours; it is made when it is not there",
        )
    for url in given["urls"]:
        if problem := responder_url_problem(url):
            raise OperatorError(f"--responder-url {problem}", hint=USUAL_URL)
    servers = []
    if given.get("out"):
        try:
            words = shlex.split(given.get("command") or "")
        except ValueError as error:
            raise OperatorError(f"--run: {error}", hint="close what is quoted") from error
        kind = "command" if words else "files"
        out = os.path.abspath(given["out"])
        servers.append(ServerTable(name="file", kind=kind, file=out, run=words))
    elif given.get("command"):
        raise OperatorError("--run without --file", hint="name the file that the command reads")
    tables = [
        CertificateTable(
            chain=os.path.abspath(path),
            issuer=os.path.abspath(given["issuer"]) if given.get("issuer") else "",
            responder_urls=list(given["urls"]) or None,
            servers=[server.name for server in servers],
        )
        for path in given["certificates"]
    ]
    return _changed(Settings(certificate=tables, server=servers), given)


def _changed(settings: Settings, given: dict[str, Any]) -> Settings:
    """`settings` with what the options say instead."""
    import os

    from msgspec import structs

    from holdfast.errors import OperatorError
    from holdfast.settings import parse_address

    changes: dict[str, Any] = {}
    if given.get("state"):
        changes["state"] = os.path.abspath(given["state"])
    if given.get("listen"):
        if parse_address(given["listen"]) is None:
            raise OperatorError(
                f"--listen {given['listen']!r} is not an address", hint="write 127.0.0.1:9120"
            )
        changes["listen"] = given["listen"]
    recheck: timedelta | None = given.get("recheck")
    if recheck:
        changes["recheck"] = recheck
    return structs.replace(settings, keeper=structs.replace(settings.keeper, **changes))


async def _serve(read: Callable[[], Settings], *, as_json: bool) -> int:
    import asyncio
    import logging
    import signal

    from holdfast.net.notify import Notify, given_sockets
    from holdfast.wiring_keeper import House

    house = House(read, notify=Notify.from_environment(), sockets=given_sockets())
    _warn_of_nothing(house)
    loop = asyncio.get_running_loop()
    if not house.count and not house.lacking:
        logging.getLogger("holdfast.keeper").warning(
            "keeping nothing: no certificate is there yet; the places are watched"
        )
    async with house:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, house.stop)
        reloads: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = loop.create_task(house.try_reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        _announce(house, as_json=as_json)
        await house.run()
    return 0


async def _look(read: Callable[[], Settings], *, dry_run: bool, as_json: bool) -> int:
    """Say what the settings mean (--check) or what would be done now (--dry-run)."""
    from holdfast.cli.output import Printer, write_document
    from holdfast.services.keeper_state import status_document
    from holdfast.wiring_keeper import House

    house = House(read)
    _refuse_nothing(house)
    _refuse_none_found(house)
    keeper = house.keeper
    await keeper.load()
    names = {entry.key: entry.name for entry in keeper.entries}
    actions = [
        {"do": type(action).__name__.lower(), "name": names[action.key], "server": _server(action)}
        for action in keeper.plan().actions
    ]
    if as_json:
        document = status_document(keeper, house.clock.now())
        write_document({**document, "actions": actions} if dry_run else document)
        return 0
    printer = Printer.on()
    if dry_run:
        for action in actions:
            to = f" ({action['server']})" if action["server"] else ""
            printer.line(f"would {action['do']} {action['name']}{to}")
        if not actions:
            printer.line(f"nothing to do before {keeper.plan().wake_at:%Y-%m-%d %H:%M:%S} UTC")
        return 0
    for entry in sorted(keeper.entries, key=lambda entry: entry.name):
        asks = ", ".join(entry.subject.responder_urls) or "no responder: stapling does not apply"
        servers = ", ".join(h.name for h in entry.holders if h.name) or "the store only"
        printer.line(f"{entry.name}: asks {asks}; gives to {servers}")
    for told in house.passed_over:
        printer.line(f"passed over: {told}")
    for leaf in house.lacking:
        name = leaf.names[0] if leaf.names else leaf.subject
        where = ", ".join(leaf.issuer_urls)
        printer.line(f"{name}: its issuer is in no file; the keeper will ask for it at {where}")
    count = len(keeper.entries) + len(house.lacking)
    printer.line(f"{count} certificate{'' if count == 1 else 's'}; the settings are good")
    return 0


def _refuse_none_found(house: House) -> None:
    """Settings that name places, in none of which a certificate is."""
    from holdfast.errors import OperatorError

    if house.count or house.lacking:
        return
    places = ", ".join(table.chain for table in house.settings.certificate)
    raise OperatorError(
        f"{places}: no certificate is there, so that nothing would be kept",
        hint="name a fullchain.pem, or a folder or a pattern that has some now"
        + "".join(f"; passed over: {told}" for told in house.passed_over[:3]),
    )


def _refuse_nothing(house: House) -> None:
    from holdfast.errors import OperatorError

    if not house.settings.certificate:
        raise OperatorError(
            f"{house.settings.file or 'the settings'}: no certificate to keep",
            hint='add [[certificate]] with chain = "fullchain.pem"',
        )


def _warn_of_nothing(house: House) -> None:
    """A keeper may run before `holdfast setup` wires the first site to it."""
    import logging

    if not house.settings.certificate:
        logging.getLogger("holdfast.keeper").warning(
            "no certificate to keep in %s: `holdfast setup` adds some, or add [[certificate]]",
            house.settings.file or "the settings",
        )


def _announce(house: House, *, as_json: bool) -> None:
    import sys

    from holdfast.cli.output import Printer, write_document
    from holdfast.cli.params import HostPort

    page = None
    if house.page_address is not None:
        host, port = house.page_address
        page = f"http://{HostPort(host, port)}/" if port else f"unix:{host}"
    state, count = house.settings.keeper.state, house.count
    if as_json:
        document = {"schema": "holdfast.keep/1", "state": state, "url": page, "certificates": count}
        write_document(document)
    else:
        where = f"; status at {page}" if page else ""
        Printer.on().line(f"keeping {count} certificates in {state}{where}")
    sys.stdout.flush()


def _server(action: object) -> str:
    holder = getattr(action, "holder", None)
    if holder is not None:
        return str(holder) or "store"
    return str(getattr(action, "code", ""))


def _log_to_stderr(level: str) -> None:
    """One line an event on stderr, in UTC."""
    import logging
    import sys
    import time

    from holdfast.cli.output import printable

    class Line(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            trace = record.exc_info
            record.exc_info = None
            text = printable(super().format(record)).replace("\n", " ")
            return text if not trace else f"{text}\n{self.formatException(trace)}"

    handler = logging.StreamHandler(sys.stderr)
    line = Line("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    line.converter = time.gmtime
    handler.setFormatter(line)
    logger = logging.getLogger("holdfast")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
