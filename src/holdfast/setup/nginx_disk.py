"""nginx's files and its program, read: the configuration from disk, `nginx -v` and `-V`.

Laws: nothing is written; files and matches are bounded; names are kept as nginx has them, links
followed. A configuration's bytes are kept as they are, so that what is changed can be compared.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.conf.nginx_reading import Reading, read
from holdfast.conf.text import read_text
from holdfast.errors import DeliveryError, OperatorError
from holdfast.net.files import read_bounded
from holdfast.net.program import DEADLINE, run_program

MAX_CONFIGURATION = 64 * 1024 * 1024  # bytes of one file
MAX_MATCHES = 100_000  # files of one include
OLDEST = (1, 3, 7)  # nginx's CHANGES: "ssl_stapling"
OLD_SUFFIXES = ("tar.gz", "zip")

_VERSION = re.compile(r"version: (\S+?)/(\d+(?:\.\d+)+)")
_OPTION = re.compile(r"--([a-z-]+)=('[^']*'|\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What the program says of itself. Paths are whole."""

    version: tuple[int, ...]
    prefix: Path
    config: Path
    pid_file: Path
    error_log: str  # a path, or "stderr"


async def build(program: str, *, deadline: float = DEADLINE) -> Build:
    """`nginx -V`; `OperatorError` when it is not there, too old, or has no TLS."""
    try:
        ended = await run_program("nginx", (program, "-V"), deadline=deadline)
    except DeliveryError as error:
        raise OperatorError(
            error.message, hint="install nginx, or say where its program is"
        ) from error
    return parse_build(ended.said, program=program)


def parse_build(said: str, *, program: str = "nginx") -> Build:
    """The same from the words."""
    found = _VERSION.search(said)
    if found is None:
        raise OperatorError(
            f"`{program} -V` does not say which nginx it is",
            hint="say where nginx's program is",
        )
    version = tuple(int(part) for part in found[2].split("."))
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise OperatorError(
            f"{program} is {found[1]} {found[2]}, which cannot staple: that began with {oldest}",
            hint="upgrade nginx",
        )
    if "--with-http_ssl_module" not in said:
        raise OperatorError(
            f"{program} was built without TLS (--with-http_ssl_module)",
            hint="install a build with it; Debian's package nginx has it",
        )
    options = {name: value.strip("'") for name, value in _OPTION.findall(said)}
    prefix = Path(options.get("prefix", "/usr/local/nginx"))
    return Build(
        version=version,
        prefix=prefix,
        config=prefix / options.get("conf-path", "conf/nginx.conf"),
        pid_file=prefix / options.get("pid-path", "logs/nginx.pid"),
        error_log=options.get("error-log-path", "logs/error.log"),
    )


@dataclass(slots=True)
class DiskFiles:
    """Implements `Files` on the disk; `held`: what was read, by name. `troubles`: what the system
    said of what could not be read."""

    held: dict[Path, bytes] = field(default_factory=dict)
    troubles: dict[Path, str] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        data = self.data(name)
        return None if data is None else read_text(data)

    def data(self, name: str) -> bytes | None:
        """The bytes of `name`; None when they cannot be had."""
        path = Path(name)
        if path not in self.held:
            try:
                self.held[path] = read_bounded(path, MAX_CONFIGURATION)
            except OperatorError as error:
                self.troubles[path] = error.message
                return None
        return self.held[path]

    def matching(self, pattern: str) -> tuple[str, ...]:
        names = sorted(glob.iglob(pattern.replace("[^", "[!")))
        if len(names) > MAX_MATCHES:
            raise OperatorError(
                f"include {pattern}: more than {MAX_MATCHES} files",
                hint="this does not look like the folder that was meant",
            )
        return tuple(names)


def read_configuration(config: Path, files: DiskFiles) -> Reading:
    """The configuration that begins with `config`; `OperatorError` when that cannot be read."""
    reading = read(str(config), files)
    if reading is None:
        raise OperatorError(
            files.troubles[config], hint="say where nginx's configuration is, as by `nginx -c`"
        )
    return reading
