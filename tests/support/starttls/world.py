"""The real servers of all protocols, each with TLS and without, started once for a module.

`world` and `trust` are made known by `tests/integration/check_starttls/conftest.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from holdfast.pki.issue import Issued
from support.answers import an_answer
from support.check_world import CA, Web
from support.postgres import USER, PostgreSQL
from support.starttls.all_servers import SERVERS
from support.starttls.daemon import Daemon, Files, daemons
from support.tls_world import NOW, Loop, a_site, roots_file


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`offering` and `plain`: the daemons with TLS and without, by name."""

    site: Issued
    files: Files
    offering: dict[str, Daemon]
    plain: dict[str, Daemon]

    @property
    def ports(self) -> dict[str, int]:
        return {s: port for one in self.offering.values() for s, port in one.ports.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, loop: Loop) -> Iterator[World]:
    """ProFTPD asks the certificate's responder, Exim has a staple in a file."""
    web = Web(loop)
    site = a_site(CA, responder_urls=[web.url + "/site"])
    answer = an_answer(CA, site, at=NOW)
    web.answers = {"/site": answer}
    files = tls_files(tmp_path_factory.mktemp("tls"), site, answer)
    wanted = {f"{name}-tls": (make, files) for name, make in SERVERS.items()}
    wanted |= {f"{name}-plain": (make, None) for name, make in SERVERS.items()}
    try:
        with daemons(wanted) as running:
            yield World(
                site=site,
                files=files,
                offering={name: running[f"{name}-tls"] for name in SERVERS},
                plain={name: running[f"{name}-plain"] for name in SERVERS},
            )
    finally:
        web.close()


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roots_file(CA, tmp_path_factory.mktemp("roots"))


def tls_files(folder: Path, site: Issued, answer: bytes) -> Files:
    files = Files(chain=folder / "chain.pem", key=folder / "key.pem", staple=folder / "staple.der")
    files.chain.write_bytes(site.fullchain_pem)
    files.key.touch(mode=0o600)
    files.key.write_bytes(site.key_pem())
    files.staple.write_bytes(answer)
    return files


@contextmanager
def postgres_with_tls(server: PostgreSQL, files: Files) -> Iterator[int]:
    """TLS turned on in a running PostgreSQL by its own reload, and off again."""
    for name in ("chain", "key"):
        own = server.data / f"{name}.pem"
        own.touch(mode=0o600)
        own.write_bytes(getattr(files, name).read_bytes())
        if os.geteuid() == 0:
            shutil.chown(own, USER, USER)
    _alter(server, "ssl_cert_file = 'chain.pem'", "ssl_key_file = 'key.pem'", "ssl = on")
    try:
        yield server.port
    finally:
        _alter(server, "ssl = off")


def _alter(server: PostgreSQL, *settings: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for setting in settings:
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
