"""What the keeper counts, for metrics and status (K22)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


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
