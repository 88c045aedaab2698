"""`holdfast responder`: answer OCSP for one CA, from whatever ledger it has."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import click

from holdfast.cli.params import DURATION, HOST_PORT, INPUT, HostPort, Input, json_option

if TYPE_CHECKING:
    from holdfast.seams import Ledger
    from holdfast.services.responder import Answering
    from holdfast.sources.signing import Signing
    from holdfast.wiring_responder import File, Follow, Row


@click.command()
@click.option("--ca", type=INPUT, required=True, help="The CA's certificate (and perhaps key).")
@click.option("--signer", type=INPUT, help="A delegated signer: certificate, and perhaps its key.")
@click.option("--key", type=INPUT, help="The key of the signer, or of the CA.")
@click.option("--key-passphrase-file", "passphrase", type=INPUT, help="Whose first line opens it.")
@click.option("--index", type=click.Path(), help="The CA's index.txt; read again when it changes.")
@click.option(
    "--ledger", metavar="URL", help="A ledger of ours: a path, sqlite:/// or postgresql://."
)
@click.option(
    "--ledger-query",
    type=INPUT,
    help="How to ask the database of --ledger when it is another CA's: TOML with the query.",
)
@click.option("--crl", "crls", metavar="FILE|URL", multiple=True, help="A CRL of the CA, or more.")
@click.option(
    "--crl-issuer", "crl_issuers", type=INPUT, multiple=True, help="Who signs an indirect CRL."
)
@click.option(
    "--crl-unlisted",
    type=click.Choice(["unauthorized", "good"]),
    default="unauthorized",
    show_default=True,
    help="What a serial is that no CRL lists: a CRL does not tell what was issued.",
)
@click.option(
    "--responses",
    type=click.Path(),
    help="Answers signed elsewhere: a file of base64 lines, or a directory; no key is needed.",
)
@click.option(
    "--listen",
    type=HOST_PORT,
    default="127.0.0.1:8888",
    show_default=True,
    help="Where to answer; port 0 takes a free one.",
)
@click.option("--prefix", default="", help="The path to answer under, such as /ocsp.")
@click.option(
    "--validity",
    type=DURATION,
    default="12h",
    show_default=True,
    help="From thisUpdate to nextUpdate; never beyond the signer's own end.",
)
@click.option(
    "--backdate",
    type=DURATION,
    default="0s",
    show_default=True,
    help="How far thisUpdate lies before now, for clients whose clocks are slow.",
)
@click.option(
    "--max-age",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long HTTP caches may keep an answer: a revocation is seen by then.",
)
@click.option(
    "--never-issued",
    type=click.Choice(["unauthorized", "unknown", "revoked"]),
    default="unauthorized",
    show_default=True,
    help="What to say of a serial the CA never issued; never good.",
)
@click.option(
    "--responder-id",
    type=click.Choice(["key", "name"]),
    default="key",
    show_default=True,
    help="How answers name their signer.",
)
@click.option("--pss", is_flag=True, help="Sign with RSA-PSS instead of PKCS#1 v1.5.")
@click.option("--check", "lint_only", is_flag=True, help="Judge one answer of each kind, and end.")
@json_option
def responder(
    *,
    ca: Input,
    signer: Input | None,
    key: Input | None,
    passphrase: Input | None,
    index: str | None,
    ledger: str | None,
    ledger_query: Input | None,
    crls: tuple[str, ...],
    crl_issuers: tuple[Input, ...],
    crl_unlisted: Literal["good", "unauthorized"],
    responses: str | None,
    listen: HostPort,
    prefix: str,
    validity: timedelta,
    backdate: timedelta,
    max_age: timedelta,
    never_issued: str,
    responder_id: str,
    pss: bool,
    lint_only: bool,
    as_json: bool,
) -> int:
    """Answer OCSP for one CA, by GET and POST.

    The answers are signed when they are asked for: by the delegated --signer, or by the CA itself.
    An empty index is valid: then no serial was ever issued.
    """
    from datetime import UTC, datetime

    from holdfast import wiring_responder as wiring
    from holdfast.errors import OperatorError
    from holdfast.pki.keys import passphrase_of
    from holdfast.plan.answering import NeverIssued, Rules

    given = {"--index": index, "--ledger": ledger, "--crl": crls or None, "--responses": responses}
    several = [option for option, value in given.items() if value is not None]
    if len(several) > 1:
        number = ("two", "three", "four")[len(several) - 2]
        raise OperatorError(
            f"{' and '.join(several)} are {number} ledgers for one CA", hint="give one of them"
        )
    if ledger_query is not None and ledger is None:
        raise OperatorError(
            "--ledger-query without the database to ask", hint="give its URL by --ledger"
        )
    if crls and never_issued == "revoked":
        raise OperatorError(
            "--never-issued revoked with --crl: every valid certificate would be answered revoked,"
            " because a CRL does not tell what was issued",
            hint="give --never-issued unauthorized or unknown, or --crl-unlisted good",
        )
    if validity <= timedelta(0):
        raise OperatorError(
            "--validity 0s: an answer that never holds", hint="give 12h, or 7d for offline clients"
        )
    _log_to_stderr()
    if responses is not None:
        if signer is not None or key is not None:
            raise OperatorError(
                "--responses are signed already: nothing is signed with --signer or --key",
                hint="leave the two out, or give a ledger instead of --responses",
            )
        return _ready(_file(ca), responses, listen, prefix, max_age, lint=lint_only, json=as_json)
    rules = Rules(validity=validity, backdate=backdate, never_issued=NeverIssued(never_issued))
    signs = wiring.signer_from(
        _file(ca),
        signer=None if signer is None else _file(signer),
        key=None if key is None else _file(key),
        passphrase=None if passphrase is None else passphrase_of(passphrase.data),
        responder="name" if responder_id == "name" else "key",
        pss=pss,
    )
    wiring.refuse_unfit(signs, datetime.now(UTC))
    lists = wiring.Lists(crls, tuple(map(_file, crl_issuers)), crl_unlisted) if crls else None
    query = None if ledger_query is None else _file(ledger_query)
    book = wiring.ledger_from(
        issuer=signs.issuer, index=index, ledger=ledger, query=query, lists=lists
    )
    signing = wiring.signing_from(signs, book, rules)
    if lint_only:
        return _lint(signing, book, as_json)
    return _serve(
        signing,
        listen,
        prefix,
        max_age,
        as_json,
        about=_signed_by(signing),
        follow=wiring.follower_of(book),
    )


def _ready(
    ca: File,
    path: str,
    listen: HostPort,
    prefix: str,
    max_age: timedelta,
    *,
    lint: bool,
    json: bool,
) -> int:
    import asyncio

    from holdfast import wiring_responder as wiring

    ready = asyncio.run(wiring.ready_from(path, ca))
    if lint:
        return _told(wiring.lint_ready(ready), json)
    about = f"answering for {ready.ca.subject}, {len(ready)} certificates, signed elsewhere, at"
    return _serve(ready, listen, prefix, max_age, json, about=(about, ""))


def _lint(signing: Signing, ledger: Ledger, as_json: bool) -> int:
    import asyncio
    from datetime import UTC, datetime

    from holdfast import wiring_responder as wiring

    return _told(asyncio.run(wiring.lint(signing, ledger, at=datetime.now(UTC))), as_json)


def _told(rows: list[Row], as_json: bool) -> int:
    from holdfast.cli.output import Printer, exit_code, write_document

    findings = [found for _, _, told in rows for found in told]
    if as_json:
        answers = [
            {"kind": kind, "serial": serial, "findings": [f.as_json() for f in told]}
            for kind, serial, told in rows
        ]
        write_document({"schema": "holdfast.responder-check/1", "answers": answers})
        return exit_code(findings)
    printer = Printer.on()
    for kind, serial, told in rows:
        clean = "" if told else "  " + printer.paint("clean", "good")
        printer.line(f"serial {serial}: {kind}{clean}")
        for found in told:
            printer.finding(found, indent="  ")
    return exit_code(findings)


def _signed_by(signing: Signing) -> tuple[str, str]:
    signer = signing.signer
    who = "the CA itself" if signer.is_issuer else signer.certificate.subject
    return f"answering for {signer.issuer.subject} at", f", signed by {who}"


def _serve(
    answering: Answering,
    listen: HostPort,
    prefix: str,
    max_age: timedelta,
    as_json: bool,
    *,
    about: tuple[str, str],
    follow: Follow | None = None,
) -> int:
    import asyncio

    from holdfast.cli.output import Printer, write_document
    from holdfast.net.clock import SystemClock
    from holdfast.net.http_server import serve
    from holdfast.services.responder import Responder

    async def run() -> None:
        import signal

        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        handler = Responder(answering, clock=SystemClock(), prefix=prefix, max_age=max_age)
        server = await serve(listen.host or "0.0.0.0", listen.port, handler.handle)  # noqa: S104
        url = f"http://{HostPort(listen.host or '127.0.0.1', server.port)}{handler.path}"
        if as_json:
            write_document({"schema": "holdfast.responder/1", "url": url, "port": server.port})
        else:
            Printer.on().line(f"{about[0]} {url}{about[1]}")
        import sys

        sys.stdout.flush()
        following = None if follow is None else asyncio.create_task(follow())
        await ended.wait()
        if following is not None:
            following.cancel()
        await server.close()

    asyncio.run(run())
    return 0


def _log_to_stderr() -> None:
    """Stdout is for the one line, or document, that says where the answers are."""
    import sys

    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _file(given: Input) -> File:
    from holdfast.wiring_responder import File

    return File(given.name, given.data)
