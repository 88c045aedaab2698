"""Random and mutated requests, eight thousand of them (`-m slow`: a million): each is answered,
none wrongly, and nothing is left of them. R1 to R6, R11, R26, R27.
"""

from __future__ import annotations

import base64
import random
from contextlib import suppress
from urllib.parse import unquote_to_bytes

import pytest

from support.responder_chance import Chance, corpus, objections
from support.responder_judge import states_of
from support.responder_load import ordinary
from support.responder_wire import Wire, ask, get_bytes, path_of
from support.responder_world import RunningResponder, World

BATCH = 50
MIB = 1024  # KiB


def test_thousands_of_requests_by_chance(world: World, responder: RunningResponder) -> None:
    play(world, responder, 4_000, seed=len(responder.tree()))  # of each kind of responder


@pytest.mark.slow
def test_a_million_requests_by_chance(world: World, responder: RunningResponder) -> None:
    play(world, responder, 500_000, seed=random.randrange(1 << 32))


def play(world: World, responder: RunningResponder, number: int, *, seed: int) -> None:
    print(f"seed {seed}")
    chance = Chance(world, seed)
    grown = [responder.anonymous_kib()]
    with ordinary(world, responder) as client, Wire(responder.port, timeout=60) as wire:
        for done in range(0, number, BATCH):
            kind = chance.posted if (done // BATCH) % 2 else chance.got
            batch = [kind() for _ in range(BATCH)]
            wire.send(b"".join(data for data, _ in batch))
            for data, der in batch:
                got = wire.reply()
                assert got.code == 200, (data, got)
                # what a path meant may be another request than it was made of
                asked = der + _meant(data) if data.startswith(b"GET") else der
                if data.startswith(b"GET") and not _path(data).strip(b"/"):
                    assert got.field("content-type") != "application/ocsp-response"
                    continue
                assert objections(world, asked, got.body) == [], (data.hex(), got.body.hex())
            if done % 1000 == 0:
                _raw(responder, chance.raw())
            if done % (number // 10) == 0:
                grown.append(responder.anonymous_kib())
    print(client.told(), [f"{kib / MIB:.1f} MiB" for kib in grown])
    assert client.objections == []
    assert grown[-1] - grown[len(grown) // 2] < 16 * MIB, grown
    assert responder.child.poll() is None
    assert "Traceback" not in responder.logged
    assert len(responder.logged) < 2_000_000
    got = ask(responder.port, get_bytes(path_of(world.asks(0x1060))))
    assert states_of(got.body) == [(0x1060, "good")]


def _path(data: bytes) -> bytes:
    return data.split(b" ")[1].partition(b"?")[0]


def _meant(data: bytes) -> bytes:
    """The octets that the text of a path stands for, read as leniently as can be."""
    text = (
        unquote_to_bytes(_path(data)).lstrip(b"/").translate(bytes.maketrans(b"-_ ", b"+/+"), b"=")
    )
    with suppress(ValueError):
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    return b""


def _raw(responder: RunningResponder, data: bytes) -> None:
    """Whatever comes is HTTP, and the connection ends when the client has."""
    with Wire(responder.port, timeout=60) as wire:
        with suppress(ConnectionError):
            wire.send(data)
            wire.end()
        with suppress(ConnectionError):
            while not wire.ended():
                code = wire.reply().code
                assert code in (100, 200, 400, 404, 405, 408, 413, 414, 431, 501, 505), data.hex()


def test_a_lie_would_be_seen(world: World, responder: RunningResponder) -> None:
    """The judge's red twins: another serial, another CA, another certificate_status."""
    asked = world.asks(0x1060)
    body = ask(responder.port, get_bytes(path_of(asked))).body
    assert objections(world, asked, body) == []
    assert objections(world, world.asks(0x1061), body) != []
    assert objections(world, asked, body[:-1]) != []
    assert objections(world, asked, b"\x30\x03\x0a\x01\x02") != []
    assert objections(world, asked, b"\x30\x03\x0a\x01\x06") == []
    world.good.remove(0x1060)
    try:
        assert objections(world, asked, body) != []
    finally:
        world.good.add(0x1060)


def test_chance_reaches_every_kind_of_answer(world: World, responder: RunningResponder) -> None:
    """Else the thousands above would show nothing: each of these is in the first five hundred."""
    chance, seen = Chance(world, 1), set()
    assert len(corpus(world)) > 20
    with Wire(responder.port) as wire:
        for _ in range(500):
            data, _ = chance.posted()
            wire.send(data)
            body = wire.reply().body
            seen.add(body[4] if len(body) == 5 else 0)
    assert seen == {0, 1, 6}
