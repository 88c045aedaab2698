"""The text of `holdfast setup iis`: as it was looked at last, and with all that it must say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.setup.iis import REGISTRY, VALUE, iis_script, iis_text

GOLDEN = Path(__file__).with_name("iis.txt")


def test_the_text_is_the_one_that_was_looked_at() -> None:
    """To change it: change both, and read the difference."""
    assert iis_text() == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "said",
    [
        "Windows Server 2008 and newer: stapling is on by default",
        "not supported",
        '"Require Server Name Indication"               OFF',
        '"Use Centralized Certificate Store"            OFF',
        "EnableOcspStaplingForSni",
        r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL",
        "certutil -urlcache ocsp delete",
        "certutil -verify -urlfetch",
        "netsh winhttp show proxy",
        "-WhatIf",
        "-Undo",
        "holdfast check",
    ],
)
def test_it_says(said: str) -> None:
    assert said in iis_text()


def test_the_script_is_whole() -> None:
    """What a look can tell of PowerShell's form: pairs close, names are filled in, and everything
    that changes the machine asks ShouldProcess, so that -WhatIf changes nothing."""
    script = iis_script()
    assert script in iis_text()
    assert "@REGISTRY@" not in script
    assert "@VALUE@" not in script
    assert f"$Key = '{REGISTRY}'" in script
    assert f"$Value = '{VALUE}'" in script
    bare = re.sub(r"#[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", "", script)
    for opened, closed in ("()", "{}", "[]"):
        assert bare.count(opened) == bare.count(closed), opened
    assert "SupportsShouldProcess" in script
    changing = re.compile(
        r"^\s*(?:\$\w+ \| .*\| )?"
        r"((?:New|Set|Remove)-(?:Item|ItemProperty|NetFirewallRule|Content)\b)"
    )
    lines = script.splitlines()
    unguarded = []
    for number, line in enumerate(lines):
        if changing.match(line):
            above = "\n".join(lines[max(0, number - 7) : number])
            if "ShouldProcess" not in above:
                unguarded.append(line)
    assert unguarded == []
    assert sum(1 for line in lines if changing.match(line)) >= 6


def test_lines_fit_a_window() -> None:
    assert [line for line in iis_text().splitlines() if len(line) > 100] == []
