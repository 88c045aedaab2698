"""Debian's Exim fed by files: each connection shows what was delivered last, and TLS goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.net.dial import Address
from holdfast.net.probe import probe
from holdfast.ocsp.statuses import Revoked
from holdfast.servers.files import FilesServer
from holdfast.tls.observation import Observation
from support.answers import a_staple
from support.starttls.daemon import Files, daemons
from support.starttls.exim import exim
from support.starttls.world import tls_files
from support.tls_world import NOW, Loop, a_ca, a_loop, a_site

CA = a_ca()
SITE = a_site(CA)


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = tls_files(tmp_path_factory.mktemp("tls"), SITE, b"")
    files.staple.unlink()
    return files


@pytest.fixture(scope="module")
def port(files: Files) -> Iterator[int]:
    with daemons({"exim": (exim, files)}) as running:
        yield running["exim"].ports["smtp"]


def seen(loop: Loop, port: int) -> Observation:
    at = Address(socket.AF_INET, "127.0.0.1", port)
    return loop.run(probe(at, server_name="localhost", starttls="smtp"))


def fed(staple: Path) -> FilesServer:
    return FilesServer("exim", file=str(staple))


def test_the_next_connection_shows_what_was_delivered(loop: Loop, port: int, files: Files) -> None:
    server = fed(files.staple)
    old = a_staple(CA, SITE, at=NOW - timedelta(hours=12))
    new = a_staple(CA, SITE, at=NOW)
    assert (seen(loop, port).error, seen(loop, port).staple) == (None, None)
    for staple in (old, new):
        loop.run(server.deliver(staple))
        assert seen(loop, port).staple == staple.der
    loop.run(server.withdraw(new.certid))
    assert (seen(loop, port).error, seen(loop, port).staple) == (None, None)


def test_red_a_staple_that_says_revoked_ends_its_tls(loop: Loop, port: int, files: Files) -> None:
    """GnuTLS refuses the file: so the page on Exim has `on_revoked = "withhold"`."""
    server = fed(files.staple)
    revoked = a_staple(CA, SITE, Revoked(NOW - timedelta(days=2)), at=NOW)
    loop.run(server.deliver(revoked))
    error = seen(loop, port).error
    assert error is not None
    assert "454 TLS currently unavailable" in error.problem
    loop.run(server.withdraw(revoked.certid))
    assert seen(loop, port).error is None
