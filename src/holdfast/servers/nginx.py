"""nginx, by a small include file of our own for each certificate.

    server {
        ssl_certificate     /etc/ssl/www/fullchain.pem;
        ssl_certificate_key /etc/ssl/www/key.pem;
        include             /etc/nginx/holdfast/www.conf*;
    }

The file names the staple while there is one, and nothing when there is none: nginx sends what
`ssl_stapling_file` names without a look at it, for ever, so the directive itself is what is taken
away. nginx answers for every certificate of a block with one file, so a block with several is
refused here: there `ssl_stapling_responder` and the relay are the way.

Laws: nothing is in force that `nginx -t` did not accept; the staple's file goes only when nginx has
been reloaded without it, so that whoever comes next knows what is still to be done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import DeliveryError, OperatorError
from holdfast.net.daemon import Master
from holdfast.net.files import write_atomic
from holdfast.net.program import DEADLINE, run_program
from holdfast.ocsp.certid import CertID
from holdfast.plan.reloading import USUAL_PACE, Pace
from holdfast.seams import Clock
from holdfast.servers.files import READABLE, FilesServer, NameOf
from holdfast.servers.nginx_dump import Dump
from holdfast.servers.reloaded import ReloadedServer, failed
from holdfast.servers.reloads import Change

PROGRAM = "nginx"
PID_FILE = "/run/nginx.pid"  # Debian's
MAX_CONFIGURATION = 64 * 1024 * 1024  # bytes of `nginx -T`

_HEAD = "# Written by holdfast, which replaces it with every change: do not edit.\n"
_log = logging.getLogger("holdfast.servers")


def nginx_server(
    name: str,
    *,
    clock: Clock,
    include: str,
    file: str = "",
    name_of: NameOf = lambda _: None,
    program: str = "",
    config: str = "",
    prefix: str = "",
    pid_file: str = "",
    test: Sequence[str] = (),
    reload: Sequence[str] = (),
    deadline: float = DEADLINE,
    pace: Pace = USUAL_PACE,
) -> ReloadedServer:
    """The nginx whose server blocks include the files `include` ({name}, {serial}, {key}).

    `file`: where the staples lie; empty: beside the include file, with .der. `test` and `reload`
    replace `nginx -T` and the signal, for a keeper that is not root; a `test` that does not print
    the configuration leaves its include files unlooked at. `pid_file`: unset, the configuration's.
    """
    staple_file = file or f"{include.removesuffix('.conf')}.der"
    layout = IncludeLayout(
        FilesServer(name, file=staple_file, name_of=name_of),
        FilesServer(name, file=include, name_of=name_of),
    )
    daemon = Nginx(
        layout,
        program=program or PROGRAM,
        config=config,
        prefix=prefix,
        pid_file=pid_file,
        test=test,
        reload=reload,
        deadline=deadline,
    )
    return ReloadedServer(layout, daemon, clock=clock, pace=pace)


class IncludeLayout:
    """Implements `Layout`: the staple, and the include file that names it."""

    needed = False

    def __init__(self, files: FilesServer, includes: FilesServer) -> None:
        self.files = files
        self._includes = includes

    def include(self, certid: CertID) -> Path:
        """The file that the server block includes."""
        return self._includes.path(certid)

    def paths(self, certid: CertID) -> tuple[Path, ...]:
        return self.files.path(certid), self.include(certid)

    def place(self, change: Change) -> bool:
        path, include = self.paths(change.certid)
        if change.staple is not None:
            with contextlib.suppress(OSError):  # writing says what is wrong
                include.parent.mkdir(mode=0o755, exist_ok=True)
            self.files.write(change.staple)
            self._put(include, _names(path))
            return True
        held = self.files.holds(change.certid)
        if not held and os.path.exists(path):  # it is another certificate's
            return False
        before = _text(include)
        self._put(include, _HEAD)
        return held or before not in ("", _HEAD)

    def clear(self, certid: CertID) -> None:
        self._put(self.include(certid), _HEAD)
        Path(os.path.realpath(self.files.path(certid))).unlink(missing_ok=True)

    def settled(self, change: Change) -> None:
        if change.staple is None:
            self.files.remove(change.certid)

    def _put(self, path: Path, text: str) -> None:
        if _text(path) == text:
            return
        try:
            write_atomic(path, text.encode(), READABLE)
        except OperatorError as error:
            raise DeliveryError(f"{self.files.name}: {error.message}", hint=error.hint) from error


class Nginx:
    """Implements `Daemon`: `nginx -T`, SIGHUP, and a look at the workers."""

    def __init__(
        self,
        layout: IncludeLayout,
        *,
        program: str = PROGRAM,
        config: str = "",
        prefix: str = "",
        pid_file: str = "",
        test: Sequence[str] = (),
        reload: Sequence[str] = (),
        deadline: float = DEADLINE,
    ) -> None:
        self._name = layout.files.name
        self._layout = layout
        place = [*(["-p", prefix] if prefix else []), *(["-c", config] if config else [])]
        self._test = tuple(test) or (program, "-T", *place)
        self._reload = tuple(reload)
        self._prefix = prefix
        self._pid_file = pid_file
        self._deadline = deadline
        self._master = Master(self._name, program=program)

    async def test(self, changes: Sequence[Change]) -> None:
        ended = await run_program(
            self._name, self._test, deadline=self._deadline, max_printed=MAX_CONFIGURATION
        )
        if ended.code != 0:
            raise failed(
                self._name,
                f"`{' '.join(self._test)}` refuses the configuration",
                _complaint(ended.said) or ended.how,
                hint="nothing was changed; mend the line that it names, or take the keeper's "
                "include out of that server block",
            )
        dump = await asyncio.to_thread(Dump, ended.printed.decode(errors="replace"))
        if dump.files:  # not so with a `test` that only says yes
            self._pid_file = self._pid_file or self._named_pid(dump)
            for change in changes:
                if change.staple is not None:
                    self._look(dump, self._layout.include(change.certid))

    async def reload(self, changes: Sequence[Change]) -> None:
        pid = self._master.pid(self._pid_file or PID_FILE)
        if pid is None and not self._reload:
            _log.info(
                "reload server=%s is not running: it reads its files when it starts", self._name
            )
            return
        before = frozenset() if pid is None else await self._master.settled(pid, serves)
        await self._master.told(self._reload, pid, signal.SIGHUP, deadline=self._deadline)
        if pid is None or not before:  # nothing to watch
            return
        if not await self._master.replaced(pid, before, serves, within=self._deadline):
            raise DeliveryError(
                f"{self._name}: nginx (process {pid}) went on with its old configuration",
                hint="its error log says why",
            )

    def _look(self, dump: Dump, include: Path) -> None:
        places = dump.places(str(include)) or dump.places(_as_nginx_has_it(dump, include))
        if not places:
            raise DeliveryError(
                f"{self._name}: no server block of nginx includes {include}",
                hint=f"add `include {include}*;` beside its ssl_certificate",
            )
        for place in places:
            if len(place.certificates) > 1:
                raise DeliveryError(
                    f"{self._name}: the {place.block} block that includes {include} has "
                    f"{len(place.certificates)} certificates ({', '.join(place.certificates)}), "
                    "and nginx would send one staple for all of them",
                    hint="use ssl_stapling_responder with the keeper's relay in that block",
                )

    def _named_pid(self, dump: Dump) -> str:
        named = dump.pid
        if named is None or os.path.isabs(named):
            return named or ""
        return os.path.join(self._prefix, named) if self._prefix else ""


def _names(path: Path) -> str:
    quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'{_HEAD}ssl_stapling on;\nssl_stapling_file "{quoted}";\n'


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _as_nginx_has_it(dump: Dump, path: Path) -> str:
    """The file of the dump that is `path`, by whatever links."""
    whole = os.path.realpath(path)
    alike = (file for file in dump.files if os.path.basename(file) == path.name)
    return next((file for file in alike if os.path.realpath(file) == whole), "")


def _complaint(said: str) -> str:
    """The line of `nginx -t` that says what is wrong and where."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    grave = [line for line in lines if any(f"[{level}]" in line for level in _GRAVE)]
    return (grave or lines or [""])[0].removeprefix("nginx: ")[:500]


_GRAVE = ("emerg", "alert", "crit")


def serves(title: str) -> bool:
    """Whether a child of nginx that calls itself `title` takes connections."""
    return title.startswith("nginx: worker process") and "shutting down" not in title
