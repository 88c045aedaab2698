"""Changes that share reloads, and what becomes of each; a small server, time by hand. K28."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.reloading import USUAL_PACE
from holdfast.servers.files import FilesServer
from holdfast.servers.owed import Owed
from holdfast.servers.plain_layout import PlainLayout
from holdfast.servers.reloaded import ReloadedServer
from holdfast.servers.reloads import Change
from support.clock import FakeClock
from support.pki import AT
from support.staples import WEEK, Desk, a_desk

MINUTE = timedelta(minutes=1)
DESKS = [a_desk(f"n{number}.test", serial=number + 1) for number in range(6)]
X = DESKS[0]


class ToyDaemon:
    """Takes everything but the serials in `bad`, unless it is `broken`."""

    def __init__(self) -> None:
        self.bad: set[int] = set()
        self.broken = False
        self.deaf = False
        self.tests = 0
        self.reloads: list[set[int]] = []

    async def test(self, changes: Sequence[Change]) -> None:
        self.tests += 1
        refused = [c for c in changes if c.staple is not None and c.certid.serial in self.bad]
        if self.broken or refused:
            raise DeliveryError("bad in toy.conf:7")

    async def reload(self, changes: Sequence[Change]) -> None:
        if self.deaf:
            raise DeliveryError("went on as before")
        self.reloads.append({change.certid.serial for change in changes})


class Town:
    """The server, its folder and its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemon = ToyDaemon()
        self.clock = FakeClock(AT)
        files = FilesServer("toy", file=str(folder / "{serial}.der"))
        self.owed = Owed("toy", folder=folder / "owed")
        self.server = ReloadedServer(
            PlainLayout(files), self.daemon, clock=self.clock, owed=self.owed
        )

    def start(self, what: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(what)

    async def passes(self, span: timedelta) -> None:
        """Let time pass, and everybody do what is due."""
        await self._rest()
        self.clock.advance(span)
        await self._rest()

    async def made(self, *what: Coroutine[Any, Any, None]) -> list[BaseException | None]:
        """Everything in `what`, after the time to gather."""
        tasks = [self.start(one) for one in what]
        await self.passes(10 * USUAL_PACE.gather)
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    def held(self, desk: Desk) -> bytes | None:
        path = self.folder / f"{desk.subject.serial:x}.der"
        return path.read_bytes() if path.exists() else None

    async def _rest(self) -> None:
        for _ in range(200):  # files are written in threads
            await asyncio.sleep(0.0005)
            if self.clock.sleepers:
                await self.clock.settle()
                return


Story = Callable[[Town], Coroutine[Any, Any, None]]


def played(story: Story, folder: Path) -> None:
    async def play() -> None:
        await story(Town(folder))

    asyncio.run(play())


def staples(desks: Sequence[Desk] = DESKS) -> list[Staple]:
    return [desk.staple(AT) for desk in desks]


def test_k28_all_that_waits_shares_one_reload(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        outcomes = await town.made(*(town.server.deliver(staple) for staple in staples()))
        assert outcomes == [None] * 6
        assert town.daemon.reloads == [{1, 2, 3, 4, 5, 6}]
        assert town.daemon.tests == 1

    played(story, tmp_path)


def test_k28_refreshes_wait_for_the_slot_together(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        await town.made(*(town.server.deliver(staple) for staple in staples()))
        tasks = []
        for desk in DESKS:
            tasks.append(town.start(town.server.deliver(desk.staple(AT + MINUTE))))
            await town.passes(20 * timedelta(seconds=1))
        assert len(town.daemon.reloads) == 1
        assert not any(task.done() for task in tasks)
        await town.passes(5 * MINUTE)
        await asyncio.gather(*tasks)
        assert [len(serials) for serials in town.daemon.reloads] == [6, 6]

    played(story, tmp_path)


def test_k11_a_revoked_one_takes_those_that_wait_with_it(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        await town.made(*(town.server.deliver(staple) for staple in staples(DESKS[:2])))
        usual = town.start(town.server.deliver(DESKS[1].staple(AT + MINUTE)))
        await town.passes(timedelta(seconds=5))
        assert not usual.done()
        revoked = X.staple(AT + MINUTE, status=Revoked(AT))
        assert await town.made(town.server.deliver(revoked)) == [None]
        await usual
        assert town.daemon.reloads[1:] == [{1, 2}]

    played(story, tmp_path)


def test_a_newer_change_overtakes_the_one_that_waits(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        await town.made(town.server.deliver(X.staple(AT)))
        usual = town.start(town.server.deliver(X.staple(AT + MINUTE)))
        await town.passes(timedelta(seconds=5))
        assert await town.made(town.server.withdraw(X.subject.certid)) == [None]
        with pytest.raises(DeliveryError, match="overtaken"):
            await usual
        assert town.held(X) is None

    played(story, tmp_path)


def test_a_cancelled_delivery_is_not_made(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        first = X.staple(AT)
        await town.made(town.server.deliver(first))
        usual = town.start(town.server.deliver(X.staple(AT + MINUTE)))
        await town.passes(timedelta(seconds=5))
        usual.cancel()
        await town.passes(10 * MINUTE)
        assert town.held(X) == first.der
        assert len(town.daemon.reloads) == 1

    played(story, tmp_path)


def test_the_refused_one_is_found_and_the_others_go_on(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        before = DESKS[3].staple(AT)
        await town.made(town.server.deliver(before))
        town.daemon.bad = {4, 6}
        newer = [desk.staple(AT + MINUTE) for desk in DESKS]
        outcomes = await town.made(
            *(town.server.deliver(staple) for staple in newer[:3] + newer[4:]),
            town.server.deliver(X.staple(AT + 2 * MINUTE)),
        )
        del outcomes[0]  # overtaken by the last
        tasks = town.start(town.server.deliver(newer[3]))
        await town.passes(6 * MINUTE)
        with pytest.raises(DeliveryError, match=r"toy\.conf:7"):
            await tasks
        assert [error is None for error in outcomes] == [True, True, True, False, True]
        assert town.held(DESKS[3]) == before.der
        assert town.held(DESKS[5]) is None
        assert town.held(DESKS[4]) == newer[4].der

    played(story, tmp_path)


def test_a_broken_configuration_puts_deliveries_back_and_leaves_withdrawals(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        old = staples(DESKS[:2])
        await town.made(*(town.server.deliver(staple) for staple in old))
        town.daemon.broken = True
        outcomes = await town.made(
            town.server.withdraw(X.subject.certid),
            town.server.deliver(DESKS[1].staple(AT, status=Revoked(AT))),
        )
        assert all(isinstance(error, DeliveryError) for error in outcomes)
        assert town.held(X) is None
        assert town.held(DESKS[1]) == old[1].der
        assert len(town.daemon.reloads) == 1
        town.daemon.broken = False
        assert await town.made(town.server.withdraw(X.subject.certid)) == [None]
        assert town.daemon.reloads[1:] == [{1}], "it had not been told yet"
        assert await town.made(town.server.withdraw(X.subject.certid)) == [None]
        assert len(town.daemon.reloads) == 2

    played(story, tmp_path)


def test_what_has_ended_meanwhile_is_not_put_back(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        await town.made(town.server.deliver(X.staple(AT)))
        town.clock.jump(WEEK + MINUTE)
        town.daemon.deaf = True
        task = town.start(town.server.deliver(X.staple(AT + WEEK)))
        await town.passes(6 * MINUTE)
        with pytest.raises(DeliveryError, match="went on as before"):
            await task
        assert town.held(X) is None

    played(story, tmp_path)


def test_a_bug_in_the_adapter_reaches_every_caller(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        town.daemon.reloads = None  # type: ignore[assignment]
        outcomes = await town.made(*(town.server.deliver(s) for s in staples(DESKS[:2])))
        assert [type(error) for error in outcomes] == [AttributeError, AttributeError]
        town.daemon.reloads = []
        assert await town.made(town.server.deliver(X.staple(AT))) == [None]

    played(story, tmp_path)


def test_k27_a_withdrawal_without_a_reload_is_made_by_the_next_process(tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        assert await town.made(town.server.deliver(X.staple(AT))) == [None]
        town.daemon.deaf = True
        (failed,) = await town.made(town.server.withdraw(X.subject.certid))
        assert isinstance(failed, DeliveryError)
        assert town.held(X) is None
        other = Town(town.folder)  # knows what lies in the folder only
        assert [debt.certid for debt in other.owed.noted()] == [X.subject.certid]
        assert await other.made(other.server.withdraw(X.subject.certid)) == [None]
        assert other.daemon.reloads == [{1}]
        assert not list(other.owed.noted())
        assert await other.made(other.server.withdraw(X.subject.certid)) == [None]
        assert other.daemon.reloads == [{1}], "nothing is owed any more"

    played(story, tmp_path)
