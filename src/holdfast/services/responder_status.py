"""The pages beside a responder's answers: metrics, health. R36.

Laws: they are served at their own address, never among the answers; whichever worker is asked tells
of all where it can (counters), and of itself where it must (health).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from holdfast.net.http_message import Reply, Request, plain
from holdfast.services.responder_health import Health
from holdfast.services.responder_metrics import Facts, metrics_text

TEXT = b"text/plain; version=0.0.4; charset=utf-8"  # Prometheus text exposition format
_ALLOW = ((b"Allow", b"GET, HEAD"),)

FactsOf = Callable[[Mapping[str, str]], Sequence[Facts]]
"""What is known of each CA, when these problems are (their text by the CA's name)."""


class StatusPages:
    """An HTTP handler of `/metrics` and `/healthz`."""

    def __init__(
        self,
        health: Health,
        *,
        total: Callable[[], Mapping[str, int]],
        facts: FactsOf,
        workers: int,
        started_at: datetime,
    ) -> None:
        self._health = health
        self._total = total
        self._facts = facts
        self._workers = workers
        self._started_at = started_at

    async def handle(self, request: Request) -> Reply:
        """Answer one HTTP request."""
        if request.method not in ("GET", "HEAD"):
            return plain(405, "this page is read by GET", headers=_ALLOW)
        match request.path:
            case b"/metrics":
                return await self._metrics()
            case b"/healthz":
                return await self._health.page(request)
            case _:
                return plain(404, "there are /metrics and /healthz")

    async def _metrics(self) -> Reply:
        facts = self._facts(await self._health.problems())
        text = metrics_text(
            self._total(), facts, workers=self._workers, started_at=self._started_at
        )
        return Reply(200, text.encode(), ((b"Content-Type", TEXT), (b"Cache-Control", b"no-store")))
