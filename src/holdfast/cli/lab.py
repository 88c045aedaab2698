"""`holdfast lab`: the scripted responder, every fault on demand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli.params import DURATION, HOST_PORT, INPUT, HostPort, Input, json_option

if TYPE_CHECKING:
    from holdfast.lab.forge import Forge
    from holdfast.lab.responder import LabResponder
    from holdfast.lab.setting import Setting


@click.group()
def lab() -> None:
    """Experiments with what goes wrong."""


@lab.command()
@click.option("--ca", type=INPUT, help="The CA's certificate (and perhaps key); else one is made.")
@click.option("--key", type=INPUT, help="The CA's key.")
@click.option("--signer", type=INPUT, help="A delegated signer: certificate and key together.")
@click.option(
    "--key-passphrase-file", "passphrase", type=INPUT, help="Whose first line opens them."
)
@click.option(
    "--listen",
    type=HOST_PORT,
    default="127.0.0.1:0",
    show_default=True,
    help="Where to answer; port 0 takes a free one.",
)
@click.option(
    "--control",
    type=HOST_PORT,
    default="127.0.0.1:0",
    show_default=True,
    help="Where faults are set: POST /fault, GET /state, GET /log.",
)
@click.option("--fault", default="good", show_default=True, help="The first fault.")
@click.option(
    "--window",
    type=DURATION,
    default="1h",
    show_default=True,
    help="From thisUpdate to nextUpdate.",
)
@click.option(
    "--age", type=DURATION, default="0s", show_default=True, help="From thisUpdate to now."
)
@click.option("--delay", type=DURATION, default="0s", show_default=True, help="Before each answer.")
@click.option(
    "--jitter", type=DURATION, default="0s", show_default=True, help="At most so much more."
)
@click.option(
    "--log", "log_path", type=click.Path(), help="A file that gets a JSON line for each request."
)
@click.option(
    "--write-ca",
    type=click.Path(),
    metavar="DIR",
    help="Write the CA made here, and a certificate for localhost that names this responder.",
)
@click.option("--list-faults", is_flag=True, help="Show every fault, and end.")
@json_option
def responder(
    *,
    ca: Input | None,
    key: Input | None,
    signer: Input | None,
    passphrase: Input | None,
    listen: HostPort,
    control: HostPort,
    fault: str,
    window: timedelta,
    age: timedelta,
    delay: timedelta,
    jitter: timedelta,
    log_path: str | None,
    write_ca: str | None,
    list_faults: bool,
    as_json: bool,
) -> int:
    """Run a responder that goes wrong on demand.

    It answers for every serial of its CA. Faults are set by --fault, and while it runs over the
    control address:

    \b
        curl -d '{"fault": "expired"}' http://127.0.0.1:PORT/fault
        curl -d '{"fault": "hang", "serial": "4f2a", "times": 2}' http://127.0.0.1:PORT/fault
        curl http://127.0.0.1:PORT/log
    """
    if list_faults:
        return _list(as_json)

    from holdfast.errors import OperatorError
    from holdfast.lab.setting import Setting, known_fault

    if ca is not None and write_ca is not None:
        raise OperatorError(
            "--write-ca writes the CA that is made here, and --ca gives another",
            hint="leave one of the two out",
        )
    if ca is None and (key is not None or signer is not None):
        raise OperatorError("--key and --signer belong to a --ca", hint="give --ca CA.pem")
    setting = Setting(fault=known_fault(fault), window=window, age=age, delay=delay, jitter=jitter)
    forge = _forge(ca, key, signer, passphrase)
    return _serve(
        forge,
        setting,
        listen=listen,
        control=control,
        log_path=log_path,
        write_ca=write_ca,
        as_json=as_json,
    )


def _list(as_json: bool) -> int:
    from holdfast.cli.output import Printer, write_document
    from holdfast.lab.control import faults_json

    rows = faults_json()
    if as_json:
        write_document({"schema": "holdfast.lab-faults/1", "faults": rows})
        return 0
    Printer.on().table(
        ("fault", "stage", "what it does", "what holdfast says"),
        [(r["fault"], r["stage"], r["does"], r["word"] or r["seen"]) for r in rows],
    )
    return 0


def _forge(
    ca: Input | None, key: Input | None, signer: Input | None, passphrase: Input | None
) -> Forge:
    """The CA that was given, or one made for this run."""
    from datetime import UTC, datetime

    from holdfast.errors import OperatorError
    from holdfast.lab.forge import Forge
    from holdfast.net.files import warn_unless_private
    from holdfast.ocsp.sign import Signer
    from holdfast.pki import issue, keys, pem
    from holdfast.pki.issue import Authority

    now = datetime.now(UTC)
    if ca is None:
        # As old as a CA usually is: faults need certificates that ended long ago.
        return Forge(issue.root("holdfast lab CA", at=now - timedelta(days=365)), at=now)
    secret = None if passphrase is None else keys.passphrase_of(passphrase.data)
    certificate = pem.certificates(ca.data, name=ca.name)[0]
    source = key or ca
    ca_key = keys.load(source.data, passphrase=secret, name=source.name)
    warn_unless_private(source.name)
    if not keys.fits(ca_key, certificate):
        raise OperatorError(
            f"{source.name}: not the key of {certificate.subject} in {ca.name}",
            hint="give the CA's own key with --key",
        )
    authority = Authority(certificate, ca_key)
    if signer is None:
        return Forge(authority, at=now)
    delegate = pem.certificates(signer.data, name=signer.name)[0]
    delegate_key = keys.load(signer.data, passphrase=secret, name=signer.name)
    warn_unless_private(signer.name)
    if not keys.fits(delegate_key, delegate):
        raise OperatorError(
            f"{signer.name}: the key in it is not that of {delegate.subject}",
            hint="put the signer's certificate and its own key into one file",
        )
    return Forge(authority, at=now, signer=Signer(delegate, delegate_key, certificate))


def _serve(
    forge: Forge,
    setting: Setting,
    *,
    listen: HostPort,
    control: HostPort,
    log_path: str | None,
    write_ca: str | None,
    as_json: bool,
) -> int:
    import asyncio
    import signal
    import sys
    from contextlib import AsyncExitStack

    from holdfast.cli.output import Printer, write_document
    from holdfast.lab.control import Control
    from holdfast.lab.responder import LabResponder
    from holdfast.net.files import trouble
    from holdfast.net.http_server import serve

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        async with AsyncExitStack() as stack:
            log_file = None
            if log_path is not None:
                try:
                    log_file = open(log_path, "a", encoding="utf-8")  # noqa: ASYNC230, SIM115
                except (OSError, ValueError) as error:
                    raise trouble("cannot write", log_path, error) from error
                stack.callback(log_file.close)
            lab = LabResponder(forge, setting=setting, log_file=log_file)
            await lab.start(listen.host or "0.0.0.0", listen.port)  # noqa: S104
            stack.push_async_callback(lab.close)
            server = await serve(control.host or "0.0.0.0", control.port, Control(lab))  # noqa: S104
            stack.push_async_callback(server.close, grace=1)
            where = f"http://{HostPort(control.host or '127.0.0.1', server.port)}"
            files = {} if write_ca is None else _write(Path(write_ca), lab)
            if as_json:
                write_document(
                    {
                        "schema": "holdfast.lab-responder/1",
                        "url": lab.url,
                        "port": lab.port,
                        "control": where,
                        "control_port": server.port,
                        "files": files,
                    }
                )
            else:
                printer = Printer.on()
                printer.line(f"answering for {forge.authority.certificate.subject} at {lab.url}")
                printer.line(f"set faults at {where}/fault; now: {setting.fault}")
                for name, path in files.items():
                    printer.line(f"{name}: {path}")
            sys.stdout.flush()
            await ended.wait()

    asyncio.run(run())
    return 0


def _write(folder: Path, lab: LabResponder) -> dict[str, str]:
    """The CA and a server certificate whose AIA names the responder, as files."""
    from datetime import UTC, datetime

    from holdfast.net.files import trouble, write_atomic
    from holdfast.pki import keys

    authority = lab.forge.authority
    server = authority.server(
        "localhost",
        "127.0.0.1",
        "::1",
        at=datetime.now(UTC) - timedelta(minutes=10),
        responder_urls=[lab.url],
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise trouble("cannot make", folder, error) from error
    files = {
        "ca": ("ca.pem", authority.issued.pem, 0o644),
        "ca_key": ("ca.key", keys.encode(authority.key), 0o600),
        "server": ("server.pem", server.fullchain_pem, 0o644),
        "server_key": ("server.key", server.key_pem(), 0o600),
    }
    for name, data, mode in files.values():
        write_atomic(folder / name, data, mode)
    return {label: str(folder / name) for label, (name, _, _) in files.items()}
