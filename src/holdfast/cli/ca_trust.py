"""`holdfast ca trust` and `untrust`."""

import click


@click.command()
def trust() -> None: ...
@click.command()
def untrust() -> None: ...
