"""Many targets, most of them dead: finished in bounded time, and told."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.answers import a_staple
from support.check_world import CA
from support.cli import holdfast
from support.ports import free_port
from support.tls_world import NOW, Loop, a_proxy, a_site

DEADLINE = 3.0
AT_ONCE = 100


@pytest.fixture
def live(loop: Loop) -> Iterator[int]:
    site = a_site(CA)
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        yield stand.port


@pytest.fixture
def silent() -> Iterator[int]:
    """The kernel accepts, and nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        yield server.getsockname()[1]


@pytest.fixture
def dropped() -> Iterator[int]:
    """A listener whose queue is full: each SYN is dropped, as by a firewall."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        yield port
        for one in waiting:
            one.close()


@pytest.fixture
def refusing() -> int:
    return free_port()


@pytest.fixture
def dead(silent: int, dropped: int, refusing: int) -> tuple[int, int, int]:
    return silent, dropped, refusing


def test_five_hundred_of_which_four_hundred_are_dead(
    roots: Path, live: int, dead: tuple[int, int, int], tmp_path: Path
) -> None:
    """100 live, 80 silent, 80 behind a firewall, 240 refused."""
    silent, dropped, refusing = dead
    ports = [live, silent, refusing, dropped, refusing] * 80 + [live, refusing, refusing] * 20
    listed = tmp_path / "hosts.txt"
    listed.write_text(
        "".join(f"https://127.0.0.1:{port}/{number}\n" for number, port in enumerate(ports))
        + "".join(f"https://127.0.0.1:{refusing}/more{number}\n" for number in range(40))
    )
    begun = time.monotonic()
    outcome = holdfast(
        *("check", "-f", listed, "--ca-file", roots, "--no-fetch", "--handshakes", 1),
        *("--tls", "1.3", "--timeout", 2, "--deadline", DEADLINE, "--at-once", AT_ONCE, "--json"),
    )
    took = time.monotonic() - begun
    reports = outcome.json["reports"]
    assert len(reports) == 500
    seen = Counter((int(r["target"].split(":")[2].split("/")[0]), r["verdict"]) for r in reports)
    assert seen[live, "good"] == 100, seen
    assert seen[refusing, "unreachable"] == 240
    assert seen[dropped, "unreachable"] == 80
    assert seen[silent, "good"] == seen[silent, "warning"] == 0
    assert sum(count for (port, _), count in seen.items() if port == silent) == 80
    # 160 hold a place for a deadline each; the rest is the work on those that live
    assert took < DEADLINE * (160 / AT_ONCE + 1) + 8
    assert all(r["findings"] for r in reports if r["verdict"] == "unreachable")


def test_one_dead_target_costs_its_deadline_and_is_exit_3(roots: Path, silent: int) -> None:
    begun = time.monotonic()
    outcome = holdfast(
        *("check", f"127.0.0.1:{silent}", "--ca-file", roots, "--timeout", 30),
        *("--deadline", 0.5, "--json"),
    )
    assert time.monotonic() - begun < 4
    (report,) = outcome.json["reports"]
    assert (outcome.code, report["verdict"]) == (3, "unreachable")
    assert "nothing was heard within 0.5 s" in report["findings"][0]["message"]


def test_a_dead_target_does_not_make_a_good_list_bad(roots: Path, live: int, refusing: int) -> None:
    """The exit code: 3 when something was not reached and nothing else is wrong."""
    outcome = holdfast(
        *("check", f"127.0.0.1:{live}", f"127.0.0.1:{refusing}", "--ca-file", roots),
        *("--no-fetch", "--handshakes", 1),
    )
    assert outcome.code == 3
    assert outcome.out.splitlines()[-1] == "2 targets: 1 good, 1 unreachable"
