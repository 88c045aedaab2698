"""What answers under which path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, cast

from holdfast.plan.answering import Answer, Held, Signed

AnswerNow = Callable[[bytes], Answer | None]

SignedNow = Callable[[Sequence[bytes]], list[Signed | None]]
"""The answers to several requests that came at once, None where `answer_now` has to be asked."""


class Answering(Protocol):
    """What gives the answers: the DER of a request in, an `Answer` out, never an exception that a
    caller is meant to catch.

    One that can often answer without waiting has `answer_now(data)` too: synchronous, never
    blocking, None when `answer_bytes` has to be asked; and `signed_now` where most requests are
    answered in octets (`SignedNow`). One that has answers lying ready is `Shelved`.
    """

    def answer_bytes(self, data: bytes, /) -> Awaitable[Answer]: ...


class Shelved(Protocol):
    """An `Answering` with answers that lie ready.

    `held_together(several, at)` gives the one for each request at the epoch second `at`, with what
    it says, and None when `live` has to be asked, and for None. It is the same for the same request
    while `generation` is and the answer holds. `tick` comes with each new second in which something
    is asked. None of these blocks or raises.
    """

    @property
    def live(self) -> Answering: ...

    @property
    def generation(self) -> int: ...

    def tick(self, at: int, /) -> None: ...

    def held_together(self, several: Sequence[bytes | None], at: int, /) -> list[Held | None]: ...


class Mount:
    """One prefix (b"" for the root) and what answers under it."""

    def __init__(self, prefix: str, answering: Answering) -> None:
        self.prefix = prefix.rstrip("/").encode()
        shelved = hasattr(answering, "held_together")
        self.shelf = cast("Shelved", answering) if shelved else None
        self.live = answering if self.shelf is None else self.shelf.live
        now: AnswerNow | None = getattr(self.live, "answer_now", None)
        self.answer_now = now or _never
        self.signed_now: SignedNow | None = getattr(self.live, "signed_now", None)
        self.held_together = _nothing if self.shelf is None else self.shelf.held_together

    def owns(self, path: bytes) -> bool:
        """The prefix itself, or what follows it after a `/`."""
        prefix = self.prefix
        return not prefix or path == prefix or path.startswith(prefix + b"/")


class Mounts:
    """All of them. The longest prefix that fits has a path."""

    def __init__(self, given: Mapping[str, Answering]) -> None:
        found = [Mount(prefix, answering) for prefix, answering in given.items()]
        self.all = tuple(sorted(found, key=lambda mount: -len(mount.prefix)))
        if len({mount.prefix for mount in found}) != len(found):
            raise ValueError(f"two of one prefix: {sorted(given)}")

    def of(self, path: bytes) -> Mount | None:
        return next((mount for mount in self.all if mount.owns(path)), None)


def _nothing(several: Sequence[bytes | None], _: int) -> list[Held | None]:
    """Of an `Answering` without a shelf."""
    return [None] * len(several)


def _never(_: bytes) -> None:
    """Of an `Answering` that always waits."""
