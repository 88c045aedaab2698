"""Apache, as setup knows it.

    kind = Apache()                      # the Apache of this machine
    configuration = await kind.examine()
    proposal = kind.propose(configuration, Wish(), issuers={})

Laws: nothing here writes; a reload is done when a new generation of children took over, so that
what the log and a handshake say afterwards is about the new configuration. Apache does not survive
a graceful restart with a mistake that its test does not see: `reload(restart=True)` starts it
again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from holdfast.errors import DeliveryError
from holdfast.net.daemon import Master
from holdfast.net.program import DEADLINE, run_program
from holdfast.pki.certificate import Certificate
from holdfast.setup.apache_disk import (
    SBIN,
    SYSCONFIG,
    Build,
    build,
    canonical,
    started_with,
    variables,
)
from holdfast.setup.apache_propose import dead_lines, propose
from holdfast.setup.apache_view import Examined, Ground, View, troubles, view_of
from holdfast.setup.apache_words import explained, refusals
from holdfast.setup.log import Mark, lines_since, mark
from holdfast.setup.words import Configuration, Place, Proposal, Site, Trouble, Wish

LOOK_EVERY = 0.05  # seconds
_NO_FILES = ("|", "syslog", "journald")


class Apache:
    """Implements `ServerKind`. Unset paths are those that the program was built with: `root` its
    ServerRoot, `config` its first file, `envvars` the variables that apachectl gives it. `defines`:
    what it is started with by -D, besides what a running one says. `test`, `reload` and `start`:
    words to run instead."""

    name = "apache"

    def __init__(
        self,
        *,
        program: str = "",
        root: Path | None = None,
        config: Path | None = None,
        envvars: Path | None = None,
        pid_file: Path | None = None,
        error_log: Path | None = None,
        defines: Sequence[str] = (),
        test: Sequence[str] = (),
        reload: Sequence[str] = (),
        start: Sequence[str] = (),
        deadline: float = DEADLINE,
    ) -> None:
        self._program = program
        self._root, self._config, self._envvars = root, config, envvars
        self._pid_file, self._error_log = pid_file, error_log
        self._defines = tuple(defines)
        self._test, self._reload, self._start = tuple(test), tuple(reload), tuple(start)
        self._deadline = deadline
        self._build: Build | None = None
        self._view: View | None = None
        self._cached = False

    # -- reading -------------------------------------------------------------------------------

    async def examine(self) -> Configuration:
        view = await self._looked()
        return Examined(
            version=view.ground.build.version,
            files={Path(name): view.disk.data[name] for name in view.reading.texts},
            sites=tuple(view.site(host) for host in view.hosts),
            troubles=troubles(view),
            view=view,
        )

    def propose(
        self,
        configuration: Configuration,
        wish: Wish,
        *,
        issuers: Mapping[str, tuple[Certificate, ...]],
    ) -> Proposal:
        return propose(_examined(configuration).view, wish, issuers=issuers)

    def dead_lines(self, configuration: Configuration, site: Site) -> tuple[str, ...]:
        return dead_lines(_examined(configuration).view, site)

    # -- running -------------------------------------------------------------------------------

    async def test(self) -> tuple[Trouble, ...]:
        ground = await self._ground()
        ended = await run_program(
            "apache",
            self._test or _control(ground, "configtest") or self._words(ground, "-t"),
            more_environment=ground.variables,
            deadline=self._deadline,
        )
        return () if ended.code == 0 else refusals(ended.said)

    async def running(self) -> bool:
        return await self._pid() is not None

    async def reload(self, *, restart: bool = False) -> None:
        pid = await self._pid()
        if pid is None and restart:
            await self._started()
            return
        if pid is None:
            raise DeliveryError(
                "Apache is not running, so there is nothing to reload",
                hint="start it; it reads its configuration then",
            )
        master = await self._master()
        if await self._cache_goes():
            await self._stopped(master, pid)
            await self._started()
            return
        before = await master.settled(pid, bool)
        begun = mark(self._logs())
        number = signal.SIGHUP if restart else signal.SIGUSR1
        command = () if restart else self._reload
        await master.told(command, pid, number, deadline=self._deadline)
        if before and not await master.replaced(pid, before, bool, within=self._deadline):
            raise self._refused(pid, lines_since(begun, self._logs()))

    def log_mark(self) -> object:
        return mark(self._logs())

    def log_since(self, mark: object) -> tuple[Trouble, ...]:
        assert isinstance(mark, Mark)
        lines = lines_since(mark, mark.ends)
        found = {(t.code, t.message, t.said): t for t in map(self.explain, lines) if t is not None}
        return tuple(found.values())

    def explain(self, line: str) -> Trouble | None:
        return explained(line, self._places())

    # -- pieces --------------------------------------------------------------------------------

    async def _made(self) -> Build:
        if self._build is None:
            self._build = await build(self._program, deadline=self._deadline)
        return self._build

    async def _ground(self) -> Ground:
        if self._view is not None:
            return self._view.ground
        made = await self._made()
        root = self._where(made)
        main = self._config or _main_in(root, made)
        envvars = self._envvars
        if envvars is None:
            usual = (root / "envvars", *((SYSCONFIG,) if str(root) == made.root else ()))
            envvars = next((path for path in usual if path.is_file()), None)
        return Ground(
            build=made,
            main=os.path.abspath(main),
            root=os.path.abspath(root),
            variables=variables(envvars, root),
            defines=self._defines,
        )

    def _where(self, made: Build) -> Path:
        """The server's root before its configuration says anything."""
        if self._root is not None:
            return self._root
        if self._config is None:
            return Path(made.root)
        folder = Path(os.path.abspath(self._config)).parent
        if self._config.name == "apache2.conf":
            return folder
        return folder.parent if folder.name == "conf" else Path(made.root)

    async def _looked(self) -> View:
        """Read anew; what a running Apache was started with is part of it."""
        self._view = None
        ground = await self._ground()
        view = self._view = view_of(ground)
        pid = await self._pid()
        more = () if pid is None else started_with(pid)
        defines = tuple(dict.fromkeys((*ground.defines, *more)))
        if defines != ground.defines:
            view = self._view = view_of(replace(ground, defines=defines))
        return view

    def _words(self, ground: Ground, *options: str) -> tuple[str, ...]:
        defines = [word for name in ground.defines for word in ("-D", name)]
        return (ground.build.program, *defines, "-d", ground.root, "-f", ground.main, *options)

    async def _master(self) -> Master:
        return Master("Apache", program=(await self._made()).program)

    async def _pid(self) -> int | None:
        master = await self._master()
        for path in await self._pid_files():
            if (pid := master.pid(path)) is not None:
                return pid
        return None

    async def _pid_files(self) -> list[str]:
        """Relative ones lie in the run folder, in old versions in the server's root."""
        if self._pid_file is not None:
            return [str(self._pid_file)]
        view = self._view or await self._looked()
        reading = view.reading
        said = reading.value("pidfile", None)
        name = said.first if said is not None else view.ground.build.pid_file
        run = reading.value("defaultruntimedir", None)
        folders = [canonical(run.first, reading.server_root)] if run is not None else []
        return [canonical(name, folder) for folder in (*folders, reading.server_root)]

    def _logs(self) -> tuple[Path, ...]:
        if self._error_log is not None:
            return (self._error_log,)
        if self._view is None:
            return ()
        reading = self._view.reading
        numbers = (None, *(host.number for host in reading.hosts))
        names = [said.first for number in numbers for said in reading.of("errorlog", number)[-1:]]
        if not reading.of("errorlog", None):
            names.append(self._view.ground.build.error_log)
        return tuple(
            dict.fromkeys(
                Path(canonical(name, reading.server_root))
                for name in names
                if name and not name.startswith(_NO_FILES)
            )
        )

    def _places(self) -> dict[str, Place]:
        """Where virtual hosts are, by the names that Apache's log has for them: 443 stands for
        every port that ServerName does not name (ssl_util_vhostid)."""
        view, places = self._view, dict[str, Place]()
        if view is None:
            return places
        main = view.reading.of("servername", None)
        for host in reversed(view.hosts):
            name = host.server_name or (main[-1].first if main else host.name)
            for port in (443, *(port for _, port in host.listens)):
                places[f"{name}:{port}"] = view.place(host.file, host.offset)
        return places

    def _refused(self, pid: int, lines: Sequence[str]) -> DeliveryError:
        found = [trouble for trouble in map(self.explain, lines) if trouble is not None]
        grave = [trouble for trouble in found if trouble.fatal] or found
        why = f": {grave[0].message} ({grave[0].said})" if grave else ""
        return DeliveryError(
            f"Apache (process {pid}) has no new children after its restart{why}",
            hint=grave[0].hint if grave else "its error log says why",
        )

    async def _cache_goes(self) -> bool:
        """Whether a running Apache has a SSLStaplingCache that its files have no more. mod_ssl
        keeps it over restarts, its memory gone: a reload or the next ends in AH00820, AH01872."""
        before = self._view or await self._looked()
        had = self._cached or bool(before.reading.of("sslstaplingcache", None))
        self._cached = bool(view_of(before.ground).reading.of("sslstaplingcache", None))
        return had and not self._cached

    async def _stopped(self, master: Master, pid: int) -> None:
        master.signal(pid, signal.SIGTERM)
        ends = time.monotonic() + self._deadline
        while await self._pid() is not None:
            if time.monotonic() > ends:
                raise DeliveryError(
                    f"Apache (process {pid}) does not end",
                    hint="stop it and start it by hand: it needs it, as SSLStaplingCache is gone",
                )
            await asyncio.sleep(LOOK_EVERY)

    async def _started(self) -> None:
        ground = await self._ground()
        begun = mark(self._logs())
        words = self._start or _control(ground, "start") or self._words(ground, "-k", "start")
        ended = await run_program(
            "apache", words, more_environment=ground.variables, deadline=self._deadline
        )
        ends = time.monotonic() + self._deadline
        while ended.code == 0 and time.monotonic() < ends:
            pid = await self._pid()
            if pid is not None and (await self._master()).serving(pid, bool):
                return
            await asyncio.sleep(LOOK_EVERY)
        said = [*ended.said.splitlines(), *lines_since(begun, self._logs())]
        why = [t.message for t in map(self.explain, said) if t is not None and t.fatal]
        last = why[0] if why else ended.last_line
        raise DeliveryError(
            f"Apache does not start: `{' '.join(words)}` ({ended.how})"
            + (f": {last}" if last else ""),
            hint="`apachectl -t` and its error log say why",
        )


def _control(ground: Ground, action: str) -> tuple[str, ...]:
    """apachectl, which prepares the run folder and knows systemd, where Apache is the machine's
    own; () elsewhere."""
    made = ground.build
    control = shutil.which("apachectl", path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}")
    usual = canonical(made.config, made.root)
    if control and not ground.defines and (ground.main, ground.root) == (usual, made.root):
        return (control, action)
    return ()


def _main_in(root: Path, made: Build) -> Path:
    if str(root) == made.root:
        return root / made.config
    usual = (root / "apache2.conf", root / "conf" / "httpd.conf", root / "httpd.conf")
    return next((path for path in usual if path.is_file()), root / made.config)


def _examined(configuration: Configuration) -> Examined:
    if not isinstance(configuration, Examined):
        raise TypeError("the configuration of another kind of server")
    return configuration
