"""Odd and hostile staples from real servers: `holdfast check` says what each is, and nothing else.

Every case by every server that can send it, in TLS 1.2 and 1.3; the same cases stand beside other
people's tools in `bench.matrix`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from support.check_world import looked
from support.odd.case import Case, Play
from support.odd.cases import CASES
from support.odd.ours import said_by
from support.odd.servers import carried
from support.odd.world import World
from support.tls_world import curl, gnutls, openssl

BY_NAME = {case.name: case for case in CASES}


def test_there_are_enough_of_them_and_each_has_a_name() -> None:
    assert len(CASES) == len(BY_NAME) >= 30
    assert {case.truth for case in CASES} == {"ok", "bad", "none"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_each_is_told_by_every_server_in_both_versions(name: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    wrong = {}
    for server in case.servers:
        for version in case.versions:
            folder = tmp_path / f"{server}-{version}"
            folder.mkdir()
            wrong[server, version] = said_by(case, server, version, folder).wrong(case)
    assert {cell: how for cell, how in wrong.items() if how} == {}


@pytest.mark.parametrize(
    ("name", "server", "version"),
    [
        ("bad-signature", "haproxy", "1.3"),
        ("another", "nginx", "1.2"),
        ("64-kb", "gnutls-serv", "1.2"),
        ("every-second", "twin", "1.3"),
        ("by-address", "twin", "1.2"),
        ("intermediate-revoked", "entries", "1.3"),
    ],
)
def test_a_handful(name: str, server: str, version: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    assert said_by(case, server, version, tmp_path).wrong(case) == ""


def test_red_a_case_that_expects_something_else_is_wrong(tmp_path: Path) -> None:
    case = replace(BY_NAME["good"], verdict="bad", codes=frozenset({"staple-expired"}))
    wrong = said_by(case, "twin", "1.3", tmp_path).wrong(case)
    assert wrong == "good {} exit 0, not bad ['staple-expired'] exit 1"


def told_and_done(case: Case, version: str, folder: Path) -> tuple[dict[str, bool], ...]:
    """Of three clients that are here: whether each goes on, as is told of it and as it does."""
    with carried(case, case.servers[0], version, folder) as (port, roots):
        report = looked(port, roots, "--tls", version, "--no-fetch", "--no-crl", "--handshakes", 1)
        does = {
            "gnutls-cli": gnutls(port, roots)[0] == 0,
            "curl --cert-status": curl(port, roots)[0] == 0,
            "openssl s_client": openssl(port, roots)[0] == 0,
        }
    told = {row["client"]: row["accepts"] for row in report["clients"] if row["client"] in does}
    return told, {name: does[name] for name in told}


ALIKE = [case.name for case in CASES if len(case.make(World()).staples) == 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
def test_what_is_told_of_clients_is_what_they_do(name: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    wrong = {}
    for version in case.versions:
        folder = tmp_path / version
        folder.mkdir()
        told, done = told_and_done(case, version, folder)
        assert len(told) >= 2  # GnuTLS's is left out where its versions differ
        if told != done:
            wrong[version] = (told, done)
    assert wrong == {}


@pytest.mark.parametrize("name", ["contradictory", "trailing", "another-ca"])
def test_what_is_told_of_clients_in_a_handful(name: str, tmp_path: Path) -> None:
    told, done = told_and_done(BY_NAME[name], "1.3", tmp_path)
    assert told == done
    assert True in done.values()  # each lets something pass that is bad


@pytest.mark.parametrize("server", ["gnutls-serv", "twin", "entries"])
def test_what_is_judged_is_what_the_server_was_given(server: str, tmp_path: Path) -> None:
    """Byte for byte: no server in between has mended it."""
    garbage = b"no \x00 staple"
    case = replace(BY_NAME["garbage"], make=lambda world: Play(site=world.site, staples=(garbage,)))
    said = said_by(case, server, "1.3", tmp_path)
    assert said.shown == {hashlib.sha256(garbage).hexdigest()}
    assert said.codes == {"staple-malformed"}
