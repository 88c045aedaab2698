"""The rows of the matrix: each an experiment with every server at once, before one keeper.

An experiment returns a `Cell` for each server: whether it holds, and what was seen. `holds` None:
the server's own code makes it impossible; `said` is the reason, and the keeper told it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from holdfast.lab.faults import FAULTS, Seen
from holdfast.ocsp import freshness
from holdfast.ocsp.response import Response
from holdfast.ocsp.statuses import Revoked
from holdfast.plan.entry import Rules
from holdfast.plan.reloading import Pace
from support.servers.ground import World
from support.servers.handshakes import handshake

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HAPROXY_STOPS = timedelta(seconds=300)
USUAL = Pace(gather=timedelta(milliseconds=10))  # as by default, but for the first second

# what `verify` refuses: these never become a staple, the others do (odd, but right) or are revoked
REFUSED = tuple(
    fault.name
    for fault in FAULTS.values()
    if fault.seen is Seen.FAILURE
    or (
        fault.seen is Seen.FINDING
        and fault.word
        not in ("response-revoked", "response-no-next-update", "response-window-too-long")
    )
)


@dataclass(frozen=True, slots=True)
class Cell:
    holds: bool | None
    said: str


Cells = dict[str, Cell]


async def first_handshake(folder: Path) -> Cells:
    """The keeper runs, the servers start: the first handshakes are stapled, with a slow responder
    too."""
    async with World(folder) as world:
        await world.respond(delay=timedelta(milliseconds=300))
        await world.keep()
        await world.serve()
        cells = {}
        for kind, machine in world.machines.items():
            port = machine.port("site")
            shown = [(await handshake(port)).staple for _ in range(8)]
            stapled = sum(staple is not None for staple in shown)
            cells[kind] = Cell(shown[0] is not None and stapled == 8, f"{stapled} of the first 8")
        return cells


async def every_fault(folder: Path) -> Cells:
    """One good staple, then each fault that the lab knows, until the staple's end and after."""
    async with World(folder) as world:
        await world.respond(window=2 * HOUR)
        await world.keep()
        await world.serve()
        await world.calm()
        good = world.staple()
        assert good is not None
        assert good.next_update is not None
        told = dict.fromkeys(world.machines, "")

        async def look(after: str, *, wanted: bool, but: tuple[str, ...] = ()) -> None:
            for kind in world.machines:
                at = world.clock.now()
                shown = await world.shown(kind)
                wrong = world.fault_of(shown, at)
                if not wanted and kind not in but and shown is not None:
                    wrong = wrong or "still sent"
                if wanted and kind not in but and shown != good.der:
                    wrong = wrong or ("lost" if shown is None else "replaced")
                if wrong and not told[kind]:
                    told[kind] = f"{wrong} ({after})"

        await look("healthy", wanted=True)
        begin, end = freshness.refresh_at(good), freshness.withdraw_at(good)
        last = end - HAPROXY_STOPS - 20 * SECOND
        for number, fault in enumerate(REFUSED):
            await world.respond(fault=fault)
            await world.advance_to(begin + (last - begin) * (number / len(REFUSED)))
            world.keeper.refresh("site")
            await world.calm()
            await look(fault, wanted=True)
        given = world.responders["site"].counts
        unasked = [f for f in REFUSED if f != "refused" and not given[f]]
        assert not unasked, f"the keeper never met {unasked}"
        await world.advance_to(end - 10 * SECOND)
        await look("10 s before the withdrawal", wanted=True, but=("haproxy",))
        await world.advance_to(end + SECOND)
        await look("after the withdrawal", wanted=False, but=("apache",))  # asks again in 20 s
        for after in (timedelta(0), MINUTE, DAY):
            await world.advance_to(good.next_update + SECOND + after)
            await look(f"{after} after nextUpdate", wanted=False)
        await world.respond(fault="good")
        world.keeper.refresh("site")
        await world.calm()
        await world.advance(25 * SECOND)
        for kind in world.machines:
            if await world.shown(kind) is None and not told[kind]:
                told[kind] = "not stapled again when the responder is"
        well = f"kept through {len(REFUSED)} faults"
        return {kind: Cell(not wrong, wrong or well) for kind, wrong in told.items()}


async def random_faults(folder: Path, *, handshakes: int = 2000, seed: int = 1) -> Cells:
    """`handshakes` with each server while the responder does whatever it likes: nothing bad,
    foreign, expired or early."""
    dice = random.Random(seed)
    bad: dict[str, str] = {}
    async with World(folder) as world:
        await world.keep()
        await world.serve()
        made, stapled = 0, dict.fromkeys(world.machines, 0)
        while made < handshakes:
            window = dice.choice((MINUTE, 10 * MINUTE, HOUR, 7 * DAY))
            await world.respond(fault=dice.choice(list(FAULTS)), window=window)
            if dice.random() < 0.7:
                world.keeper.refresh("site")
            for _ in range(2):  # in the midst of it, and when it is done
                for _ in range(5):
                    made += 1
                    for kind in world.machines:
                        at = world.clock.now()
                        shown = await world.shown(kind)
                        stapled[kind] += shown is not None
                        if wrong := world.fault_of(shown, at):
                            bad.setdefault(kind, wrong)
                await world.advance(dice.choice((0, 1, 5, 60, 300)) * SECOND)
        return {
            kind: Cell(kind not in bad, bad.get(kind, f"0 of {made}; {stapled[kind]} stapled"))
            for kind in world.machines
        }


async def revoked(folder: Path) -> Cells:
    """With recheck = 30 s: how long until a handshake shows the revocation."""
    async with World(folder, rules=Rules(recheck=30 * SECOND), pace=USUAL) as world:
        await world.respond(window=7 * DAY)
        await world.keep()
        await world.serve()
        await world.advance(MINUTE)
        for kind in world.machines:
            await world.shown(kind)  # so that Apache has its answer in its cache
        await world.respond(fault="revoked", window=7 * DAY)
        since, seen = world.clock.now(), dict[str, timedelta]()
        while len(seen) < len(world.machines) and world.clock.now() - since < 3 * MINUTE:
            await world.advance(2 * SECOND)
            for kind in world.machines:
                shown = await world.shown(kind)
                if kind not in seen and shown is not None and _says_revoked(shown):
                    seen[kind] = world.clock.now() - since
        return {
            kind: Cell(
                kind in seen and seen[kind] <= MINUTE,
                f"{seen[kind].total_seconds():.0f} s" if kind in seen else "not in 3 minutes",
            )
            for kind in world.machines
        }


async def restart(folder: Path) -> Cells:
    """The responder is down; the keeper is killed and started again, and so are the servers."""
    async with World(folder) as world:
        await world.respond(window=DAY)
        await world.keep()
        await world.serve()
        await world.calm()
        await world.respond(fault="refused")
        await world.kill()
        await world.stop()
        await world.advance(HOUR)
        await world.keep()
        await world.serve()
        first = await world.shown_by_all()
        await world.stop()
        await world.serve()
        second = await world.shown_by_all()
        return {
            kind: Cell(
                None not in (first[kind], second[kind]),
                "stapled" if first[kind] and second[kind] else "no staple",
            )
            for kind in world.machines
        }


async def window(folder: Path, length: timedelta, *, steps: int = 24) -> Cells:
    """A healthy responder that signs for `length`: every handshake over 1.5 windows."""
    async with World(folder, pace=USUAL) as world:
        await world.respond(window=length)
        await world.keep()
        await world.serve()
        await world.calm()
        lapses, wrong = dict.fromkeys(world.machines, 0), dict.fromkeys(world.machines, "")
        step = max(SECOND, timedelta(seconds=round(length.total_seconds() * 1.5 / steps)))
        for _ in range(steps):
            await world.advance(step)
            for kind in world.machines:
                at = world.clock.now()
                shown = await world.shown(kind)
                lapses[kind] += shown is None
                wrong[kind] = wrong[kind] or world.fault_of(shown, at)
        cells = {
            kind: Cell(
                not lapses[kind] and not wrong[kind],
                wrong[kind] or f"{steps - lapses[kind]} of {steps} stapled",
            )
            for kind in world.machines
        }
        if length <= HAPROXY_STOPS and "haproxy" in cells and lapses["haproxy"] == steps:
            holder = world.entry().holder("haproxy")
            failure = holder.last_failure if holder is not None else None
            if failure is not None and "never" in failure.message and not wrong["haproxy"]:
                cells["haproxy"] = Cell(None, "never sends in the last 300 s; alerted")
        return cells


async def one_request(folder: Path) -> Cells:
    """Requests per refresh, with all servers in use: 20 handshakes at once with each, 5 times."""
    async with World(folder) as world:
        await world.respond(window=HOUR)
        await world.keep()
        await world.serve()
        asked = [len(world.responders["site"].log)]
        for _ in range(5):
            world.responders["site"].forget()
            await world.advance_to(world.fetch_due() + SECOND)
            for machine in world.machines.values():
                port = machine.port("site")
                await asyncio.gather(*(handshake(port) for _ in range(20)))
            asked.append(len(world.responders["site"].log))
        said = f"{max(asked)} for all {len(world.machines)} servers"
        return {kind: Cell(set(asked) == {1}, said) for kind in world.machines}


async def other_ca(folder: Path) -> Cells:
    """One CA's responder hangs from the start: how long until the other's certificate is stapled,
    and how long its handshakes take."""
    patience = 4.0
    async with World(folder, timeout=patience) as world:
        await world.responders["site"].change({"fault": "hang"})
        await world.serve()
        loop = asyncio.get_running_loop()
        begun, seen = loop.time(), dict[str, float]()
        keeping = asyncio.create_task(world.keep())
        slowest = dict.fromkeys(world.machines, 0.0)
        while len(seen) < len(world.machines) and loop.time() - begun < 3 * patience:
            for kind, machine in world.machines.items():
                shown = await handshake(machine.port("other"), name="other.test")
                slowest[kind] = max(slowest[kind], shown.milliseconds)
                if shown.staple is not None:
                    seen.setdefault(kind, loop.time() - begun)
        await keeping
        return {
            kind: Cell(
                seen.get(kind, 99.0) < patience / 2 and slowest[kind] < 1000,
                f"{seen.get(kind, 99.0):.1f} s of {patience:g}, handshakes {slowest[kind]:.0f} ms",
            )
            for kind in world.machines
        }


async def keeper_dead(folder: Path) -> Cells:
    """Kill -9, never restarted; only the dead man's timer runs, where the server needs it."""
    async with World(folder) as world:
        await world.respond(window=HOUR)
        await world.keep()
        await world.serve()
        await world.calm()
        staple = world.staple()
        assert staple is not None
        assert staple.next_update is not None
        before = await world.shown_by_all()
        await world.kill()
        wrong = {kind: "" if shown else "no staple at first" for kind, shown in before.items()}
        await world.advance_to(freshness.withdraw_at(staple) + 2 * SECOND)
        await world.withdraw_expired()
        for after in (SECOND, MINUTE, 10 * MINUTE, DAY):
            await world.advance_to(staple.next_update + after)
            if after == DAY:
                await world.stop()
                await world.serve()
            for kind, shown in (await world.shown_by_all()).items():
                if shown is not None:
                    wrong[kind] = wrong[kind] or f"sent {after} after nextUpdate"
        by = {kind: "the timer" if m.timer else "itself" for kind, m in world.machines.items()}
        return {k: Cell(not said, said or f"nothing, by {by[k]}") for k, said in wrong.items()}


def _says_revoked(der: bytes) -> bool:
    basic = Response.parse(der).basic
    return basic is not None and isinstance(basic.singles[0].certificate_status, Revoked)


Experiment = Callable[[Path], Awaitable[Cells]]

ROWS: dict[str, Experiment] = {
    "first handshake after the start": first_handshake,
    "a good staple through every fault, none past its end": every_fault,
    "bad, foreign, expired or early under random faults": random_faults,
    "revoked shown, recheck = 30s": revoked,
    "restart of server and keeper, responder down": restart,
    "window of 60 s": lambda folder: window(folder, MINUTE),
    "window of 10 minutes": lambda folder: window(folder, 10 * MINUTE),
    "window of 7 days": lambda folder: window(folder, 7 * DAY),
    "responder requests for a refresh": one_request,
    "another CA's responder hangs": other_ca,
    "keeper dead: staples past nextUpdate": keeper_dead,
}
