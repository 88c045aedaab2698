"""HAProxy, as setup knows it.

    kind = HAProxy()                     # the HAProxy of this machine
    configuration = await kind.examine()
    proposal = kind.propose(configuration, Wish(), issuers={})

Laws: nothing here writes; a reload is done when new workers took over. HAProxy logs to syslog, a
file of which we know neither name nor format: so what is told of a new configuration is what its
test prints, and the `show startup-logs` of the process that took it up.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.conf import haproxy
from holdfast.conf.text import read_text
from holdfast.errors import DeliveryError, OperatorError
from holdfast.net.clock import SystemClock
from holdfast.net.files import read_bounded
from holdfast.net.program import DEADLINE, Ended, run_program
from holdfast.pki.certificate import Certificate
from holdfast.seams import Clock
from holdfast.setup.haproxy_disk import Reader, config_files
from holdfast.setup.haproxy_process import Processes, environment_of, startup_logs
from holdfast.setup.haproxy_propose import dead_lines, propose
from holdfast.setup.haproxy_said import explained, refusals, warnings
from holdfast.setup.haproxy_sites import with_sites
from holdfast.setup.haproxy_words import HAProxyConfiguration
from holdfast.setup.words import Configuration, Proposal, Site, Trouble, Wish

PROGRAM = "haproxy"
CONFIG = Path("/etc/haproxy/haproxy.cfg")
PID_FILE = Path("/run/haproxy.pid")
ADMIN_SOCKET = Path("/run/haproxy/admin.sock")
SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
OLDEST = (1, 5)  # `.ocsp` files and TLS itself
CONDITIONS = (2, 4)  # `haproxy -cc`

_VERSION = re.compile(r"HA-?Proxy version (\d+(?:\.\d+)*)")


class HAProxy:
    """Implements `ServerKind`. `configs`: files and folders of `-f`. `environment`: that of the
    service; default: the running process's. `folder`: where it is started. `admin_socket`: where
    one is put when the configuration has none. `start`: words that start HAProxy, instead of
    systemctl; `reload_command`: words, instead of SIGUSR2 to its master."""

    name = "haproxy"

    def __init__(
        self,
        *,
        program: str = PROGRAM,
        configs: Sequence[Path] = (CONFIG,),
        pid_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path = Path("/"),
        admin_socket: Path = ADMIN_SOCKET,
        start: Sequence[str] = (),
        reload_command: Sequence[str] = (),
        clock: Clock | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._program = program
        self._configs = tuple(Path(os.path.abspath(path)) for path in configs)
        self._pid_file = pid_file
        self._environment = environment
        self._folder = folder
        self._admin_socket = admin_socket
        self._start = tuple(start)
        self._reload_command = tuple(reload_command)
        self._clock = clock or SystemClock()
        self._deadline = deadline
        self._named_pid: Path | None = None
        self._sockets: tuple[str, ...] = ()
        self._warned: tuple[Trouble, ...] = ()
        self._processes = Processes(program=program, deadline=deadline)

    # -- reading ----------------------------------------------------------------------------

    async def examine(self) -> Configuration:
        version = await self._version()
        files = config_files(self._configs)
        if not files:
            raise OperatorError(
                f"{self._configs[0]}: no *.cfg file in it",
                hint="name the file or folder that HAProxy is started with (-f)",
            )
        environment = dict(self._service_environment())
        holding = await self._holding(files, version, environment)
        reader = Reader(version, environment, holding.__contains__, self._folder)
        read = with_sites(reader.read(files), at=self._clock.now())
        self._named_pid = read.pid_file
        self._sockets = read.sockets
        return read

    def propose(
        self,
        configuration: Configuration,
        wish: Wish,
        *,
        issuers: Mapping[str, tuple[Certificate, ...]],
    ) -> Proposal:
        return propose(
            _ours(configuration),
            wish,
            issuers=issuers,
            socket=self._admin_socket,
            owner_of=_owner_of,
            at=self._clock.now(),
        )

    def dead_lines(self, configuration: Configuration, site: Site) -> tuple[str, ...]:
        return dead_lines(_ours(configuration), site)

    # -- running ----------------------------------------------------------------------------

    async def test(self) -> tuple[Trouble, ...]:
        ended = await self._run(*self._words("-c"))
        if ended.code != 0:
            self._warned = ()
            return refusals(ended.said)
        self._warned = warnings(ended.said.splitlines())
        return ()

    async def running(self) -> bool:
        return self._pid() is not None

    async def reload(self, *, restart: bool = False) -> None:
        pid = self._pid()
        if pid is None and restart:
            await self._started()
            return
        if pid is None:
            raise DeliveryError(
                "HAProxy is not running, so there is nothing to reload",
                hint="start it; it reads its configuration then",
            )
        await self._processes.reload(pid, self._reload_command)

    def log_mark(self) -> object:
        return None

    def log_since(self, mark: object) -> tuple[Trouble, ...]:
        """What the configuration test warned of last, and the process that now runs when it
        started."""
        lines: list[str] = []
        for one in self._sockets:
            lines = startup_logs(one)
            if lines:
                break
        found = {one.said: one for one in (*self._warned, *warnings(lines))}
        return tuple(found.values())

    def explain(self, line: str) -> Trouble | None:
        return explained(line)

    # -- pieces -----------------------------------------------------------------------------

    async def _version(self) -> tuple[int, ...]:
        try:
            ended = await run_program(
                "haproxy", [self._program, "-v"], deadline=self._deadline, max_printed=4096
            )
        except DeliveryError as error:
            raise OperatorError(
                error.message, hint="install HAProxy, or name its program"
            ) from error
        printed = ended.printed.decode("utf-8", "replace")
        found = _VERSION.search(printed)
        if found is None:
            raise OperatorError(
                f"{self._program} -v does not say a version of HAProxy: {printed[:80]!r}",
                hint="name the program of HAProxy",
            )
        version = tuple(map(int, found[1].split(".")))
        if version < OLDEST:
            raise OperatorError(
                f"HAProxy {found[1]} cannot staple: 1.5 was the first that can",
                hint="upgrade it; every version that is still maintained can",
            )
        return version

    async def _holding(
        self, files: Sequence[Path], version: tuple[int, ...], environment: Mapping[str, str]
    ) -> frozenset[str]:
        """The conditions of `.if` that hold, as the program says."""
        conditions: dict[str, None] = {}
        for path in files:
            tree = haproxy.parse(read_text(read_bounded(path)))
            conditions |= dict.fromkeys(tree.conditions)
        if version < CONDITIONS:
            return frozenset()
        given = {**environment, "HAPROXY_MWORKER": "1"}  # which its manual promises under -W
        holding = [
            condition
            for condition in conditions
            if (await self._run(self._program, "-cc", condition, more=given)).code == 0
        ]
        return frozenset(holding)

    def _service_environment(self) -> Mapping[str, str]:
        if self._environment is not None:
            return self._environment
        pid = self._pid()
        return {} if pid is None else environment_of(pid)

    def _words(self, *options: str) -> tuple[str, ...]:
        files = [word for path in self._configs for word in ("-f", str(path))]
        return (self._program, *options, "-C", str(self._folder), *files)

    async def _run(self, *words: str, more: Mapping[str, str] | None = None) -> Ended:
        environment = self._service_environment() if more is None else more
        return await run_program(
            "haproxy", words, more_environment=environment, deadline=self._deadline
        )

    def _pid(self) -> int | None:
        return self._processes.pid(self._pid_path())

    def _pid_path(self) -> Path:
        return self._pid_file or self._named_pid or PID_FILE

    async def _started(self) -> None:
        words = self._start
        if not words and SYSTEMD.is_dir():
            words = ("systemctl", "start", "haproxy")
        if not words:
            raise DeliveryError(
                "HAProxy does not run, and how it is started is not known here",
                hint="start it as you do",
            )
        ended = await self._run(*words)
        if ended.code != 0:
            why = f": {ended.last_line}" if ended.last_line else ""
            raise DeliveryError(
                f"HAProxy does not start: `{' '.join(words)}` failed ({ended.how}){why}",
                hint="`haproxy -c -f FILE` and journalctl -u haproxy say why",
            )
        if not await self._processes.appeared(self._pid_path()):
            raise DeliveryError(
                f"`{' '.join(words)}` succeeded, but {self._pid_path()} names no HAProxy after "
                f"{self._deadline:g} s",
                hint="is that its pid file (-p)?",
            )


def _ours(configuration: Configuration) -> HAProxyConfiguration:
    if not isinstance(configuration, HAProxyConfiguration):
        raise TypeError("not what HAProxy.examine gave")
    return configuration


def _owner_of(folder: Path) -> str:
    """The user whose `folder` is; "" for root's, and where there is none."""
    with contextlib.suppress(OSError, KeyError):
        owner = folder.stat().st_uid
        return pwd.getpwuid(owner).pw_name if owner else ""
    return ""
