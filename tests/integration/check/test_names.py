"""`holdfast check` with and without SNI, and what handshakes that differ have in common."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.plan.target import Target
from holdfast.services.checker import Checker, Looking
from support.answers import a_staple, an_answer
from support.check_world import CA, codes, looked
from support.tls_world import NOW, Loop, a_proxy, a_site


def test_without_sni_another_certificate_is_a_note_and_not_judged(loop: Loop, roots: Path) -> None:
    """The server's default site may be expired and unstapled: clients of the name never see it."""
    default, site = a_site(CA, "default.example"), a_site(CA, "localhost")
    with a_proxy(default, site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        report = looked(stand, roots, "--no-fetch")
    assert (report["verdict"], codes(report)) == ("good", {"without-sni-differs"})
    found = report["findings"][0]
    assert found["severity"] == "note"
    assert "default.example" in found["message"]
    assert [leaf["names"] for leaf in report["leaves"]] == [["localhost"]]
    assert [shake["sni"] for shake in report["handshakes"]] == [True] * 4 + [False]


def test_red_a_staple_that_comes_with_sni_alone_is_intermittent(loop: Loop, roots: Path) -> None:
    """The same certificate without its staple, for clients that send no name: not every one."""
    site = a_site(CA)
    answer = an_answer(CA, site, at=NOW)
    made = iter([answer, answer, answer, answer, b""])
    with a_proxy(site, loop=loop, staple_for=lambda leaf: next(made, b"")) as stand:
        report = looked(stand, roots, "--no-fetch")
    assert codes(report) == {"staple-intermittent"}
    message = report["findings"][0]["message"]
    assert message == "4 of 5 handshakes carried a staple, and none without SNI"


def test_a_cold_server_is_told_from_one_that_forgets(loop: Loop, roots: Path) -> None:
    site = a_site(CA)
    answer = an_answer(CA, site, at=NOW)
    cold = iter([b"", *[answer] * 9])
    with a_proxy(site, loop=loop, staple_for=lambda leaf: next(cold)) as stand:
        report = looked(stand, roots, "--no-fetch")
    assert "it is fetched when a client asks for it" in report["findings"][0]["message"]
    forgets = iter([answer, b"", answer, b"", *[answer] * 9])
    with a_proxy(site, loop=loop, staple_for=lambda leaf: next(forgets)) as stand:
        report = looked(stand, roots, "--no-fetch")
    assert report["findings"][0]["message"].endswith("handshakes carried a staple")


@pytest.mark.parametrize("target_by_address", [True, False])
def test_one_that_has_no_name_is_asked_as_its_clients_do(
    loop: Loop, roots: Path, target_by_address: bool
) -> None:
    site = a_site(CA)
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        words = ["--servername", "127.0.0.1"] if target_by_address else []
        report = looked(stand, roots, "--no-fetch", *words)
    assert report["verdict"] == "good"
    wanted = [False] * 4 if target_by_address else [True] * 4 + [False]
    assert [shake["sni"] for shake in report["handshakes"]] == wanted


class BothFamilies(asyncio.SelectorEventLoop):
    """A resolver that knows both addresses of localhost, as not every machine's does."""

    async def getaddrinfo(self, host: Any, port: Any, **wishes: Any) -> list[Any]:
        four, six = ("127.0.0.1", port), ("::1", port, 0, 0)
        return [(socket.AF_INET6, 1, 6, "", six), (socket.AF_INET, 1, 6, "", four)]


@pytest.mark.parametrize("six", ["the same", "another", "none"])
def test_every_address_of_the_name_is_looked_at_and_compared(loop: Loop, six: str) -> None:
    """Two servers stand on one port, one of 127.0.0.1 and one of ::1."""
    site = a_site(CA)
    staple = a_staple(CA, site, at=NOW)
    with a_proxy(site, loop=loop) as four, a_proxy(site, loop=loop) as other:
        loop.run(other.proxy.listen("::1", four.port))
        four.deliver(staple)
        if six != "none":
            older = a_staple(CA, site, at=NOW - timedelta(minutes=5))
            other.deliver(staple if six == "the same" else older)
        checker = Checker(roots=[CA.root])
        looking = checker.check(Target.parse(f"localhost:{four.port}"), Looking(), at=NOW)
        with asyncio.Runner(loop_factory=BothFamilies) as runner:
            report = runner.run(looking)
    assert report.addresses == (f"[::1]:{four.port}", f"127.0.0.1:{four.port}")
    assert len(report.handshakes) == 10
    wanted = {
        "the same": set(),
        "another": {"staple-differs"},
        "none": {"staple-intermittent", "address-family-differs"},
    }[six]
    told = {found.code: found.message for found in report.findings}
    assert set(told) == wanted
    if six == "none":
        assert told["staple-intermittent"].endswith(f"and none from [::1]:{four.port}")
