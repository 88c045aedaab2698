"""What `holdfast check` says of a broken server, followed word for word, mends it.

One row a fault of a real Apache, nginx or HAProxy. Each is looked at twice, the second time after a
plain reload: without the hint it stays broken (the red twin). Then the words of the finding are
followed by a program that knows no server, and the next look must be without the finding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.ocsp.sign import Signer
from support.check_world import Web
from support.pki import a_server, an_intermediate
from support.servers.hinted import Hinted, Person, Told, a_hinted, follow
from support.servers.stock_apache import StockApache
from support.servers.stock_haproxy import StockHAProxy
from support.staples import Desk
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, a_loop

WITHIN = 15.0  # seconds for a reload to be taken up


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@dataclass(frozen=True)
class Row:
    """`breaks` before the server starts; `then` while it runs; `code` is the finding."""

    name: str
    kind: str
    code: str
    breaks: Callable[[Hinted], object] = lambda world: None
    then: Callable[[Hinted], object] = lambda world: None
    quick: bool = False
    reload_heals: bool = False  # the fault is that it was not reloaded, or goes with it

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.name}"


# -- faults -------------------------------------------------------------------------------------


def forged(der: bytes) -> bytes:
    """The last byte belongs to the signature, where nothing follows it."""
    return der[:-1] + bytes([der[-1] ^ 1])


def stale(world: Hinted) -> None:
    world.staple_file(old(world, begun=timedelta(hours=20), window=timedelta(hours=12)))


def ageing(world: Hinted) -> None:
    world.staple_file(old(world, begun=timedelta(hours=20), window=timedelta(hours=22)))


def old(world: Hinted, *, begun: timedelta, window: timedelta) -> bytes:
    return world.desk().response(NOW - begun, window).der


def foreign(world: Hinted) -> None:
    other = world.desk(world.issue("other.test", who="other"))
    world.staple_file(other.response(NOW, timedelta(hours=12)).der)


def badly_signed(world: Hinted) -> None:
    """By the CA itself, so that no certificate follows the signature."""
    desk = world.desk()
    issued = world.ca.issued
    own = Signer(certificate=issued.certificate, key=issued.key, issuer=issued.certificate)
    der = Desk(desk.ca, desk.server, desk.subject, own).response(NOW, timedelta(hours=12)).der
    world.staple_file(forged(der))


def try_later(world: Hinted) -> None:
    world.staple_file(bytes.fromhex("30030a0103"))


def must_staple(world: Hinted) -> None:
    world.certificate(world.issue(must_staple=True))


def incomplete(world: Hinted) -> None:
    world.certificate(None, world.issued.certificate)


def disordered(world: Hinted) -> None:
    """The upper intermediate before the lower."""
    lower = an_intermediate(world.ca, "Lower CA", at=YESTERDAY)
    issued = a_server(lower, "localhost", at=YESTERDAY, responder_urls=[])
    world.certificate(issued, world.ca.certificate, lower.certificate)


def superfluous(world: Hinted) -> None:
    another = a_ca().certificate
    world.certificate(None, world.ca.certificate, another)


def replaced(world: Hinted) -> None:
    """A certificate that has ended is served; on disk there is its successor."""
    world.certificate(world.issue(lifetime=timedelta(hours=12)))


def successor(world: Hinted) -> None:
    world.certificate(world.issue())


def old_tls(world: Hinted) -> None:
    """Not even OpenSSL wants it: it must be told."""
    lines = {
        "nginx": ("ssl_protocols TLSv1.1;", "ssl_ciphers DEFAULT@SECLEVEL=0;"),
        "apache": ("SSLProtocol TLSv1.1", "SSLCipherSuite DEFAULT@SECLEVEL=0"),
        "haproxy": ("ssl-min-ver TLSv1.1", "ssl-max-ver TLSv1.1", "ciphers DEFAULT@SECLEVEL=0"),
    }
    world.in_site(*lines[world.kind])


def stapling_on(world: Hinted, *more: str) -> None:
    if world.kind == "nginx":
        world.in_site("ssl_stapling on;", *more)
        return
    world.outside(f"SSLStaplingCache shmcb:{world.folder}/st(128000)")
    world.in_site("SSLUseStapling on", *more)


def cached(fault: str) -> dict[str, Any]:
    """Apache asked while the responder was broken, and goes on sending what it got."""

    def begin(world: Hinted) -> None:
        stapling_on(world, "SSLStaplingErrorCacheTimeout 3600")
        world.fault(fault)

    def end(world: Hinted) -> None:
        world.check("--no-fetch")
        world.fault("good")

    return {"breaks": begin, "then": end, "reload_heals": True}


EVERY = ("nginx", "apache", "haproxy")
ROWS = [
    *(Row("stapling-off", kind, "staple-missing", quick=kind == "nginx") for kind in EVERY),
    *(Row("must-staple", kind, "must-staple-without-staple", must_staple) for kind in EVERY),
    *(Row("intermediate-missing", kind, "chain-incomplete", incomplete,
          quick=kind == "apache") for kind in EVERY),
    *(Row("chain-disordered", kind, "chain-out-of-order", disordered) for kind in EVERY),
    *(Row("foreign-in-chain", kind, "chain-superfluous", superfluous) for kind in EVERY),
    *(Row("renewed-not-reloaded", kind, "certificate-expired", replaced, successor,
          reload_heals=True) for kind in EVERY),
    *(Row("tls11-alone", kind, "tls-version-old", old_tls,
          quick=kind == "haproxy") for kind in EVERY),
    Row("staple-file-stale", "nginx", "staple-expired", stale),
    Row("staple-file-foreign", "nginx", "staple-wrong-certificate", foreign),
    Row("staple-file-error", "nginx", "staple-error-response", try_later),
    Row("staple-file-forged", "nginx", "staple-bad-signature", badly_signed),
    Row("staple-file-ageing", "nginx", "staple-near-expiry", ageing),
    Row("responder-line-dead", "nginx", "staple-missing",
        lambda w: stapling_on(w, "ssl_stapling_responder http://127.0.0.1:9/;")),
    Row("issuer-missing", "nginx", "staple-missing",
        lambda w: (incomplete(w), stapling_on(w))),
    Row("responder-line-dead", "apache", "staple-error-response",
        lambda w: stapling_on(w, "SSLStaplingForceURL http://127.0.0.1:9/")),
    Row("issuer-missing", "apache", "staple-missing",
        lambda w: (incomplete(w), stapling_on(w))),
    Row("error-kept", "apache", "staple-error-response", **cached("tryLater")),
    Row("foreign-kept", "apache", "staple-wrong-certificate", **cached("wrong-serial")),
    Row("forged-kept", "apache", "staple-bad-signature", **cached("bad-signature")),
    Row("expired-kept", "apache", "staple-expired", **cached("expired")),
    Row("staple-file-forged", "haproxy", "staple-bad-signature", badly_signed),
    Row("staple-file-ageing", "haproxy", "staple-near-expiry", ageing),
]  # fmt: skip


@pytest.mark.parametrize(
    "row", [pytest.param(r, id=r.id, marks=[] if r.quick else [pytest.mark.slow]) for r in ROWS]
)
def test_a_hint_followed_word_for_word_mends(
    row: Row, tmp_path: Path, loop: Loop, web: Web
) -> None:
    with a_hinted(row.kind, tmp_path, loop, web) as world:
        row.breaks(world)
        with world.serving():
            row.then(world)
            first = world.check()
            assert row.code in first.codes, first.text
            if not row.reload_heals:
                world.reload()
            assert row.code in seen(world, with_code=row.code).codes, "without the hint: broken"
            done = follow(first.cure(row.code), tmp_path)
            after = seen(world, with_code="", without=row.code)
            assert row.code not in after.codes, (done, after.text)


def seen(world: Hinted, *, with_code: str, without: str = "") -> Told:
    """The next look; with `without`, the first that is without that finding, in time."""
    ends = time.monotonic() + WITHIN
    while True:
        told = world.check("--server", "unknown")  # its cures are not wanted any more
        if with_code or without not in told.codes or time.monotonic() > ends:
            return told
        time.sleep(0.2)


# -- of a server that is seen from outside alone --------------------------------------------------


def by_hand(cure: list[str]) -> list[str]:
    """What follows "or by hand:"."""
    (at,) = [number for number, line in enumerate(cure) if line.strip() == "or by hand:"]
    return cure[at:]


def a_person(world: Hinted) -> Person:
    server = world.server
    reload = ["kill", {"nginx": "-HUP", "apache": "-USR1", "haproxy": "-USR2"}[world.kind]]
    told = [*reload, str(world.server_pid())]
    if isinstance(server, StockHAProxy):
        return Person(
            blanks={"SITE.pem": str(server.pem)},
            commands={
                "haproxy -c -f /etc/haproxy/haproxy.cfg": [
                    "haproxy",
                    "-c",
                    "-f",
                    str(server.config),
                ],
                "systemctl reload haproxy": told,
            },
        )
    text = server.default.read_text().splitlines()
    if isinstance(server, StockApache):
        (block,) = [n for n, line in enumerate(text, 1) if "<VirtualHost" in line]
        outside = "its main configuration, outside of every <VirtualHost>"
        return Person(
            places={
                outside: (server.conf / "apache2.conf", 0),
                "the <VirtualHost> of the site": (server.default, block),
            },
            commands={
                "apachectl configtest": [str(word) for word in server.words("-t")],
                "systemctl reload apache2": told,
            },
        )
    (block,) = [n for n, line in enumerate(text, 1) if line.startswith("server {")]
    return Person(
        blanks={"ROOT.pem": str(world.root), "RESOLVER": "127.0.0.1"},
        places={"the server block of the site": (server.default, block)},
        commands={
            "nginx -t": ["nginx", "-t", "-c", str(server.config)],
            "systemctl reload nginx": told,
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_the_lines_for_a_server_elsewhere_mend_it_too(
    kind: str, tmp_path: Path, loop: Loop, web: Web
) -> None:
    """`--server` says what it is; a person puts their own paths where the words are in capitals."""
    with a_hinted(kind, tmp_path, loop, web) as world, world.serving():
        told = world.check("--server", kind)
        cure = told.cure("staple-missing")
        assert str(tmp_path) not in "".join(cure), "nothing is known of this machine"
        done = follow(by_hand(cure), tmp_path, by=a_person(world))
        after = seen(world, with_code="", without="staple-missing")
        assert "staple-missing" not in after.codes, (done, after.text)
