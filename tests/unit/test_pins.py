"""The constraints files: every dependency pinned and hashed, the smaller within the larger."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("constraints-run.txt", "constraints-test.txt", "constraints.txt")


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package -> version and hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        match = re.match(r"([a-z0-9-]+)==(\S+)", line)
        assert match, line
        hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
        found[match[1]] = (match[2], hashes)
    return found


@pytest.mark.parametrize("name", [*FILES, "constraints-sslyze.txt"])
def test_each_pin_has_hashes_and_names_no_place(name: str) -> None:
    assert all(hashes for _, hashes in pins(name).values())
    assert not re.search(r"://|file:|index|^-|^/| @ ", (ROOT / name).read_text(), re.MULTILINE)


def test_the_smaller_files_are_within_the_larger() -> None:
    run, test, whole = map(pins, FILES)
    assert run.items() <= test.items() <= whole.items()


def test_everything_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group),
    ]
    names = {re.split(r"[\[<>=]", line)[0].lower() for line in asked}
    assert names <= pins("constraints.txt").keys()
