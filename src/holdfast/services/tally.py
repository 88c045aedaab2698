"""What the keeper counts and logs of its actions, for metrics and for people (K22)."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from holdfast.ocsp.staple import Staple
from holdfast.plan.entry import STORE, Action, Deliver, Entry, Failure, Fetch, Withdraw

_log = logging.getLogger("holdfast.keeper")


@dataclass(slots=True)
class Tally:
    """`fetches` by outcome: "good", "revoked", "unchanged" or a failure's kind; `deliveries` and
    `withdrawals` by (holder, "done" or "failed")."""

    fetches: Counter[str] = field(default_factory=Counter)
    fetch_seconds: float = 0.0
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    withdrawals: Counter[tuple[str, str]] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    bugs: int = 0

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
