"""One CA given by options: for whom is answered, from what ledger, and who signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import click

from holdfast.cli.params import DURATION, INPUT, Input

if TYPE_CHECKING:
    from holdfast.wiring_responder import File
    from holdfast.wiring_responder_ca import GivenCA

HASHES = ("sha1", "sha256", "sha384", "sha512")

_OPTIONS = (
    click.option("--ca", type=INPUT, help="The CA's certificate (and perhaps key)."),
    click.option(
        "--signer", type=INPUT, help="A delegated signer: certificate, and perhaps its key."
    ),
    click.option("--key", type=INPUT, help="The key of the signer, or of the CA."),
    click.option(
        "--key-passphrase-file", "passphrase", type=INPUT, help="Whose first line opens it."
    ),
    click.option(
        "--index", type=click.Path(), help="The CA's index.txt; read again when it changes."
    ),
    click.option(
        "--ledger", metavar="URL", help="A ledger of ours: a path, sqlite:/// or postgresql://."
    ),
    click.option(
        "--ledger-query",
        type=INPUT,
        help="How to ask the database of --ledger when it is another CA's: TOML with the query.",
    ),
    click.option(
        "--crl", "crls", metavar="FILE|URL", multiple=True, help="A CRL of the CA, or more."
    ),
    click.option(
        "--crl-issuer", "crl_issuers", type=INPUT, multiple=True, help="Who signs an indirect CRL."
    ),
    click.option(
        "--validity",
        type=DURATION,
        default="12h",
        show_default=True,
        help="From thisUpdate to nextUpdate; never beyond the signer's own end.",
    ),
    click.option(
        "--backdate",
        type=DURATION,
        default="0s",
        show_default=True,
        help="How far thisUpdate lies before now, for clients whose clocks are slow.",
    ),
    click.option(
        "--responder-id",
        type=click.Choice(["key", "name"]),
        default="key",
        show_default=True,
        help="How answers name their signer.",
    ),
    click.option("--pss", is_flag=True, help="Sign with RSA-PSS instead of PKCS#1 v1.5."),
)


def ca_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the options that `given_ca` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


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
