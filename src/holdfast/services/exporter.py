"""The exporter: a check of the target that a scrape names, as metrics.

Laws: a scrape is answered before Prometheus gives up on it, with what was seen until then; so many
probes run and so many wait, no more; nothing that is asked for makes a label of the exporter's own
metrics. Prometheus, "Understanding and using the multi-target
exporter pattern"; its header X-Prometheus-Scrape-Timeout-Seconds.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import get_args
from urllib.parse import parse_qsl

from holdfast.errors import OperatorError
from holdfast.formats.controls import harmless
from holdfast.formats.prometheus import CONTENT_TYPE, Labels, exposition, text
from holdfast.formats.summary import at_or_above, by_hurt
from holdfast.net.http_message import Answer, Reply, Request, plain
from holdfast.ocsp.findings import FAULT
from holdfast.plan.report import Report, ReportVerdict
from holdfast.plan.target import Target
from holdfast.services.check_many import within
from holdfast.services.checker import Grown, Looking
from holdfast.version import __version__

TIMEOUT_HEADER = b"x-prometheus-scrape-timeout-seconds"
MAX_FIELDS = 8  # of a query
NOT_DIALLED = "not dialled"  # net.dial's words for an address that the policy refuses
PARAMETERS = ("target", "servername", "require_staple")

Look = Callable[[Target, Looking, datetime, Grown], Awaitable[Report]]

PROBE: dict[str, str] = {
    "probe_success": "1 when the target was reached and nothing is at fault or above, else 0.",
    "probe_duration_seconds": "How long the probe took.",
}
OWN: dict[str, str] = {
    "holdfast_build_info": "1, with the version.",
    "holdfast_exporter_probes_total": "Probes by the verdict of the check.",
    "holdfast_exporter_refused_total": "Probes that were not made, by reason.",
    "holdfast_exporter_probes_under_way": "Probes that run or wait.",
    "holdfast_exporter_probe_seconds_total": "Seconds that all probes took.",
}
_KINDS = {name: "counter" for name in OWN if name.endswith("_total")}
_REASONS = ("unfit", "busy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds, and how many. `usual`: the deadline of who names none; `most`: of who names more.

    `offset`: so much earlier than Prometheus gives up the answer leaves.
    """

    at_once: int = 32
    waiting: int = 256
    usual: float = 10.0
    most: float = 60.0
    offset: float = 0.5


class Exporter:
    """Answers `/probe`, `/metrics`, `/-/healthy` and `/`."""

    def __init__(
        self,
        look: Look,
        *,
        looking: Looking,
        limits: Limits,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._look, self._looking, self._limits = look, looking, limits
        self._now, self._monotonic = now, monotonic
        self._turn = asyncio.Semaphore(limits.at_once)
        self._under_way = 0
        self._seconds = 0.0
        self._probes: Counter[str] = Counter(dict.fromkeys(get_args(ReportVerdict), 0))
        self._refused: Counter[str] = Counter(dict.fromkeys(_REASONS, 0))

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """The handler of an HTTP server."""
        if request.method not in ("GET", "HEAD"):
            return plain(405, "only GET", headers=((b"Allow", b"GET, HEAD"),))
        match request.path:
            case b"/probe":
                return self._asked(request)
            case b"/metrics":
                return _metrics(exposition(OWN, self._own(), kinds=_KINDS))
            case b"/-/healthy":
                return plain(200, "holdfast exporter is healthy")
            case b"/":
                return plain(200, "holdfast exporter: /probe?target=host:port, /metrics")
            case _:
                return plain(404, "there is /probe?target=, /metrics and /-/healthy")

    # -- a probe ----------------------------------------------------------------------------

    def _asked(self, request: Request) -> Answer | Awaitable[Answer]:
        try:
            target, looking = wanted(request.query, self._looking)
        except OperatorError as error:
            self._refused["unfit"] += 1
            hint = f" ({error.hint})" if error.hint else ""
            return plain(HTTPStatus.BAD_REQUEST, harmless(error.message + hint))
        if self._under_way >= self._limits.at_once + self._limits.waiting:
            return self._busy()
        deadline = deadline_of(request.header(TIMEOUT_HEADER), self._limits)
        return self._probe(target, looking, deadline)

    async def _probe(self, target: Target, looking: Looking, deadline: float) -> Answer:
        begun = self._monotonic()
        self._under_way += 1
        try:
            try:
                # Half of the time is the target's: what had to wait is not its fault
                async with asyncio.timeout(deadline / 2):
                    await self._turn.acquire()
            except TimeoutError:
                return self._busy()
            try:
                left = deadline - (self._monotonic() - begun)
                report = await self._looked(target, looking, left)
            finally:
                self._turn.release()
        finally:
            self._under_way -= 1
        took = self._monotonic() - begun
        self._seconds += took
        self._probes[report.verdict] += 1
        return _metrics(_told(report, took))

    async def _looked(self, target: Target, looking: Looking, left: float) -> Report:
        # A third: one silent handshake leaves time to see what the others come to
        hasty = replace(looking, timeout=max(min(looking.timeout, left / 3), 0.001))

        async def look(one: Target, at: datetime, grown: Grown) -> Report:
            return await self._look(one, hasty, at, grown)

        advice = "give Prometheus a longer scrape_timeout for this job"
        return await within(look, target, deadline=left, at=self._now(), advice=advice)

    def _busy(self) -> Reply:
        self._refused["busy"] += 1
        return plain(
            503,
            f"{self._under_way} probes are under way: scrape less often, or allow more --at-once",
            headers=((b"Retry-After", b"5"),),
        )

    def _own(self) -> dict[str, dict[Labels, float]]:
        return {
            "holdfast_build_info": {(("version", __version__),): 1},
            "holdfast_exporter_probes_total": {
                (("verdict", word),): count for word, count in self._probes.items()
            },
            "holdfast_exporter_refused_total": {
                (("reason", word),): count for word, count in self._refused.items()
            },
            "holdfast_exporter_probes_under_way": {(): self._under_way},
            "holdfast_exporter_probe_seconds_total": {(): round(self._seconds, 6)},
        }


def wanted(query: bytes, usual: Looking) -> tuple[Target, Looking]:
    """What a query asks for; `OperatorError` for what it may not."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise OperatorError("the query cannot be read", hint="write ?target=host:port") from error
    given: Mapping[str, str] = dict(pairs)
    unknown = next((name for name, _ in pairs if name not in PARAMETERS), None)
    if unknown is not None:
        raise OperatorError(
            f"there is no parameter {unknown[:40]!r}", hint=f"there is {', '.join(PARAMETERS)}"
        )
    if len(pairs) != len(given):
        raise OperatorError("a parameter stands twice", hint="one target for each probe")
    if not given.get("target"):
        raise OperatorError("no target is named", hint="write ?target=host:port")
    name = given.get("servername") or None
    if name is not None:
        name = Target.parse(name).host
    require = given.get("require_staple", "0")
    if require not in ("0", "1"):
        raise OperatorError("require_staple is neither 0 nor 1", hint="write require_staple=1")
    looking = replace(usual, servername=name, require_staple=require == "1")
    return Target.parse(given["target"]), looking


def deadline_of(header: bytes | None, limits: Limits) -> float:
    """Seconds until an answer must leave, by Prometheus's header; the usual ones without it."""
    try:
        given = float(header.decode("ascii")) if header is not None else 0.0
    except (ValueError, UnicodeDecodeError):
        given = 0.0
    if not math.isfinite(given) or given <= 0:
        given = limits.usual
    return min(limits.most, max(given - limits.offset, given / 2))


def _told(report: Report, took: float) -> str:
    success = report.verdict != "unreachable" and not at_or_above(report, FAULT)
    samples: dict[str, dict[Labels, float]] = {
        "probe_success": {(): success},
        "probe_duration_seconds": {(): took},
    }
    said = [f"# {f.severity.text} {f.code}: {harmless(f.message)}\n" for f in by_hurt(report)]
    if any(NOT_DIALLED in found.message for found in report.findings):
        said.append("# private and loopback targets are looked at with --allow-private-targets\n")
    return "".join(said) + exposition(PROBE, samples) + text([report], target_label=False)


def _metrics(body: str) -> Reply:
    headers = ((b"Content-Type", CONTENT_TYPE.encode()), (b"Cache-Control", b"no-store"))
    return Reply(200, body.encode("utf-8"), headers)
