"""`holdfast demo`: all of OCSP stapling on loopback, step by step, with real TLS."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from holdfast.cli.params import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.cli.output import Printer
    from holdfast.demo.steps import Step
    from holdfast.demo.world import Ports, World


@click.command()
@click.option(
    "--port-base",
    type=click.IntRange(1, 65533),
    help="Use this port and the next two (responder, HTTPS, status page). Default: free ones.",
)
@click.option(
    "--once/--stay",
    default=None,
    help="End after the steps, or serve on until Ctrl-C. Default: stay on a terminal.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False),
    help="Keep the CA, keys and staples here. Default: a temporary folder, removed at the end.",
)
@json_option
def demo(*, port_base: int | None, once: bool | None, folder: str | None, as_json: bool) -> int:
    """All of OCSP stapling on this machine's loopback, with real TLS.

    Makes a private CA, its OCSP responder, a keeper and a stapling HTTPS server; shakes hands,
    judges the staple, stops the responder, revokes the certificate, and says at each step what was
    proved. Needs neither root nor anything from outside.
    """
    import asyncio
    import tempfile
    from pathlib import Path

    from holdfast.cli.output import is_terminal
    from holdfast.demo.world import Ports, folder_for

    stay = not once if once is not None else is_terminal(sys.stdout) and not as_json
    ports = Ports.after(port_base)
    if folder is not None:
        return asyncio.run(_run(folder_for(Path(folder)), ports, stay=stay, as_json=as_json))
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as made:
        return asyncio.run(_run(Path(made), ports, stay=stay, as_json=as_json))


async def _run(folder: Path, ports: Ports, *, stay: bool, as_json: bool) -> int:
    import contextlib
    import time

    from holdfast.cli.output import Printer, write_document
    from holdfast.demo.steps import STEPS, Failed, run
    from holdfast.demo.world import World

    printer = Printer.on()
    begun = time.perf_counter()
    done: list[Step] = []
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_quiet_logs())
        world = World(folder, ports, stack)
        failure: Failed | None = None
        try:
            async for step in run(world):
                done.append(step)
                if not as_json:
                    _show(printer, len(done), step)
        except Failed as error:
            failure = error
        seconds = time.perf_counter() - begun
        if as_json:
            steps = [
                {"does": s.does, "proved": s.proved, "milliseconds": round(s.seconds * 1000, 1)}
                for s in done
            ]
            failed = None if failure is None else failure.message
            write_document({"schema": "holdfast.demo/1", "steps": steps, "failed": failed})
            return int(failure is not None)
        if failure is not None:
            printer.line(f"{printer.paint(_mark(printer, ok=False), 'red')} {failure.message}")
            return 1
        whole = f"all {len(STEPS)} steps held, in {seconds:.1f} s"
        printer.line("")
        printer.line(printer.paint(whole, "good"))
        if stay:
            await _stay(printer, world)
    return 0


def _show(printer: Printer, number: int, step: Step) -> None:
    from datetime import UTC, datetime

    from holdfast.cli.output import validity_bar

    mark = printer.paint(_mark(printer, ok=True), "good")
    printer.line(f"{mark} {number:2} {printer.paint(step.does, 'bold')}")
    printer.line(f"     {step.proved}")
    if step.staple is not None:
        staple, at = step.staple, datetime.now(UTC)
        bar = validity_bar(staple.this_update, staple.next_update, at=at, unicode=printer.unicode)
        told = staple.certificate_status.text
        printer.line(f"     {printer.paint(bar, told)} {told}")
    printer.stream.flush()


def _mark(printer: Printer, *, ok: bool) -> str:
    if printer.unicode:
        return "✓" if ok else "✗"
    return "ok" if ok else "FAILED"


async def _stay(printer: Printer, world: World) -> None:
    """Serve on until Ctrl-C or SIGTERM, and say what can be tried meanwhile."""
    import asyncio
    import signal

    from holdfast.demo.world import HOST

    https = f"{HOST}:{world.proxy.port}"
    printer.line("")
    printer.line("still serving; try, in another terminal:")
    printer.line(f"  status page   {world.page_url}")
    printer.line(f"  the site      https://localhost:{world.proxy.port}/ (trust {world.roots})")
    printer.line(f"  openssl s_client -connect {https} -status -CAfile {world.roots} </dev/null")
    printer.line(f"  holdfast check {https} --servername localhost --ca-file {world.roots}")
    printer.line("Ctrl-C ends it")
    printer.stream.flush()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    printer.line("")


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """The steps tell what happens; the services' own logs would drown them."""
    import logging

    import structlog

    logger, were = logging.getLogger("holdfast"), structlog.get_config()
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        logger.setLevel(before)
        structlog.configure(**were)
