"""The demo's steps, each a proof: it raises `Failed` unless what it says was seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import get_args

from holdfast.demo.clients import CLIENTS
from holdfast.demo.world import HOST, SERVER, World
from holdfast.errors import HoldfastError, Unavailable
from holdfast.net.http_client import Http
from holdfast.ocsp.freshness import refresh_at, withdraw_at
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.ocsp.verdict import Verdict
from holdfast.ocsp.verify import examine, examine_bytes
from holdfast.servers.shelf import Shelf
from holdfast.tls.client import Authentication, Version

PATIENCE = 20.0  # seconds for anything to happen on loopback
_VERSIONS: tuple[Version, ...] = ("1.2", "1.3")


class Failed(HoldfastError):
    """A step did not show what it says."""


@dataclass(frozen=True, slots=True)
class Step:
    """`does` before it is tried, `proved` after; `seconds` it took. `staple`: to be drawn."""

    does: str
    proved: str
    seconds: float
    staple: Staple | None = None


Act = Callable[[World, Shelf], Awaitable[str]]


async def run(world: World) -> AsyncIterator[Step]:
    """Every step in order; the first that fails raises."""
    shelf = Shelf(SERVER)
    await world.make_responder_socket()
    for does, act in STEPS:
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                proved = await act(world, shelf)
        except TimeoutError:
            raise Failed(f"{does}: not within {PATIENCE:g} s") from None
        held = world.keeper.entries[0].staple if act in DRAWN else None
        yield Step(does, proved, time.perf_counter() - begun, held)


async def a_ca(world: World, shelf: Shelf) -> str:
    world.make_ca()
    ca = world.ca.certificate
    return f"{ca.subject} under {world.ca.root.subject}, {ca.key_type}"


async def certificates(world: World, shelf: Shelf) -> str:
    world.issue()
    kinds = [identity.leaf.key_type for identity in world.identities.values()]
    if not all(identity.leaf.must_staple for identity in world.identities.values()):
        raise Failed("the certificates are not must-staple")
    return f"localhost, {' and '.join(kinds)}, both must-staple, naming {world.responder_url}"


async def a_responder(world: World, shelf: Shelf) -> str:
    world.start_responder()
    await world.start_keeper_source()
    subject = world.subjects["ecdsa"]
    begun = time.perf_counter()
    response = await world.source.response(subject)
    took = (time.perf_counter() - begun) * 1000
    verdict = _good(examine(response, subject, at=world.now()))
    signer = verdict.signer.subject if verdict.signer is not None else ""
    return f"good, signed by the delegated signer {signer}, in {took:.0f} ms"


async def a_keeper(world: World, shelf: Shelf) -> str:
    await world.start_keeper(shelf)
    for entry in world.keeper.entries:
        await world.keeper.settled(entry.name)
    for subject in world.subjects.values():
        stored = await world.store.load(subject.certid)
        if stored is None:
            raise Failed(f"nothing is stored for {subject.name}")
        _good(examine(stored, subject, at=world.now()))
    staple = world.keeper.entries[0].staple
    assert staple is not None
    due, end = refresh_at(staple), withdraw_at(staple)
    return f"2 staples; refresh due {due:%H:%M:%S}, never sent after {end:%H:%M:%S} UTC"


async def a_server(world: World, shelf: Shelf) -> str:
    await world.start_https(shelf)
    seen = await _handshakes(world)
    for verdict, _ in seen:
        _good(verdict)
    fastest = min(milliseconds for _, milliseconds in seen)
    return f"TLS 1.2 and 1.3, RSA and ECDSA: 4 handshakes, 4 good staples ({fastest:.1f} ms)"


async def others_accept(world: World, shelf: Shelf) -> str:
    return await _others(world, accepting=True)


async def an_outage(world: World, shelf: Shelf) -> str:
    await world.stop_responder()
    try:
        await world.source.response(world.subjects["ecdsa"])
    except Unavailable:
        pass
    else:
        raise Failed("the responder was stopped and still answered")
    seen = await _handshakes(world)
    for verdict, _ in seen:
        _good(verdict)
    await world.restart_responder()
    slowest = max(milliseconds for _, milliseconds in seen)
    return f"responder stopped: 4 handshakes, 4 good staples, none waited ({slowest:.1f} ms)"


async def a_revocation(world: World, shelf: Shelf) -> str:
    world.revoke()
    world.keeper.refresh()
    while True:
        seen = await _handshakes(world)
        told = [verdict.certificate_status for verdict, _ in seen]
        if all(isinstance(certificate_status, Revoked) for certificate_status in told):
            break
        await asyncio.sleep(0.02)  # a refresh takes some milliseconds
    if not all(verdict.valid and not verdict.good for verdict, _ in seen):
        raise Failed("a staple that says revoked is not valid")
    revoked = told[0]
    assert isinstance(revoked, Revoked)
    reason = revoked.reason.text if revoked.reason is not None else "no reason"
    return f"4 handshakes, 4 staples say revoked since {revoked.at:%H:%M:%S} UTC ({reason})"


async def others_refuse(world: World, shelf: Shelf) -> str:
    return await _others(world, accepting=False)


async def a_page(world: World, shelf: Shelf) -> str:
    url = await world.start_page()
    async with Http() as http:
        answer = await http.get(url)
    if answer.status != 200 or b"localhost" not in answer.body:
        raise Failed(f"{url} answered HTTP {answer.status}")
    return url


STEPS: tuple[tuple[str, Act], ...] = (
    ("a private CA is made", a_ca),
    ("two server certificates are issued", certificates),
    ("an OCSP responder answers for them", a_responder),
    ("a keeper fetches, verifies, stores, delivers", a_keeper),
    ("a TLS server staples, our client judges", a_server),
    ("programs that others wrote accept it", others_accept),
    ("the responder fails, the staples stay", an_outage),
    ("the certificates are revoked, the staples turn", a_revocation),
    ("programs that others wrote refuse it now", others_refuse),
    ("the keeper's status page is served", a_page),
)


DRAWN = (a_keeper, a_revocation)


# -- looking ------------------------------------------------------------------------------------


async def _handshakes(world: World) -> list[tuple[Verdict, float]]:
    """(what the staple is worth, milliseconds) for both TLS versions and both kinds of key."""
    seen = []
    for authentication in get_args(Authentication):
        if authentication not in world.identities:
            continue
        for version in _VERSIONS:
            shown = await world.handshake(authentication, version)
            if shown.error is not None:
                raise Failed(f"the TLS {version} handshake failed: {shown.error.problem}")
            if shown.staple is None:
                raise Failed(f"TLS {version} with {authentication}: no staple was sent")
            subject = world.subjects[authentication]
            if subject.leaf is None or shown.leaf != subject.leaf.der:
                raise Failed(f"TLS {version} with {authentication}: another certificate was sent")
            verdict = examine_bytes(shown.staple, subject, at=world.now())
            seen.append((verdict, shown.milliseconds))
    return seen


def _good(verdict: Verdict) -> Verdict:
    if not verdict.good:
        why = verdict.worst.message if verdict.worst is not None else "no reason told"
        raise Failed(f"the staple of {verdict.subject.name} is not good: {why}")
    return verdict


async def _others(world: World, *, accepting: bool) -> str:
    """Ask every client that is installed; openssl only prints, so it is asked to accept only."""
    asked = [
        client for client in CLIENTS if client.installed and (accepting or client.refuses_revoked)
    ]
    answers = await asyncio.gather(
        *(client.accepts_server(HOST, world.proxy.port, world.roots) for client in asked)
    )
    wrong = [c.name for c, accepts in zip(asked, answers, strict=True) if accepts is not accepting]
    if wrong:
        did = "did not accept" if accepting else "still accepted"
        raise Failed(f"{', '.join(wrong)} {did} the server and its staple")
    verb = "accept" if accepting else "refuse"
    absent = [client.name for client in CLIENTS if not client.installed]
    missing = f" (not on this machine: {', '.join(absent)})" if absent else ""
    if not asked:
        return f"none is on this machine: {', '.join(absent)}"
    return f"{', '.join(client.name for client in asked)} {verb}{missing}"
