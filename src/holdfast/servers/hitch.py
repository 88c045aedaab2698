"""Hitch: `pem-file = { cert = ..., ocsp-resp-file = ... }`, read again on SIGHUP.

What Hitch does by itself (1.7.2, `src/ocsp.c`): it neither starts nor reloads when that file is
missing, empty, an error response, about another certificate, signed by nobody, or says revoked; it
takes an expired one and sends none; it stops at nextUpdate by itself. So the file is never taken
away: where there is no staple it holds one that ended in the year 2000 (`EndedBlank`), for which
Hitch needs `ocsp-verify-staple = off`, its default; the keeper verifies better.

With `ocsp-dir = ""` it leaves the asking to the keeper; given a writable one, it asks the
responder itself and sends what it got, and the keeper finds another staple there than its own.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from holdfast.errors import DeliveryError, HoldfastError
from holdfast.net.daemon import Master
from holdfast.net.program import DEADLINE, run_program
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import GOOD, Response, SingleResponse
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good
from holdfast.pki import issue
from holdfast.plan.reloading import USUAL_PACE, Pace
from holdfast.seams import Clock
from holdfast.servers.files import FilesServer, NameOf
from holdfast.servers.owed import Owed
from holdfast.servers.plain_layout import PlainLayout
from holdfast.servers.reloaded import ReloadedServer, failed
from holdfast.servers.reloads import Change

PROGRAM = "hitch"
CONFIG = "/etc/hitch/hitch.conf"  # Debian's
PID_FILE = "/run/hitch/hitch.pid"

_ENDED = datetime(2000, 1, 1, 1, tzinfo=UTC)
_GRAVE = ("rror in line", "Error:", "Error loading", "Error parsing", "failed", "Unable")
_log = logging.getLogger("holdfast.servers")


class EndedBlank:
    """Implements `Blank`: it says good and ended in the year 2000, so that Hitch sends nothing.

    It is signed by a key that is made for it and thrown away: Hitch looks for the signature to be
    whole, and by `ocsp-verify-staple = off` not for whose it is.
    """

    def made(self, certid: CertID, /) -> bytes:
        nobody = issue.root("holdfast: no staple", at=_ENDED)
        single = SingleResponse(certid, GOOD, _ENDED - timedelta(hours=1), _ENDED)
        signer = Signer(nobody.certificate, nobody.key, nobody.certificate, send_certificate=True)
        return signer.respond([single], produced_at=_ENDED - timedelta(hours=1))

    def is_blank(self, response: bytes, /) -> bool:
        try:
            basic = Response.parse(response).basic
        except HoldfastError:
            return False
        return basic is not None and all(one.next_update == _ENDED for one in basic.singles)


class HitchServer(ReloadedServer):
    """What Hitch would not load is not delivered: rather nothing than the good of before."""

    async def deliver(self, staple: Staple, /) -> None:
        if isinstance(staple.certificate_status, Good):
            await super().deliver(staple)
            return
        await self.withdraw(staple.certid)
        raise DeliveryError(
            f"{self.name}: Hitch does not load a staple that says "
            f"{staple.certificate_status.text}; it sends none now",
            hint='with on_revoked = "withhold" in [keeper] none is what is wanted',
        )


def hitch_server(
    name: str,
    *,
    clock: Clock,
    file: str,
    name_of: NameOf = lambda _: None,
    program: str = "",
    config: str = "",
    pid_file: str = "",
    test: Sequence[str] = (),
    reload: Sequence[str] = (),
    deadline: float = DEADLINE,
    pace: Pace = USUAL_PACE,
    owed: Owed | None = None,
) -> HitchServer:
    """The Hitch whose `ocsp-resp-file`s are `file` ({name}, {serial}, {key})."""
    files = FilesServer(name, file=file, name_of=name_of, blank=EndedBlank())
    daemon = Hitch(
        name,
        program=program or PROGRAM,
        config=config or CONFIG,
        pid_file=pid_file or PID_FILE,
        test=test,
        reload=reload,
        deadline=deadline,
    )
    return HitchServer(PlainLayout(files, needed=True), daemon, clock=clock, pace=pace, owed=owed)


class Hitch:
    """Implements `Daemon`: `hitch --test`, SIGHUP, and a look at the workers."""

    def __init__(
        self,
        name: str,
        *,
        program: str,
        config: str,
        pid_file: str,
        test: Sequence[str],
        reload: Sequence[str],
        deadline: float,
    ) -> None:
        self._name = name
        self._test = tuple(test) or (program, "--test", f"--config={config}")
        self._reload, self._pid_file, self._deadline = tuple(reload), pid_file, deadline
        self._master = Master(name, program=program)

    async def test(self, changes: Sequence[Change]) -> None:
        ended = await run_program(self._name, self._test, deadline=self._deadline)
        if ended.code != 0:
            lines = [line.strip() for line in ended.said.splitlines() if line.strip()]
            grave = [line for line in lines if any(word in line for word in _GRAVE)]
            raise failed(
                self._name,
                f"`{' '.join(self._test)}` refuses the configuration",
                (grave or lines or [ended.how])[0][:500],
                hint="nothing was changed; mend the line that it names",
            )

    async def reload(self, changes: Sequence[Change]) -> None:
        pid = self._master.pid(self._pid_file)
        if pid is None and not self._reload:
            _log.info("reload server=%s not-running: it reads its files at its start", self._name)
            return
        before = frozenset() if pid is None else await self._master.settled(pid, bool)
        await self._master.told(self._reload, pid, signal.SIGHUP, deadline=self._deadline)
        if pid is None or not before:
            return
        if not await self._master.replaced(pid, before, bool, within=self._deadline):
            raise DeliveryError(
                f"{self._name}: Hitch (process {pid}) went on with its old configuration",
                hint="its log says why",
            )
