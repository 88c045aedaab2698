"""Others misbehave while an ordinary client asks: it is answered, rightly and in time, memory is
bounded, and what was taken is given back. R26, R27, R34.
"""

from __future__ import annotations

import resource
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from support.responder_judge import states_of
from support.responder_load import Ordinary, ordinary
from support.responder_wire import Wire, ask, chunked_bytes, get_bytes, path_of, post_bytes
from support.responder_world import RunningResponder, World

IN_TIME = 3.0  # seconds at p99, on a machine that does other work; a starved client waits for ten
MIB = 1024  # KiB


@pytest.fixture(scope="module")
def responder(world: World) -> Iterator[RunningResponder]:
    """One worker, so that the ordinary client has no other to turn to."""
    with world.responder("--workers", "1") as started:
        yield started


@contextmanager
def judged(world: World, responder: RunningResponder, *, mib: int) -> Iterator[Ordinary]:
    """The ordinary client is content at the end, and no more than `mib` MiB were added."""
    with ordinary(world, responder) as client:
        before = responder.anonymous_kib()
        yield client
        grown = responder.anonymous_kib() - before
    print(f"{client.told()}; {grown / MIB:.1f} MiB more, of {before / MIB:.1f}")
    assert client.objections == []
    assert client.p99 < IN_TIME, client.told()
    assert grown < mib * MIB
    assert responder.child.poll() is None, responder.logged[-4000:]
    assert "Traceback" not in responder.logged


def many(responder: RunningResponder, number: int, stack: ExitStack) -> list[socket.socket]:
    """That many connections, each accepted."""
    found = []
    for n in range(number):
        # 127.0.0.n, so that ports last
        one = stack.enter_context(socket.socket())
        one.settimeout(10)
        one.bind((f"127.0.1.{n % 250 + 1}", 0))
        one.connect(("127.0.0.1", responder.port))
        found.append(one)
    return found


def hold(world: World, responder: RunningResponder, number: int, mib: int) -> None:
    """Half of them never say a word, the others say no more after an answer."""
    data = get_bytes(path_of(world.asks(0x1050)))
    with judged(world, responder, mib=mib) as client, ExitStack() as stack:
        held = many(responder, number, stack)
        for one in held[::2]:
            one.sendall(data)
        for one in held[::2]:
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
        asked = len(client.waited)
        until = time.monotonic() + 20
        while len(client.waited) < asked + 100:
            assert time.monotonic() < until, client.told()
            time.sleep(0.01)
    _given_back(responder)


def _given_back(responder: RunningResponder) -> None:
    """The connections are gone when their clients are."""
    until = time.monotonic() + 20
    while responder.descriptors() > 100 * len(responder.tree()):
        assert time.monotonic() < until, f"{responder.descriptors()} descriptors are still open"
        time.sleep(0.05)


def test_five_hundred_idle_connections(world: World, responder: RunningResponder) -> None:
    """R27."""
    hold(world, responder, 500, mib=16)


@pytest.mark.slow
def test_ten_thousand_idle_connections(world: World, responder: RunningResponder) -> None:
    """R27: at 10 KiB of memory each, which is what it may cost to be held."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 30_000), most))
    hold(world, responder, 10_000, mib=160)


def test_slow_senders(world: World, responder: RunningResponder) -> None:
    """R27: two hundred clients send an octet now and then, heads and bodies."""
    heads = [
        b"GET /" + b"M" * 100,
        b"POST / HTTP/1.1\r\nHost: a\r\n",
        get_bytes("/", "Content-Length: 5000", method="POST"),
        get_bytes("/", "Transfer-Encoding: chunked", method="POST") + b"1000\r\n",
    ]
    with judged(world, responder, mib=16), ExitStack() as stack:
        slow = many(responder, 200, stack)
        for number, one in enumerate(slow):
            one.sendall(heads[number % 4])
        for _ in range(15):
            for one in slow:
                one.sendall(b"a")
            time.sleep(0.1)
    _given_back(responder)


def test_a_pipelined_flood_whose_replies_are_read(
    world: World, responder: RunningResponder
) -> None:
    """R27: eight clients with pipelines that never end; each reply is right and in its place."""
    requests = [world.asks(0x1000 + n) for n in range(64)]
    block = b"".join(get_bytes(path_of(asked)) for asked in requests)
    wrong: list[object] = []
    until = time.monotonic() + 3

    def flood() -> None:
        with Wire(responder.port, timeout=30) as wire:
            wire.send(block)
            while time.monotonic() < until:
                wire.send(block)
                codes = [wire.reply().code for _ in range(63)]
                if codes != [200] * 63 or states_of(wire.reply().body) != [(0x103F, "good")]:
                    wrong.append(codes)

    with judged(world, responder, mib=32):
        threads = [threading.Thread(target=flood) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    _given_back(responder)


def test_a_pipelined_flood_whose_replies_nobody_reads(
    world: World, responder: RunningResponder
) -> None:
    """R27, R34: fifty clients send what they can and read nothing: no queue grows."""
    block = b"".join(
        get_bytes(path_of(world.asks(0x1000 + n))) + post_bytes(world.asks(0x2000 + n))
        for n in range(32)
    )
    with (
        judged(world, responder, mib=64),
        ExitStack() as stack,
        selectors.DefaultSelector() as ready,
    ):
        for one in many(responder, 50, stack):
            one.setblocking(False)
            ready.register(one, selectors.EVENT_WRITE)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for key, _ in ready.select(0.1):
                with suppress(BlockingIOError, ConnectionError):
                    assert isinstance(key.fileobj, socket.socket)
                    key.fileobj.send(block)
    _given_back(responder)


def test_oversized_and_chunked_bodies(world: World, responder: RunningResponder) -> None:
    """R26: refused early or late, in one piece or in a million."""
    huge = get_bytes("/", "Content-Length: 1000000000", method="POST") + bytes(200_000)
    chunks = get_bytes("/", "Transfer-Encoding: chunked", method="POST")
    small = chunks + chunked_bytes(*[b"a"] * 30_000)
    endless = chunks + b"1;" + b"x" * 700_000
    trailers = chunks + b"0\r\n" + b"X-Y: z\r\n" * 30_000 + b"\r\n"
    wide = chunks + b"%x\r\n" % (1 << 40) + bytes(200_000)
    with judged(world, responder, mib=24):
        for _ in range(5):
            for data, codes in (
                (huge, (413,)),
                (small, (200, 413)),
                (endless, (400, 413)),
                (trailers, (200, 400, 413, 431)),
                (wide, (400, 413)),
            ):
                with Wire(responder.port) as wire:
                    with suppress(ConnectionError):
                        wire.send(data)
                    assert wire.reply().code in codes
    _given_back(responder)


def test_a_storm_of_connections(world: World, responder: RunningResponder) -> None:
    """R27: two thousand connections that ask nothing, or ask and leave before the answer."""
    data = get_bytes(path_of(world.asks(0x1051)))
    with judged(world, responder, mib=24):
        for number in range(2000):
            with socket.create_connection(("127.0.0.1", responder.port), timeout=10) as one:
                if number % 3:
                    one.sendall(data if number % 3 == 1 else data[:40])
                if number % 2:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    _given_back(responder)
    assert states_of(ask(responder.port, data).body) == [(0x1051, "good")]


def test_serials_that_were_never_issued(world: World, responder: RunningResponder) -> None:
    """R11, R34: each asks for another serial: nothing is kept of them, and the log stays small."""
    before = len(responder.logged)
    with judged(world, responder, mib=16), Wire(responder.port) as wire:
        for start in range(1 << 64, (1 << 64) + 3_000, 100):
            wire.send(b"".join(post_bytes(world.asks(start + n)) for n in range(100)))
            assert {wire.reply().body for _ in range(100)} == {b"\x30\x03\x0a\x01\x06"}
    assert len(responder.logged) - before < 200_000
