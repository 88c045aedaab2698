"""When each stage of a request was reached."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Milliseconds from the beginning to the end of each stage; None when there was no such stage.

    dns: the name is resolved (none for an address, or a kept connection). connect: TCP, and TLS for
    https, is up. send: the request is handed to the system. first_byte: the reply's headers are
    here. done: its body is. Stages of the last hop of redirects, counted from the first.
    """

    dns: float | None = None
    connect: float | None = None
    send: float | None = None
    first_byte: float | None = None
    done: float | None = None

    def stages(self) -> tuple[tuple[str, float], ...]:
        """(name, milliseconds since the beginning) of those that there were, in order."""
        named = (
            ("dns", self.dns),
            ("connect", self.connect),
            ("send", self.send),
            ("first byte", self.first_byte),
            ("done", self.done),
        )
        return tuple((name, value) for name, value in named if value is not None)


@dataclass(slots=True)
class Stopwatch:
    """Marks stages while they happen."""

    begun: float = field(default_factory=time.perf_counter)
    marks: dict[str, float] = field(default_factory=dict)
    reused: bool = False  # a kept connection was used

    def mark(self, stage: str) -> None:
        self.marks[stage] = round((time.perf_counter() - self.begun) * 1000, 3)

    def late(self, seconds: float) -> None:
        """What happened now is learnt of so late, by our own fault."""
        self.begun += min(seconds, time.perf_counter() - self.begun - self._last)

    @property
    def _last(self) -> float:
        """Seconds until the newest mark: nothing happens before it."""
        return max(self.marks.values(), default=0.0) / 1000

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """A wait of our own making, which says nothing about the server."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.begun += time.perf_counter() - begun

    def next_hop(self) -> None:
        """Forget the stages of the hop before."""
        self.marks.clear()
        self.reused = False

    @property
    def timeline(self) -> Timeline:
        return Timeline(**self.marks)
