"""A server that reads its staples when it is reloaded: files, its own test, one reload for all.

Laws: what the server's test refuses is put back, and the rest of the batch goes on without it; a
reload that fails puts every delivery back; a withdrawal is put back only where the server could not
start otherwise; what has ended meanwhile is not put back.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from holdfast.errors import DeliveryError, HoldfastError, OperatorError
from holdfast.net.files import read_bounded, write_atomic
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import MAX_RESPONSE, Response
from holdfast.ocsp.staple import Staple
from holdfast.plan.reloading import USUAL_PACE, Pace, waiting_for
from holdfast.seams import Clock
from holdfast.servers.files import READABLE, FilesServer
from holdfast.servers.owed import Owed
from holdfast.servers.reloads import Applied, Change, Reloads

_log = logging.getLogger("holdfast.servers")


class Layout(Protocol):
    """Where a server's staples lie, as files."""

    @property
    def files(self) -> FilesServer:
        """The staples themselves."""

    @property
    def needed(self) -> bool:
        """The server would not start with a file that it refuses."""

    def paths(self, certid: CertID) -> tuple[Path, ...]:
        """Every file that `place` may change, those first that the others name."""

    def place(self, change: Change) -> bool:
        """Write the files; False when nothing had to be changed. Raises `DeliveryError`."""

    def clear(self, certid: CertID) -> None:
        """The same for no staple, whatever is there now."""

    def settled(self, change: Change) -> None:
        """The server has been reloaded since `place`."""


class Daemon(Protocol):
    """The running server."""

    async def test(self, changes: Sequence[Change]) -> None:
        """Ask the server about its configuration; `DeliveryError` says file and line."""

    async def reload(self, changes: Sequence[Change]) -> None:
        """Return when what the files say is in force, or when the server does not run.

        `DeliveryError` when the server went on as before.
        """


@dataclass(frozen=True, slots=True)
class _Placed:
    """A change that was made, and what the files held before (None: no file)."""

    index: int
    change: Change
    before: tuple[tuple[Path, bytes | None], ...]


class ReloadedServer:
    """Implements `StapledServer`: deliveries and withdrawals share reloads (K28)."""

    patient = True

    def __init__(
        self,
        layout: Layout,
        daemon: Daemon,
        *,
        clock: Clock,
        pace: Pace = USUAL_PACE,
        owed: Owed | None = None,
    ) -> None:
        self.name = layout.files.name
        self.reloads = 0  # how often the server was reloaded
        self._layout, self._daemon, self._clock = layout, daemon, clock
        self._loaded: dict[str, Staple] = {}  # what the server is known to send
        self.owed = owed or Owed(self.name)  # taken away, and not reloaded since
        self._reloads = Reloads(self.name, self._apply, clock=clock, pace=pace)

    @property
    def files(self) -> FilesServer:
        """Where the staples lie."""
        return self._layout.files

    async def deliver(self, staple: Staple, /) -> None:
        await self._ask(Change(staple.certid, staple))

    async def withdraw(self, certid: CertID, /) -> None:
        await self._ask(Change(certid, None))

    async def _ask(self, change: Change) -> None:
        loaded = self._loaded.get(change.certid.key)
        await self._reloads.ask(change, waiting_for(change.staple, loaded, self._clock.now()))

    # -- one batch -------------------------------------------------------------------------------

    async def _apply(self, changes: Sequence[Change]) -> Applied:
        errors: list[HoldfastError | None] = [None] * len(changes)
        placed = await self._place(enumerate(changes), errors)
        standing = await self._tested(placed, errors)
        reloaded = False
        if standing:
            try:
                await self._daemon.reload([one.change for one in standing])
                reloaded = True
                self.reloads += 1
                _log.info("reload server=%s changes=%s", self.name, len(standing))
            except HoldfastError as error:
                await self._put_back(standing)
                for one in standing:
                    errors[one.index] = error
        for change, failed in zip(changes, errors, strict=True):
            if failed is None:
                await asyncio.to_thread(self._layout.settled, change)
                await asyncio.to_thread(self.owed.discard, change.certid)
                self._know(change)
        return Applied(errors, reloaded)

    def _know(self, change: Change) -> None:
        if change.staple is None:
            self._loaded.pop(change.certid.key, None)
        else:
            self._loaded[change.certid.key] = change.staple

    async def _place(
        self, numbered: Iterable[tuple[int, Change]], errors: list[HoldfastError | None]
    ) -> list[_Placed]:
        placed = []
        for index, change in numbered:
            before = tuple((path, _content(path)) for path in self._layout.paths(change.certid))
            made = _Placed(index, change, before)
            try:
                if change.staple is None and self.files.holds(change.certid):
                    name = self.files.called(change.certid)
                    await asyncio.to_thread(self.owed.add, change.certid, name)
                changed = await asyncio.to_thread(self._layout.place, change)
                if changed and change.staple is None and change.certid not in self.owed:
                    name = self.files.called(change.certid)
                    await asyncio.to_thread(self.owed.add, change.certid, name)
                if changed or change.certid in self.owed:
                    placed.append(made)
            except HoldfastError as error:
                errors[index] = error
                if change.staple is not None:
                    await self._put_back([made])
        return placed

    async def _tested(
        self, placed: list[_Placed], errors: list[HoldfastError | None]
    ) -> list[_Placed]:
        """Those of `placed` that the server's test accepts; the others are put back.

        A refused batch is halved until what is refused is alone, unless the server refuses its
        configuration without any of it.
        """
        if not placed:
            return []
        refused = await self._refused(placed)
        if refused is None:
            return placed
        deliveries = [one for one in placed if one.change.staple is not None]
        withdrawals = [one for one in placed if one.change.staple is None]
        await self._put_back(deliveries)
        without = await self._refused(withdrawals)
        if without is not None or len(deliveries) == 1:
            for one in deliveries:
                errors[one.index] = without or refused
            if without is not None:  # the server's own test is right: it would refuse the reload
                for one in withdrawals:
                    errors[one.index] = without
                    if self._layout.needed:
                        await asyncio.to_thread(_write_back, one.before)
                return []
            return withdrawals
        standing = withdrawals
        half = len(deliveries) // 2
        for part in (deliveries[:half], deliveries[half:]):
            again = await self._place([(one.index, one.change) for one in part], errors)
            standing = standing + await self._tested(again, errors)
        return standing

    async def _refused(self, placed: Sequence[_Placed]) -> HoldfastError | None:
        try:
            await self._daemon.test([one.change for one in placed])
        except HoldfastError as error:
            return error
        return None

    async def _put_back(self, placed: Sequence[_Placed]) -> None:
        """What the files of deliveries held before; withdrawals stay."""
        now = self._clock.now()
        for one in reversed(placed):
            if one.change.staple is None:
                continue
            try:
                await asyncio.to_thread(self._restore, one, now)
            except HoldfastError as error:  # what lies there is a verified staple
                _log.error("put-back server=%s failed %s", self.name, error.message)

    def _restore(self, one: _Placed, at: datetime) -> None:
        staple_path = self.files.path(one.change.certid)
        held = next((data for path, data in one.before if path == staple_path), None)
        if held is None or _ended(held, at):
            self._layout.clear(one.change.certid)
            return
        _write_back(one.before)


def _write_back(before: Iterable[tuple[Path, bytes | None]]) -> None:
    for path, data in before:
        if data is None:
            Path(os.path.realpath(path)).unlink(missing_ok=True)
        else:
            write_atomic(path, data, READABLE)


def _content(path: Path) -> bytes | None:
    try:
        return read_bounded(path, 2 * MAX_RESPONSE)
    except OperatorError:
        return None


def _ended(der: bytes, at: datetime) -> bool:
    try:
        response = Response.parse(der)
    except HoldfastError:
        return True
    singles = () if response.basic is None else response.basic.singles
    return not singles or any(s.next_update is not None and s.next_update <= at for s in singles)


def failed(server: str, doing: str, said: str, *, hint: str) -> DeliveryError:
    """The error of a server that refused, in one line of what it said."""
    return DeliveryError(f"{server}: {doing}: {said}" if said else f"{server}: {doing}", hint=hint)
