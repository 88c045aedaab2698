"""What the subcommands of `holdfast ca` share: options, the folder, how they tell what they did.

Law: where the folder is comes from `--ca`, before or after the subcommand, then $HOLDFAST_CA, then
`./ca`; where the ledger is from `--ledger`, likewise, then from what the folder remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from holdfast.cli.params import DURATION, INPUT, Input

if TYPE_CHECKING:
    from holdfast.stores.authority import AuthorityFolder, Made

SCHEMA = "holdfast.ca/1"
KEY_TYPES = (
    *("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096"),
    *("ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"),
)
Command = TypeVar("Command", bound=Callable[..., Any])

_LEDGER = "holdfast.ledger"  # where click keeps what --ledger said, for all of one command line


def ca_option(command: Command) -> Command:
    """`--ca`, and `--ledger` for whom its folder is opened (`opened`, `ledger_url`)."""
    for option in (
        click.option(
            "--ledger",
            metavar="URL",
            expose_value=False,
            callback=_keep,
            help="Its ledger, such as postgresql://host/db. Default: what `init` was given, else"
            " ledger.sqlite in the folder.",
        ),
        click.option(
            "--ca",
            "folder",
            metavar="DIR",
            help="The CA's folder. Default: $HOLDFAST_CA, else ./ca.",
        ),
    ):
        command = option(command)
    return command


def _keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_LEDGER] = value


def ledger_url(ctx: click.Context) -> str:
    """What `--ledger` said, "" for nothing."""
    return str(ctx.meta.get(_LEDGER, ""))


passphrase_option = click.option(
    "--passphrase-file",
    "--key-passphrase-file",
    "passphrase",
    type=INPUT,
    metavar="FILE",
    help="Its first line encrypts, and opens, the CA's keys.",
)
key_type_option = click.option(
    "--key-type",
    type=click.Choice(KEY_TYPES),
    help="Default: what the CA remembers, at first ecdsa-p256.",
)
replace_option = click.option(
    "--replace", is_flag=True, help="Overwrite the files of an earlier certificate of that name."
)


def lifetime_option(default: str) -> Callable[[Command], Command]:
    return click.option(
        "--lifetime", type=DURATION, default=default, show_default=True, metavar="D"
    )


def url_options(command: Command) -> Command:
    for kind, what in (("crl", "a CRL"), ("issuer", "the issuer"), ("responder", "OCSP answers")):
        command = click.option(
            f"--{kind}-url",
            f"{kind}_urls",
            multiple=True,
            metavar="URL",
            help=f"Where {what} can be had; may be given again.",
        )(command)
    return command


def place(ctx: click.Context, given: str | None) -> Path:
    import os

    outer = ctx.obj if isinstance(ctx.obj, str) else None
    return Path(given or outer or os.environ.get("HOLDFAST_CA") or "ca")


def opened(ctx: click.Context, folder: str | None, passphrase: Input | None) -> AuthorityFolder:
    from holdfast.stores.authority import AuthorityFolder

    return AuthorityFolder.open(
        place(ctx, folder), passphrase=secret(passphrase), ledger=ledger_url(ctx)
    )


def secret(given: Input | None) -> bytes | None:
    """The first line of a passphrase file."""
    from holdfast.errors import OperatorError

    if given is None:
        return None
    line = given.data.split(b"\n", 1)[0].rstrip(b"\r")
    if not line or b"\x00" in line:
        raise OperatorError(
            f"{given.name}: no passphrase in its first line", hint="write the passphrase there"
        )
    return line


def check_urls(*groups: Sequence[str]) -> None:
    from urllib.parse import urlsplit

    for url in (url for group in groups for url in group):
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https", "ldap") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            good = False
        if not good or not url.isascii() or any(c.isspace() for c in url):
            raise click.UsageError(f"{url!r} is not an address: write http://host/path")


def base_name(name: str) -> str:
    """`name` as the name of a file."""
    text = name.replace("*", "_").replace(":", "_").replace("/", "_").strip("[].") or "_"
    return text[:100]


def with_addresses(word: str) -> tuple[str, ...]:
    """A test server on this machine is reached by its addresses too."""
    return (word, "127.0.0.1", "::1") if word == "localhost" else (word,)


def described(made: Made) -> dict[str, Any]:
    certificate = made.certificate
    return {
        "serial": f"{certificate.serial:x}",
        "subject": certificate.subject,
        "names": list(certificate.names),
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "key_type": certificate.key_type,
        "must_staple": certificate.must_staple,
        "files": {role: str(path) for role, path in made.files.items()},
    }


def lines(what: str, made: Made) -> list[str]:
    from holdfast.cli.output import rfc3339

    certificate = made.certificate
    until = rfc3339(certificate.not_after)
    return [
        f"{what}, serial {certificate.serial:x}, until {until}",
        *(f"  {path}" for path in made.files.values()),
    ]


def tell(document: dict[str, Any], told: list[str], *, as_json: bool) -> None:
    from holdfast.cli.output import Printer, write_document

    if as_json:
        write_document(document)
        return
    printer = Printer.on()
    for line in told:
        printer.line(line)


def tell_plan(what: str, files: Any, *, as_json: bool) -> None:
    """What --dry-run says."""
    paths = [str(path) for path in files]
    document = {"schema": SCHEMA, "dry_run": True, "would": what, "files": paths}
    told = [f"would {what}", *(f"  would write {path}" for path in paths)]
    tell(document, told, as_json=as_json)


def warn(text: str) -> None:
    import sys

    from holdfast.cli.output import Printer

    Printer.on(sys.stderr).line(f"holdfast: {text}")
