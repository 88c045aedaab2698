"""How the matrix of odd staples reads other people's tools, counts their answers and shows them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench import _matrix_page as shown
from bench import matrix
from bench._matrix_peers import PEERS, Cell, Ran

BY_NAME = {peer.name.split()[0]: peer for peer in PEERS}
GOOD = {"response_status": "SUCCESSFUL", "certificate_status": "GOOD"}


def word(name: str, code: int, out: str, folder: Path = Path()) -> str:
    return BY_NAME[name].read(Ran(code, out, folder))[0]


@pytest.mark.parametrize(
    ("name", "code", "out", "wanted"),
    [
        ("openssl", 0, "OCSP response: \n    Cert Status: good\n", "ok"),
        ("openssl", 0, "OCSP response: no response sent\n", "none"),
        ("openssl", 0, "OCSP response: \n    Cert Status: revoked\n", "bad"),
        ("openssl", 0, "    Cert Status: good\n    Cert Status: revoked\n", "bad"),
        ("openssl", 0, "    OCSP Response Status: trylater (0x3)\n", "bad"),
        ("openssl", 1, "    Cert Status: good\n", "bad"),
        ("gnutls-cli", 0, "- Options: OCSP status request,\n", "ok"),
        ("gnutls-cli", 0, "- Options:\n", "none"),
        ("gnutls-cli", 1, "- Options: OCSP status request,\n", "bad"),
        ("curl", 0, "", "ok"),
        ("curl", 91, "curl: (91) No OCSP response received\n", "none"),
        ("curl", 91, "curl: (91) OCSP response has expired\n", "bad"),
        ("check_ssl_cert", 0, "SSL_CERT OK - localhost\n", "ok"),
        ("check_ssl_cert", 2, "SSL_CERT CRITICAL localhost: OCSP stapling not enabled\n", "none"),
        ("check_ssl_cert", 2, "SSL_CERT CRITICAL localhost: SSL error\n", "bad"),
    ],
)
def test_a_tool_is_read_by_its_rule(name: str, code: int, out: str, wanted: str) -> None:
    assert word(name, code, out) == wanted


def sslyze(folder: Path, answer: dict[str, str] | None, trusted: bool | None) -> str:
    shown_ = {"ocsp_response": answer, "ocsp_response_is_trusted": trusted}
    info = {"status": "COMPLETED", "result": {"certificate_deployments": [shown_]}}
    server = {"scan_status": "COMPLETED", "scan_result": {"certificate_info": info}}
    (folder / "sslyze.json").write_text(json.dumps({"server_scan_results": [server]}))
    return word("sslyze", 0, "", folder)


def test_sslyze_is_read_from_its_json(tmp_path: Path) -> None:
    assert word("sslyze", 0, "", tmp_path) == "crash"  # no report at all
    assert sslyze(tmp_path, None, None) == "none"
    assert sslyze(tmp_path, GOOD, trusted=True) == "ok"
    assert sslyze(tmp_path, GOOD, trusted=False) == "bad"
    assert sslyze(tmp_path, GOOD | {"certificate_status": "REVOKED"}, trusted=True) == "bad"
    failed = {"status": "ERROR", "error_reason": "BUG_IN_SSLYZE", "error_trace": "a\nb"}
    server = {"scan_status": "COMPLETED", "scan_result": {"certificate_info": failed}}
    (tmp_path / "sslyze.json").write_text(json.dumps({"server_scan_results": [server]}))
    assert word("sslyze", 0, "", tmp_path) == "crash"


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ({"OCSP_stapling": "offered", "cert_ocspRevoked": "not revoked"}, "ok"),
        ({"OCSP_stapling": "offered"}, "ok"),
        ({"OCSP_stapling": "offered", "cert_ocspRevoked": "revoked"}, "bad"),
        ({"OCSP_stapling <cert#1>": "not offered"}, "none"),
        ({"cert_notAfter": "2027"}, "bad"),
    ],
)
def test_testssl_is_read_from_its_json(tmp_path: Path, rows: dict[str, str], wanted: str) -> None:
    told = [{"id": name, "finding": finding} for name, finding in rows.items()]
    (tmp_path / "testssl.json").write_text(json.dumps(told))
    assert word("testssl.sh", 0, "", tmp_path) == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["-c", "import os; os.kill(os.getpid(), 11)"], "crash"),
        (["-c", "raise ValueError('Error of its own')"], "crash"),
    ],
)
def test_a_tool_that_dies_is_a_crash(words: list[str], wanted: str, tmp_path: Path) -> None:
    from dataclasses import replace

    peer = replace(BY_NAME["curl"], words=lambda program, *_: [program, *words])
    assert peer.look(sys.executable, 1, tmp_path, tmp_path).word == wanted


def a_row(truth: str, peers: dict[str, str], **more: Any) -> dict[str, Any]:
    row = {"case": "c", "what": "what", "tls": "1.3", "truth": truth, "verdict": "bad"}
    row |= {"codes": ["staple-expired"], "unstapled": False, "by": "nginx"}
    cells = {name: vars_of(Cell(said, 0)) for name, said in peers.items()}
    return row | {"ours": {"nginx": {"wrong": ""}}, "peers": cells} | more


def vars_of(cell: Cell) -> dict[str, Any]:
    return {"word": cell.word, "code": cell.code, "because": cell.because}


def test_answers_are_counted_by_what_they_get_wrong() -> None:
    rows = [
        a_row("bad", {"a": "ok"}),
        a_row("bad", {"a": "bad"}),
        a_row("bad", {"a": "crash"}),
        a_row("ok", {"a": "bad"}),
        a_row("ok", {"a": "ok"}),
        a_row("bad", {"a": "none"}, unstapled=True),
    ]
    tally = shown.tallies(rows, ["a"])["a"]
    assert (tally.rows, tally.right, tally.bad, tally.good) == (6, 3, 4, 2)
    assert [len(x) for x in (tally.passed, tally.refused, tally.broken)] == [1, 1, 1]
    assert tally.silent == 4


def test_a_wrong_cell_of_ours_is_shown_and_fails() -> None:
    good = a_row("bad", {})
    wrong = a_row("bad", {}, case="d", ours={"twin": {"wrong": "good, not bad"}})
    assert matrix._hold([good])
    assert not matrix._hold([good, wrong])
    assert not matrix._hold([])
    text = shown.table([good, wrong], {"curl": None}, colour=False)
    assert "WRONG by twin" in text
    assert "holdfast: right in 1 of 2 cells" in text
    assert "not installed: curl" in text


def test_runs_are_put_together_by_case_and_version() -> None:
    first = {"peers": {"curl --cert-status": "7"}, "rows": [a_row("bad", {"a": "ok"}, case="good")]}
    second = {"peers": {"gnutls-cli": "3"}, "rows": [a_row("bad", {"b": "bad"}, case="good")]}
    told = matrix._merged([first, second])
    assert set(told["rows"][0]["peers"]) == {"a", "b"}
    assert {name for name, version in told["peers"].items() if version} == {
        "curl --cert-status",
        "gnutls-cli",
    }
    assert told["holds"]
