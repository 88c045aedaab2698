"""Programs that servers need run: with a deadline, bounded output, and nothing left behind.

Laws: a program is a list of words, never a shell's line; past its deadline it is ended with its
children; a daemon that it started lives on and is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.errors import DeliveryError

DEADLINE = 30.0  # seconds
MAX_SAID = 64 * 1024  # bytes of stderr that are kept

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")
_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # where daemons lie, whoever's PATH it is


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` is negative for a signal; `said` is the end of stderr, `printed` that of stdout."""

    code: int
    said: str
    printed: bytes = b""

    @property
    def last_line(self) -> str:
        lines = self.said.strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""

    @property
    def how(self) -> str:
        return f"exit {self.code}" if self.code >= 0 else f"signal {-self.code}"


async def run_program(
    server: str,
    words: Sequence[str],
    *,
    more_environment: Mapping[str, str] | None = None,
    deadline: float = DEADLINE,
    max_printed: int = 0,
) -> Ended:
    """Run `words` for `server` to their end. `DeliveryError` when they cannot be run, or do not
    end in time. `max_printed` 0: stdout is thrown away."""
    environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    path = environment.get("PATH", os.defpath).split(":")
    environment["PATH"] = ":".join([*path, *(place for place in _SYSTEM if place not in path)])
    environment |= more_environment or {}
    with contextlib.ExitStack() as stack:
        # Our own pipes: asyncio's would make wait() last until a daemon closes its end.
        said = stack.enter_context(_Tail(MAX_SAID))
        printed = stack.enter_context(_Tail(max_printed)) if max_printed else None
        process = await _started(server, words, environment, said, printed)
        try:
            async with asyncio.timeout(deadline):
                code = await process.wait()
        except TimeoutError:
            raise DeliveryError(
                f"{server}: `{' '.join(words)}` did not end within {deadline:g} s",
                hint="the command must return once the server has been told",
            ) from None
        finally:
            if process.returncode is None:  # its whole session, also on cancellation
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        said.read()
        if printed is not None:
            printed.read()
        text = said.kept.decode(errors="replace")
        return Ended(code, text, b"" if printed is None else bytes(printed.kept))


async def _started(
    server: str,
    words: Sequence[str],
    environment: dict[str, str],
    said: _Tail,
    printed: _Tail | None,
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL if printed is None else printed.write_end,
            stderr=said.write_end,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DeliveryError(
            f"{server}: cannot run {words[0]}: {reason}",
            hint="give the whole path of a program that the keeper's user may run",
        ) from error


class _Tail:
    """A pipe to write to, and the last `limit` bytes of what was written."""

    def __init__(self, limit: int) -> None:
        self.kept = bytearray()
        self._limit = limit
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
                self.kept += os.read(self._read_end, 64 * 1024)
        del self.kept[: -self._limit]
