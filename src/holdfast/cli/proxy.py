"""`holdfast proxy`: TLS with staples in front of anything."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.params import HOST_PORT, HostPort, json_option
from holdfast.cli.stderr_log import logging_to_stderr

if TYPE_CHECKING:
    import asyncio

    from holdfast.settings_proxy import ProxyTable
    from holdfast.wiring_proxy import Stand


@click.command()
@click.option("-c", "--config", type=click.Path(), help="Settings with a [proxy] table.")
@click.option(
    "--listen", "listen", type=HOST_PORT, multiple=True,
    help="Where to serve; may be given several times; port 0 takes a free one.  [default: :443]",
)  # fmt: skip
@click.option(
    "--cert", "certs", type=click.Path(), multiple=True,
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
    "--mode", type=click.Choice(["tcp", "http"]),
    help="Pass bytes as they are, or requests with X-Forwarded-For and -Proto.  [default: tcp]",
)  # fmt: skip
@click.option(
    "--alpn", metavar="NAMES",
    help="Protocols by preference, as h2,http/1.1 for an upstream that speaks HTTP/2 in the "
    "clear.  [default: http/1.1]",
)  # fmt: skip
@click.option(
    "--proxy-protocol", type=click.Choice(["v1", "v2"]),
    help="Tell the upstream first whose connection it is.",
)  # fmt: skip
@click.option(
    "--accept-proxy-protocol", "accept", metavar="NETS", multiple=True,
    help="Load balancers in front, as 10.0.0.0/8, which send that header.",
)  # fmt: skip
@click.option(
    "--trust-forwarded", "trust", metavar="NETS", multiple=True,
    help="Clients whose X-Forwarded headers are kept, in http mode.",
)  # fmt: skip
@click.option(
    "--keeper", type=click.Path(), metavar="STATE",
    help="Use the staples of the keeper with this state folder, instead of keeping own ones.",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(), metavar="DIR",
    help="Keep own staples here too, so that a restart has them at once.",
)  # fmt: skip
@click.option(
    "--on-revoked", type=click.Choice(["staple", "withhold"]),
    help="Send a staple that says revoked, or none.  [default: staple]",
)  # fmt: skip
@click.option(
    "--serve-unstapled", is_flag=True,
    help="Serve must-staple certificates without a staple too, with an alarm in the log.",
)  # fmt: skip
@json_option
def proxy(*, config: str | None, as_json: bool, **given: Any) -> int:
    """Terminate TLS with staples in front of a plain server.

    It fetches and keeps the staples of its own certificates, or uses a running keeper's. A
    must-staple certificate without a staple is not served. SIGHUP reads certificates and keys
    again; SIGTERM lets connections end first. Limits and deadlines are in the settings.
    """
    from holdfast.wiring_proxy import stand_of

    table = _table(config, given)
    stand = stand_of(table, on_event=_say)
    with logging_to_stderr():
        _run(_serve(stand, table, as_json=as_json))
    return 0


def _table(config: str | None, given: dict[str, Any]) -> ProxyTable:
    """The settings' [proxy] with what the options say instead."""
    import os

    from msgspec import structs

    from holdfast.errors import OperatorError
    from holdfast.settings import parse_address, read_settings
    from holdfast.settings_proxy import ProxyCertificate, ProxyTable, refuse_inconsistent

    table = ProxyTable() if config is None else read_settings(config).proxy
    changes: dict[str, Any] = {}
    if given["listen"]:
        changes["listen"] = [str(place) for place in given["listen"]]
    certs, keys = given["certs"], given["keys"]
    if keys and len(keys) != len(certs):
        raise OperatorError(
            f"{len(certs)} certificates and {len(keys)} keys",
            hint="give one --key for each --cert, in the same order",
        )
    if certs:
        changes["certificates"] = [
            ProxyCertificate(chain=chain, key=keys[number] if keys else "")
            for number, chain in enumerate(certs)
        ]
    for key, option in (
        *(("key_passphrase_file", "passphrase"), ("upstream", "upstream"), ("mode", "mode")),
        *(("proxy_protocol", "proxy_protocol"), ("keeper", "keeper"), ("state", "state")),
        *(("on_revoked", "on_revoked"), ("serve_unstapled", "serve_unstapled")),
    ):
        if given[option]:
            changes[key] = given[option]
    if given["alpn"]:
        changes["alpn"] = [name.strip() for name in given["alpn"].split(",")]
    for key, option in (("accept_proxy_protocol", "accept"), ("trust_forwarded", "trust")):
        if given[option]:
            changes[key] = [net for nets in given[option] for net in nets.split(",")]
    table = structs.replace(table, **changes)
    if not table.certificates:
        where = (
            "no --cert" if config is None else f"{os.fspath(config)}: no certificates in [proxy]"
        )
        raise OperatorError(
            f"{where}: what should be served?",
            hint="give --cert fullchain.pem --key key.pem, or `certificates` in [proxy]",
        )

    def wrong(path: tuple[Any, ...], problem: str, hint: str) -> OperatorError:
        return OperatorError(problem, hint=hint)

    refuse_inconsistent(table, wrong, parse_address)
    return table


def _run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where that is installed: it takes a third less of the processor."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def _serve(stand: Stand, table: ProxyTable, *, as_json: bool) -> None:
    import asyncio
    import gc
    import signal

    from holdfast.settings import parse_address

    loop, ended, again = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # A port that cannot be had is told before anybody is asked for a staple
    for place in table.listen:
        address = parse_address(place)
        assert address is not None
        await stand.proxy.listen(*address, serving=False)
    async with stand.kept(table.keeper or None, state=table.state or None):
        try:
            await stand.proxy.start()
            loop.add_signal_handler(signal.SIGHUP, again.set)
            _announce(stand, as_json=as_json)
            gc.collect()
            gc.freeze()  # what is here stays: the collector need not look at it again
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
            "mode": None if stand.upstream is None else stand.passing.mode,
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
