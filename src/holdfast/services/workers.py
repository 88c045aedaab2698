"""The master of a service's workers: it binds, forks, replaces and ends them, and serves nobody.

Laws: it has no event loop and no thread, so that forking is safe, and it builds nothing that a
worker serves; sockets are its own, so that no client is refused while a worker is missing; a worker
that dies is started again, later each time it dies young; a reload starts the new workers first and
ends the old ones only when every new one is ready, else the old ones stay; nothing outlives it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import FrameType

from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.notify import Given, Notify
from holdfast.net.sockets import Bound, Place, bind
from holdfast.services.responder_tally import Tallies
from holdfast.services.worker import READY, Plan, Worker, run_worker, why_not

START_WITHIN = 300.0  # seconds for a worker to be ready; to read ten million lines takes 40 alone
AGAIN_AFTER = 0.1  # seconds until a worker that died is started again; doubled when it dies young
AGAIN_AT_MOST = 5.0
YOUNG = 10.0  # seconds
KILL_AFTER = 5.0  # seconds beyond the grace

_log = logging.getLogger("holdfast.workers")


class Child:
    """One worker as its master sees it."""

    def __init__(self, number: int, row: int, pid: int, status: int) -> None:
        self.number, self.row, self.pid, self.status = number, row, pid, status
        self.said = b""
        self.ready = False
        self.began = time.monotonic()
        self.kill_at = float("inf")


class Generation:
    """The workers of one reading of the settings."""

    def __init__(self, plan: Plan, bound: list[Bound]) -> None:
        self.plan = plan
        self.bound = bound
        self.children: dict[int, Child] = {}  # by pid
        self.missing: dict[int, float] = {}  # number -> when to start it
        self.delay: dict[int, float] = {}
        self.ending = False

    @property
    def ready(self) -> bool:
        ready = [child for child in self.children.values() if child.ready]
        return len(ready) == self.plan.workers


class Workers:
    """Runs the workers of the `Plan` that `read` gives: at the start, and again at each SIGHUP.

    `ready` is called once, when all workers serve, with the addresses. `given` are the sockets that
    came with the process (`net.notify.given_sockets`).
    """

    def __init__(
        self,
        read: Callable[[], Plan],
        *,
        tallies: Tallies,
        ready: Callable[[Sequence[Bound]], None] | None = None,
        notify: Notify | None = None,
        given: tuple[Given, ...] = (),
        start_within: float = START_WITHIN,
    ) -> None:
        self._read = read
        self._tallies = tallies
        self._ready = ready
        self._notify = notify or Notify()
        self._given = given
        self._start_within = start_within
        self._rows = list(range(tallies.rows))
        self._generations: list[Generation] = []
        self._current: Generation | None = None
        self._coming: Generation | None = None
        self._coming_until = 0.0
        self._stopping = False
        self._reload = False
        self._failure: HoldfastError | None = None
        self._selector = selectors.DefaultSelector()
        self._alive_at = 0.0

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit code. `OperatorError` when it cannot begin."""
        self._master, self._life = os.pipe()  # workers see the end of the one when we end
        wake, told = os.pipe()
        for end in (wake, told):
            os.set_blocking(end, False)
        before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        handlers = {number: signal.signal(number, _noted) for number in numbers}
        self._selector.register(wake, selectors.EVENT_READ, None)
        try:
            self._begin(self._read())
            while self._generations:
                self._step(wake)
        finally:
            for child in self._children():
                self._kill(child, signal.SIGKILL)
            for child in self._children():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.pid, 0)
            for bound in {id(b): b for g in self._generations for b in g.bound}.values():
                bound.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            self._selector.close()
            for end in (wake, told, self._master, self._life):
                os.close(end)
        if self._failure is not None:
            raise self._failure
        return 0

    # -- what has to be done next -------------------------------------------------------------

    def _step(self, wake: int) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.data is None:
                for number in os.read(wake, 4096):
                    self._told(signal.Signals(number))
            else:
                self._heard(key.data)
        now = time.monotonic()
        for generation in list(self._generations):
            for child in list(generation.children.values()):
                if now >= child.kill_at:
                    _log.error("worker=%d pid=%d does not end, killed", child.number, child.pid)
                    self._kill(child, signal.SIGKILL)
                    child.kill_at = float("inf")
            for number, at in list(generation.missing.items()):
                if now >= at and self._rows:
                    del generation.missing[number]
                    self._fork(generation, number)
        if self._coming is not None and now >= self._coming_until:
            self._gave_up(
                OperatorError(
                    f"not all workers were ready within {self._start_within:g} s",
                    hint="see the log above for what they wait for",
                )
            )
        if self._reload and self._coming is None and not self._stopping:
            self._reload = False
            self._read_again()
        if self._notify.watchdog is not None and now >= self._alive_at:
            self._notify.alive()
            self._alive_at = now + self._notify.watchdog.total_seconds() / 3

    def _patience(self) -> float | None:
        """Seconds until something is due by the clock."""
        due = [child.kill_at for child in self._children()]
        due += [at for generation in self._generations for at in generation.missing.values()]
        if self._coming is not None:
            due.append(self._coming_until)
        if self._notify.watchdog is not None:
            due.append(self._alive_at)
        soonest = min(due, default=float("inf"))
        if soonest == float("inf"):
            return None
        return max(0.0, soonest - time.monotonic())

    def _told(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                self._bury()
            case signal.SIGHUP:
                self._reload = True
            case signal.SIGTERM | signal.SIGINT if self._stopping:
                for child in self._children():
                    self._kill(child, signal.SIGKILL)
            case signal.SIGTERM | signal.SIGINT:
                self._stop()

    # -- generations --------------------------------------------------------------------------

    def _begin(self, plan: Plan) -> None:
        """Bind and fork; when all are ready they take over."""
        held = {} if self._current is None else _by_address(self._current.bound)
        fresh: list[Bound] = []
        bound: list[Bound] = []
        try:
            for place in plan.listen:
                found = held.get(_address(place))
                if found is None:
                    found = bind(place, given=self._given)
                    fresh += found
                bound += [Bound(place, one.sockets) for one in found]
            for one in bound:
                one.widen(plan.workers)
        except BaseException:
            for one in fresh:
                one.close()
            raise
        generation = Generation(plan, bound)
        self._generations.append(generation)
        self._coming, self._coming_until = generation, time.monotonic() + self._start_within
        if self._current is None:
            within = timedelta(seconds=self._start_within)
            self._notify.starting("workers read what they answer from", within=within)
        gc.freeze()  # what is here is not copied by the workers' collections
        for number in range(plan.workers):
            self._fork(generation, number)

    def _read_again(self) -> None:
        self._notify.reloading()
        try:
            self._begin(self._read())
        except HoldfastError as error:
            self._kept(error)

    def _kept(self, error: HoldfastError) -> None:
        hint = f" ({error.hint})" if error.hint else ""
        _log.error("reload failed, the old workers go on: %s%s", error.message, hint)
        self._notify.ready(f"reload failed: {error.message}")

    def _took_over(self, coming: Generation) -> None:
        """Every new worker is ready: the old ones may end."""
        old, self._current, self._coming = self._current, coming, None
        if old is not None:
            self._end(old)
            self._let_go(old, coming)
            _log.info("reloaded workers=%d", coming.plan.workers)
        elif self._ready is not None:
            self._ready(coming.bound)
        places = ", ".join(bound.name for bound in coming.bound)
        self._notify.ready(f"answering at {places}")

    def _gave_up(self, error: HoldfastError) -> None:
        """The workers that were to come do not."""
        coming, self._coming = self._coming, None
        assert coming is not None
        self._end(coming, signal.SIGKILL)
        if self._current is None:
            self._failure, self._stopping = error, True
            return
        self._let_go(coming, self._current)
        self._kept(error)

    def _stop(self) -> None:
        self._stopping = True
        self._coming = None
        self._notify.stopping()
        for generation in list(self._generations):
            if not generation.ending:
                self._end(generation)

    def _end(self, generation: Generation, number: signal.Signals = signal.SIGTERM) -> None:
        generation.ending = True
        generation.missing.clear()
        for child in generation.children.values():
            self._kill(child, number)
            child.kill_at = time.monotonic() + generation.plan.grace + KILL_AFTER
        self._forget(generation)

    def _forget(self, generation: Generation) -> None:
        """Once its last worker has ended, and it is no longer in use."""
        if generation.ending and not generation.children and generation in self._generations:
            self._generations.remove(generation)
            if self._stopping:
                for bound in generation.bound:
                    bound.close()

    def _let_go(self, leaving: Generation, staying: Generation) -> None:
        """Close what only `leaving` listened on."""
        kept = {id(one) for bound in staying.bound for one in bound.sockets}
        for bound in leaving.bound:
            if not any(id(one) in kept for one in bound.sockets):
                bound.close()

    # -- workers ------------------------------------------------------------------------------

    def _fork(self, generation: Generation, number: int) -> None:
        row = self._rows.pop(0)
        worker_status, status = os.pipe()
        os.set_blocking(worker_status, False)
        others = [child.status for child in self._children()]
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        pid = os.fork()
        if pid == 0:
            for end in (worker_status, self._life, *others):
                with contextlib.suppress(OSError):
                    os.close(end)
            self._selector.close()
            kept = {id(one) for bound in generation.bound for one in bound.sockets}
            for one in (one for g in self._generations for b in g.bound for one in b.sockets):
                if id(one) not in kept:
                    one.close()  # else clients would wait on it when its own workers have ended
            plan = generation.plan
            worker = Worker(number, plan.workers, self._tallies.tally(row), self._tallies)
            run_worker(
                plan,
                worker,
                generation.bound,
                status=status,
                master=self._master,
                unblock=blocked,
            )
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(status)
        child = Child(number, row, pid, worker_status)
        generation.children[pid] = child
        self._selector.register(worker_status, selectors.EVENT_READ, child)

    def _heard(self, child: Child) -> None:
        if child.status < 0:
            return  # buried since it was told that there is something to hear
        said = os.read(child.status, 4096)
        if not said:
            self._deaf(child)
            return
        child.said += said
        if child.said != READY or child.ready:
            return
        child.ready = True
        coming = self._coming
        if coming is not None and coming.ready:
            self._took_over(coming)

    def _deaf(self, child: Child) -> None:
        """Hear no more of it."""
        if child.status >= 0:
            self._selector.unregister(child.status)
            os.close(child.status)
            child.status = -1

    def _bury(self) -> None:
        """Take note of the workers that have ended."""
        for generation in list(self._generations):
            for child in list(generation.children.values()):
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    del generation.children[pid]
                    self._ended(generation, child, os.waitstatus_to_exitcode(status))

    def _ended(self, generation: Generation, child: Child, code: int) -> None:
        with contextlib.suppress(BlockingIOError):  # a process that it left behind holds the pipe
            while child.status >= 0:  # it may have said why
                self._heard(child)
        self._deaf(child)
        self._rows.append(child.row)
        self._tallies.tally(child.row)  # its connections are gone
        if generation.ending:
            self._forget(generation)
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        why = why_not(child.said)
        if generation is self._coming:
            self._gave_up(
                why
                or OperatorError(
                    f"worker {child.number} {how} while it started", hint="see the log above"
                )
            )
            return
        now = time.monotonic()
        young = now - child.began < YOUNG
        delay = min(2 * generation.delay.get(child.number, AGAIN_AFTER / 2), AGAIN_AT_MOST)
        generation.delay[child.number] = delay if young else AGAIN_AFTER
        generation.missing[child.number] = now + generation.delay[child.number]
        _log.error(
            "worker=%d pid=%d %s, started again in %.1f s%s",
            child.number,
            child.pid,
            how,
            generation.delay[child.number],
            "" if why is None else f": {why.message}",
        )

    def _children(self) -> list[Child]:
        return [child for one in self._generations for child in one.children.values()]

    def _kill(self, child: Child, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _address(place: Place) -> tuple[object, ...]:
    return place.host, place.port, place.path, place.given, place.purpose


def _by_address(bound: Sequence[Bound]) -> dict[tuple[object, ...], list[Bound]]:
    found: dict[tuple[object, ...], list[Bound]] = {}
    for one in bound:
        found.setdefault(_address(one.place), []).append(one)
    return found


def _noted(number: int, frame: FrameType | None) -> None:
    """The number is in the wake-up pipe."""
