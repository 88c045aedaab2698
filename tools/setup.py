#!/usr/bin/env python3
"""Make .venv and install what is pinned: `tools/setup.py run|test`.

`run` is what holdfast needs, `test` adds the tools and the tests. Everything comes by hash from
constraints-run.txt or constraints-test.txt; holdfast itself is installed editable, without
dependencies and without build isolation. A digest of all that matters is kept beside the packages:
when it still fits, nothing is done.

Runs on the machine's own Python, with nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NEEDS = (3, 11)
SETS = ("test", "run")  # the larger first: it contains the other


def main() -> int:
    """Bring .venv up to date for the set named on the command line."""
    wanted = sys.argv[1] if len(sys.argv) == 2 else ""
    if wanted not in SETS:
        return fail("usage: tools/setup.py run|test")
    if sys.version_info < NEEDS:
        return with_newer_python()
    if any(
        stamp(name).is_file() and stamp(name).read_text() == digest(name)
        for name in SETS[: SETS.index(wanted) + 1]
    ):
        return 0
    return install(wanted)


def install(wanted: str) -> int:
    """Create .venv where there is none that fits, install the set, leave the stamp."""
    if not fits():
        say("making .venv")
        done = run([sys.executable, "-m", "venv", "--clear", str(VENV)])
        if done.returncode:
            hint = "hint: on Debian and Ubuntu, `apt-get install python3-venv`"
            return fail(f"{done.stdout}\ncould not make a virtual environment", hint)
    stamp(wanted).unlink(missing_ok=True)
    pins = ROOT / f"constraints-{wanted}.txt"
    total = len(re.findall(r"^[a-z0-9].*==", pins.read_text(), flags=re.MULTILINE))
    say(f"installing {total} pinned packages into .venv")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    code, log = watched([*pip, "--no-deps", "--require-hashes", "-r", str(pins)], total)
    if code == 0:
        own = run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
        code, log = own.returncode, own.stdout
    if code:
        return fail(log[-4000:], "could not install the packages; the end of pip's log is above")
    stamp(wanted).write_text(digest(wanted))
    return 0


def fits() -> bool:
    """Whether .venv runs, on this Python, and was made at this path."""
    if not PYTHON.exists():
        return False
    asked = "import sys; print(sys.version_info[:2], sys.prefix)"
    done = run([str(PYTHON), "-c", asked])
    return done.returncode == 0 and done.stdout.strip() == f"{sys.version_info[:2]} {VENV}"


def stamp(name: str) -> Path:
    """The file that says which `digest` the set `name` was installed with."""
    return VENV / f".stamp-{name}"


def digest(name: str) -> str:
    """Changes whenever the set `name` has to be installed again."""
    whole = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for path in (ROOT / f"constraints-{name}.txt", ROOT / "pyproject.toml"):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def watched(command: list[str], total: int) -> tuple[int, str]:
    """Run pip; on a terminal count the packages it has collected in one line."""
    log: list[str] = []
    seen = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line)
            if line.startswith("Collecting "):
                seen += 1
                progress(f"[{seen}/{total}] {line.split()[1].partition('==')[0]}")
            elif line.startswith("Installing "):
                progress("unpacking")
    progress("")
    return process.returncode, "".join(log)


def progress(text: str) -> None:
    """Show `text` in place of what was last shown, on a terminal only."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{text[:width]}")
        sys.stderr.flush()


def with_newer_python() -> int:
    """Start again on a newer Python of this machine, if it has one."""
    for minor in range(19, NEEDS[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            os.execv(found, [found, *sys.argv])
    have = ".".join(map(str, sys.version_info[:2]))
    return fail(
        f"holdfast needs Python 3.11 or later; this is {have}",
        "hint: install a newer one and run `make PYTHON=/path/to/python3 ...`",
    )


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `command`, both its streams in `.stdout`."""
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def say(text: str) -> None:
    """One line about what is being done."""
    sys.stderr.write(f"set-up: {text}\n")


def fail(*lines: str) -> int:
    """Say why, and give the exit code."""
    sys.stderr.write("\n".join(("set-up:", *lines)).replace("set-up:\n", "set-up: ") + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
