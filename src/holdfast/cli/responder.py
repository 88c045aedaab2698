"""`holdfast responder`: answer OCSP for one CA or several, from whatever ledgers they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import click

from holdfast.cli.params import DURATION, HOST_PORT, INPUT, HostPort, Input, json_option

if TYPE_CHECKING:
    from holdfast.wiring_responder import File
    from holdfast.wiring_responder_ca import GivenCA
    from holdfast.wiring_responder_service import Service

WITH_CONFIG = frozenset({"config", "listen", "workers", "lint_only", "as_json"})


@click.command()
@click.option(
    "-c", "--config", type=click.Path(), help="Settings with a [responder] table, for all CAs."
)
@click.option("--ca", type=INPUT, help="The CA's certificate (and perhaps key).")
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
    "--store", type=click.Path(dir_okay=False), help="Answers that `holdfast presign` signs ahead."
)
@click.option(
    "--hash",
    "hashes",
    type=click.Choice(["sha1", "sha256", "sha384", "sha512"]),
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
    *,
    config: str | None,
    ca: Input | None,
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
    store: str | None,
    hashes: tuple[str, ...],
    delay: timedelta,
    listen: HostPort,
    prefix: str,
    validity: timedelta,
    backdate: timedelta,
    max_age: timedelta,
    never_issued: str,
    responder_id: str,
    pss: bool,
    workers: int | None,
    lint_only: bool,
    as_json: bool,
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
            ca=ca,
            signer=signer,
            key=key,
            passphrase=passphrase,
            index=index,
            ledger=ledger,
            ledger_query=ledger_query,
            crls=crls,
            crl_issuers=crl_issuers,
            crl_unlisted=crl_unlisted,
            responses=responses,
            prefix=prefix,
            validity=validity,
            backdate=backdate,
            never_issued=never_issued,
            responder_id=responder_id,
            pss=pss,
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


def given_ca(
    *,
    ca: Input | None,
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
    prefix: str,
    validity: timedelta,
    backdate: timedelta,
    never_issued: str,
    responder_id: str,
    pss: bool,
) -> GivenCA:
    """The one CA of the options; what does not fit together is refused."""
    from datetime import UTC, datetime

    from holdfast import wiring_responder as wiring
    from holdfast.errors import OperatorError
    from holdfast.pki.keys import passphrase_of
    from holdfast.plan.rules import NeverIssued, Rules
    from holdfast.wiring_responder_ca import GivenCA
    from holdfast.wiring_responder_service import common_name

    if ca is None:
        raise OperatorError(
            "neither --ca nor --config: for whom is to be answered?",
            hint="give --ca ca.pem and its ledger, or -c holdfast.toml",
        )
    given = {"--index": index, "--ledger": ledger, "--crl": crls or None, "--responses": responses}
    several = [option for option, value in given.items() if value is not None]
    if len(several) > 1:
        number = ("two", "three", "four")[len(several) - 2]
        raise OperatorError(
            f"{' and '.join(several)} are {number} ledgers for one CA", hint="give one of them"
        )
    if not several:
        raise OperatorError(
            "no ledger given: what did the CA issue and revoke?",
            hint="give --index index.txt, --ledger ledger.sqlite, --crl ca.crl or --responses FILE",
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
    issuer = wiring.certificate_in(_file(ca))
    common = GivenCA(name=common_name(issuer), certificate=issuer, prefix=prefix)
    if responses is not None:
        if signer is not None or key is not None:
            raise OperatorError(
                "--responses are signed already: nothing is signed with --signer or --key",
                hint="leave the two out, or give a ledger instead of --responses",
            )
        return replace(common, responses=responses)
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
    return replace(
        common,
        signers=(signs,),
        rules=Rules(validity=validity, backdate=backdate, never_issued=NeverIssued(never_issued)),
        index=index,
        ledger=ledger,
        query=None if ledger_query is None else _file(ledger_query),
        lists=lists,
    )


def _file(given: Input) -> File:
    from holdfast.wiring_responder import File

    return File(given.name, given.data)
