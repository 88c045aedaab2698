"""Any server that a command can tell: a staple file, then a program that makes the server read it.

Laws: the command is a list of words, never a shell's line; past its deadline it is ended with its
children; one runs at a time for one server; what it said last on stderr is what the error says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import DeliveryError
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.staple import Staple
from holdfast.servers.files import FilesServer, filled

DEADLINE = 30.0  # seconds
MAX_SAID = 64 * 1024  # bytes of stderr that are kept

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")


class CommandServer:
    """Implements `StapledServer`: the file by `files`, then `run`, or `run_on_withdraw` (default:
    the same) after the file is gone.

    In the words `{staple_file}`, `{name}` and `{action}` (deliver, withdraw) are filled in; the
    environment says the same as HOLDFAST_STAPLE_FILE, HOLDFAST_NAME and HOLDFAST_ACTION.
    """

    def __init__(
        self,
        files: FilesServer,
        *,
        run: Sequence[str],
        run_on_withdraw: Sequence[str] | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self.name = files.name
        self._files = files
        self._run = tuple(run)
        self._run_on_withdraw = self._run if run_on_withdraw is None else tuple(run_on_withdraw)
        self._deadline = deadline
        self._turn = asyncio.Lock()
        self._untold: set[str] = set()  # removed, and the command has not succeeded since

    @property
    def files(self) -> FilesServer:
        """Where the staples lie."""
        return self._files

    async def deliver(self, staple: Staple, /) -> None:
        path = await asyncio.to_thread(self._files.write, staple)
        await self._tell(self._run, "deliver", path, staple.certid)

    async def withdraw(self, certid: CertID, /) -> None:
        removed = await asyncio.to_thread(self._files.remove, certid)
        if removed is None and certid.key not in self._untold:
            return
        self._untold.add(certid.key)
        await self._tell(self._run_on_withdraw, "withdraw", self._files.path(certid), certid)
        self._untold.discard(certid.key)

    async def _tell(self, command: Sequence[str], action: str, path: Path, certid: CertID) -> None:
        if not command:
            return
        name = self._files.called(certid)
        words = {"{staple_file}": str(path), "{name}": name, "{action}": action}
        filled_in = [filled(word, words) for word in command]
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        environment |= {f"HOLDFAST_{key[1:-1].upper()}": value for key, value in words.items()}
        async with self._turn:
            code, said = await self._ran(filled_in, environment)
        if code != 0:
            ended = f"exit {code}" if code > 0 else f"signal {-code}"
            raise DeliveryError(
                f"{self.name}: `{' '.join(filled_in)}` failed ({ended})"
                + (f": {said}" if said else ""),
                hint="run it by hand as the user of the keeper; it is tried again",
            )

    async def _ran(self, command: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
        """(exit code, the last line on stderr) of `command`."""
        # Our own pipe: asyncio's would make wait() last until a daemon closes its end.
        with _Tail() as said:
            process = await self._started(command, environment, said)
            try:
                async with asyncio.timeout(self._deadline):
                    code = await process.wait()
            except TimeoutError:
                raise DeliveryError(
                    f"{self.name}: `{' '.join(command)}` did not end within {self._deadline:g} s",
                    hint="the command must return once the server has been told",
                ) from None
            finally:
                if process.returncode is None:  # its whole session, also on cancellation
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
            said.read()
        lines = said.kept.decode(errors="replace").strip().splitlines()
        return code, lines[-1].strip()[:300] if lines else ""

    async def _started(
        self, command: Sequence[str], environment: dict[str, str], said: _Tail
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=said.write_end,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DeliveryError(
                f"{self.name}: cannot run {command[0]}: {reason}",
                hint="give the whole path of a program that the keeper's user may run",
            ) from error


class _Tail:
    """A pipe to write to, and the last `MAX_SAID` bytes of what was written."""

    def __init__(self) -> None:
        self.kept = b""
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> _Tail:
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self.read)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)
        os.close(self.write_end)

    def read(self) -> None:
        """Take what there is now."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(16):  # a daemon may write for ever
                self.kept = (self.kept + os.read(self._read_end, MAX_SAID))[-MAX_SAID:]
