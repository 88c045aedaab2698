"""Write docs/reference/commands.md from the commands' own help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.cli.group import COMMANDS, holdfast

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "commands.md"
WIDTH = 96

HEAD = """# Commands

Written from the commands' own help by `make docs`; a test fails when it is stale.

Every reading command has `--json`: one JSON document on stdout and nothing else there
([schemas](json.md)). Every command that changes something has `--dry-run`. `--at` sets the instant
for every judging command. Durations are written `90s`, `10m`, `12h`, `7d`. Files are DER, PEM or
base64, told by looking; `-` is standard input. Colours and progress appear on a terminal only, and
never with `NO_COLOR`. What the exit codes mean is [one table](exit-codes.md).

"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    with click.Context(holdfast, info_name="holdfast", **holdfast.context_settings) as ctx:
        for name, row in COMMANDS.items():
            command = holdfast.get_command(ctx, name)
            assert command is not None
            parts.append(f"## `holdfast {name}`\n\n{row.does}\n\n")
            parts += [f"```\n{text}\n```\n\n" for text in helps(command, name, ctx)]
    return "".join(parts).rstrip() + "\n"


def helps(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """The help of `command`, and of the commands that it groups."""
    with click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH) as ctx:
        yield command.get_help(ctx).rstrip()
        if isinstance(command, click.Group):
            for inner in command.list_commands(ctx):
                below = command.get_command(ctx, inner)
                assert below is not None
                yield from helps(below, inner, ctx)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: written")
