"""One odd staple: what a server shows, and what there is to say of it.

`truth` is what a careful client should make of it, the word that every tool's answer is compared
with; `verdict` and `codes` are what `holdfast check` must say, all of it and nothing else. Both are
written from the RFCs and from the contract of the check, not from what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import ResponseStatus, error_response
from holdfast.ocsp.statuses import CertificateStatus, RevocationReason, Revoked
from holdfast.pki.issue import Issued
from support.odd.world import DAY, HOUR, UNHEARD_OF, Make, World

Truth = Literal["ok", "bad", "none"]
Verdict = Literal["good", "warning", "bad"]
BOTH = ("1.2", "1.3")
# What each server takes, by its source: OpenSSL's d2i_OCSP_RESPONSE of a file; HAProxy's
# ssl_sock_load_ocsp_response, a successful one of a known CertID by SHA-1 that is in date
RAW, PARSED = ("twin", "gnutls-serv"), ("nginx", "gnutls-serv", "openssl", "twin")
ALL = ("haproxy", "nginx", "gnutls-serv", "openssl", "twin")
TWIN, ENTRIES = ("twin",), ("entries",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What a server shows. `staples`: of the leaf, by turns of handshakes; `above`: of the
    intermediate; `elsewhere`: of the leaf, on the name's other address."""

    site: Issued
    staples: tuple[bytes | None, ...]
    above: bytes | None = None
    elsewhere: tuple[bytes | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One odd staple. `servers`: those that can send it, one after another; `versions`: of TLS."""

    name: str
    what: str
    truth: Truth
    verdict: Verdict
    codes: frozenset[str]
    make: Callable[[World], Play]
    servers: tuple[str, ...] = PARSED
    versions: tuple[str, ...] = BOTH

    @property
    def exit(self) -> int:
        return int(self.verdict == "bad")


_TRUTHS: dict[Verdict, Truth] = {"good": "ok", "warning": "ok", "bad": "bad"}


def case(
    name: str,
    what: str,
    verdict: Verdict,
    codes: str,
    make: Make | None = None,
    *,
    servers: Sequence[str] = PARSED,
    play: Callable[[World], Play] | None = None,
    truth: Truth | None = None,
    versions: tuple[str, ...] = BOTH,
) -> Case:
    """`make`: the one staple of the site; or `play`, all of it."""

    def plain(world: World) -> Play:
        assert make is not None
        return Play(site=world.site, staples=(make(world),))

    return Case(
        name=name,
        what=what,
        truth=truth or _TRUTHS[verdict],
        verdict=verdict,
        codes=frozenset(codes.split()),
        make=play or plain,
        servers=tuple(servers),
        versions=versions,
    )


def revoked(world: World) -> CertificateStatus:
    return Revoked(world.at - HOUR, RevocationReason.KEY_COMPROMISE)


def must_staple(answer: Callable[[World, Issued], bytes | None]) -> Callable[[World], Play]:
    def play(world: World) -> Play:
        site = world.server(must_staple=True)
        return Play(site=site, staples=(answer(world, site),))

    return play


def turns(*makes: Callable[[World], bytes | None]) -> Callable[[World], Play]:
    return lambda world: Play(site=world.site, staples=tuple(make(world) for make in makes))


def above_too(above: Make | None, *, leaf: bool = True) -> Callable[[World], Play]:
    """A chain whose intermediate has a responder too, and `above` as its staple."""

    def play(world: World) -> Play:
        site = world.server(world.told_about)
        return Play(
            site=site,
            staples=(world.under_it(site) if leaf else None,),
            above=above(world) if above else None,
        )

    return play


def signed_by_itself(world: World) -> bytes:
    """The server certificate signs its own status."""
    return world.answer(signer=world.signing(world.site))


def expired(world: World, site: Issued | None = None) -> bytes:
    of = None if site is None else site.certificate
    return world.answer(world.single(of=of, begin=world.at - 5 * DAY))


def padded(size: int) -> Make:
    extension = Extension(UNHEARD_OF, False, bytes(size))
    return lambda world: world.answer(extensions=(extension,))


def critical(world: World) -> tuple[Extension, ...]:
    return (Extension(UNHEARD_OF, True, b"\x05\x00"),)


def error(status: ResponseStatus) -> Make:
    return lambda _: error_response(status)
