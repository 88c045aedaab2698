"""`holdfast ca init`, `issue` and `signer`: making the CA and its certificates.

Law: nothing is overwritten silently; `--dry-run` names the files and writes none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from holdfast.cli.ca_common import (
    KEY_TYPES,
    SCHEMA,
    base_name,
    ca_option,
    check_urls,
    described,
    key_type_option,
    ledger_url,
    lifetime_option,
    lines,
    opened,
    passphrase_option,
    place,
    replace_option,
    secret,
    tell,
    tell_plan,
    url_options,
    warn,
    with_addresses,
)
from holdfast.cli.params import DURATION, INPUT, Input, at_option, dry_run_option, json_option


@click.command()
@click.argument("directory", required=False)
@ca_option
@click.option("--name", default="Private CA", show_default=True, help="What the CA is called.")
@click.option("--intermediate", is_flag=True, help="A root, and an issuing CA below it.")
@click.option("--key-type", type=click.Choice(KEY_TYPES), default="ecdsa-p256", show_default=True)
@lifetime_option("3650d")
@url_options
@passphrase_option
@click.option("--with-server", metavar="NAME", help="Issue a server certificate as well.")
@click.option("--with-signer", is_flag=True, help="Issue a delegated OCSP signer as well.")
@at_option
@dry_run_option
@json_option
@click.pass_context
def init(
    ctx: click.Context,
    *,
    directory: str | None,
    folder: str | None,
    name: str,
    intermediate: bool,
    key_type: str,
    lifetime: timedelta,
    responder_urls: tuple[str, ...],
    issuer_urls: tuple[str, ...],
    crl_urls: tuple[str, ...],
    passphrase: Input | None,
    with_server: str | None,
    with_signer: bool,
    at: datetime,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a CA; with --with-server and --with-signer a whole test PKI at once."""
    from holdfast.stores.authority import AuthorityFolder, Remembered, Wish, refuse_existing
    from holdfast.stores.sql_engine import lasting

    path = place(ctx, directory or folder)
    check_urls(responder_urls, issuer_urls, crl_urls)
    ledger = lasting(ledger_url(ctx)) if ledger_url(ctx) else ""
    files = list(AuthorityFolder.files_of_creation(path, intermediate=intermediate, ledger=ledger))
    refuse_existing(files)
    if dry_run:
        tell_plan("make a CA", files, as_json=as_json)
        return
    made = AuthorityFolder.create(
        path,
        name=name,
        at=at,
        lifetime=lifetime,
        intermediate=intermediate,
        remembered=Remembered(
            responder_urls=responder_urls,
            issuer_urls=issuer_urls,
            crl_urls=crl_urls,
            key_type=key_type,
            ledger=ledger,
        ),
        passphrase=secret(passphrase),
    )
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "action": "init",
        "folder": path,
        "root": str(path / "root.pem"),
        "certificate": str(path / "ca.pem"),
        "subject": made.certificate.subject,
    }
    told = [f"a CA, {made.certificate.subject}, in {path}"]
    if ledger:
        document["ledger"] = ledger
        told.append(f"  its ledger: {ledger}")
    if with_server:
        served = made.issue(base_name(with_server), Wish(names=with_addresses(with_server)), at=at)
        document["server"] = described(served)
        told += lines(f"a server certificate for {with_server}", served)
    if with_signer:
        signs = made.signer(at=at)
        document["signer"] = described(signs)
        told += lines("a delegated OCSP signer", signs)
    tell(document, told, as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@ca_option
@click.option("--san", "sans", multiple=True, metavar="NAME", help="One more DNS name or address.")
@click.option("--file-name", metavar="BASE", help="Default: the first name.")
@click.option("--csr", type=INPUT, metavar="FILE", help="Take the key, and the names, from this.")
@click.option("--must-staple", is_flag=True, help="Demand a staple (RFC 7633).")
@key_type_option
@lifetime_option("90d")
@url_options
@passphrase_option
@replace_option
@at_option
@dry_run_option
@json_option
@click.pass_context
def issue(
    ctx: click.Context,
    *,
    names: tuple[str, ...],
    folder: str | None,
    sans: tuple[str, ...],
    file_name: str | None,
    csr: Input | None,
    must_staple: bool,
    key_type: str | None,
    lifetime: timedelta,
    responder_urls: tuple[str, ...],
    issuer_urls: tuple[str, ...],
    crl_urls: tuple[str, ...],
    passphrase: Input | None,
    replace: bool,
    at: datetime,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Issue a server certificate for the NAMEs, DNS names or IP addresses, all in one."""
    from holdfast.errors import OperatorError
    from holdfast.pki.csr import requested
    from holdfast.stores.authority import Wish, refuse_existing

    check_urls(responder_urls, issuer_urls, crl_urls)
    if csr is not None and key_type is not None:
        raise click.UsageError("--key-type and --csr exclude each other: the key is the request's")
    asked = None if csr is None else requested(csr.data, name=csr.name)
    wanted = (*names, *sans) or (() if asked is None else asked.names)
    if not wanted:
        raise OperatorError(
            "no name to issue a certificate for", hint="holdfast ca issue www.example.org"
        )
    authority = opened(ctx, folder, passphrase)
    base = base_name(file_name or wanted[0])
    files = authority.files_of_issue(base, with_key=asked is None)
    if not replace:
        refuse_existing(files.values())
    if dry_run:
        tell_plan(f"issue a certificate for {', '.join(wanted)}", files.values(), as_json=as_json)
        return
    wish = Wish(
        names=tuple(wanted),
        lifetime=lifetime,
        key_type=key_type,
        must_staple=must_staple,
        responder_urls=responder_urls or None,
        issuer_urls=issuer_urls or None,
        crl_urls=crl_urls or None,
        csr=asked,
    )
    made = authority.issue(base, wish, at=at, replace=replace)
    told = lines(f"a server certificate for {', '.join(wanted)}", made)
    if must_staple and not made.certificate.responder_urls:
        warn(
            "must-staple without a responder: nobody can get a staple for it; give --responder-url"
        )
    document = {"schema": SCHEMA, "action": "issue", **described(made)}
    tell(document, told, as_json=as_json)


@click.command()
@click.argument("name", default="signer")
@ca_option
@key_type_option
@lifetime_option("30d")
@click.option(
    "--renew",
    is_flag=True,
    help="Only when it is due: none is there, it ends soon, or it does not fit. For a timer.",
)
@click.option(
    "--renew-before",
    type=DURATION,
    metavar="D",
    help="How long before its end it is due. Default: a third of its lifetime.",
)
@passphrase_option
@replace_option
@at_option
@dry_run_option
@json_option
@click.pass_context
def signer(
    ctx: click.Context,
    *,
    name: str,
    folder: str | None,
    key_type: str | None,
    lifetime: timedelta,
    renew: bool,
    renew_before: timedelta | None,
    passphrase: Input | None,
    replace: bool,
    at: datetime,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Issue a delegated OCSP signer: NAME.pem and NAME.key in the CA's folder.

    With --renew, run it as often as you like: the responder takes up what changed.
    """
    from holdfast.stores.authority import refuse_existing
    from holdfast.stores.signer_renewal import BACKDATE, Due, renewing

    authority = opened(ctx, folder, passphrase)
    base = base_name(name)
    files = authority.files_of_signer(base)
    if base in ("ca", "root", "crl", "root-crl"):
        raise click.UsageError(f"{name!r} is the name of one of the CA's own files")
    if renew_before is not None and not renew:
        raise click.UsageError("--renew-before says when --renew is due: give both")
    if renew_before is not None and renew_before >= lifetime:
        raise click.UsageError("--renew-before is as long as --lifetime: it would always be due")
    if not renew:
        if not replace:
            refuse_existing(files.values())
        if dry_run:
            tell_plan("issue a delegated OCSP signer", files.values(), as_json=as_json)
            return
        made = authority.signer(
            base, at=at, lifetime=lifetime, key_type=key_type, replace=replace, backdate=BACKDATE
        )
        document = {"schema": SCHEMA, "action": "signer", **described(made)}
        tell(document, lines("a delegated OCSP signer", made), as_json=as_json)
        return
    with renewing(authority, base) as due_at:
        due = due_at(at, before=renew_before, key_type=key_type)
        if not isinstance(due, Due):
            document = {"schema": SCHEMA, "action": "signer", "renewed": False, **described(due)}
            tell(document, lines("not due: the delegated OCSP signer", due), as_json=as_json)
            return
        if dry_run:
            what = f"renew the delegated OCSP signer: {due.why}"
            tell_plan(what, files.values(), as_json=as_json)
            return
        made = authority.signer(
            base, at=at, lifetime=lifetime, key_type=key_type, replace=True, backdate=BACKDATE
        )
    document = {"schema": SCHEMA, "action": "signer", "renewed": True, "why": due.why}
    told = lines(f"a delegated OCSP signer ({due.why})", made)
    tell(document | described(made), told, as_json=as_json)
