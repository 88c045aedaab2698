"""Servers that hold a check up, fill its memory or send it elsewhere: bounded, told, finished."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.net.dial import PUBLIC_ONLY, resolve
from holdfast.net.probe import probe
from holdfast.ocsp.certid import Subject
from holdfast.pki import issue
from holdfast.plan.checking import MAX_LEAVES, Judge, report
from holdfast.plan.report import Report
from holdfast.plan.responder_rules import ResponderAnswer
from holdfast.plan.target import Target
from holdfast.services.checker import Checker, Looking
from holdfast.services.checker_asking import MAX_LEAVES as MAX_ASKED
from holdfast.services.checker_asking import Asking
from holdfast.tls.observation import Observation
from holdfast.tls.tap import read_flight
from support.answers import an_answer
from support.check_world import CA, Web, check, codes, looked
from support.tls_peers import openssl_server
from support.tls_world import NOW, YESTERDAY, Loop, a_proxy, a_site


def messages(told: Report) -> dict[str, str]:
    return {found.code: found.message for found in told.findings}


@contextlib.contextmanager
def crowd(play: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that plays the same to each of its clients."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(20)
            play(client)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def drips(client: socket.socket) -> None:
    """A handshake record of 16 KB that comes a byte at a time."""
    client.recv(4096)
    client.sendall(b"\x16\x03\x03\x40\x00")
    while True:
        client.sendall(b"\x02")
        time.sleep(0.05)


def floods(client: socket.socket) -> None:
    """100 MB of handshake records, as long as anybody reads."""
    client.recv(4096)
    record = b"\x16\x03\x03\x40\x00" + b"\x00" * 0x4000
    for _ in range(100 * 1024 // 16):
        client.sendall(record)


def never_ends(client: socket.socket) -> None:
    """HelloRequests, which a client must pass over, for ever (RFC 5246 7.4.1.1)."""
    client.recv(4096)
    while True:
        client.sendall(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 50)


@pytest.mark.parametrize("play", [drips, floods, never_ends])
def test_a_server_that_will_not_end_is_told_in_time_and_memory(
    roots: Path, play: Callable[[socket.socket], None]
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    begun = time.monotonic()
    with crowd(play) as port:
        seen = looked(port, roots, "--timeout", "0.5", "--no-fetch")
    assert time.monotonic() - begun < 8
    assert codes(seen) == {"tls-handshake-failed"}
    assert (seen["verdict"], seen["exit"]) == ("bad", 1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert max(after - before, 0) < 100 * 1024, "kilobytes"


HELLO_REQUEST = b"\0" * 4


@pytest.mark.parametrize(
    "flight",
    [
        b"\x16\x03\x03\x00\x01\x0b" + b"\x16\x03\x03\x00\x01\xff" * 150_000,
        (b"\x16\x03\x03\x00\x04" + HELLO_REQUEST) * 110_000,
        (b"\x16\x03\x03\x40\x00" + HELLO_REQUEST * 4096) * 64,
    ],
    ids=["records of a byte", "records of a message", "records of messages"],
)
def test_a_megabyte_of_tiny_things_is_not_read_one_by_one(flight: bytes) -> None:
    begun = time.process_time()
    assert read_flight(flight).entries == ()
    assert time.process_time() - begun < 0.5


def test_a_check_as_slow_as_it_may_be_ends_with_what_it_has_seen(loop: Loop) -> None:
    """Each handshake keeps within its timeout; all of them together would take a minute."""
    site = a_site(CA)
    answer = an_answer(CA, site, at=NOW)

    def slow(leaf: bytes) -> bytes:
        time.sleep(0.3)
        return answer

    async def run(port: int) -> Report:
        checker = Checker(roots=[CA.root])
        looking = Looking(ip="127.0.0.1", handshakes=50, budget=1.0)
        return await checker.check(Target.parse(f"localhost:{port}"), looking, at=NOW)

    with a_proxy(site, loop=loop, staple_for=slow) as stand:
        begun = time.monotonic()
        told = asyncio.run(run(stand.port))
        assert time.monotonic() - begun < 3
    assert 1 <= len(told.handshakes) <= 4
    assert "handshakes took 1 s" in messages(told)["check-cut-short"]
    assert told.staples[0].valid
    assert told.verdict == "warning"


def test_slow_responders_and_lists_end_with_what_is_known(loop: Loop) -> None:
    site = a_site(CA, responder_urls=["http://a.example/", "http://b.example/"])

    async def hangs(url: str, *_: object) -> bytes:
        await asyncio.sleep(60)
        return b""

    async def run(port: int) -> Report:
        checker = Checker(roots=[CA.root], ask=hangs, fetch=hangs)  # type: ignore[arg-type]
        looking = Looking(ip="127.0.0.1", handshakes=1, budget=1.0)
        return await checker.check(Target.parse(f"localhost:{port}"), looking, at=NOW)

    with a_proxy(site, loop=loop) as stand:
        begun = time.monotonic()
        told = asyncio.run(run(stand.port))
        assert time.monotonic() - begun < 4
    assert "within 1 s" in messages(told)["check-cut-short"]
    assert "staple-missing" in messages(told)


def test_a_certificate_for_every_handshake_asks_a_few_responders(loop: Loop) -> None:
    """A hostile server must not make of a checker a stone to throw at others."""
    asked: list[str] = []

    async def notes(url: str, subject: Subject) -> ResponderAnswer:
        asked.append(url)
        return ResponderAnswer(url=url, failure="timeout", problem="late")

    async def shaken(port: int) -> Observation:
        address = (await resolve("127.0.0.1", port))[0]
        return await probe(address, server_name="localhost")

    observations = []
    for number in range(MAX_LEAVES + 4):
        site = a_site(CA, responder_urls=[f"http://victim.example/{number}"])
        with a_proxy(site, loop=loop) as stand:
            observations.append(asyncio.run(shaken(stand.port)))
    found = Asking(
        roots=[CA.root], ask=notes, fetch=None, issuers=False, crls=False, tell=lambda seen: None
    )

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            found.begin(group)
            found.saw(tuple(observations), ())

    asyncio.run(all_at_once())
    judge = Judge(servername="localhost", at=NOW, roots=(CA.root,))
    told = report("localhost", found.seen, judge)
    assert len(asked) == len(set(asked)) == MAX_ASKED
    assert len(told.leaves) == MAX_LEAVES
    assert "check-cut-short" in {f.code for f in told.findings}


def test_a_chain_of_hundreds_that_sign_each_other_is_judged_at_once(
    roots: Path, tmp_path: Path
) -> None:
    key = issue.root("Round", at=YESTERDAY)
    one = [key.intermediate("Round", at=YESTERDAY, key=key.key, path_length=9) for _ in range(200)]
    site = one[0].server("localhost", at=YESTERDAY, responder_urls=[])
    (tmp_path / "sent.pem").write_bytes(b"".join(each.issued.pem for each in one))
    with openssl_server(site, tmp_path, b"", "-cert_chain", str(tmp_path / "sent.pem")) as port:
        begun = time.monotonic()
        seen = looked(port, roots, "--no-fetch", "--handshakes", 1, "--tls", "1.3")
    assert time.monotonic() - begun < 5
    assert "chain-untrusted" in codes(seen)


@pytest.mark.parametrize("name", ["127.0.0.1", "10.0.0.1", "[::ffff:127.0.0.1]", "localhost"])
def test_red_a_stranger_cannot_have_this_machine_dial_itself(name: str) -> None:
    async def run() -> Report:
        checker = Checker(roots=[CA.root], addresses=PUBLIC_ONLY)
        return await checker.check(Target.parse(f"{name}:443"), Looking(timeout=2), at=NOW)

    told = asyncio.run(run())
    assert told.verdict == "unreachable"
    assert told.handshakes == ()
    assert "not dialled" in told.findings[0].message


def test_an_aia_loop_ends(loop: Loop, roots: Path, web: Web, tmp_path: Path) -> None:
    """The issuer's issuer is the issuer: A signs B signs A, each at its address."""
    far = issue.root("A", at=YESTERDAY)
    b = far.intermediate("B", at=YESTERDAY, path_length=5, issuer_urls=[web.url + "/a"])
    a = b.intermediate("A", at=YESTERDAY, key=far.key, path_length=5, issuer_urls=[web.url + "/b"])
    site = b.server("localhost", at=YESTERDAY, issuer_urls=[web.url + "/b"])
    web.answers = {"/a": a.certificate.der, "/b": b.certificate.der}
    with openssl_server(site, tmp_path, b"", "-cert_chain", str(roots)) as port:
        outcome = check(port, roots, "--tls", "1.3", "--handshakes", 1, "--json", "--no-crl")
    assert {"chain-incomplete", "chain-untrusted"} <= codes(outcome.json["reports"][0])
    assert web.asked <= 4
