"""Write docs/reference/findings.md from the table in holdfast.ocsp.findings."""

from __future__ import annotations

from pathlib import Path

from holdfast.ocsp.findings import RULES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "findings.md"

HEAD = """# Finding codes

Written from `src/holdfast/ocsp/findings.py` by `make docs`; a test fails when it is stale.

A finding is a fact about the world with a stable code. `holdfast check` tells the rules about a
response as `staple-...`; `holdfast verify` and `holdfast fetch` tell the same rules as
`response-...`. The severities are those of the profile `strict`; `rfc6960` and `browser` change
single rows. Words in braces are filled in from the case at hand. `--fail-on` (default `fault`) says
from which severity on the exit code is 1.

"""

TABLE = "| code | says | do | from |\n|---|---|---|---|\n"
SECTIONS = ("fatal", "fault", "warning", "note")


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for severity in SECTIONS:
        rows = [(code, rule) for code, rule in RULES.items() if rule.severity.text == severity]
        if not rows:
            continue
        parts.append(
            f"## {severity.capitalize()}\n\n| code | says | do | from |\n|---|---|---|---|\n"
        )
        parts += [
            f"| `{code}` | {_cell(rule.message)} | {_cell(rule.hint)} | {_cell(rule.spec)} |\n"
            for code, rule in rows
        ]
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("{it}", "the response")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: written")
