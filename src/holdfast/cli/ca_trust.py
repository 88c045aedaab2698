"""`holdfast ca trust` and `untrust`: the CA's root in the stores that this machine's programs read.

Law: what `trust` changes, `untrust` puts back; what is needed for it is kept in the CA's folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from holdfast.cli.ca_common import SCHEMA, ca_option, opened, tell
from holdfast.cli.params import dry_run_option, json_option

if TYPE_CHECKING:
    from holdfast.net.trust_stores import TrustStore

Command = TypeVar("Command", bound=Callable[..., Any])


def store_options(command: Command) -> Command:
    for option in (
        click.option(
            "--nssdb",
            "nssdbs",
            multiple=True,
            metavar="DIR",
            help="One NSS database by its folder.",
        ),
        click.option(
            "--bundle",
            "bundles",
            multiple=True,
            metavar="FILE",
            help="One PEM file of trusted CAs.",
        ),
        click.option(
            "--system-dir",
            metavar="DIR",
            help="Put the file there only, in place of the system's folder for local CAs.",
        ),
        click.option(
            "--store",
            "stores",
            type=click.Choice(["system", "nss", "openssl"]),
            multiple=True,
            help="Default: system and nss, unless other places are named.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@ca_option
@store_options
@dry_run_option
@json_option
@click.pass_context
def trust(ctx: click.Context, /, *, folder: str | None, dry_run: bool, **places: Any) -> None:
    """Have this machine's programs trust the CA: curl, OpenSSL, Chromium, Firefox."""
    _change(ctx, folder, "trust", dry_run=dry_run, **places)


@click.command()
@ca_option
@store_options
@dry_run_option
@json_option
@click.pass_context
def untrust(ctx: click.Context, /, *, folder: str | None, dry_run: bool, **places: Any) -> None:
    """Take the CA's trust back: every file is as it was."""
    _change(ctx, folder, "untrust", dry_run=dry_run, **places)


def _change(
    ctx: click.Context,
    folder: str | None,
    action: str,
    *,
    dry_run: bool,
    as_json: bool,
    **places: Any,
) -> None:
    import hashlib

    from holdfast.net.keepsake import Keepsake

    authority = opened(ctx, folder, None)
    stores = _stores(**places)
    results: list[dict[str, str]] = []
    for store in stores:
        if dry_run:
            results.append({"store": store.name, "did": f"would {action}"})
            continue
        own = hashlib.sha256(store.name.encode()).hexdigest()[:16]
        kept = Keepsake(authority.path.resolve() / "trusted" / own)
        if action == "trust":
            did = store.trust(authority.root, kept)
        else:
            did = store.untrust(authority.root, kept)
            kept.forget()
        results.append({"store": store.name, "did": did})
    document = {
        "schema": SCHEMA,
        "action": action,
        "dry_run": dry_run,
        "certificate": str(authority.path / "root.pem"),
        "stores": results,
    }
    told = [f"{row['store']}: {row['did']}" for row in results]
    tell(document, [f"{authority.root.subject}", *(f"  {line}" for line in told)], as_json=as_json)


def _stores(
    *, stores: tuple[str, ...], system_dir: str | None, bundles: tuple[str, ...],
    nssdbs: tuple[str, ...],
) -> list[TrustStore]:  # fmt: skip
    from pathlib import Path

    from holdfast.net import trust_stores as known

    named = bool(system_dir or bundles or nssdbs)
    wanted = set(stores) if stores or named else {"system", "nss"}
    found: list[TrustStore] = []
    if system_dir:
        found.append(known.SystemStore(Path(system_dir).absolute()))
    elif "system" in wanted:
        found.append(known.system_store())
    if "openssl" in wanted:
        found.append(known.openssl_bundle())
    found += [known.BundleFile(Path(name).absolute()) for name in bundles]
    found += [known.NssDatabase(Path(name).absolute()) for name in nssdbs]
    if "nss" in wanted and not nssdbs and (stores or known.have_certutil()):
        found += known.nss_databases(Path.home())
    return found
