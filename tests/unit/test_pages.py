"""The pages that are written from the sources, and the links between pages."""

from __future__ import annotations

import re
from pathlib import Path

from tools.findings_page import PAGE, page

from holdfast.cli.group import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")


def test_the_findings_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: run `make docs`"


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in PAGES
        for target in _LINK.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_command_page_has_every_command() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## `holdfast ([a-z]+)`", text, flags=re.MULTILINE)
    assert headings == list(COMMANDS)
