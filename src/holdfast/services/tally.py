"""What the keeper counts and logs of its actions, for metrics and for people (K22)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from holdfast.errors import HoldfastError
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.staple import Staple
from holdfast.plan.entry import STORE, Action, Deliver, Entry, Failure, Fetch, Withdraw
from holdfast.seams import Clock

LATENCIES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds: upper ends of the buckets

_log = logging.getLogger("holdfast.keeper")


@dataclass(slots=True)
class Latency:
    """How long answers took: `counts[n]` of them at most `LATENCIES[n]` seconds, the last more."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCIES) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        bucket = next((n for n, end in enumerate(LATENCIES) if seconds <= end), len(LATENCIES))
        self.counts[bucket] += 1
        self.seconds += seconds


@dataclass(slots=True)
class Tally:
    """`fetches` by outcome: "good", "revoked", "unchanged" or a failure's kind, of which `failures`
    are the failures; `deliveries`, `proofs` and `withdrawals` by (holder, "done" or "failed");
    `latencies` by the responder's host."""

    fetches: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, Latency] = field(default_factory=dict)
    proofs: Counter[tuple[str, str]] = field(default_factory=Counter)
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    withdrawals: Counter[tuple[str, str]] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    bugs: int = 0

    @contextmanager
    def waiting(self, subject: Subject, clock: Clock) -> Iterator[None]:
        """Time the wait for the answer about `subject`, whatever it is."""
        begun_at = clock.monotonic()
        try:
            yield
        finally:
            urls = subject.responder_urls
            host = (urlsplit(urls[0]).hostname if urls else None) or "none"
            self.latencies.setdefault(host, Latency()).add(clock.monotonic() - begun_at)

    @contextmanager
    def proving(self, server: str) -> Iterator[None]:
        """Count the proof by handshake that `server` is asked for (K21)."""
        try:
            yield
        except HoldfastError:
            self.proofs[server, "failed"] += 1
            raise
        self.proofs[server, "done"] += 1

    def record(
        self, action: Action, before: Entry, after: Entry, result: Staple | Failure | None
    ) -> None:
        """Count and log what became of `action`, one line an event."""
        said = "" if not isinstance(result, Failure) else f" kind={result.kind} {result.message}"
        done = "failed" if said else "done"
        match action:
            case Fetch():
                staple = after.staple
                if after.last_failure is not None:
                    kind = after.last_failure.kind
                    self.failures[kind] += 1
                    said = f" kind={kind} {after.last_failure.message}"
                elif staple is None or staple is before.staple:
                    kind = "unchanged"
                else:
                    kind = staple.certificate_status.text
                    ends = staple.next_update
                    said = f" next_update={'none' if ends is None else ends.isoformat()}"
                self.fetches[kind] += 1
                _log.info("fetch name=%s outcome=%s%s", before.name, kind, said)
            case Deliver(_, holder, _):
                self.deliveries[holder, done] += 1
                level = logging.DEBUG if holder == STORE and not said else logging.INFO
                _log.log(
                    level, "deliver name=%s to=%s %s%s", before.name, holder or "store", done, said
                )
            case Withdraw(_, holder, because):
                self.withdrawals[holder, done] += 1
                text = "withdraw name=%s from=%s because=%s %s%s"
                _log.info(text, before.name, holder or "store", because, done, said)
