"""`holdfast check` through STARTTLS with the servers that people run, from Debian's packages.

NNTP's row has transcripts alone (`tests/unit/tls/test_starttls.py`): Debian's INN cannot be
installed on a machine without a domain.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.tls.starttls import DIALOGUES
from support.answers import an_answer
from support.check_world import CA, codes
from support.cli import Outcome, holdfast
from support.postgres import PostgreSQL
from support.starttls.world import World, postgres_with_tls
from support.tls_world import NOW

Reports = dict[str, dict[str, Any]]
REAL = sorted(DIALOGUES.keys() - {"nntp"})
STAPLING = {"smtp": "Exim's tls_ocsp_file", "ftp": "ProFTPD's TLSStapling"}

# how each server's plain twin says no
REFUSALS = {
    "smtp": "STARTTLS among the extensions was expected, the server said '250-localhost Hello",
    "imap": 'OK to STARTTLS was expected, the server said "a1 BAD TLS support isn\'t enabled."',
    "pop3": '+OK to STLS was expected, the server said "-ERR TLS support isn\'t enabled."',
    "lmtp": "STARTTLS among the extensions was expected, the server said '250-",
    "sieve": "STARTTLS as a capability was expected, the server said '",
    "mysql": "-MariaDB",
    "ldap": "resultCode 2 (protocolError), 'unsupported extended operation'",
    "ftp": "234 to AUTH TLS was expected, the server said '500",
    "xmpp": "starttls among the stream's features was expected, the server said",
    "xmpp-server": "starttls among the stream's features was expected, the server said",
    "irc": "670 to STARTTLS was expected, the server said ':irc.localhost CAP * LS",
    "rdp": "without TLS",
    "postgres": "S to SSLRequest was expected, the server said N, that is no TLS",
}


def look(ports: dict[str, int], trust: Path, *more: object) -> tuple[Outcome, Reports]:
    """One run over all of `ports`; the reports by scheme."""
    words = [f"{scheme}://localhost:{port}" for scheme, port in ports.items()]
    usual = ("--address", "127.0.0.1", "--ca-file", trust, "--no-fetch", "--json")
    outcome = holdfast("check", *words, *usual, *more)
    reports = {r["target"].partition("://")[0]: r for r in outcome.json["reports"]}
    return outcome, reports


def begun_plain(world: World) -> dict[str, int]:
    """The ports where STARTTLS comes first."""
    return {scheme: port for scheme, port in world.ports.items() if scheme in DIALOGUES}


@pytest.fixture(scope="module")
def offered(world: World, postgres: PostgreSQL, trust: Path) -> Reports:
    with postgres_with_tls(postgres, world.files) as port:
        outcome, reports = look({**begun_plain(world), "postgres": port}, trust, "--handshakes", 1)
    assert outcome.code == 0, outcome.out
    return reports


@pytest.fixture(scope="module")
def refused(world: World, postgres: PostgreSQL, trust: Path) -> Reports:
    ports = {s: port for one in world.plain.values() for s, port in one.ports.items()}
    outcome, reports = look({**ports, "postgres": postgres.port}, trust)
    assert outcome.code == 1
    return reports


def test_every_row_but_one_has_a_real_server(world: World, offered: Reports) -> None:
    assert sorted(offered) == REAL
    assert sorted(REFUSALS) == REAL


@pytest.mark.parametrize("scheme", REAL)
def test_t1_a_real_server_is_seen_in_both_versions(
    world: World, offered: Reports, scheme: str
) -> None:
    report = offered[scheme]
    assert {shake["tls"] for shake in report["handshakes"]} == {"TLSv1.2", "TLSv1.3"}
    (leaf,) = report["leaves"]
    assert leaf["sha256"] == world.site.certificate.sha256
    assert leaf["chain"]["complete"]
    assert leaf["chain"]["trusted"]
    stapled = {shake["stapled"] for shake in report["handshakes"]}
    if scheme in STAPLING:
        assert (report["verdict"], report["findings"], stapled) == ("good", [], {True})
        assert {staple["certificate_status"] for staple in report["staples"]} == {"good"}
    else:
        assert (report["verdict"], codes(report), stapled) == (
            "warning",
            {"staple-missing"},
            {False},
        )
        (finding,) = report["findings"]
        assert finding["hint"] == DIALOGUES[scheme].stapling


@pytest.mark.parametrize("scheme", REAL)
def test_a_real_server_without_tls_is_told_what_to_turn_on(refused: Reports, scheme: str) -> None:
    report = refused[scheme]
    (finding,) = report["findings"]
    assert (report["verdict"], finding["code"]) == ("bad", "starttls-refused")
    assert REFUSALS[scheme] in finding["message"]
    assert DIALOGUES[scheme].advice in finding["hint"]


def test_what_exim_staples_is_judged_for_every_connection(world: World, trust: Path) -> None:
    """Exim with GnuTLS takes a forged response as it is, and has no TLS with an expired one."""
    ports = {"smtp": world.ports["smtp"]}
    good = world.files.staple.read_bytes()
    forged = good[:-8] + bytes(8)
    expired = an_answer(CA, world.site, at=NOW - timedelta(days=9))
    try:
        world.files.staple.write_bytes(forged)
        outcome, reports = look(ports, trust, "--handshakes", 1)
        assert (outcome.code, codes(reports["smtp"])) == (1, {"staple-bad-signature"})
        world.files.staple.write_bytes(expired)
        outcome, reports = look(ports, trust, "--handshakes", 1)
        (finding,) = reports["smtp"]["findings"]
        assert (outcome.code, finding["code"]) == (1, "starttls-refused")
        assert "454 TLS currently unavailable" in finding["message"]
        assert "tls_ocsp_file" in finding["hint"]
    finally:
        world.files.staple.write_bytes(good)
    outcome, reports = look(ports, trust, "--handshakes", 1)
    assert (outcome.code, codes(reports["smtp"])) == (0, set())


def test_a_missing_staple_is_a_fault_where_it_is_demanded(world: World, trust: Path) -> None:
    outcome, reports = look(
        {"imap": world.ports["imap"], "smtp": world.ports["smtp"]},
        trust,
        *("--require-staple", "--handshakes", 1),
    )
    assert outcome.code == 1
    (finding,) = reports["imap"]["findings"]
    assert (finding["code"], finding["severity"]) == ("staple-missing", "fault")
    assert reports["smtp"]["findings"] == []


def test_a_port_that_speaks_tls_at_once_is_told_by_its_scheme(world: World, trust: Path) -> None:
    """A server that greets is silent there; one that is spoken to first sends an alert."""
    port = world.ports["imaps"]
    for scheme, timeout, advised in (("imap", 0.5, "imaps://"), ("postgres", 10, "tls://")):
        outcome, reports = look({scheme: port}, trust, "--timeout", timeout)
        assert outcome.code == 1
        (finding,) = reports[scheme]["findings"]
        assert finding["code"] == "starttls-refused"
        assert advised in finding["hint"]
    (finding,) = look({"imaps": port}, trust, "--handshakes", 1)[1]["imaps"]["findings"]
    assert finding["code"] == "staple-missing"
    assert "Dovecot cannot staple" in finding["hint"]
    assert not finding["cures"]  # no lines for web servers


def test_xmpp_asks_for_the_domain_that_was_named(world: World, trust: Path) -> None:
    """An XMPP server has domains, and its machine may have another name."""
    usual = ("--ca-file", trust, "--no-fetch", "--handshakes", 1, "--json")
    target = f"xmpp://127.0.0.1:{world.ports['xmpp']}"
    named = holdfast("check", target, "--servername", "localhost", *usual)
    assert codes(named.json["reports"][0]) == {"staple-missing"}
    other = holdfast("check", target, "--servername", "elsewhere.test", *usual)
    (finding,) = other.json["reports"][0]["findings"]
    assert finding["code"] == "starttls-refused"
    assert "host-unknown" in finding["message"]
    assert "--servername" in finding["hint"]


def test_the_text_and_a_file_of_targets(world: World, trust: Path, tmp_path: Path) -> None:
    listed = tmp_path / "hosts.txt"
    schemes = ("smtp", "mysql", "ldap")
    listed.write_text("".join(f"{s}://127.0.0.1:{world.ports[s]}\n" for s in schemes))
    outcome = holdfast("check", "-f", listed, "--ca-file", trust, "--no-fetch", "--handshakes", 1)
    assert outcome.code == 0
    good = f"smtp://127.0.0.1:{world.ports['smtp']}"
    assert any(line.startswith("good") and good in line for line in outcome.out.splitlines())
    assert "MariaDB and MySQL cannot staple" in outcome.out
    assert "slapd cannot staple" in outcome.out


def test_urls_of_a_live_server(world: World) -> None:
    outcome = holdfast("urls", f"ldap://127.0.0.1:{world.ports['ldap']}", "--json")
    assert outcome.code == 0
    assert outcome.json["certificates"][0]["sha256"] == world.site.certificate.sha256


@pytest.mark.slow
def test_many_handshakes_with_all_of_them(world: World, postgres: PostgreSQL, trust: Path) -> None:
    """No server turns a check away that asks often, and nothing is stapled now and then."""
    with postgres_with_tls(postgres, world.files) as port:
        ports = {**begun_plain(world), "postgres": port}
        outcome, reports = look(ports, trust, "--handshakes", 25)
    assert outcome.code == 0, outcome.out
    for scheme in REAL:
        assert len(reports[scheme]["handshakes"]) >= 51
        assert codes(reports[scheme]) <= {"staple-missing"}
