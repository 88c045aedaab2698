"""nginx, as setup knows it.

    kind = Nginx()                       # the nginx of this machine
    configuration = await kind.examine()
    proposal = kind.propose(configuration, Wish(), issuers={})

Laws: nothing here writes; a reload is done when new workers took over, so that what the log and a
handshake say afterwards is about the new configuration. nginx takes everything up by a reload, so
a restart only starts one that is gone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from holdfast.conf.nginx_reading import Reading
from holdfast.errors import DeliveryError, HoldfastError, OperatorError
from holdfast.net.clock import SystemClock
from holdfast.net.daemon import Master
from holdfast.net.files import read_bounded
from holdfast.net.issuers import from_path
from holdfast.net.program import DEADLINE, run_program
from holdfast.pki.certificate import Certificate
from holdfast.seams import Clock
from holdfast.setup import log
from holdfast.setup.nginx_disk import Build, DiskFiles, build, read_configuration
from holdfast.setup.nginx_log import log_files
from holdfast.setup.nginx_mend import staple_file_troubles, text_troubles, trust_troubles
from holdfast.setup.nginx_native import Names
from holdfast.setup.nginx_propose import Setting, dead_lines, propose
from holdfast.setup.nginx_sites import (
    Survey,
    certificate_troubles,
    named_files,
    survey,
    survey_of,
)
from holdfast.setup.nginx_words import explained, level, refusals, said
from holdfast.setup.words import Configuration, Proposal, Site, Trouble, Wish

PROGRAM = "nginx"
RESOLV_CONF = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")
ROOTS = (  # where distributions put the roots that they trust
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Arch
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Red Hat
    Path("/etc/ssl/ca-bundle.pem"),  # SUSE
    Path("/etc/ssl/cert.pem"),  # Alpine
)
SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
MAX_SMALL = 1024 * 1024  # bytes of resolv.conf and hosts
LOOK_EVERY = 1.0  # seconds: at the log of a reload that takes its time
GAVE_UP = "still could not bind()"
NAME_SERVERS = 3  # resolv.conf(5) MAXNS


class Nginx:
    """Implements `ServerKind`. Unset paths are those that the program was built with. `roots`:
    files and folders of roots that may be told to nginx, so that it can verify. `start`: instead of
    systemctl, or of the program itself."""

    name = "nginx"

    def __init__(
        self,
        *,
        program: str = PROGRAM,
        config: Path | None = None,
        prefix: Path | None = None,
        pid_file: Path | None = None,
        error_log: Path | None = None,
        keeper_folder: Path | None = None,
        start: Sequence[str] = (),
        roots: Sequence[Path] = ROOTS,
        resolv_conf: Path = RESOLV_CONF,
        hosts: Path = HOSTS,
        clock: Clock | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._program = program
        self._config = config
        self._prefix = prefix
        self._pid_file = pid_file
        self._error_log = error_log
        self._keeper_folder = keeper_folder
        self._start = tuple(start)
        self._bundles = tuple(roots)
        self._resolv_conf = resolv_conf
        self._hosts = hosts
        self._clock = clock or SystemClock()
        self._deadline = deadline
        self._build: Build | None = None
        self._logs: tuple[Path, ...] = (error_log,) if error_log is not None else ()
        self._pid_named: Path | None = None
        self._warned: tuple[str, ...] = ()
        self._roots: tuple[Certificate, ...] | None = None
        self._master = Master("nginx", program=program)

    # -- reading ----------------------------------------------------------------------------

    async def examine(self) -> Configuration:
        made = await self._made()
        files = DiskFiles()
        reading = read_configuration(self._main(made), files)
        for name in named_files(reading):
            files.data(name)
        view = survey_of(reading, files.held, folder=self._folder(made))
        self._logs = self._log_files(reading, made)
        self._pid_named = self._named_pid(reading, made)
        troubles = (
            *text_troubles(view, made.version),
            *certificate_troubles(view, files.troubles),
            *trust_troubles(view),
            *staple_file_troubles(view, at=self._clock.now()),
        )
        return Configuration(
            version=made.version,
            files=files.held,
            sites=tuple(stand.site for stand in view.stands),
            troubles=troubles,
        )

    def propose(
        self,
        configuration: Configuration,
        wish: Wish,
        *,
        issuers: Mapping[str, tuple[Certificate, ...]],
    ) -> Proposal:
        main = next(iter(configuration.files))
        setting = Setting(
            main=main,
            folder=self._folder_beside(main),
            roots=self._trusted,
            names=self._names(),
            keys=self._keys(),
        )
        return propose(configuration, wish, issuers=issuers, setting=setting)

    def dead_lines(self, configuration: Configuration, site: Site) -> tuple[str, ...]:
        view = self._view(configuration)
        for stand in view.stands:
            if stand.site == site:
                return dead_lines(view, stand)
        return ()

    # -- running ----------------------------------------------------------------------------

    async def test(self) -> tuple[Trouble, ...]:
        ended = await run_program("nginx", self._words("-t"), deadline=self._deadline)
        if ended.code != 0:
            self._warned = ()
            return refusals(ended.said)
        self._warned = tuple(
            line for line in ended.said.splitlines() if level(line) == "warn" and explained(line)
        )
        return ()

    async def running(self) -> bool:
        return await self._pid() is not None

    async def reload(self, *, restart: bool = False) -> None:
        pid = await self._pid()
        if pid is None and restart:
            await self._started()
            return
        if pid is None:
            raise DeliveryError(
                "nginx is not running, so there is nothing to reload",
                hint="start it; it reads its configuration then",
            )
        before = await self._master.settled(pid, _serves)
        mark = log.mark(self._logs)
        await self._master.told((), pid, signal.SIGHUP, deadline=self._deadline)
        if not before:  # a single process: it has no workers to be replaced
            return
        ends = time.monotonic() + self._deadline
        while not await self._master.replaced(pid, before, _serves, within=LOOK_EVERY):
            lines = log.lines_since(mark, self._logs)
            grave = [said(line) for line in lines if level(line) == "emerg"]
            last = grave[-1] if grave else ""
            # it binds five times, and only then gives up (ngx_open_listening_sockets)
            waits = (not last or last.startswith("bind()")) and time.monotonic() < ends
            if waits and await self._pid() is not None:
                continue
            if last == GAVE_UP:
                last = next((one for one in grave if one.startswith("bind()")), last)
            why = f": {last}" if last else ""
            raise DeliveryError(
                f"nginx (process {pid}) went on with its old configuration{why}",
                hint="mend what it names" if grave else "its error log says why",
            )

    async def _started(self) -> None:
        words = self._start or self._words()
        if not self._start and SYSTEMD.is_dir() and words == (PROGRAM,):
            words = ("systemctl", "start", "nginx")
        ended = await run_program("nginx", words, deadline=self._deadline)
        if ended.code != 0:
            raise DeliveryError(
                f"nginx does not start: `{' '.join(words)}` failed ({ended.how})"
                + (f": {ended.last_line}" if ended.last_line else ""),
                hint="`nginx -t` and its error log say why",
            )

    def log_mark(self) -> object:
        return log.mark(self._logs)

    def log_since(self, mark: object) -> tuple[Trouble, ...]:
        """Also what the last `nginx -t` warned of: an error log at its usual level has no
        warnings, and `"ssl_stapling" ignored` is one."""
        assert isinstance(mark, log.Mark)
        lines = (*self._warned, *log.lines_since(mark, self._logs))
        found = {(t.code, t.message): t for t in map(explained, lines) if t is not None}
        return tuple(found.values())

    def explain(self, line: str) -> Trouble | None:
        return explained(line)

    # -- pieces -----------------------------------------------------------------------------

    async def _made(self) -> Build:
        if self._build is None:
            self._build = await build(self._program, deadline=self._deadline)
        return self._build

    def _main(self, made: Build) -> Path:
        if self._config is None:
            return made.config
        return Path(os.path.abspath(self._config))

    def _folder(self, made: Build) -> str:
        return self._folder_beside(self._main(made))

    def _folder_beside(self, main: Path) -> str:
        return str(self._keeper_folder or main.parent / "holdfast")

    def _view(self, configuration: Configuration) -> Survey:
        main = next(iter(configuration.files))
        return survey(main, configuration.files, folder=self._folder_beside(main))

    def _words(self, *options: str) -> tuple[str, ...]:
        place = ["-p", str(self._prefix)] if self._prefix else []
        place += ["-c", str(self._config)] if self._config else []
        return (self._program, *options, *place)

    def _keys(self) -> dict[str, str]:
        """What differs from the usual, for the keeper's `[[server]]`."""
        given = {
            "program": "" if self._program == PROGRAM else self._program,
            "config": str(self._config or ""),
            "prefix": str(self._prefix or ""),
            "pid_file": str(self._pid_file or ""),
        }
        return {key: value for key, value in given.items() if value}

    def _log_files(self, reading: Reading, made: Build) -> tuple[Path, ...]:
        if self._error_log is not None:
            return (self._error_log,)
        prefix = self._prefix or made.prefix
        return log_files(reading, default=made.error_log, prefix=prefix)

    def _named_pid(self, reading: Reading, made: Build) -> Path:
        named = reading.main.value("pid")
        return (self._prefix or made.prefix) / named if named else made.pid_file

    async def _pid(self) -> int | None:
        path = self._pid_file or self._pid_named
        if path is None:
            made = await self._made()
            files = DiskFiles()
            path = self._named_pid(read_configuration(self._main(made), files), made)
        return self._master.pid(path)

    def _names(self) -> Names:
        return Names(
            servers=_name_servers(_text(self._resolv_conf)),
            hosts=frozenset(_host_names(_text(self._hosts))),
        )

    def _trusted(self) -> Iterable[Certificate]:
        if self._roots is None:
            found: dict[Certificate, None] = {}
            for path in self._bundles:
                try:
                    found |= dict.fromkeys(from_path(path))
                except HoldfastError:
                    continue  # another distribution's place
            self._roots = tuple(found)
        return self._roots


def _serves(title: str) -> bool:
    return title.startswith("nginx: worker process") and "shutting down" not in title


def _text(path: Path) -> str:
    try:
        return read_bounded(path, MAX_SMALL).decode("utf-8", "replace")
    except OperatorError:
        return ""


def _name_servers(text: str) -> tuple[str, ...]:
    """As nginx's `resolver` takes them; an address with a zone it does not."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and "%" not in words[1]:
            found.append(f"[{words[1]}]" if ":" in words[1] else words[1])
    return tuple(found[:NAME_SERVERS])


def _host_names(text: str) -> Iterable[str]:
    for line in text.splitlines():
        yield from line.partition("#")[0].split()[1:]
