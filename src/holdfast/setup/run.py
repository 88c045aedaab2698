"""Setup's run: plan, keep what was, write, test, reload, read the log, prove, or take all back.

Laws: "stapling works" is said after handshakes showed it, and never otherwise; any failure takes
every file back and reloads; a run that was killed is taken back by the next; what was made can be
taken back later, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from holdfast.errors import HoldfastError
from holdfast.net import dial
from holdfast.seams import Clock
from holdfast.setup.kind import ServerKind
from holdfast.setup.plan import Asks, Plan, Step, Tell, planned
from holdfast.setup.prove import ONE, Proof, prove
from holdfast.setup.transaction import Left, Transactions
from holdfast.setup.words import Change, Trouble, Wish

NATIVE_WITHIN = 30.0  # seconds for a server to fetch and show a staple by itself
KEEPER_WITHIN = 60.0  # and for the keeper to fetch it and have the server reloaded

State = Literal[
    "works", "pruned", "written", "refused", "rolled-back", "taken-back", "nothing-to-do"
]
"""works: proved. pruned: changed and reloaded, and no site is left that could show a staple.
written: the files are changed, and no server runs to prove it. refused: nothing was changed.
rolled-back: it was changed, failed, and is as before. taken-back: by --off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. `left`: files that could not be taken back, because others wrote there."""

    state: State
    changes: tuple[Change, ...] = ()
    proofs: tuple[Proof, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    left: tuple[Left, ...] = ()
    recovered: bool = False


class _Failed(Exception):
    """A step after the first write failed."""

    def __init__(self, *troubles: Trouble) -> None:
        super().__init__(troubles[0].message if troubles else "")
        self.troubles = troubles


@dataclass(slots=True, kw_only=True)
class Setup:
    """Setup of one server. `tell_keeper` has the running keeper read its settings again."""

    kind: ServerKind
    asks: Asks
    transactions: Transactions
    clock: Clock
    tell_keeper: Tell | None = None
    on_step: Step = lambda name, about: None
    within: float | None = None
    _told_keeper: bool = field(default=False, init=False)

    async def plan(self, wish: Wish) -> Plan:
        """What `apply` would do; `OperatorError` as `planned`."""
        return await planned(self.kind, wish, self.asks, on_step=self.on_step)

    async def recover(self) -> Outcome | None:
        """Take back what a run that was killed has left; None when there is nothing."""
        if not self.transactions.pending:
            return None
        running = self.transactions.was_running
        await self.kind.running()  # it sees what its files say before they are taken back
        left = self.transactions.roll_back()
        self.on_step("recovered", "a run that did not end was taken back")
        self._told_keeper = True  # it may have been
        troubles = await self._back_in_service(running=running)
        return Outcome(
            state="rolled-back", troubles=tuple(troubles), left=tuple(left), recovered=True
        )

    async def apply(self, plan: Plan) -> Outcome:
        """Do what `plan` says, prove it, or leave everything as it was."""
        if plan.refused or not (plan.changes or plan.chains):
            state: State = "refused" if plan.refused else "nothing-to-do"
            return Outcome(state=state, troubles=plan.troubles)
        failing = await self.kind.test()
        if any(one.fatal for one in failing) and not plan.mended:
            told = tuple(replace(one, fatal=True) for one in failing)
            return Outcome(state="refused", troubles=(*told, *plan.troubles))
        return await self._carried_out(plan.changes, plan)

    async def off(self) -> Outcome:
        """Take back all that setup has made of this server."""
        changes = tuple(self.transactions.changes_back())
        if not changes:
            self.transactions.forget()
            return Outcome(state="nothing-to-do")
        outcome = await self._carried_out(changes, None)
        if outcome.state in ("works", "written"):
            self.transactions.forget()
            return replace(outcome, state="taken-back")
        return outcome

    # -- steps --------------------------------------------------------------------------------

    async def _carried_out(self, changes: Sequence[Change], plan: Plan | None) -> Outcome:
        """Make `changes` and see that they do what they should; else make nothing of them."""
        mark = self.kind.log_mark()
        was_running = await self.kind.running()
        troubles: tuple[Trouble, ...] = () if plan is None else plan.troubles
        if not was_running and plan is not None:
            unknown = await self._serving_unknown(plan)
            if unknown is not None:
                return Outcome(state="refused", troubles=(unknown, *troubles))
        proofs: list[Proof] = []
        try:
            if changes:
                self.transactions.begin(changes, running=was_running)
                self.on_step("kept", f"{len(changes)} files as they are")
        except HoldfastError as error:
            told = Trouble(code="not-writable", message=error.message, hint=error.hint, fatal=True)
            return Outcome(state="refused", troubles=(told, *troubles))
        try:
            await self._write(changes)
            await self._serve(changes, plan, running=was_running)
            if plan is not None and was_running:
                proofs = await self._prove(plan)
        except _Failed as failed:
            logged = list(self.kind.log_since(mark))
            back = await self._taken_back(changes, plan, running=was_running)
            every = (*failed.troubles, *logged, *back.troubles, *troubles)
            return replace(back, troubles=_once(every))
        except BaseException:
            await self._taken_back(changes, plan, running=was_running)
            raise
        if changes:
            self.transactions.commit()
            self.on_step("done", "the record of it is kept for --off")
        logged = [replace(one, fatal=False) for one in self.kind.log_since(mark)]
        changed: State = "works" if proofs or plan is None else "pruned"
        return Outcome(
            state=changed if was_running else "written",
            changes=tuple(changes),
            proofs=tuple(proofs),
            troubles=_once((*troubles, *logged)),
        )

    async def _serving_unknown(self, plan: Plan) -> Trouble | None:
        """A server that answers while its pid file names none: it could not be reloaded."""
        for site in (chains.site for chains in plan.chains):
            for host, port in site.listens:
                try:
                    connection = await dial.connect(host, port, timeout=ONE)
                except HoldfastError:
                    continue
                connection.sock.close()
                return Trouble(
                    code="pid-unknown",
                    message=f"something answers at {host}:{port}, where {site.name} is, but "
                    f"{self.kind.name}'s pid file names no process of it: it could not be reloaded",
                    hint="name its pid file with --pid-file; or end what listens there instead",
                    place=site.place,
                    fatal=True,
                )
        return None

    async def _write(self, changes: Sequence[Change]) -> None:
        try:
            for change in self.transactions.write(changes):
                self.on_step("wrote", str(change.path))
        except HoldfastError as error:
            raise _Failed(_of(error, "not-written")) from error

    async def _serve(self, changes: Sequence[Change], plan: Plan | None, *, running: bool) -> None:
        failing = [one for one in await self.kind.test() if one.fatal]
        if failing:
            raise _Failed(*failing)
        self.on_step("tested", "its own configuration test passes")
        keeper = plan is None or plan.wish.mode == "keeper"
        try:
            if keeper and self.tell_keeper is not None:
                self._told_keeper = True
                await self.tell_keeper()
                self.on_step("keeper", "has read its settings again")
            if running and changes:
                await self.kind.reload(restart=plan is not None and plan.restart)
                self.on_step("reloaded", "")
        except HoldfastError as error:
            raise _Failed(_of(error, "reload-failed")) from error

    async def _prove(self, plan: Plan) -> list[Proof]:
        within = self.within
        if within is None:
            within = KEEPER_WITHIN if plan.wish.mode == "keeper" else NATIVE_WITHIN
        proofs: list[Proof] = []
        for chains in plan.chains:
            found = await prove(chains, clock=self.clock, within=within)
            proofs += found
            failed = [one.trouble for one in found if one.trouble is not None]
            if failed:
                raise _Failed(*failed)
            self.on_step("proved", chains.site.name)
        return proofs

    async def _taken_back(
        self, changes: Sequence[Change], plan: Plan | None, *, running: bool
    ) -> Outcome:
        if not changes:
            return Outcome(state="refused")
        left = self.transactions.roll_back()
        self.on_step("taken back", f"{len(changes)} files")
        restart = plan is not None and plan.restart
        troubles = await self._back_in_service(running=running, restart=restart)
        return Outcome(state="rolled-back", troubles=tuple(troubles), left=tuple(left))

    async def _back_in_service(self, *, running: bool, restart: bool = False) -> list[Trouble]:
        """Have keeper and server go on with what is on disk again; one that did not run is not
        started."""
        troubles: list[Trouble] = []
        try:
            if self._told_keeper and self.tell_keeper is not None:
                await self.tell_keeper()
        except HoldfastError as error:
            troubles.append(_of(error, "keeper-not-told"))
        try:
            failing = [one for one in await self.kind.test() if one.fatal]
            if failing:
                return [*troubles, *failing]
            if running:
                died = not await self.kind.running()
                try:
                    await self.kind.reload(restart=restart or died)
                except HoldfastError:
                    if await self.kind.running():
                        raise
                    await self.kind.reload(restart=True)  # it died of it: it is started
                self.on_step("reloaded", "as before")
        except HoldfastError as error:
            troubles.append(_of(error, "reload-failed"))
        return troubles


def _once(troubles: Sequence[Trouble]) -> tuple[Trouble, ...]:
    """A log says the same for every handshake."""
    found: dict[tuple[str, str], Trouble] = {}
    for one in troubles:
        found.setdefault((one.code, one.message), one)
    return tuple(found.values())


def _of(error: HoldfastError, code: str) -> Trouble:
    return Trouble(code=code, message=error.message, hint=error.hint, fatal=True)
