"""`holdfast web`: the checker and the keeper's state as web pages and a JSON API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.params import HOST_PORT, json_option

if TYPE_CHECKING:
    from holdfast.settings_web import WebTable


@click.command()
@click.option("-c", "--config", type=click.Path(), help="Settings with a [web] table.")
@click.option(
    "--listen", type=HOST_PORT,
    help="Where to serve; port 0 takes a free one.  [default: 127.0.0.1:8480]",
)  # fmt: skip
@click.option(
    "--keeper", type=click.Path(), metavar="STATE",
    help="Show the inventory of the keeper with this state folder too.",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(), metavar="DIR",
    help="Keep the history here; without it what was checked is forgotten at the end.",
)  # fmt: skip
@click.option("--ca-file", type=click.Path(), help="The roots to trust, instead of the system's.")
@click.option(
    "--allow-private-targets", is_flag=True,
    help="Look at private and loopback addresses too, for anybody who asks.",
)  # fmt: skip
@click.option(
    "--trust-forwarded", "trust", metavar="NETS", multiple=True,
    help="Reverse proxies in front, as 127.0.0.1, whose X-Forwarded-For is believed.",
)  # fmt: skip
@json_option
def web(*, config: str | None, as_json: bool, **given: Any) -> int:
    """Serve the checker as a page: one field, and an answer that grows as it comes.

    Without JavaScript the page reloads itself; the same is there as JSON. Private, loopback and
    link-local targets are refused, unless they are allowed. Limits and the token for refreshing
    are in the settings. SIGTERM ends it.
    """
    import asyncio

    from holdfast.errors import OperatorError

    table = _table(config, given)
    try:
        from holdfast.wiring_web import serving
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markupsafe"):
            raise
        raise OperatorError(
            "the web page needs the package Jinja2", hint="pip install 'holdfast[web]'"
        ) from error
    asyncio.run(_serve(serving, table, as_json=as_json))
    return 0


def _table(config: str | None, given: dict[str, Any]) -> WebTable:
    """The settings' [web] with what the options say instead."""
    from msgspec import structs

    from holdfast.errors import OperatorError
    from holdfast.settings import parse_address, read_settings
    from holdfast.settings_web import WebTable, refuse_inconsistent

    table = WebTable() if config is None else read_settings(config).web
    changes: dict[str, Any] = {}
    if given["listen"] is not None:
        changes["listen"] = str(given["listen"])
    for key in ("keeper", "state", "ca_file", "allow_private_targets"):
        if given[key]:
            changes[key] = given[key]
    if given["trust"]:
        changes["trust_forwarded"] = [net for nets in given["trust"] for net in nets.split(",")]
    table = structs.replace(table, **changes)

    def wrong(path: tuple[Any, ...], problem: str, hint: str) -> OperatorError:
        return OperatorError(problem, hint=hint)

    refuse_inconsistent(table, wrong, parse_address)
    return table


async def _serve(serving: Any, table: WebTable, *, as_json: bool) -> None:
    import asyncio
    import logging
    import signal
    import sys
    import time

    from holdfast.cli.output import Printer, write_document

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ"
    )
    async with serving(table) as up:
        if as_json:
            write_document({"schema": "holdfast.web/1", "url": up.url, "port": up.port})
        else:
            Printer.on().line(f"serving the checker at {up.url}")
        sys.stdout.flush()
        await ended.wait()
