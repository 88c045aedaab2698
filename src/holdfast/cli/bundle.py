"""`holdfast bundle`: issuer certificates gathered from anywhere, in order, as one PEM file.

Law: with a server's certificate among them the bundle is its chain, leaf first, and nothing else;
without, it is every certificate given, each before its issuer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.params import SECONDS, dry_run_option, json_option

if TYPE_CHECKING:
    from holdfast.pki.certificate import Certificate

SCHEMA = "holdfast.bundle/1"


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--aia", is_flag=True, help="Fetch missing issuers from where certificates say.")
@click.option("--out", "-o", metavar="F.pem", help="Default: stdout.")
@click.option("--no-root", is_flag=True, help="Leave self-signed certificates out.")
@click.option("--all", "everything", is_flag=True, help="Keep what belongs to no chain.")
@click.option("--proxy", metavar="URL", help="An HTTP proxy for the URLs.")
@click.option(
    "--timeout", type=SECONDS, default=10.0, show_default=True, metavar="S",
    help="Seconds for each URL.",
)  # fmt: skip
@dry_run_option
@json_option
def bundle(
    *,
    sources: tuple[str, ...],
    aia: bool,
    out: str | None,
    no_root: bool,
    everything: bool,
    proxy: str | None,
    timeout: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Gather certificates from files, directories and URLs, put them in order, write one PEM.

    A SOURCE is PEM, DER or PKCS#7; the order in which they are given does not matter.
    """
    import sys

    from holdfast.cli.output import Printer, write_document
    from holdfast.pki import pem

    given = _given(sources, aia=aia, proxy=proxy, timeout=timeout)
    ordered, left_out = arranged(given, everything=everything)
    if no_root:
        ordered = [one for one in ordered if not one.self_issued]
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "dry_run": dry_run,
        "out": out,
        "certificates": [one.subject for one in ordered],
        "sha256": [one.sha256 for one in ordered],
        "left_out": [one.subject for one in left_out],
    }
    data = pem.encode_certificates(ordered)
    if out and not dry_run:
        from holdfast.net.files import write_atomic

        write_atomic(out, data, 0o644)
    if as_json:
        write_document(document)
        return
    if dry_run or out:
        _tell(document, "would write" if dry_run else "wrote", out)
    else:
        sys.stdout.write(data.decode())
    if left_out:
        names = ", ".join(one.subject for one in left_out[:3])
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        Printer.on(sys.stderr).line(f"holdfast: left out, as no part of the chain: {names}{more}")


def arranged(
    given: Iterable[Certificate], *, everything: bool
) -> tuple[list[Certificate], list[Certificate]]:
    """(in order, left out)."""
    from holdfast.pki.chain import order

    pool = list(dict.fromkeys(given))
    leaves = [one for one in pool if not one.is_ca]
    ordered: dict[Certificate, None] = {}
    for leaf in leaves:
        ordered |= dict.fromkeys(order([leaf], extra=pool).certificates)
    rest = [one for one in pool if one not in ordered]
    if leaves and not everything:
        return list(ordered), rest
    while rest:
        ordered |= dict.fromkeys(order(rest).certificates)
        rest = [one for one in rest if one not in ordered]
    return list(ordered), []


def _given(
    sources: tuple[str, ...], *, aia: bool, proxy: str | None, timeout: float
) -> list[Certificate]:
    """Everything the sources hold; without a URL or --aia nothing of the network is loaded."""
    from holdfast.net.issuers import from_path, is_url

    if not aia and not any(map(is_url, sources)):
        return [one for source in sources for one in from_path(source)]
    import asyncio

    from holdfast.net.http_client import Http
    from holdfast.net.issuers import completed, from_source

    async def gathered() -> list[Certificate]:
        found: list[Certificate] = []
        async with Http(proxy=proxy, timeout=timeout) as http:
            for source in sources:
                found += await from_source(source, http)
            if aia:
                tops = [one for one in found if not one.is_ca] or found[:1]
                for one in tops:
                    found += (await completed([one], http, extra=found)).certificates
        return found

    return asyncio.run(gathered())


def _tell(document: dict[str, Any], did: str, out: str | None) -> None:
    from holdfast.cli.output import Printer

    printer = Printer.on()
    printer.line(f"{did} {out or 'to stdout'}: {len(document['certificates'])} certificates")
    for subject in document["certificates"]:
        printer.line(f"  {subject}")
