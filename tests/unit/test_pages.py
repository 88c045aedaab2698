"""The pages that are written from the sources, and the links between pages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import ModuleType

import click
import pytest
from tools import commands_page, findings_page, settings_page

from holdfast.cli.group import holdfast

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")


WRITTEN = (commands_page, findings_page, settings_page)


@pytest.mark.parametrize("tool", WRITTEN, ids=lambda tool: tool.__name__)
def test_written_pages_are_current(tool: ModuleType) -> None:
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "stale: run `make docs`"


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in PAGES
        for target in _LINK.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


COMMAND_LINES = sorted(
    {
        line.strip()
        for path in PAGES
        if path != commands_page.PAGE
        for block in _BLOCK.findall(path.read_text(encoding="utf-8"))
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip().startswith("holdfast ")
    }
)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_in_the_pages_name_what_exists(line: str) -> None:
    """Every command and option that a page tells people to type is there."""
    words = shlex.split(re.split(r"[|>&]", line)[0], comments=True)[1:]
    command: click.Command = holdfast
    with click.Context(holdfast, **holdfast.context_settings) as ctx:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            inner = command.get_command(ctx, words.pop(0))
            assert inner is not None, line
            command = inner
        params = command.get_params(ctx)
    known = {name for param in params for name in (*param.opts, *param.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known
