"""`holdfast ca`, what changes or shows the ledger: revoke, unrevoke, crl, list, export, import."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.ca_common import (
    SCHEMA,
    ca_option,
    ledger_url,
    lifetime_option,
    opened,
    passphrase_option,
    tell,
    tell_plan,
    warn,
)
from holdfast.cli.params import (
    INPUT,
    INSTANT,
    Input,
    InputType,
    at_option,
    dry_run_option,
    json_option,
)

if TYPE_CHECKING:
    from holdfast.pki.certificate import Certificate
    from holdfast.seams import LedgerEntry
    from holdfast.stores.authority import AuthorityFolder
    from holdfast.stores.sql import Issue, SqlLedger

MAX_INDEX = 1 << 30  # bytes; as in stores.index_lines
# RFC 5280 5.3.1, without removeFromCRL, which only delta CRLs use
REASONS = (
    *("unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded"),
    *("cessationOfOperation", "certificateHold", "privilegeWithdrawn", "aACompromise"),
)


@click.command()
@click.argument("certificate", metavar="CERTIFICATE")
@ca_option
@click.option(
    "--reason", type=click.Choice(REASONS, case_sensitive=False), help="Default: not told."
)
@click.option("--at", "at", type=INSTANT, metavar="RFC3339", help="Since when.  [default: now]")
@dry_run_option
@json_option
@click.pass_context
def revoke(
    ctx: click.Context,
    *,
    certificate: str,
    folder: str | None,
    reason: str | None,
    at: datetime | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Revoke a certificate: its file, its name, or its serial."""
    from datetime import UTC

    from holdfast.cli.output import rfc3339
    from holdfast.errors import OperatorError
    from holdfast.ocsp.statuses import RevocationReason

    why = None if reason is None else RevocationReason.by_text(reason)
    since = at or datetime.now(UTC)
    ledger, found = opened(ctx, folder, None).find(certificate)
    with ledger:
        entry = found.entry
        if entry.revoked_at is not None:
            raise OperatorError(
                f"serial {entry.serial:x} is revoked already, since {rfc3339(entry.revoked_at)}",
                hint="to change the reason, unrevoke it first",
            )
        told = f"revoke serial {entry.serial:x} ({entry.subject}) since {rfc3339(since)}"
        told += "" if why is None else f", {why.text}"
        if dry_run:
            tell_plan(told, [], as_json=as_json)
            return
        ledger.revoke(entry.serial, at=since, reason=why)
    document = {
        "schema": SCHEMA,
        "action": "revoke",
        "serial": f"{entry.serial:x}",
        "revoked_at": since,
        "reason": None if why is None else why.text,
    }
    tell(document, [told.replace("revoke", "revoked", 1)], as_json=as_json)


@click.command()
@click.argument("certificate", metavar="CERTIFICATE")
@ca_option
@dry_run_option
@json_option
@click.pass_context
def unrevoke(
    ctx: click.Context, *, certificate: str, folder: str | None, dry_run: bool, as_json: bool
) -> None:
    """Take a revocation back; RFC 5280 foresees that for certificateHold only."""
    from holdfast.errors import OperatorError
    from holdfast.ocsp.statuses import RevocationReason

    ledger, found = opened(ctx, folder, None).find(certificate, revoked=True)
    with ledger:
        entry = found.entry
        if entry.revoked_at is None:
            raise OperatorError(
                f"serial {entry.serial:x} is not revoked", hint="see 'holdfast ca list'"
            )
        told = f"unrevoke serial {entry.serial:x} ({entry.subject})"
        if dry_run:
            tell_plan(told, [], as_json=as_json)
            return
        ledger.unrevoke(entry.serial)
    if entry.reason is not RevocationReason.CERTIFICATE_HOLD:
        warn("it was not on hold: whoever saw it revoked may go on refusing it (RFC 5280 5.3.1)")
    document = {"schema": SCHEMA, "action": "unrevoke", "serial": f"{entry.serial:x}"}
    tell(document, [told.replace("unrevoke", "unrevoked", 1)], as_json=as_json)


@click.command()
@ca_option
@lifetime_option("7d")
@passphrase_option
@at_option
@dry_run_option
@json_option
@click.pass_context
def crl(
    ctx: click.Context,
    *,
    folder: str | None,
    lifetime: timedelta,
    passphrase: Input | None,
    at: datetime,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Sign a new CRL: crl.pem and crl.der in the CA's folder."""
    authority = opened(ctx, folder, passphrase)
    if dry_run:
        names = ("crl.pem", "crl.der")
        tell_plan("sign a CRL", [authority.path / name for name in names], as_json=as_json)
        return
    files = authority.crl(at=at, lifetime=lifetime)
    document = {
        "schema": SCHEMA,
        "action": "crl",
        "this_update": at,
        "next_update": at + lifetime,
        "files": {role: str(path) for role, path in files.items()},
    }
    tell(document, ["a new CRL", *(f"  {path}" for path in files.values())], as_json=as_json)


@click.command("list")
@ca_option
@at_option
@json_option
@click.pass_context
def list_(ctx: click.Context, *, folder: str | None, at: datetime, as_json: bool) -> None:
    """Everything issued, and what became of it."""
    from holdfast.cli.output import Printer, rfc3339, write_document
    from holdfast.stores.authority import certificates_in

    authority = opened(ctx, folder, None)
    rows = [_row(issuer, one, at) for issuer, one in certificates_in(authority)]
    if as_json:
        head = {"schema": "holdfast.ca.list/1", "ca": authority.certificate.subject}
        write_document({**head, "certificates": rows})
        return
    printer = Printer.on()
    if not rows:
        printer.line("nothing issued yet; see 'holdfast ca issue'")
        return
    table = [
        (
            row["serial"],
            row["name"] or "-",
            row["state"] + (f" ({row['reason']})" if row["reason"] else ""),
            rfc3339(row["not_after"]),
            row["subject"],
        )
        for row in rows
    ]
    printer.table(("serial", "name", "state", "until", "subject"), table)


@click.command()
@ca_option
@click.option(
    "--out", "-o", metavar="FILE", help="Default: index.txt in the CA's folder; - for stdout."
)
@at_option
@dry_run_option
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    *,
    folder: str | None,
    out: str | None,
    at: datetime,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write the ledger as an index.txt for `openssl ca` and `openssl ocsp`.

    A file that is there is kept as FILE.old, as `openssl ca` does it.
    """
    import sys
    from pathlib import Path

    from holdfast.net.files import read_bounded, write_atomic
    from holdfast.stores.index_txt import ATTRIBUTES, MAX_INDEX, write_index

    authority = opened(ctx, folder, None)
    data = write_index(_entries(authority), at=at)
    if out == "-":
        sys.stdout.buffer.write(data)
        return
    path = Path(out) if out else authority.path / "index.txt"
    beside = path.with_name(path.name + ".attr")
    if dry_run:
        tell_plan("write the index", [path, beside], as_json=as_json)
        return
    written = [f"{path}: {len(data.splitlines())} certificates"]
    if path.exists() and (held := read_bounded(path, MAX_INDEX)) != data:
        old = path.with_name(path.name + ".old")
        write_atomic(old, held, 0o644)
        written.append(f"  what was there is now {old}")
    write_atomic(path, data, 0o644)
    if not beside.exists():
        write_atomic(beside, ATTRIBUTES, 0o644)
        written.append(f"  {beside}")
    document = {"schema": SCHEMA, "action": "export", "files": {"index": str(path)}}
    tell(document, written, as_json=as_json)


@click.command("import")
@click.argument("index", type=InputType(MAX_INDEX), metavar="INDEX")
@ca_option
@click.option(
    "--certificate",
    type=INPUT,
    metavar="FILE",
    help="Of a CA that has no folder of ours: its own certificate. --ledger says where to.",
)
@dry_run_option
@json_option
@click.pass_context
def import_(
    ctx: click.Context,
    *,
    index: Input,
    folder: str | None,
    certificate: Input | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take issues and revocations from an index.txt that `openssl ca` wrote.

    What is revoked here stays revoked. With --certificate and --ledger the CA needs no folder: this
    is the way from an index.txt into a database.
    """
    from holdfast.stores.index_txt import read_index
    from holdfast.stores.sql_bulk import Merged

    entries = read_index(index.data, name=index.name).values()
    ledger = _into(ctx, folder, certificate, dry_run=dry_run)
    if ledger is None:  # a dry run, and no ledger there yet
        done = Merged(new=len(entries))
    else:
        with ledger:
            done = ledger.merge(entries, dry_run=dry_run)
    would = "would be" if dry_run else "were"
    document: dict[str, Any] = {"schema": SCHEMA, "action": "import", "dry_run": dry_run}
    document |= {"new": done.new, "revoked": done.revoked, "kept": done.kept, "same": done.same}
    told = [f"{done.new} certificates {would} entered, {done.revoked} {would} revoked, from"]
    told[0] += f" {index.name}"
    if done.kept:
        told.append(f"  {done.kept} are revoked here and not there: they stay revoked")
    tell(document, told, as_json=as_json)


def _into(
    ctx: click.Context, folder: str | None, certificate: Input | None, *, dry_run: bool
) -> SqlLedger | None:
    """The ledger to import into; None: it is not there, and would be made."""
    from holdfast.pki import pem
    from holdfast.stores.sql import SqlLedger

    if certificate is None:
        return opened(ctx, folder, None).ledger()
    url = ledger_url(ctx)
    if not url:
        raise click.UsageError("--certificate without --ledger: into which database?")
    ca = pem.certificates(certificate.data, name=certificate.name)[0]
    return SqlLedger.find(url, ca=ca) if dry_run else SqlLedger.create(url, ca=ca)


def _entries(authority: AuthorityFolder) -> list[LedgerEntry]:
    """The issuing CA's, with subjects as OpenSSL compares them."""
    from holdfast.stores.index_txt import subject_line

    with authority.ledger() as ledger:
        return [
            one.entry
            if one.certificate is None
            else one.entry._replace(subject=subject_line(one.certificate))
            for one in ledger.issues()
        ]


def _row(issuer: Certificate, one: Issue, at: datetime) -> dict[str, Any]:
    entry, certificate = one.entry, one.certificate
    state = "valid" if entry.not_after >= at else "expired"
    if entry.revoked_at is not None:
        state = "revoked"
    row: dict[str, Any] = {
        "serial": f"{entry.serial:x}",
        "name": one.name,
        "state": state,
        "subject": entry.subject,
        "issuer": issuer.subject,
        "names": [],
        "not_before": None,
        "not_after": entry.not_after,
        "issued_at": one.issued_at,
        "revoked_at": entry.revoked_at,
        "reason": None if entry.reason is None else entry.reason.text,
    }
    if certificate is not None:
        row["names"] = list(certificate.names)
        row["not_before"] = certificate.not_before
        row["key_type"] = certificate.key_type
        row["must_staple"] = certificate.must_staple
        row["delegated_signer"] = certificate.is_delegated_signer
        row["sha256"] = certificate.sha256
    return row
