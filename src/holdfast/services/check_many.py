"""Many targets looked at: so many at once, and each for so long and no longer.

Laws: a target costs at most its deadline, whatever it does; what was seen of it until then is
reported, and that it is not all; the reports come in the order of the targets; a list of any length
costs no more tasks than are at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast.ocsp.findings import Finding, finding
from holdfast.plan.report import Report
from holdfast.plan.target import Target
from holdfast.services.checker import Grown

LONGER = (
    "give it longer with --deadline, or ask for less: --first-address, --handshakes 1, --no-crl"
)
Look = Callable[[Target, datetime, Grown], Awaitable[Report]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`deadline`: seconds for one target, from its turn on."""

    at_once: int = 64
    deadline: float = 60.0


async def check_many(
    look: Look,
    targets: Sequence[Target],
    *,
    bounds: Bounds,
    now: Callable[[], datetime],
    done: Callable[[Report], None],
    failed: Callable[[Exception], None],
) -> list[Report]:
    """A report on each of `targets`; `done` is called with each as it is made.

    `failed`: with each bug that ended a check. The others go on: a list is not lost to one.
    """
    reports: dict[int, Report] = {}

    async def work(turns: Iterator[tuple[int, Target]]) -> None:
        for number, target in turns:
            at = now()
            try:
                reports[number] = await within(look, target, deadline=bounds.deadline, at=at)
            except Exception as error:
                failed(error)
                reports[number] = broken(target, error, at=at)
            done(reports[number])

    turns = iter(enumerate(targets))
    async with asyncio.TaskGroup() as group:
        for _ in range(min(bounds.at_once, len(targets))):
            group.create_task(work(turns))
    return [reports[number] for number in range(len(targets))]


async def within(
    look: Look, target: Target, *, deadline: float, at: datetime, advice: str = LONGER
) -> Report:
    """The report on `target`; after `deadline` seconds, that on what was seen until then."""
    makes: list[Callable[[], Report]] = []

    def grown(make: Callable[[], Report]) -> None:
        makes[:] = [make]

    try:
        async with asyncio.timeout(deadline):
            return await look(target, at, grown)
    except TimeoutError:
        seen = makes[0]() if makes else None
        return cut_short(target, seen, deadline=deadline, at=at, advice=advice)


def cut_short(
    target: Target, seen: Report | None, *, deadline: float, at: datetime, advice: str = LONGER
) -> Report:
    """`seen`, with the word that there was more to see; never better than a warning."""
    seconds = f"{deadline:g}"
    if seen is None:
        silent = f"nothing was heard within {seconds} s"
        return _unseen(target, finding("unreachable", address=target.text, problem=silent), at=at)
    short = finding("check-cut-short", problem=f"its {seconds} s were over", advice=advice)
    found = (*seen.findings, short)
    fine = seen.verdict in ("good", "not-applicable")
    return replace(
        seen,
        verdict="warning" if fine else seen.verdict,
        findings=tuple(sorted(found, key=lambda one: -one.severity)),
    )


def broken(target: Target, error: Exception, *, at: datetime) -> Report:
    """The report on a target whose check ended by a bug of ours."""
    problem = f"a bug in holdfast ended it ({type(error).__name__})"
    advice = "please report it with the traceback that is on stderr"
    return _unseen(target, finding("check-cut-short", problem=problem, advice=advice), at=at)


def _unseen(target: Target, found: Finding, *, at: datetime) -> Report:
    return Report(
        target=target.text,
        servername=target.host,
        at=at,
        verdict="unreachable",
        addresses=(),
        findings=(found,),
    )
