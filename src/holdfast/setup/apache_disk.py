"""Apache on disk: its program, its configuration's files, the variables that it is given.

Laws: bounded reads; nothing is run but the program itself with -v, -V and -l; links that are only
intended can be laid over what is there.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.conf.apache_environment import environment
from holdfast.conf.text import read_text
from holdfast.errors import DeliveryError, OperatorError
from holdfast.net.files import read_bounded
from holdfast.net.program import run_program

MAX_FILE = 4 * 1024 * 1024  # bytes of one file of a configuration
MAX_FOLDER = 5_000  # files of a folder that is included whole
MAX_PRINTED = 64 * 1024
MAX_ENVIRONMENT = 256 * 1024
FIRST_VERSION = (2, 3, 3)  # mod_ssl staples from there (its documentation: "Compatibility")
PROGRAMS = ("apache2", "httpd")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
SYSCONFIG = Path("/etc/sysconfig/httpd")

_VERSION = re.compile(r"Apache/(\d+)\.(\d+)\.(\d+)")
_HOW_IT_RUNS = ("FOREGROUND", "NO_DETACH", "ONE_PROCESS", "DEBUG", "DUMP_")
_DEPENDS = re.compile(r"^#[ \t]*Depends:(.*)$", re.MULTILINE)  # a2enmod(8)
_BUILT = re.compile(r'-D (\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What the program says of itself. `root` and `config` as it was built, `modules`: those
    that are compiled in."""

    program: str
    version: tuple[int, ...]
    root: str
    config: str
    pid_file: str
    error_log: str
    modules: tuple[str, ...]


async def build(program: str, *, deadline: float) -> Build:
    """`OperatorError` when there is no such program, or it is too old. `program` "": by name."""
    whole = _found(program)
    printed = [await _printed(whole, option, deadline) for option in ("-v", "-V", "-l")]
    version = _VERSION.search(printed[0])
    if version is None:
        raise OperatorError(
            f"`{whole} -v` does not say which Apache it is",
            hint="name Apache's own program: apache2 or httpd",
        )
    numbers = tuple(int(number) for number in version.groups())
    if numbers < FIRST_VERSION:
        raise OperatorError(
            f"{whole} is Apache {'.'.join(map(str, numbers))}, which cannot staple: it can from "
            "2.3.3 on",
            hint="upgrade Apache, or put `holdfast proxy` in front of it",
        )
    built = dict(_BUILT.findall(printed[1]))
    return Build(
        program=whole,
        version=numbers,
        root=built.get("HTTPD_ROOT", "/etc/httpd"),
        config=built.get("SERVER_CONFIG_FILE", "conf/httpd.conf"),
        pid_file=built.get("DEFAULT_PIDLOG", "logs/httpd.pid"),
        error_log=built.get("DEFAULT_ERRORLOG", "logs/error_log"),
        modules=tuple(
            line.strip() for line in printed[2].splitlines() if line.strip().endswith(".c")
        ),
    )


def _found(program: str) -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
    for name in (program,) if program else PROGRAMS:
        whole = shutil.which(name, path=path)
        if whole is not None:
            return whole
    raise OperatorError(
        f"there is no Apache here: no program {program or ' or '.join(PROGRAMS)}",
        hint="install it, or name its program",
    )


async def _printed(program: str, option: str, deadline: float) -> str:
    """-V complains of a configuration that it cannot read, after it has said what we ask."""
    try:
        ended = await run_program(
            "apache", [program, option], deadline=deadline, max_printed=MAX_PRINTED
        )
    except DeliveryError as error:
        raise OperatorError(error.message, hint=error.hint) from error
    return ended.printed.decode("utf-8", "replace")


def variables(envvars: Path | None, folder: Path) -> dict[str, str]:
    """What the program is started with besides our own environment; `envvars` is a shell's file,
    `folder` the configuration's (Debian's APACHE_CONFDIR)."""
    given = {"APACHE_CONFDIR": str(folder)}
    if envvars is None:
        return {}
    try:
        text = read_text(read_bounded(envvars, MAX_ENVIRONMENT))
    except OperatorError as error:
        raise OperatorError(
            f"Apache's variables: {error.message}", hint="name the file that apachectl reads"
        ) from error
    found = environment(text, given)
    return {name: value for name, value in found.items() if name not in given}


class Disk:
    """Implements `Lookup`, and remembers. `links`: paths that shall be links, to what they say."""

    def __init__(self, links: Mapping[str, str] | None = None) -> None:
        self.data: dict[str, bytes] = {}
        self._links = dict(links or {})

    def matching(self, pattern: str) -> list[str]:
        """As httpd: a folder is read whole, hidden files too; a wildcard needs no match."""
        pattern = os.path.normpath(pattern)
        if not glob.has_magic(pattern):
            return self._below(pattern) if os.path.isdir(pattern) else self._there(pattern)
        found = set(glob.glob(pattern))
        found |= {link for link in self._links if _fits(link, pattern)}
        return [
            name
            for path in sorted(found, key=os.fsencode)
            for name in (self._below(path) if os.path.isdir(path) else [path])
        ]

    def text(self, name: str) -> str | None:
        link = self._links.get(name)
        path = name if link is None else os.path.join(os.path.dirname(name), link)
        try:
            self.data[name] = read_bounded(path, MAX_FILE)
        except OperatorError:
            return None
        return read_text(self.data[name])

    def exists(self, path: str) -> bool:
        return path in self._links or os.path.exists(path)

    def _there(self, path: str) -> list[str]:
        return [path] if self.exists(path) else []

    def _below(self, folder: str) -> list[str]:
        found: list[str] = []
        for place, folders, files in os.walk(folder):
            folders.sort()
            found += [os.path.join(place, name) for name in files]
            if len(found) > MAX_FOLDER:
                break
        return sorted(found, key=os.fsencode)[:MAX_FOLDER]


class Edited:
    """Implements `Lookup`: what `disk` had, with some texts changed. A file that was read is not
    read again, so that what is decided is decided on one state."""

    def __init__(self, disk: Disk, texts: Mapping[str, str]) -> None:
        self._disk, self._texts = disk, texts

    def matching(self, pattern: str) -> list[str]:
        return self._disk.matching(pattern)

    def text(self, name: str) -> str | None:
        text = self._texts.get(name)
        if text is None and name in self._disk.data:
            return read_text(self._disk.data[name])
        return self._disk.text(name) if text is None else text

    def exists(self, path: str) -> bool:
        return self._disk.exists(path)


def a2enmod(root: Path, *modules: str) -> dict[str, str]:
    """The links that Debian's a2enmod makes to enable `modules` and what they depend on, by the
    path of each; {} where one of them is not there to be enabled."""
    links: dict[str, str] = {}
    waiting, seen = list(modules), set(modules)
    while waiting:
        module = waiting.pop(0)
        try:
            text = read_text(read_bounded(root / "mods-available" / f"{module}.load", MAX_FILE))
        except OperatorError:
            return {}
        for ending in ("load", "conf"):
            enabled = root / "mods-enabled" / f"{module}.{ending}"
            there = (root / "mods-available" / enabled.name).exists()
            if there and not os.path.lexists(enabled):
                links[str(enabled)] = f"../mods-available/{enabled.name}"
        for line in _DEPENDS.findall(text):
            more = [word for word in line.replace(",", " ").split() if word not in seen]
            waiting += more
            seen.update(more)
    return links


def _fits(path: str, pattern: str) -> bool:
    """Wildcards do not cross folders."""
    one, other = path.split("/"), pattern.split("/")
    return len(one) == len(other) and all(map(fnmatch.fnmatchcase, one, other))


def canonical(path: str, root: str) -> str:
    return os.path.normpath(os.path.join(root, path))


def started_with(pid: int) -> tuple[str, ...]:
    """The names that a running Apache was given with -D; those about how it runs are no matter."""
    try:
        words = read_text(read_bounded(f"/proc/{pid}/cmdline", MAX_PRINTED)).split("\0")
    except OperatorError:
        return ()
    found = []
    for number, word in enumerate(words):
        name = word[2:] or "".join(words[number + 1 : number + 2])
        if word.startswith("-D") and name and not name.startswith(_HOW_IT_RUNS):
            found.append(name)
    return tuple(dict.fromkeys(found))
