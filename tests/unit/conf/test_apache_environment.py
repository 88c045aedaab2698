"""What a shell would make of envvars, without a shell; and a shell as the oracle."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from holdfast.conf.apache_environment import environment

FILES = {
    "plain": "A=1\nexport B=2\n# C=3\n",
    "quotes": 'A="x y"\nB=\'$A\'\nC="$A z"\nD=a\\ b\nE=a"b c"\'d\'\n',
    "defaults": "B=${A:-x}\nA=1\nC=${A:-x}$A${A}y\nD=\nE=${D-x}${F-y}\n",
    "patterns": "P=/etc/apache2-x.conf\nA=${P##*/}\nB=${P%.conf}\nC=${P#/etc/}\nD=${P%%-*}\n",
    "conditions": (
        'if [ "$NONE" = "" ] ; then\n  A=1\nelse\n  A=2\nfi\nif test -n "$A"; then\nB=1\nfi\n'
        'if [ "$A" != 1 ]\nthen\nC=1\nif [ -z "" ]; then\nD=1\nfi\nelse\nE=1\nfi\n'
    ),
    "unset": "A=1\nB=2\nunset A\nunset HOME\n",
    "comment after": "A=1 # why\nB=2; export B\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_shell_makes_the_same_of_it(name: str, tmp_path: Path) -> None:
    assert environment(FILES[name], {}) == by_shell(FILES[name], {}, tmp_path)


@pytest.mark.parametrize("folder", ["/etc/apache2", "/etc/apache2-second"])
def test_debians_own(folder: str, tmp_path: Path) -> None:
    text = Path("/etc/apache2/envvars").read_text()
    given = {"APACHE_CONFDIR": folder}
    assert environment(text, given) == by_shell(text, given, tmp_path)


def by_shell(text: str, given: dict[str, str], folder: Path) -> dict[str, str]:
    script = folder / "script"
    script.write_text(f"set -a\n{text}\nenv -0\n")
    done = subprocess.run(
        ["sh", script], check=True, env={**given, "PATH": "/usr/bin:/bin"}, capture_output=True
    )
    pairs = (one.partition("=") for one in done.stdout.decode().split("\0") if one)
    return {name: value for name, _, value in pairs if name not in ("PWD", "PATH", "_", "OLDPWD")}
