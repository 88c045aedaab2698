"""`holdfast responder`: answer OCSP for one CA or several, from whatever ledgers they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import click

from holdfast.cli.given_ca import HASHES, ca_options, given_ca
from holdfast.cli.params import DURATION, HOST_PORT, HostPort, json_option

if TYPE_CHECKING:
    from holdfast.wiring_responder_ca import GivenCA
    from holdfast.wiring_responder_service import Service

WITH_CONFIG = frozenset({"config", "listen", "workers", "lint_only", "as_json"})


@click.command()
@click.option(
    "-c", "--config", type=click.Path(), help="Settings with a [responder] table, for all CAs."
)
@ca_options
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
    "--store", type=click.Path(dir_okay=False), help="Answers that `holdfast presign` signs ahead."
)
@click.option(
    "--hash",
    "hashes",
    type=click.Choice(HASHES),
    multiple=True,
    default=("sha1",),
    show_default="sha1",
    help="How the CertIDs in the store are made; requests by others are signed when asked.",
)
@click.option(
    "--delay",
    type=DURATION,
    default="1m",
    show_default=True,
    help="The store is used while it was compared with the ledger within that time.",
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
    "--workers",
    type=click.IntRange(0, 1024),
    help="Processes that answer; 0: one for each processor.  [default: 1]",
)
@click.option("--check", "lint_only", is_flag=True, help="Judge one answer of each kind, and end.")
@json_option
@click.pass_context
def responder(
    ctx: click.Context,
    /,
    *,
    config: str | None,
    crl_unlisted: Literal["good", "unauthorized"],
    responses: str | None,
    store: str | None,
    hashes: tuple[str, ...],
    delay: timedelta,
    listen: HostPort,
    prefix: str,
    max_age: timedelta,
    never_issued: str,
    workers: int | None,
    lint_only: bool,
    as_json: bool,
    **of_ca: Any,
) -> int:
    """Answer OCSP, by GET and POST: for one CA by these options, for several by --config.

    The answers are signed when they are asked for: by the delegated --signer, or by the CA itself.
    An empty index is valid: then no serial was ever issued. SIGTERM lets the answers under way
    end; SIGHUP reads the settings again. More can be said in the settings: stores of pre-signed
    answers, several signers, keys in tokens, metrics, audit.
    """
    from holdfast.cli.responder_run import check, run

    if config is not None:
        _refuse_beside_config(ctx)
        where = listen if _is_given(ctx, "listen") else None

        def read(names: Sequence[str] = ()) -> Service:
            return _configured(config, names, where, workers)

    else:
        given = given_ca(
            crl_unlisted=crl_unlisted,
            responses=responses,
            prefix=prefix,
            never_issued=never_issued,
            **of_ca,
        )
        if store is not None:
            _refuse_signed_already(given)
            given = replace(given, store=store, hashes=hashes, delay=delay)

        def read(names: Sequence[str] = ()) -> Service:
            return _of_options(given, names, listen, workers, max_age)

    if lint_only:
        return check(read(), as_json=as_json)
    return run(read, as_json=as_json)


def _refuse_signed_already(given: GivenCA) -> None:
    from holdfast.errors import OperatorError

    if given.responses is not None:
        raise OperatorError(
            "--store beside --responses: nothing is signed ahead of what is signed already",
            hint="leave --store out, or give a ledger instead of --responses",
        )


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


def _refuse_beside_config(ctx: click.Context) -> None:
    from holdfast.errors import OperatorError

    for param in ctx.command.params:
        if param.name and param.name not in WITH_CONFIG and _is_given(ctx, param.name):
            raise OperatorError(
                f"{param.opts[0]} beside --config, which says it for each CA",
                hint="write it into the settings: `holdfast keep --show-settings` shows the keys",
            )


def _configured(
    config: str, names: Sequence[str], listen: HostPort | None, workers: int | None
) -> Service:
    """What the settings say, with what the options say instead."""
    from msgspec import structs

    from holdfast.errors import OperatorError
    from holdfast.settings import read_settings
    from holdfast.wiring_responder_service import service_of

    table = read_settings(config).responder
    changes: dict[str, Any] = {}
    if listen is not None:
        changes["listen"] = [str(listen)]
    if workers is not None:
        changes["workers"] = workers
    if not table.ca:
        raise OperatorError(
            f"{config}: no [[responder.ca]]: for whom is to be answered?",
            hint='add [[responder.ca]] with certificate = "ca.pem" and its ledger',
        )
    return service_of(structs.replace(table, **changes), names)


def _of_options(
    given: GivenCA,
    names: Sequence[str],
    listen: HostPort,
    workers: int | None,
    max_age: timedelta,
) -> Service:
    from holdfast.settings_responder import ResponderTable
    from holdfast.wiring_responder_service import Service, places_of, workers_of

    table = ResponderTable(listen=[str(listen)])
    return Service(
        cas=(given,),
        listen=places_of(table, names),
        workers=1 if workers is None else workers_of(workers),
        max_age=max_age,
    )
