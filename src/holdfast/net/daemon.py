"""A running daemon: its master process by its pid file, told by a signal, watched by its children.

Laws: a process is signalled only when it is the program that is expected, whatever an old pid file
says, and while it catches the signal: one that begins, or restarts, may die of it. A daemon that
does not run is no error, since it reads its files when it starts.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import Signals

from holdfast.errors import DeliveryError, OperatorError
from holdfast.net.files import read_bounded
from holdfast.net.program import run_program

PROC = Path("/proc")
LOOK_EVERY = 0.02  # seconds
ANSWER_WITHIN = 30.0  # seconds for new children: a large configuration takes some
LEAVE_WITHIN = 3.0  # seconds for the old ones to stop accepting
START_WITHIN = 2.0  # seconds from a pid file to the first child
HEAR_WITHIN = 5.0  # seconds that a daemon may be busy with itself before it is told

_MASK = re.compile(r"^Sig(Blk|Cgt):\s*([0-9a-f]+)$", re.MULTILINE)

Serves = Callable[[str], bool]
"""Whether a child with this title takes new connections."""


class Master:
    """The master process of `server`, an instance of `program`."""

    def __init__(self, server: str, *, program: str) -> None:
        self._server = server
        self._comm = os.path.basename(program)[:15]  # as the kernel cuts it

    def pid(self, pid_file: str | os.PathLike[str]) -> int | None:
        """The process that `pid_file` names, if it is there and is this program."""
        try:
            text = read_bounded(pid_file, 64).decode("ascii", "replace").strip()
        except OperatorError:
            return None
        if not text.isdigit() or int(text) <= 1:
            return None
        try:
            comm = (PROC / text / "comm").read_text().strip()
        except OSError:
            return None
        return int(text) if comm == self._comm else None

    def signal(self, pid: int, number: Signals) -> None:
        """`DeliveryError` when this user may not."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise DeliveryError(
                f"{self._server}: this user may not signal process {pid}",
                hint='run the keeper as root, or say how: reload = ["sudo", "..."]',
            ) from error

    async def told(
        self, command: Sequence[str], pid: int | None, number: Signals, *, deadline: float
    ) -> None:
        """Reload by `command` if there is one, else by the signal; `DeliveryError` if refused, or
        if the process does not catch the signal."""
        if not command:
            if pid is not None:
                await self._hearing(pid, number)
                self.signal(pid, number)
            return
        ended = await run_program(self._server, command, deadline=deadline)
        if ended.code != 0:
            said = f": {ended.last_line}" if ended.last_line else ""
            raise DeliveryError(
                f"{self._server}: `{' '.join(command)}` failed ({ended.how}){said}",
                hint="run it by hand as the user of the keeper; it is tried again",
            )

    async def _hearing(self, pid: int, number: Signals) -> None:
        """Return once two looks find that it catches the signal, or that it is gone: of two close
        to each other the second could reach it in the middle of the restart by the first."""
        ends = time.monotonic() + HEAR_WITHIN
        seen = 0
        while seen < 2 and _alive(pid):
            seen = seen + 1 if catches(pid, number) else 0
            if not seen and time.monotonic() >= ends:
                raise DeliveryError(
                    f"{self._server}: process {pid} does not catch {number.name}, and would die of "
                    "it",
                    hint="does it start, or restart? if it never does, say how: reload = [...]",
                )
            await asyncio.sleep(LOOK_EVERY)

    def serving(self, pid: int, serves: Serves) -> frozenset[int]:
        """The children of `pid` that take connections."""
        return frozenset(child for child in _children(pid) if serves(_title(child)))

    async def settled(self, pid: int, serves: Serves) -> frozenset[int]:
        """`serving`, once two looks find the same; none, after a while, of one that works alone.

        Apache writes its pid file and then makes its children one by one: what it makes later is
        not what came of a reload.
        """
        ends = time.monotonic() + START_WITHIN
        before: frozenset[int] = frozenset()
        while time.monotonic() < ends and _alive(pid):
            now = self.serving(pid, serves)
            if now and now == before:
                return now
            before = now
            await asyncio.sleep(LOOK_EVERY)
        return before

    async def replaced(
        self, pid: int, old: frozenset[int], serves: Serves, *, within: float = ANSWER_WITHIN
    ) -> bool:
        """Wait until children that are not `old` take the connections and `old` do not.

        False when there are none within the time: the master refused the reload.
        """
        begun = time.monotonic()
        came_at: float | None = None
        while time.monotonic() - begun < within:
            now = self.serving(pid, serves)
            if now - old:
                came_at = came_at or time.monotonic()
                if not now & old or time.monotonic() - came_at > LEAVE_WITHIN:
                    return True
            elif not _alive(pid):
                return False
            await asyncio.sleep(LOOK_EVERY)
        return came_at is not None


def catches(pid: int, number: Signals) -> bool:
    """Whether the process has a handler for the signal and does not block it now (proc_pid_status:
    SigCgt, SigBlk)."""
    try:
        text = (PROC / str(pid) / "status").read_text()
    except OSError:
        return False
    masks = {name: int(mask, 16) for name, mask in _MASK.findall(text)}
    bit = 1 << (number - 1)
    return not masks.get("Blk", 0) & bit and bool(masks.get("Cgt", 0) & bit)


def _children(pid: int) -> list[int]:
    try:
        text = (PROC / str(pid) / "task" / str(pid) / "children").read_text()
        return [int(word) for word in text.split()]
    except FileNotFoundError:
        return [child for child in _processes() if _parent(child) == pid]
    except OSError:
        return []


def _processes() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _title(pid: int) -> str:
    """What the process calls itself; "" when it has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _alive(pid: int) -> bool:
    return (PROC / str(pid)).exists()
