"""Any server that a command can tell: a staple file, then a program that makes the server read it.

Laws: one command runs at a time for one server; what it said last on stderr is what the error says.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import DeliveryError
from holdfast.net.program import DEADLINE, run_program
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.servers.files import FilesServer, filled
from holdfast.servers.owed import Owed


class CommandServer:
    """Implements `StapledServer`: the file by `files`, then `run`, or `run_on_withdraw` (default:
    the same) after the file is gone.

    In the words `{staple_file}`, `{name}` and `{action}` (deliver, withdraw) are filled in; the
    environment says the same as HOLDFAST_STAPLE_FILE, HOLDFAST_NAME and HOLDFAST_ACTION. `owed`:
    where it is noted that a file is gone and the command has not succeeded since.
    """

    def __init__(
        self,
        files: FilesServer,
        *,
        run: Sequence[str],
        run_on_withdraw: Sequence[str] | None = None,
        deadline: float = DEADLINE,
        owed: Owed | None = None,
    ) -> None:
        self.name = files.name
        self._files = files
        self._run = tuple(run)
        self._run_on_withdraw = self._run if run_on_withdraw is None else tuple(run_on_withdraw)
        self._deadline = deadline
        self._turn = asyncio.Lock()
        self.owed = owed or Owed(self.name)

    @property
    def files(self) -> FilesServer:
        """Where the staples lie."""
        return self._files

    async def deliver(self, staple: Staple, /) -> None:
        path = await asyncio.to_thread(self._files.write, staple)
        await self._tell(self._run, "deliver", path, staple.certid)
        await asyncio.to_thread(self.owed.discard, staple.certid)

    async def withdraw(self, certid: CertID, /) -> None:
        if await asyncio.to_thread(self._remove, certid):
            await self._tell(self._run_on_withdraw, "withdraw", self._files.path(certid), certid)
            await asyncio.to_thread(self.owed.discard, certid)

    def _remove(self, certid: CertID) -> bool:
        """True when the command is to be run."""
        if self._files.holds(certid):
            self.owed.add(certid, self._files.called(certid))
            self._files.remove(certid)
        elif os.path.exists(self._files.path(certid)):  # another's: it was told of that one
            self.owed.discard(certid)
        return certid in self.owed

    async def _tell(self, command: Sequence[str], action: str, path: Path, certid: CertID) -> None:
        if not command:
            return
        name = self._files.called(certid)
        words = {"{staple_file}": str(path), "{name}": name, "{action}": action}
        filled_in = [filled(word, words) for word in command]
        told = {f"HOLDFAST_{key[1:-1].upper()}": value for key, value in words.items()}
        async with self._turn:
            ended = await run_program(
                self.name, filled_in, more_environment=told, deadline=self._deadline
            )
        if ended.code != 0:
            raise DeliveryError(
                f"{self.name}: `{' '.join(filled_in)}` failed ({ended.how})"
                + (f": {ended.last_line}" if ended.last_line else ""),
                hint="run it by hand as the user of the keeper; it is tried again",
            )
