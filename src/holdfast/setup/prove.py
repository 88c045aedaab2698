"""Proof by handshakes that a site sends a good staple: the only ground for saying that it works.

Laws: each address and each certificate of the site is asked; a staple is judged by the one function
that judges staples; until it is there the server has its time, and not for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import HoldfastError, Rejected
from holdfast.net.dial import resolve
from holdfast.net.probe import probe
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.seams import Clock
from holdfast.setup.chains import Chains
from holdfast.setup.words import Site, Trouble
from holdfast.tls.client import Authentication
from holdfast.tls.observation import Observation

ONE = 8.0  # seconds for one handshake: a server that asks inside it waits for its responder
PAUSE = 0.2
IN_A_ROW = 2  # stapled handshakes: servers with several workers may know it in one only


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One certificate at one address. `staple` None: none came, or none that is fit, and `trouble`
    says what did. `handshakes`: how many it took."""

    site: Site
    address: str
    subject: Subject
    tls: str = ""
    handshakes: int = 0
    staple: Staple | None = None
    trouble: Trouble | None = None


async def prove(chains: Chains, *, clock: Clock, within: float) -> list[Proof]:
    """A `Proof` for each certificate and address of a site, within so many seconds."""
    subjects = [one.subject for one in chains.certificates if one.subject is not None]
    asked = [one for one in subjects if one.responder_urls] or subjects
    return list(
        await asyncio.gather(
            *(
                _proof(chains.site, place, subject, asked, clock=clock, within=within)
                for place in chains.site.listens
                for subject in asked
            )
        )
    )


async def _proof(
    site: Site,
    place: tuple[str, int],
    subject: Subject,
    beside: Sequence[Subject],
    *,
    clock: Clock,
    within: float,
) -> Proof:
    host, port = place
    ends = time.monotonic() + within
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    count = good = 0
    trouble: Trouble | None = None
    while True:
        count += 1
        seen = await _seen(site, place, subject, alone=len(beside) == 1)
        found = seen if isinstance(seen, Trouble) else _judged(site, shown, seen, subject, clock)
        if isinstance(found, Staple):
            good, trouble = good + 1, None
            if good >= IN_A_ROW and isinstance(seen, Observation):
                return Proof(
                    site=site,
                    address=shown,
                    subject=subject,
                    tls=seen.tls,
                    handshakes=count,
                    staple=found,
                )
        else:
            good, trouble = 0, found
        if time.monotonic() >= ends:
            break
        await asyncio.sleep(PAUSE)
    if trouble is None:
        trouble = _told(
            site, "staple-intermittent", f"{shown} sends a staple now and then only", "run it again"
        )
    return Proof(site=site, address=shown, subject=subject, handshakes=count, trouble=trouble)


async def _seen(
    site: Site, place: tuple[str, int], subject: Subject, *, alone: bool
) -> Observation | Trouble:
    host, port = place
    try:
        addresses = await resolve(host, port, timeout=ONE)
    except HoldfastError as error:
        return _told(site, "site-unreachable", error.message, error.hint)
    seen = await probe(
        addresses[0],
        server_name=site.server_name,
        authentication="any" if alone else _authentication(subject),
        host=host,
        timeout=ONE,
    )
    if seen.seen:
        return seen
    problem = seen.error.problem if seen.error is not None else "no certificate was shown"
    return _told(
        site,
        "site-unreachable",
        f"the handshake with {addresses[0]} failed: {problem}",
        "does the server listen there? its error log may say why it does not",
    )


def _judged(
    site: Site, shown: str, seen: Observation, subject: Subject, clock: Clock
) -> Staple | Trouble:
    if subject.leaf is not None and seen.leaf != subject.leaf.der:
        return _told(
            site,
            "another-certificate-shown",
            f"{shown} shows another certificate than the configuration names for {site.name}",
            "another site may stand before it at that address (choose the others with --site); or "
            "the server runs with another configuration than was read",
        )
    if seen.staple is None:
        return _told(
            site,
            "staple-missing",
            f"{shown} sends no staple for {site.name}",
            "what the server's log says of it follows; else look there",
        )
    try:
        return verify(Response.parse(seen.staple), subject, at=clock.now())
    except Rejected as error:
        told = f"{shown} sends a staple that is not fit: {error.message}"
    except HoldfastError as error:
        told = f"{shown} sends a staple that cannot be read: {error.message}"
    return _told(site, "staple-unfit", told, "`holdfast fetch` shows what the responder answers")


def _told(site: Site, code: str, message: str, hint: str = "") -> Trouble:
    return Trouble(code=code, message=message, hint=hint, place=site.place, fatal=True)


def _authentication(subject: Subject) -> Authentication:
    kind = "" if subject.leaf is None else subject.leaf.key_type.lower()
    if kind.startswith("rsa"):
        return "rsa"
    return "ecdsa" if kind.startswith("ec") else "any"
