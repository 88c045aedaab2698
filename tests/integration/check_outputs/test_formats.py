"""Every `--format` of `holdfast check` on real servers, with the exit codes of each."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from holdfast.ocsp.statuses import Revoked
from support.answers import a_staple, an_answer
from support.check_world import CA
from support.cli import Outcome, holdfast
from support.ports import free_port
from support.processes import HOLDFAST, ran
from support.sarif_schema import breaches
from support.tls_world import NOW, Loop, a_proxy, a_site

QUICK = ("--no-fetch", "--handshakes", 1, "--tls", "1.3", "--address", "127.0.0.1")


@pytest.fixture
def good(loop: Loop) -> Iterator[int]:
    site = a_site(CA)
    with a_proxy(site, loop=loop) as stand:
        stand.deliver(a_staple(CA, site, at=NOW))
        yield stand.port


@pytest.fixture
def revoked(loop: Loop) -> Iterator[int]:
    site = a_site(CA)
    answer = an_answer(CA, site, Revoked(NOW - timedelta(hours=2)), at=NOW)
    with a_proxy(site, loop=loop, staple_for=lambda leaf: answer) as stand:
        yield stand.port


@pytest.fixture
def bare(loop: Loop) -> Iterator[int]:
    """The certificate names a responder, and no staple is sent."""
    with a_proxy(a_site(CA), loop=loop, serve_unstapled=True) as stand:
        yield stand.port


def checked(roots: Path, shape: str, *targets: object, more: tuple[object, ...] = ()) -> Outcome:
    return holdfast("check", *targets, "--format", shape, "--ca-file", roots, *QUICK, *more)


def test_nagios_exits_by_its_own_convention(
    roots: Path, good: int, revoked: int, bare: int
) -> None:
    """0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, each with one line that says so."""
    cases = {
        0: ("OK", [f"localhost:{good}"]),
        1: ("WARNING", [f"localhost:{bare}"]),
        2: ("CRITICAL", [f"localhost:{revoked}", f"localhost:{good}"]),
    }
    for code, (word, targets) in cases.items():
        outcome = checked(roots, "nagios", *targets)
        assert outcome.code == code, outcome.out
        assert outcome.out.startswith(f"STAPLING {word}: ")
        assert outcome.out.count("\n") == 1
        assert " | " in outcome.out
    dead = checked(roots, "nagios", f"localhost:{free_port()}")
    assert (dead.code, dead.out[:18]) == (2, "STAPLING CRITICAL:")


@pytest.mark.parametrize(
    "words",
    [
        ("--no-such-option",),
        ("--ca-file", "/nowhere.pem"),
        ("--handshakes", "0"),
        ("gopher://localhost",),
        ("-f", "/nowhere.txt"),
    ],
)
def test_what_the_plugin_could_not_do_is_unknown(words: tuple[str, ...]) -> None:
    outcome = holdfast("check", "localhost", "--format", "nagios", *words)
    assert outcome.code == 3
    assert outcome.out.startswith("STAPLING UNKNOWN: ")
    assert outcome.out.count("\n") == 1
    assert holdfast("check", "localhost", *words).code == 2  # the twin: not as a plugin


def test_junit_counts_the_server_that_is_wrong(roots: Path, good: int, revoked: int) -> None:
    outcome = checked(roots, "junit", f"localhost:{good}", f"localhost:{revoked}")
    assert outcome.code == 1
    root = ElementTree.fromstring(outcome.stdout)
    first, second = root
    assert (first.attrib["failures"], second.attrib["failures"]) == ("0", "1")
    assert second.attrib["name"] == f"localhost:{revoked}"


def test_sarif_shows_the_line_of_the_list(
    roots: Path, good: int, revoked: int, tmp_path: Path
) -> None:
    listed = tmp_path / "hosts.txt"
    listed.write_text(f"# ours\nlocalhost:{good}\n\nlocalhost:{revoked}  # the old one\n")
    outcome = checked(roots, "sarif", more=("-f", listed))
    assert outcome.code == 1
    log = json.loads(outcome.stdout)
    assert breaches(log) == []
    result = next(r for r in log["runs"][0]["results"] if r["ruleId"] == "staple-revoked")
    physical = result["locations"][0]["physicalLocation"]
    assert physical["region"] == {"startLine": 4}
    assert physical["artifactLocation"]["uri"].endswith("/hosts.txt")


def test_prometheus_is_read_by_promtool(roots: Path, good: int, revoked: int) -> None:
    outcome = checked(roots, "prometheus", f"localhost:{good}", f"localhost:{revoked}")
    done = ran(["promtool", "check", "metrics"], stdin=outcome.stdout)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert f'holdfast_check_right{{target="localhost:{good}"}} 1' in outcome.out
    assert f'holdfast_check_right{{target="localhost:{revoked}"}} 0' in outcome.out


def test_html_and_json_are_of_the_same_servers(roots: Path, good: int, revoked: int) -> None:
    targets = (f"localhost:{good}", f"localhost:{revoked}")
    page = checked(roots, "html", *targets)
    assert page.code == 1
    assert page.out.startswith("<!DOCTYPE html>")
    assert all(f"{target}</h2>" in page.out for target in targets)
    document = checked(roots, "json", *targets).json
    assert [report["verdict"] for report in document["reports"]] == ["good", "bad"]


def test_the_bar_is_for_a_terminal_and_the_colour_too(roots: Path, good: int, revoked: int) -> None:
    words = [*HOLDFAST, "check", f"localhost:{good}", f"localhost:{revoked}", "--ca-file", roots]
    command = [str(word) for word in (*words, *QUICK)]
    piped = ran(command)
    assert piped.returncode == 1
    assert piped.stderr == b""
    assert b"\x1b" not in piped.stdout
    master, terminal = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environ.pop("NO_COLOR", None)
    try:
        child = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environ)
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # what Linux says when the other side is gone
                break
            if not piece:
                break
            shown += piece
        assert child.wait(timeout=30) == 1
    finally:
        os.close(master)
    assert b"checking" in shown
    assert b"2/2" in shown
    assert b"\x1b[32m" in shown  # green, for what is good
    assert "━".encode() in shown
