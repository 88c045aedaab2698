"""What `holdfast presign` does once it knows for whom: sign once or for ever, and say how far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.services.presign import Tally
    from holdfast.wiring_presign import Job

# -- once -----------------------------------------------------------------------------------------


def once(jobs: Sequence[Job], *, as_json: bool) -> int:
    from holdfast.cli.output import Printer, write_document
    from holdfast.wiring_presign import presigning

    done: list[tuple[Job, Tally, float]] = []
    for job in jobs:
        began = time.monotonic()
        shown = _Shown(job.given.name)
        with presigning(job, shown.at) as (presigner, _), shown:
            tally = presigner.run()
        done.append((job, tally, time.monotonic() - began))
        if not as_json:
            Printer.on().line(_line(job, tally, done[-1][2]))
    if as_json:
        cas = [
            {
                "name": job.given.name,
                "store": job.store,
                "seconds": round(seconds, 3),
                **_counts(tally),
            }
            for job, tally, seconds in done
        ]
        write_document({"schema": "holdfast.presign/1", "cas": cas})
    return 0


def _counts(tally: Tally) -> dict[str, int]:
    from dataclasses import asdict

    return asdict(tally)


def _line(job: Job, tally: Tally, seconds: float) -> str:
    line = (
        f"{job.given.name}: {tally.listed:,} in the ledger, {tally.signed:,} signed, "
        f"{tally.kept:,} kept, {tally.dropped:,} dropped"
    )
    if tally.without:
        line += f", {tally.without:,} without (ended)"
    return f"{line}; {seconds:.1f} s, {job.store}"


# -- for ever -------------------------------------------------------------------------------------


def follow_all(jobs: Sequence[Job], *, as_json: bool) -> int:
    """One process for each CA; when one ends, all do."""
    from holdfast.net.notify import Notify

    notify = Notify.from_environment()
    if len(jobs) == 1:
        return _follow(jobs[0], as_json, lambda: notify.ready(f"follows {jobs[0].given.name}"))
    import multiprocessing
    import signal
    from multiprocessing.connection import wait

    from holdfast.cli.edge import guarded

    context = multiprocessing.get_context("fork")
    ready = context.Semaphore(0)

    def child(job: Job) -> None:
        raise SystemExit(guarded(lambda _: _follow(job, as_json, ready.release), ()))

    children = [context.Process(target=child, args=(job,)) for job in jobs]
    for one in children:
        one.start()

    def end(*_: object) -> None:
        for one in children:
            if one.is_alive():
                one.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    waiting = len(jobs)
    while all(one.exitcode is None for one in children):
        while waiting and ready.acquire(block=False):
            waiting -= 1
            if not waiting:
                notify.ready(f"follows {len(jobs)} CAs")
        wait([one.sentinel for one in children], 0.5 if waiting else None)
    end()
    for one in children:
        one.join()
    return max(abs(one.exitcode or 0) for one in children)


def _follow(job: Job, as_json: bool, ready: Callable[[], None]) -> int:
    import asyncio
    import signal
    import sys

    from holdfast.cli.output import Printer, write_document
    from holdfast.wiring_presign import presigning

    def told(tally: Tally) -> None:
        if as_json:
            write_document(
                {"schema": "holdfast.presign/1", "name": job.given.name, **_counts(tally)}
            )
        else:
            Printer.on().line(
                f"{job.given.name}: {tally.signed:,} signed, {tally.dropped:,} dropped"
            )
        sys.stdout.flush()

    shown = _Shown(job.given.name)
    with presigning(job, shown.at) as (presigner, beside), shown:

        async def run() -> None:
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()

            def end() -> None:
                presigner.stopped = True
                ended.set()

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, end)
            ready()  # the first run may take long; what it has not signed yet is signed live
            also = None if beside is None else asyncio.create_task(beside())
            try:
                await presigner.follow(ended, told)
            finally:
                if also is not None:
                    also.cancel()

        asyncio.run(run())
    return 0


class _Shown:
    """How far a run is, on stderr: a bar on a terminal, now and then a line elsewhere."""

    EVERY = 5.0  # seconds between two lines

    def __init__(self, name: str) -> None:
        import sys

        from holdfast.cli.output import is_terminal, printable

        self._name = printable(name)
        self._bar: Any = None
        self._task: Any = None
        self._terminal = is_terminal(sys.stderr)
        self._told = time.monotonic()

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def at(self, done: int, total: int) -> None:
        """`done` of `total` serials were gone through."""
        if self._terminal:
            self._drawn(done, total)
        elif time.monotonic() - self._told >= self.EVERY:
            import sys

            self._told = time.monotonic()
            sys.stderr.write(f"{self._name}: {done:,} of {total:,}\n")
            sys.stderr.flush()

    def _drawn(self, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(
                *columns, Remaining(), console=Console(stderr=True), transient=True
            )
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=total)
        self._bar.update(self._task, completed=done, total=total)
        if done >= total:
            self._end()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
