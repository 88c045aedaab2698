"""A source that spares a responder that is down: `plan.circuit` decides (K8)."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from holdfast.errors import HoldfastError, Unavailable
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.plan.circuit import ANSWERED, CLOSED, PAUSE, Circuit
from holdfast.seams import Clock, Source

_log = logging.getLogger("holdfast.sources")


class Circuits:
    """Implements `Source`: `source` with one circuit for each responder."""

    def __init__(self, source: Source, *, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}

    async def response(self, subject: Subject, /) -> Response:
        host = _hosts(subject)
        circuit = self._circuits.get(host, CLOSED)
        at = self._clock.now()
        if not circuit.lets_through(at):
            raise Unavailable(
                f"{host or 'the responder'}: not asked, the last questions had no answer",
                failure="circuit-open",
                hint=f"one question in {PAUSE.total_seconds():.0f} s goes through until it answers",
            )
        self._put(host, circuit.asked(at))
        try:
            response = await self._source.response(subject)
        except Unavailable as error:
            if error.failure not in ANSWERED:
                self._put(host, self._circuits.get(host, CLOSED).failed(self._clock.now()))
            raise
        except HoldfastError:
            self._put(host, CLOSED)
            raise
        self._put(host, CLOSED)
        return response

    def _put(self, host: str, circuit: Circuit) -> None:
        before = self._circuits.get(host, CLOSED)
        if before.is_open != circuit.is_open:
            _log.warning("circuit responder=%s %s", host, "open" if circuit.is_open else "closed")
        if circuit == CLOSED:
            self._circuits.pop(host, None)
        else:
            self._circuits[host] = circuit


def _hosts(subject: Subject) -> str:
    """All that may be asked: one of them that answers is enough."""
    return " ".join(_host(url) for url in subject.responder_urls)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return url
