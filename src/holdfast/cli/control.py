"""`holdfast status`, `refresh`, `reload`, `wait`, `staple`, `withdraw`: a keeper from outside.

All but the last two need one that runs; those read its state folder when none does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.params import DURATION, at_option, dry_run_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.settings import Settings

_state_option = click.option("--state", type=click.Path(), help="The keeper's state folder.")
_config_option = click.option("-c", "--config", type=click.Path(), help="The keeper's settings.")


def _place(command: Callable[..., Any]) -> Callable[..., Any]:
    return _state_option(_config_option(command))


@click.command()
@_place
@json_option
def status(*, state: str | None, config: str | None, as_json: bool) -> int:
    """What the running keeper holds: a validity bar each, and what happens next and when."""
    from holdfast.cli.output import Printer, write_document
    from holdfast.cli.status_text import show_status
    from holdfast.services.control_client import ask

    document = ask(_folder(state, config), {"do": "status"})
    if as_json:
        write_document(document)
        return 0
    show_status(Printer.on(), document)
    return 0


@click.command()
@click.argument("name", required=False)
@_place
@json_option
def refresh(*, name: str | None, state: str | None, config: str | None, as_json: bool) -> int:
    """Ask the responder now: for the certificate NAME, or for all."""
    from holdfast.services.control_client import ask

    answer = ask(_folder(state, config), {"do": "refresh", "name": name})
    return _said(answer, as_json, f"refreshing {', '.join(answer['refreshing'])}")


@click.command()
@_place
@json_option
def reload(*, state: str | None, config: str | None, as_json: bool) -> int:
    """Let the running keeper read its settings and certificates again."""
    from holdfast.services.control_client import ask

    answer = ask(_folder(state, config), {"do": "reload"})
    later = answer["restart_needed_for"]
    more = f"; restart it for {', '.join(later)}" if later else ""
    return _said(answer, as_json, f"keeping {answer['certificates']} certificates{more}")


@click.command()
@click.argument("certificate", metavar="CERT")
@click.option(
    "--timeout", type=DURATION, default="60s", show_default=True, help="Give up after this."
)
@_place
@json_option
def wait(
    *, certificate: str, timeout: timedelta, state: str | None, config: str | None, as_json: bool
) -> int:
    """Return when a valid staple for CERT is held and delivered; exit 3 at the timeout.

    CERT is the name of a kept certificate, its serial in hex, or its file. Of a file that was
    renewed a moment ago it waits until the keeper has seen it. For deploy hooks and ExecStartPre.
    """
    import os
    import time

    from holdfast.errors import NotFound, Unavailable
    from holdfast.services.control_client import ask

    folder = _folder(state, config)
    ends = time.monotonic() + timeout.total_seconds()
    while True:
        left = max(ends - time.monotonic(), 0.0)
        question = {"do": "wait", "name": _named(certificate), "timeout": left}
        try:
            row = ask(folder, question, timeout=left + 10)
            break
        except (Unavailable, NotFound) as error:
            # a keeper that is just being started, or has yet to see that the file changed
            if isinstance(error, Unavailable):
                passing = error.failure == "not-running"
            else:
                passing = os.path.isfile(certificate)
            if not passing or time.monotonic() >= ends:
                raise
            time.sleep(min(0.1, left))
    staple = row["staple"]
    return _said(
        row,
        as_json,
        f"{row['name']}: {staple['certificate_status']}, until {staple['withdraw_at']}",
    )


@click.command()
@click.argument("certificate", metavar="CERT")
@click.option("--issuer", type=click.Path(), help="The issuer, if CERT is a file without it.")
@click.option("--out", type=click.Path(), help="Write the DER here, not to stdout.")
@_place
@at_option
def staple(
    *,
    certificate: str,
    issuer: str | None,
    out: str | None,
    state: str | None,
    config: str | None,
    at: datetime,
) -> int:
    """Print the held staple of CERT as DER: what h2o's ocsp-update-cmd wants.

    CERT is a name, a serial in hex, or a certificate file. Without a running keeper the state
    folder is read and what lies there verified.
    """
    import base64
    import sys

    from holdfast.errors import Unavailable
    from holdfast.services.control_client import ask

    folder = _folder(state, config)
    try:
        answer = ask(folder, {"do": "staple", "name": _named(certificate)})
        der = base64.b64decode(answer["der"])
    except Unavailable as error:
        if error.failure != "not-running":
            raise
        from holdfast.wiring_withdraw import held

        der = held(folder, certificate, issuer, _settings(config), at=at).der
    if out is not None:
        from holdfast.net.files import write_atomic

        write_atomic(out, der, 0o644)
    else:
        sys.stdout.buffer.write(der)
        sys.stdout.buffer.flush()
    return 0


@click.command()
@click.argument("name", required=False)
@click.option("--expired", is_flag=True, help="Every staple that is no longer to be sent.")
@_place
@at_option
@dry_run_option
@json_option
def withdraw(
    *,
    name: str | None,
    expired: bool,
    state: str | None,
    config: str | None,
    at: datetime,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take staples away from servers and from the state folder, without the daemon.

    With --expired it is the dead man's timer: when the keeper has died, nothing is sent past its
    end. With NAME the keeper must not be running: it would give the staple back.

    Without -c it goes by the settings that the keeper left in its state folder.
    """
    import asyncio

    from holdfast.cli.output import Printer, write_document
    from holdfast.errors import OperatorError

    if expired == (name is not None):
        raise OperatorError(
            "withdraw what? give --expired or the NAME of one certificate",
            hint="`holdfast withdraw --expired` is for a timer",
        )
    from holdfast.wiring_withdraw import withdraw as run

    folder = _folder(state, config)
    settings = _settings_for_withdrawal(folder, state, config)
    taken = asyncio.run(run(folder, settings, name=name, at=at, dry_run=dry_run))
    if as_json:
        rows = [
            {"name": one.name, "server": one.server, "error": one.error or None} for one in taken
        ]
        write_document({"schema": "holdfast.withdraw/1", "dry_run": dry_run, "withdrawn": rows})
    else:
        printer = Printer.on()
        for one in taken:
            doing = "would withdraw" if dry_run else "withdrew"
            failed = f": failed: {one.error}" if one.error else ""
            printer.line(f"{doing} {one.name} from {one.server}{failed}")
        if not taken:
            printer.line("nothing to withdraw")
    return 3 if any(one.error for one in taken) else 0


def _folder(state: str | None, config: str | None) -> str:
    """The state folder: --state, the settings', or the default."""
    if state is not None:
        return state
    settings = _settings(config)
    if settings is not None:
        return settings.keeper.state
    from holdfast.settings import KeeperTable

    return KeeperTable().state


def _settings(config: str | None, state: str | None = None) -> Settings | None:
    """The settings, if there are any: those of `config`, else of the usual places unless --state
    says that it is about another keeper."""
    from holdfast.errors import OperatorError
    from holdfast.settings import read_settings, usual_file

    if config is not None:
        return read_settings(config)
    if state is not None:
        return None
    try:
        file: Path = usual_file()
    except OperatorError:
        return None
    return read_settings(file)


def _settings_for_withdrawal(folder: str, state: str | None, config: str | None) -> Settings:
    """Those of `config`, else what the keeper of `folder` ran by, else of the usual places."""
    from holdfast.errors import OperatorError
    from holdfast.settings_saved import FILE, saved_settings

    settings = saved_settings(folder) if config is None else None
    if settings is None:
        settings = _settings(config, state)
    if settings is None:
        raise OperatorError(
            f"{folder}: no settings: without {FILE} there it is not known which files a keeper "
            "delivered, and nothing was taken away",
            hint="name the keeper's settings: `holdfast withdraw --expired -c holdfast.toml`; "
            "a keeper that has no such file leaves its options in its state folder when it starts",
        )
    return settings


def _named(certificate: str) -> str:
    """What the keeper calls it: of a file, the serial of its leaf."""
    import os

    if not os.path.isfile(certificate):
        return certificate
    from holdfast.net.files import read_bounded
    from holdfast.pki import pem
    from holdfast.pki.chain import order

    leaf = order(pem.certificates(read_bounded(certificate), name=certificate)).leaf
    return f"{leaf.serial:x}"


def _said(answer: dict[str, Any], as_json: bool, text: str) -> int:
    from holdfast.cli.output import Printer, write_document

    if as_json:
        write_document(answer)
    else:
        Printer.on().line(text)
    return 0
