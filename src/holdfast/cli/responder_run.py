"""What `holdfast responder` does once it knows for whom: run, say where, or judge its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from holdfast.cli.stderr_log import logging_to_stderr

if TYPE_CHECKING:
    from holdfast.net.sockets import Bound
    from holdfast.wiring_responder import Row
    from holdfast.wiring_responder_ca import GivenCA
    from holdfast.wiring_responder_service import Service

Read = Callable[[Sequence[str]], "Service"]
"""The service as it is configured now, given the names of the sockets that came along."""


def run(read: Read, *, as_json: bool) -> int:
    """Answer until told to end; `read` again at each SIGHUP."""
    from datetime import UTC, datetime

    from holdfast.net.notify import Notify, given_sockets
    from holdfast.services.responder_audit import COUNTED
    from holdfast.services.responder_sweeps import OVERRULINGS
    from holdfast.services.responder_tally import Tallies
    from holdfast.services.worker import Plan
    from holdfast.services.workers import Workers
    from holdfast.wiring_responder_service import plan_of

    started_at = datetime.now(UTC)
    given = given_sockets()
    names = [one.name for one in given]
    services: list[Service] = []

    def plan() -> Plan:
        services[:] = [read(names)]
        return plan_of(services[0], started_at=started_at)

    def ready(bound: Sequence[Bound]) -> None:
        _announce(services[0], bound, as_json=as_json)

    with logging_to_stderr():
        return Workers(
            plan,
            tallies=Tallies(extra=(*COUNTED, OVERRULINGS)),
            ready=ready,
            notify=Notify.from_environment(),
            given=given,
        ).run()


def _announce(service: Service, bound: Sequence[Bound], *, as_json: bool) -> None:
    import sys

    from holdfast.cli.output import Printer, write_document
    from holdfast.wiring_responder_service import OCSP, STATUS

    bases = [_base(one) for one in bound if one.place.purpose == OCSP]
    ports = [one.port for one in bound if one.place.purpose == OCSP]
    status = next((_base(one) for one in bound if one.place.purpose == STATUS), None)
    urls = [bases[0] + one.prefix.rstrip("/") for one in service.cas]
    if as_json:
        write_document(
            {
                "schema": "holdfast.responder/1",
                "url": urls[0],
                "port": ports[0],
                "addresses": bases,
                "status": status,
                "workers": service.workers,
                "cas": [
                    {"name": one.name, "url": url}
                    for one, url in zip(service.cas, urls, strict=True)
                ],
            }
        )
    else:
        printer = Printer.on()
        for one, url in zip(service.cas, urls, strict=True):
            printer.line(f"answering for {one.certificate.subject} at {url}, {_how(one)}")
        if status is not None:
            printer.line(f"metrics and health at {status}")
    sys.stdout.flush()


def _base(bound: Bound) -> str:
    """The address as a URL, one that can be asked."""
    if not bound.port:
        return f"unix:{bound.name}:"
    return f"http://{bound.name.replace('0.0.0.0:', '127.0.0.1:').replace('[::]:', '[::1]:')}"


def _how(given: GivenCA) -> str:
    if given.responses is not None:
        return "signed elsewhere"
    signer = given.signers[0] if given.signers else None
    if signer is not None:
        return f"signed by {'the CA itself' if signer.is_issuer else signer.certificate.subject}"
    return f"signed with {', '.join(place.key or place.certificate for place in given.places)}"


# -- --check --------------------------------------------------------------------------------------


def check(service: Service, *, as_json: bool) -> int:
    """Judge one answer of each kind of each CA (R33)."""
    import asyncio

    with logging_to_stderr():
        found = asyncio.run(_checked(service))
    several = [row for _, rows in found for row in rows]
    return _told(found, several, as_json)


async def _checked(service: Service) -> list[tuple[str, list[Row]]]:
    from datetime import UTC, datetime

    from holdfast import wiring_responder as wiring
    from holdfast.services.responder_audit import COUNTED, Audit
    from holdfast.services.responder_tally import COUNTERS, Tally
    from holdfast.wiring_responder_ca import open_ca
    from holdfast.wiring_responder_service import Stores

    stores = Stores()
    found: list[tuple[str, list[Row]]] = []
    for given in service.cas:
        audit = Audit(given.name, tally=Tally((*COUNTERS, *COUNTED)))
        opened = await open_ca(given, audit, stores.opened)
        if opened.ready is not None:
            rows = wiring.lint_ready(opened.ready)
        else:
            assert opened.live is not None
            assert opened.ledger is not None
            at = datetime.now(UTC)
            rows = await wiring.lint(opened.live, opened.ledger, at=at)
            if opened.shelf is not None:
                ca = given.certificate
                rows += wiring.lint_stored(opened.shelf, opened.ledger, ca, at=at)
        found.append((given.name, rows))
    stores.close()
    return found


def _told(found: list[tuple[str, list[Row]]], several: list[Row], as_json: bool) -> int:
    from holdfast.cli.output import Printer, exit_code, write_document

    findings = [one for _, _, told in several for one in told]
    if as_json:
        answers = [
            {"ca": name, "kind": kind, "serial": serial, "findings": [f.as_json() for f in told]}
            for name, rows in found
            for kind, serial, told in rows
        ]
        write_document({"schema": "holdfast.responder-check/1", "answers": answers})
        return exit_code(findings)
    printer = Printer.on()
    for name, rows in found:
        if len(found) > 1:
            printer.line(f"{name}:")
        for kind, serial, told in rows:
            clean = "" if told else "  " + printer.paint("clean", "good")
            printer.line(f"serial {serial}: {kind}{clean}")
            for one in told:
                printer.finding(one, indent="  ")
    return exit_code(findings)
