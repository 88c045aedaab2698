"""nginx, by `ssl_stapling_responder` at the keeper's relay: for blocks with several certificates.

    ssl_stapling on;
    ssl_stapling_responder http://127.0.0.1:9120/ocsp;

nginx then asks for each certificate by itself. What it does with the answers (1.22,
`ngx_event_openssl_stapling.c`): each worker asks after the first handshake that would have needed
it, which goes without; it holds a good staple to its nextUpdate, asks for a newer one at most
hourly, and takes nothing but good: at `revoked` it goes on with the good of before.

So this is the lesser way. The keeper shakes hands itself, so that fewer others come first; and what
must not be sent any longer, though it has not ended, is taken away by a reload, which makes every
worker forget everything. A dead keeper answers nothing, and nginx stops at nextUpdate by itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence

from holdfast.errors import DeliveryError
from holdfast.net.daemon import Master
from holdfast.net.program import DEADLINE
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.freshness import withdraw_at
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good
from holdfast.seams import Clock
from holdfast.servers.look import Look
from holdfast.servers.nginx import PID_FILE, PROGRAM, serves
from holdfast.servers.relay_shelf import RelayShelf

IN_A_ROW = 8  # stapled handshakes, after which the workers are taken to have asked
WARM_WITHIN = 5.0  # seconds

_log = logging.getLogger("holdfast.servers")


class NginxRelayServer:
    """Implements `StapledServer` on the shelf of the relay. `look_at`: where to shake hands.

    A delivery is done when nginx is offered the staple, and has one: it may go on with one of
    before for up to an hour while that holds, so that no proof by handshake is to be asked for.
    """

    def __init__(
        self,
        name: str,
        *,
        shelf: RelayShelf,
        clock: Clock,
        look_at: tuple[str, int] | None = None,
        program: str = "",
        pid_file: str = "",
        reload: Sequence[str] = (),
        deadline: float = DEADLINE,
        warm_within: float = WARM_WITHIN,
    ) -> None:
        self.name = name
        self._shelf, self._clock = shelf, clock
        self._look = Look(name, look_at) if look_at is not None else None
        self._pid_file, self._reload_words = pid_file or PID_FILE, tuple(reload)
        self._deadline, self._warm_within = deadline, warm_within
        self._master = Master(name, program=program or PROGRAM)
        self._given: dict[str, Staple] = {}
        self._turn = asyncio.Lock()

    async def deliver(self, staple: Staple, /) -> None:
        if not isinstance(staple.certificate_status, Good):
            await self.withdraw(staple.certid)
            raise DeliveryError(
                f"{self.name}: nginx does not take a staple that says "
                f"{staple.certificate_status.text} from a responder; it sends none now",
                hint='kind = "nginx" (a block for each certificate) sends it; with '
                'on_revoked = "withhold" none is what is wanted',
            )
        self._shelf.put(self.name, staple)
        self._given[staple.certid.key] = staple
        if self._look is not None and not await self._look.warmed(
            staple, in_a_row=IN_A_ROW, within=self._warm_within
        ):
            raise DeliveryError(
                f"{self.name}: nginx was offered the staple and does not send one",
                hint="does ssl_stapling_responder name the keeper's relay, and is ssl_stapling on? "
                "After an answer that it did not like nginx asks again in 5 minutes: reload it",
            )

    async def withdraw(self, certid: CertID, /) -> None:
        given = self._given.get(certid.key)
        self._shelf.remove(self.name, certid)
        if given is not None and self._clock.now() < withdraw_at(given):
            await self._forgotten()
        self._given.pop(certid.key, None)
        self._shelf.forget(certid)

    async def _forgotten(self) -> None:
        """Return when every worker is a new one."""
        async with self._turn:
            pid = self._master.pid(self._pid_file)
            if pid is None and not self._reload_words:
                _log.info("reload server=%s not-running: it knows no staples", self.name)
                return
            before = frozenset() if pid is None else await self._master.settled(pid, serves)
            words, deadline = self._reload_words, self._deadline
            await self._master.told(words, pid, signal.SIGHUP, deadline=deadline)
            if pid is None or not before:
                return
            if not await self._master.replaced(pid, before, serves, within=deadline):
                raise DeliveryError(
                    f"{self.name}: nginx (process {pid}) went on with its old workers, which hold "
                    "the staple that was to be taken away",
                    hint="its error log says why; restart it",
                )
