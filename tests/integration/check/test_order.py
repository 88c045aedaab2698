"""In what order a check looks and asks: quick, polite to the server, and no less true for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from holdfast.ocsp.certid import Subject
from holdfast.plan.checking import ResponderAnswer, Seen
from holdfast.plan.cure import ServerSeen
from holdfast.plan.report import Report
from holdfast.plan.software import Software
from holdfast.plan.target import Target
from holdfast.services.checker import Checker, Looking
from holdfast.services.checker_handshakes import TOGETHER
from support.answers import a_staple, an_answer
from support.check_world import CA, Web, codes, looked
from support.tls_world import NOW, Loop, a_proxy, a_site

SLOW = 0.02  # seconds on the way to the server


class Way:
    """A TCP relay that takes its time with what the server says, and notes when connections begin
    and when their clients end them."""

    def __init__(self, loop: Loop, port: int) -> None:
        self.events: list[str] = []
        self.open = self.most = 0
        self._to = port
        self._server = loop.run(asyncio.start_server(self._relay, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        self.events.append("begin")
        inner, outer = await asyncio.open_connection("127.0.0.1", self._to)
        back = asyncio.create_task(_pump(inner, writer, SLOW))
        await _pump(reader, outer, 0)
        self.open -= 1
        self.events.append("end")
        await back

    def close(self) -> None:
        self._server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slow: float) -> None:
    try:
        while data := await reader.read(65536):
            await asyncio.sleep(slow)
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


@contextmanager
def a_way(loop: Loop, port: int) -> Iterator[Way]:
    way = Way(loop, port)
    try:
        yield way
    finally:
        loop.loop.call_soon_threadsafe(way.close)


def checked(checker: Checker, port: int, looking: Looking) -> Report:
    target = Target.parse(f"localhost:{port}")
    return asyncio.run(checker.check(target, looking, at=NOW))


def test_the_first_alone_then_a_few_together_and_questions_meanwhile(loop: Loop) -> None:
    site = a_site(CA)
    with a_proxy(site, loop=loop) as stand, a_way(loop, stand.port) as way:
        stand.deliver(a_staple(CA, site, at=NOW))

        async def notes(url: str, subject: Subject) -> ResponderAnswer:
            way.events.append("asked")
            return ResponderAnswer(url=url, failure="timeout", problem="late")

        report = checked(
            Checker(roots=[CA.root], ask=notes),
            way.port,
            Looking(ip="127.0.0.1", handshakes=6),
        )
    shown = [(one.tls, one.without_sni) for one in report.handshakes]
    assert sorted(shown[:-1]) == [("TLSv1.2", False)] * 6 + [("TLSv1.3", False)] * 6
    assert shown[-1] == ("TLSv1.3", True)  # when all others have ended
    assert way.most == TOGETHER
    first = [event for event in way.events if event != "asked"]
    assert first[:2] == ["begin", "end"]
    assert way.events.index("asked") < 6


def test_what_is_dead_is_dialled_once(loop: Loop) -> None:
    """Red twin: nothing is there that more handshakes could tell about."""

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        events.append("begin")
        writer.write(b"554 go away\r\n")
        writer.close()

    events: list[str] = []
    server = loop.run(asyncio.start_server(gone, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    target = Target.parse(f"smtp://localhost:{port}")
    looking = Looking(ip="127.0.0.1", handshakes=6)
    report = asyncio.run(Checker(roots=[CA.root]).check(target, looking, at=NOW))
    loop.loop.call_soon_threadsafe(server.close)
    assert events == ["begin"]
    assert len(report.handshakes) == 1


def test_a_server_that_fetches_at_the_first_client_is_not_told_as_one_without(
    loop: Loop, roots: Path, web: Web
) -> None:
    """Its staple comes when all the handshakes have been made: it is looked at once more."""
    site = a_site(CA, responder_urls=[web.url])
    answer = an_answer(CA, site, at=NOW)
    web.answers = {"/": answer}
    turns = count()
    with a_proxy(
        site,
        loop=loop,
        staple_for=lambda _: answer if next(turns) >= 5 and web.asked else b"",
    ) as stand:
        report = looked(stand, roots)
        assert codes(report) == {"staple-intermittent"}
        assert "it is fetched when a client asks for it" in report["findings"][0]["message"]
        assert [shake["stapled"] for shake in report["handshakes"]] == [False] * 5 + [True]
    with a_proxy(site, loop=loop) as stand:
        never = looked(stand, roots)
        assert codes(never) == {"staple-missing"}
        assert len(never["handshakes"]) == len(report["handshakes"]) == 6
        assert len(looked(stand, roots, "--handshakes", 1)["handshakes"]) == 3


@pytest.mark.parametrize("stapled", [True, False])
def test_only_a_server_with_something_to_mend_is_asked_what_it_is(
    loop: Loop, stapled: bool
) -> None:
    asked: list[str] = []

    async def recognise(target: Target, seen: Seen, name: str, at: datetime) -> ServerSeen | None:
        asked.append(name)
        return ServerSeen(software=Software(name="nginx", because="so it said"))

    site = a_site(CA)
    with a_proxy(site, loop=loop) as stand:
        if stapled:
            stand.deliver(a_staple(CA, site, at=NOW))
        report = checked(
            Checker(roots=[CA.root], recognise=recognise), stand.port, Looking(ip="127.0.0.1")
        )
    assert asked == ([] if stapled else ["localhost"])
    assert (report.server is None) is stapled
