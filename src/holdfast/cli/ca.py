"""`holdfast ca`: a small CA in a folder. The group; the subcommands stand in ca_issue.py (making
it, issuing), ca_ledger.py (revoking, CRLs, listing, index.txt) and ca_trust.py (trust stores).
"""

from __future__ import annotations

import click

from holdfast.cli import ca_issue, ca_ledger, ca_trust
from holdfast.cli.ca_common import ca_option


@click.group()
@ca_option
@click.pass_context
def ca(ctx: click.Context, *, folder: str | None) -> None:
    """A small CA: issue, revoke, sign CRLs, trust and untrust."""
    ctx.obj = folder


for command in (
    *(ca_issue.init, ca_issue.issue, ca_issue.signer),
    *(ca_ledger.revoke, ca_ledger.unrevoke, ca_ledger.crl, ca_ledger.list_, ca_ledger.export),
    *(ca_ledger.import_, ca_trust.trust, ca_trust.untrust),
):
    ca.add_command(command)
