"""The checks under way: begun, joined, watched as they grow, and ended in time.

Laws: so many at once and so many that wait, no more; a target that was looked at a moment ago is
not asked again, whoever wants it; a check ends at its deadline with what was seen until then;
whatever happens in one, the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdfast.errors import HoldfastError, Unavailable
from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.services.checker import Grown
from holdfast.services.web.history import Checked, History

ID_BYTES = 12  # random: who has no link does not find a check

Look = Callable[[Target, datetime, Grown], Awaitable[Report]]

_log = logging.getLogger("holdfast.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`deadline` and `fresh` in seconds."""

    at_once: int = 8
    waiting: int = 32
    deadline: float = 60.0
    fresh: float = 15.0


class Check:
    """One check: `version` grows with what is known, `ended` says that no more will come."""

    def __init__(self, target: Target, at: datetime) -> None:
        self.id = secrets.token_urlsafe(ID_BYTES)
        self.target, self.host, self.at = target, host_of(target), at
        self.version, self.ended, self.cut = 0, False, ""
        self._make: Callable[[], Report] | None = None
        self._document: dict[str, Any] = {}
        self._known = -1
        self._changed = asyncio.Event()

    @property
    def document(self) -> dict[str, Any]:
        """The report on all that was seen so far; empty before the first handshake."""
        if self._make is not None and self._known != self.version:
            self._document, self._known = self._make().as_json(), self.version
        return self._document

    def checked(self) -> Checked:
        document = self.document or unfinished(self.target)
        return Checked(id=self.id, host=self.host, at=self.at, document=document, cut=self.cut)

    def grow(self, make: Callable[[], Report] | None) -> None:
        self._make = make or self._make
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def come_to(self, report: Report | None, cut: str = "") -> None:
        self.cut = cut
        self.grow(None if report is None else lambda: report)

    def end(self) -> None:
        self.ended = True
        self.grow(None)

    async def grown(self, version: int, *, timeout: float) -> None:
        """Return when more is known than at `version`, or after `timeout` seconds."""
        if self.version == version and not self.ended:
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                return


class Checks:
    """Runs `look` for whoever asks, within `bounds`."""

    def __init__(
        self, look: Look, history: History, *, bounds: Bounds, now: Callable[[], datetime]
    ) -> None:
        self._look, self._history, self._bounds, self._now = look, history, bounds, now
        self._turn = asyncio.Semaphore(bounds.at_once)
        self._live: dict[str, Check] = {}
        self._latest: dict[str, Check] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        return len(self._tasks)

    def joined(self, target: Target) -> Check | None:
        """The check of the same host that is under way, or was a moment ago."""
        return self._latest.get(host_of(target))

    def begin(self, target: Target) -> Check:
        """A new check of `target`. `Unavailable` when there are too many."""
        if len(self._tasks) >= self._bounds.at_once + self._bounds.waiting:
            raise Unavailable(
                "too many checks are under way",
                failure="busy",
                hint="try again in a minute",
                retry_after=15,
            )
        check = Check(target, self._now())
        self._live[check.id] = self._latest[check.host] = check
        task = asyncio.create_task(self._run(check))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return check

    def live(self, identity: str) -> Check | None:
        return self._live.get(identity)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, check: Check) -> None:
        try:
            async with self._turn:
                check.at = self._now()
                await self._looked(check)
            # Before it is told that it has ended: who looks then finds it in the history
            await self._remember(check)
            check.end()
        except asyncio.CancelledError:
            check.come_to(None, "the page was shut down")
            check.end()
            raise
        finally:
            loop = asyncio.get_running_loop()
            loop.call_later(self._bounds.fresh, self._forget, check)

    async def _looked(self, check: Check) -> None:
        try:
            async with asyncio.timeout(self._bounds.deadline):
                check.come_to(await self._look(check.target, check.at, check.grow))
        except TimeoutError:
            check.come_to(None, f"not everything was looked at within {self._bounds.deadline:g} s")
        except HoldfastError as error:
            check.come_to(None, error.message)
        except Exception:
            _log.exception("a bug: the check of %s ended", check.host)
            check.come_to(None, "the check failed; the log of the page says why")

    async def _remember(self, check: Check) -> None:
        try:
            await self._history.add(check.checked())
        except sqlite3.Error as error:  # a full disk takes nobody's answer away
            _log.error("the check of %s is not remembered: %s", check.host, error)

    def _forget(self, check: Check) -> None:
        self._live.pop(check.id, None)
        if self._latest.get(check.host) is check:
            del self._latest[check.host]


def host_of(target: Target) -> str:
    """What history and joining go by: the same server, however it was written."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    scheme = f"{target.starttls}://" if target.starttls else ""
    return f"{scheme}{host}:{target.port}"


def unfinished(target: Target) -> dict[str, Any]:
    """The report on a target of which nothing is known."""
    lists = ("addresses", "handshakes", "leaves", "staples", "responders", "clients", "findings")
    known = {"target": target.text, "servername": target.host, "verdict": "unreachable"}
    return {**known, **{name: [] for name in lists}, "crl": None}
