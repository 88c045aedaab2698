"""`holdfast urls`: the addresses in certificates, of a file or of a live server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.params import SECONDS, json_option

if TYPE_CHECKING:
    from holdfast.pki.certificate import Certificate

SCHEMA = "holdfast.urls/1"
_FILES = (".pem", ".crt", ".cer", ".der", ".cert", ".p7b", ".p7c", ".p7s", ".txt")


@click.command()
@click.argument("source", metavar="FILE|TARGET")
@click.option("--servername", help="The name to send by SNI; for a live server.")
@click.option(
    "--timeout", type=SECONDS, default=10.0, show_default=True, metavar="S",
    help="Seconds for the handshake with a live server.",
)  # fmt: skip
@json_option
def urls(*, source: str, servername: str | None, timeout: float, as_json: bool) -> None:
    """The OCSP, issuer and CRL addresses of every certificate of a file or a live server."""
    from holdfast.cli.output import Printer, rfc3339, write_document

    found = _of_file(source) if _is_file(source) else _of_server(source, servername, timeout)
    rows = [_row(certificate) for certificate in found]
    if as_json:
        write_document({"schema": SCHEMA, "source": source, "certificates": rows})
        return
    printer = Printer.on()
    for index, row in enumerate(rows):
        if index:
            printer.line()
        printer.line(printer.paint(row["subject"], "bold"))
        printer.field("  until", rfc3339(row["not_after"]))
        for label, key in (
            ("  OCSP", "responder_urls"),
            ("  issuer", "issuer_urls"),
            ("  CRL", "crl_urls"),
        ):
            printer.field(label, row[key] or "none")
        if row["must_staple"]:
            printer.field("  must-staple", "yes")


def _row(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "sha256": certificate.sha256,
        "not_after": certificate.not_after,
        "must_staple": certificate.must_staple,
        "responder_urls": list(certificate.responder_urls),
        "issuer_urls": list(certificate.issuer_urls),
        "crl_urls": list(certificate.crl_urls),
    }


def _is_file(source: str) -> bool:
    if source == "-" or Path(source).exists():
        return True
    # a missing file had better not be looked up in the DNS
    return "://" not in source and ("/" in source or source.lower().endswith(_FILES))


def _of_file(source: str) -> tuple[Certificate, ...]:
    from holdfast.cli.params import read_input
    from holdfast.pki import pem

    given = read_input(source)
    return pem.certificates(given.data, name=given.name)


def _of_server(source: str, servername: str | None, timeout: float) -> tuple[Certificate, ...]:
    import asyncio

    from holdfast.errors import Malformed, Unavailable
    from holdfast.net.dial import resolve
    from holdfast.net.probe import probe
    from holdfast.pki.certificate import Certificate
    from holdfast.plan.target import Target

    target = Target.parse(source)

    async def asked() -> tuple[bytes, ...]:
        trouble = "no address"
        for address in (await resolve(target.host, target.port, timeout=timeout))[:4]:
            seen = await probe(
                address,
                server_name=servername or target.host,
                starttls=target.starttls,
                host=target.host,
                timeout=timeout,
            )
            if seen.chain:
                return seen.chain
            trouble = seen.error.problem if seen.error is not None else "no certificate was sent"
        raise Unavailable(f"{target}: {trouble}", hint="look at the name, the port and the way")

    found = []
    for der in asyncio.run(asked()):
        try:
            found.append(Certificate(der))
        except Malformed as error:
            raise Malformed(f"{target}: a certificate it sent", error.problem) from error
    return tuple(found)
