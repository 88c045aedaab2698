"""`holdfast proxy`: TLS with staples in front of anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from holdfast.cli.params import HOST_PORT, HostPort, json_option

if TYPE_CHECKING:
    import asyncio

    from holdfast.wiring_proxy import Stand


@click.command()
@click.option(
    "--listen", "listen", type=HOST_PORT, multiple=True, default=[":443"], show_default=True,
    help="Where to serve; may be given several times; port 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--cert", "certs", type=click.Path(), multiple=True, required=True,
    help="A certificate with its chain; several for several names, or RSA beside ECDSA.",
)  # fmt: skip
@click.option(
    "--key", "keys", type=click.Path(), multiple=True,
    help="Its private key, in the order of --cert; may be left out where --cert holds it.",
)  # fmt: skip
@click.option(
    "--key-passphrase-file", "passphrase", type=click.Path(),
    help="A file whose first line opens the private keys.",
)  # fmt: skip
@click.option(
    "--upstream", metavar="http://HOST:PORT",
    help="The plain server behind; without one a page tells what is stapled.",
)  # fmt: skip
@click.option(
    "--keeper", "state", type=click.Path(), metavar="STATE",
    help="Use the staples of the keeper with this state folder, instead of keeping own ones.",
)  # fmt: skip
@click.option(
    "--on-revoked", type=click.Choice(["staple", "withhold"]), default="staple",
    show_default=True, help="Send a staple that says revoked, or none.",
)  # fmt: skip
@json_option
def proxy(
    *,
    listen: tuple[HostPort, ...],
    certs: tuple[str, ...],
    keys: tuple[str, ...],
    passphrase: str | None,
    upstream: str | None,
    state: str | None,
    on_revoked: str,
    as_json: bool,
) -> int:
    """Terminate TLS with staples in front of a plain server.

    It fetches and keeps the staples of its own certificates, or uses a running keeper's. SIGHUP
    reads certificates and keys again; SIGTERM lets connections end first.
    """
    import asyncio

    from holdfast.services.proxy import Upstream
    from holdfast.wiring_proxy import Files, Stand

    stand = Stand(
        files=Files(
            certificates=certs,
            keys=keys,
            passphrase=passphrase,
        ),
        upstream=None if upstream is None else Upstream.parse(upstream),
        on_revoked="withhold" if on_revoked == "withhold" else "staple",
        on_event=_say,
    )
    with _logging_to_stderr():
        asyncio.run(_serve(stand, listen, state, as_json=as_json))
    return 0


async def _serve(
    stand: Stand, listen: tuple[HostPort, ...], state: str | None, *, as_json: bool
) -> None:
    import asyncio
    import signal

    loop, ended, again = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # A port that cannot be had is told before anybody is asked for a staple
    for place in listen:
        await stand.proxy.listen(place.host, place.port, serving=False)
    async with stand.kept(state):
        try:
            await stand.proxy.start()
            loop.add_signal_handler(signal.SIGHUP, again.set)
            _announce(stand, as_json=as_json)
            reloading = asyncio.create_task(_reloads(stand, again))
            await ended.wait()
            reloading.cancel()
        finally:
            await stand.proxy.close()


async def _reloads(stand: Stand, again: asyncio.Event) -> None:
    """Reload at each SIGHUP; several during one count once."""
    from holdfast.errors import HoldfastError

    while True:
        await again.wait()
        again.clear()
        try:
            await stand.reload()
        except HoldfastError as error:
            _say("reload-failed", {"error": error.message, "hint": error.hint})
        else:
            _say("reloaded", {"certificates": len(stand.tls.identities)})


def _announce(stand: Stand, *, as_json: bool) -> None:
    import sys

    from holdfast.cli.output import Printer, write_document

    addresses = [HostPort(str(host), port) for host, port in stand.proxy.addresses]
    rows = stand.rows()
    if as_json:
        document = {
            "schema": "holdfast.proxy/1",
            "addresses": [str(address) for address in addresses],
            "port": addresses[0].port,
            "upstream": None if stand.upstream is None else str(stand.upstream),
            "certificates": rows,
        }
        write_document(document)
        return
    printer = Printer.on()
    where = ", ".join(f"https://{address}/" for address in addresses)
    behind = "a page about its staples" if stand.upstream is None else str(stand.upstream)
    printer.line(f"serving {behind} at {where}")
    for row in rows:
        printer.line(f"  {row['name']}, {row['key_type']}: {row['staple']}")
    sys.stdout.flush()


def _say(event: str, facts: Mapping[str, object]) -> None:
    """One event in the log."""
    import logging

    from holdfast.cli.output import printable

    told = " ".join(f"{name}={_quoted(value)}" for name, value in facts.items() if value != "")
    logging.getLogger("holdfast.proxy").info("%s", printable(f"{event} {told}"))


def _quoted(value: object) -> str:
    import json

    text = str(value)
    return text if text and not set(text) & set(' "=\n') else json.dumps(text)


@contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """What happens is told on stderr, one line an event, in UTC."""
    import logging
    import time

    handler = logging.StreamHandler()
    shape = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    shape.converter = time.gmtime
    handler.setFormatter(shape)
    logger = logging.getLogger("holdfast")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
