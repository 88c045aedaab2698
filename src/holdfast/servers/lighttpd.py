"""lighttpd: `ssl.stapling-file`, read again by a graceful restart (SIGUSR1).

What lighttpd does by itself (1.4.69, mod_openssl): it starts without the file, sends what is in it
unlooked at, reads it again when the staple has 256 s left and the file is newer, and forgets a
staple up to 64 s after its nextUpdate. The restart leaves old connections their time: with
`server.graceful-restart-bg` new handshakes do not wait for them.

Law: it is told once at a time. A SIGUSR1 while it restarts is forgotten, or kills it: for a moment
it has no handler (and its pid file is empty). So each restart is waited for, and who looks and sees
the old staple tells it again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence

from holdfast.net.daemon import Master
from holdfast.net.program import DEADLINE, run_program
from holdfast.plan.reloading import USUAL_PACE, Pace
from holdfast.seams import Clock
from holdfast.servers.files import FilesServer
from holdfast.servers.look import Look
from holdfast.servers.owed import Owed
from holdfast.servers.plain_layout import PlainLayout
from holdfast.servers.reloaded import ReloadedServer, failed
from holdfast.servers.reloads import Change

PROGRAM = "lighttpd"
CONFIG = "/etc/lighttpd/lighttpd.conf"  # Debian's
PID_FILE = "/run/lighttpd.pid"
RESTARTS = 0.25  # seconds in which it begins to restart: after that it can be seen to be at it

_log = logging.getLogger("holdfast.servers")


def lighttpd_server(
    files: FilesServer,
    *,
    clock: Clock,
    program: str = "",
    config: str = "",
    pid_file: str = "",
    test: Sequence[str] = (),
    reload: Sequence[str] = (),
    look_at: tuple[str, int] | None = None,
    deadline: float = DEADLINE,
    pace: Pace = USUAL_PACE,
    owed: Owed | None = None,
) -> ReloadedServer:
    """The lighttpd whose `ssl.stapling-file`s are `files`. `look_at`: where a handshake shows when
    the restart is done; without it a delivery returns when lighttpd has been told."""
    name = files.name
    daemon = Lighttpd(
        name,
        program=program or PROGRAM,
        config=config or CONFIG,
        pid_file=pid_file or PID_FILE,
        test=test,
        reload=reload,
        look=Look(name, look_at) if look_at is not None else None,
        deadline=deadline,
    )
    return ReloadedServer(PlainLayout(files), daemon, clock=clock, pace=pace, owed=owed)


class Lighttpd:
    """Implements `Daemon`: `lighttpd -tt`, SIGUSR1, and a handshake."""

    def __init__(
        self,
        name: str,
        *,
        program: str,
        config: str,
        pid_file: str,
        test: Sequence[str],
        reload: Sequence[str],
        look: Look | None,
        deadline: float,
    ) -> None:
        self._name = name
        self._test = tuple(test) or (program, "-tt", "-f", config)
        self._reload, self._pid_file = tuple(reload), pid_file
        self._look, self._deadline = look, deadline
        self._master = Master(name, program=program)

    async def test(self, changes: Sequence[Change]) -> None:
        ended = await run_program(self._name, self._test, deadline=self._deadline)
        if ended.code != 0:
            lines = [line.strip() for line in ended.said.splitlines() if "fdevent" not in line]
            raise failed(
                self._name,
                f"`{' '.join(self._test)}` refuses the configuration",
                next(filter(None, lines), ended.how)[:500],
                hint="nothing was changed; mend the line that it names",
            )

    async def reload(self, changes: Sequence[Change]) -> None:
        if not await self._tell() and self._look is None:
            _log.info("reload server=%s not-running: it reads its files at its start", self._name)
        if self._look is not None:
            for change in changes:
                await self._look.until_shown(change, within=self._deadline, again=self._tell)

    async def _tell(self) -> bool:
        """False when nobody is there to be told: while it restarts its pid file is empty."""
        pid = await asyncio.to_thread(self._master.pid, self._pid_file)
        await self._master.told(self._reload, pid, signal.SIGUSR1, deadline=self._deadline)
        if pid is not None:
            await asyncio.sleep(RESTARTS)
        return pid is not None or bool(self._reload)
