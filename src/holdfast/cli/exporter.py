"""`holdfast exporter`: checks for Prometheus, as its multi-target exporters make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from holdfast.cli.params import HOST_PORT, INPUT, SECONDS, HostPort, Input, json_option

if TYPE_CHECKING:
    from holdfast.wiring_exporter import Exporting


@click.command()
@click.option(
    "--listen", type=HOST_PORT, default="127.0.0.1:8481", show_default=True,
    help="Where to serve; port 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--allow-private-targets", "private", is_flag=True,
    help="Look at private and loopback addresses too, for anybody who asks.",
)  # fmt: skip
@click.option("--ca-file", type=INPUT, help="The roots to trust, instead of the system's.")
@click.option(
    "--at-once", type=click.IntRange(1, 500), default=32, show_default=True,
    help="How many probes run at a time; eight times as many wait.",
)  # fmt: skip
@click.option(
    "--handshakes", type=click.IntRange(1, 10), default=2, show_default=True,
    help="How many for each address, TLS version and kind of key.",
)  # fmt: skip
@click.option(
    "--deadline", type=SECONDS, default=60.0, show_default=True, metavar="S",
    help="Seconds for one probe at most, whatever timeout Prometheus names.",
)  # fmt: skip
@click.option(
    "--timeout-offset", "offset", type=SECONDS, default=0.5, show_default=True, metavar="S",
    help="Answer so many seconds before Prometheus gives up.",
)  # fmt: skip
@click.option("--no-fetch", is_flag=True, help="Do not ask responders or fetch issuers.")
@click.option("--crl", "crls", is_flag=True, help="Fetch the CRL too, at every scrape.")
@json_option
def exporter(
    *,
    listen: HostPort,
    private: bool,
    ca_file: Input | None,
    at_once: int,
    handshakes: int,
    deadline: float,
    offset: float,
    no_fetch: bool,
    crls: bool,
    as_json: bool,
) -> int:
    """Answer /probe?target=HOST:PORT with the metrics of a check, /metrics with its own.

    TARGET is what `holdfast check` takes. Also: servername=NAME and require_staple=1. The timeout
    of the scrape is the deadline of the probe. Private, loopback and link-local targets are
    refused, unless they are allowed. SIGTERM ends it.
    """
    import asyncio

    from holdfast.cli.check import trusted_roots
    from holdfast.services.checker import Looking
    from holdfast.services.exporter import Limits
    from holdfast.wiring_exporter import Exporting

    wanted = Exporting(
        host=listen.host,
        port=listen.port,
        trusted=trusted_roots(ca_file),
        allow_private=private,
        ask=not no_fetch,
        crls=crls,
        looking=Looking(handshakes=handshakes),
        limits=Limits(at_once=at_once, waiting=8 * at_once, most=deadline, offset=offset),
    )
    asyncio.run(_serve(wanted, as_json=as_json))
    return 0


async def _serve(wanted: Exporting, *, as_json: bool) -> None:
    import asyncio
    import signal
    import sys

    from holdfast.cli.output import Printer, write_document
    from holdfast.wiring_exporter import exporting

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with exporting(wanted) as server:
        url = f"http://{HostPort(*server.address)}/"
        if as_json:
            write_document({"schema": "holdfast.exporter/1", "url": url, "port": server.port})
        else:
            Printer.on().line(f"answering {url}probe?target=")
        sys.stdout.flush()
        await ended.wait()
